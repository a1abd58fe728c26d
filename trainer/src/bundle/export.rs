//! From what was learned to the files of a bundle.

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AdaptationDescription, AlignedBytes, ImageBuildError, ImageOptions, compile_policy};
use pliant_compiler::onnx::OnnxError;
use pliant_runtime::contract::ContractError;
use pliant_runtime::image::{Image, ImageError};

use super::{IMAGE_FILE, onnx};
use crate::algorithms::{Learned, NamedTensor};
use crate::deployment;
use crate::eval::{EvalError, TaskRange, adapt_to_tasks};
use crate::recipe::{Family, Recipe};
use crate::tasks::{SinusoidFamily, Split};

/// Validation tasks that calibrate the trust region.
const CALIBRATION_TASKS: u64 = 500;
/// The trust region is this quantile of the changes on validation tasks, times [`CALIBRATION_MARGIN`].
const CALIBRATION_QUANTILE: f64 = 0.99;
const CALIBRATION_MARGIN: f32 = 1.5;
/// Records of the learning plans that cost more multiply-accumulates are split, so that `adapt_some` can share a control
/// loop: about a millisecond on a 168 MHz Cortex-M4F.
const MAX_MACS_PER_RECORD: u64 = 20_000;

/// Why a trained policy cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The device image cannot be built.
    #[error("cannot build the device image: {0}")]
    Build(#[from] ImageBuildError),
    /// The image that was built is refused.
    #[error("the device image that was built is refused: {0}")]
    Image(#[from] ImageError),
    /// The contract is refused.
    #[error("the contract is refused: {0}")]
    Contract(#[from] ContractError),
    /// A graph cannot be written as ONNX.
    #[error("cannot write ONNX: {0}")]
    Onnx(#[from] OnnxError),
    /// A graph to be exported cannot be built.
    #[error("cannot build the exported graphs: {0}")]
    Graph(#[from] pliant_compiler::graph::GraphError),
    /// The adaptation to be exported cannot be built.
    #[error("cannot build the exported adaptation: {0}")]
    Adaptation(#[from] pliant_compiler::adaptation::AdaptationError),
    /// The trust region could not be calibrated.
    #[error("cannot calibrate the trust region: {0}")]
    Calibration(#[from] EvalError),
}

/// The device image and the ONNX models of a trained policy, by file name.
///
/// # Errors
/// [`ExportError`]; for parameters that are not finite, for instance.
pub fn export(recipe: &Recipe, learned: &Learned, threads: usize) -> Result<Vec<(&'static str, Vec<u8>)>, ExportError> {
    let step_sizes = step_sizes(learned);
    let contract = deployment::contract(recipe)?;
    let policy = deployment::policy(recipe);
    let parameters: Vec<Tensor> = learned.parameters.iter().map(tensor).collect();
    let mut spec = deployment::adaptation_spec(recipe, &learned.step_scales);
    let options = ImageOptions {
        max_macs_per_record: Some(MAX_MACS_PER_RECORD),
        card: Some(format!("{}: {}", recipe.name, recipe.description)),
    };
    let build = |spec| {
        let adaptation = AdaptationDescription {
            spec,
            adapts: None,
            step_sizes: step_sizes.clone(),
        };
        compile_policy(&policy, &parameters, Some(&adaptation), &contract, &options)
    };
    let mut image = build(spec)?;
    if let Some(region) = trust_region(recipe, &image, threads)? {
        spec.trust_region = region;
        image = build(spec)?;
    }
    let models = onnx::models(
        recipe,
        &contract,
        &learned.parameters,
        &step_sizes,
        &learned.step_scales,
    )?;
    Ok(models.into_iter().chain([(IMAGE_FILE, image)]).collect())
}

/// The trust region: how far adaptation moves the parameters on validation tasks, with a margin. `None` leaves it open.
fn trust_region(recipe: &Recipe, image: &[u8], threads: usize) -> Result<Option<f32>, ExportError> {
    match &recipe.family {
        Family::Sinusoid(settings) => {
            let bytes = AlignedBytes::new(image);
            let image = Image::new_checked(&bytes)?;
            let range = TaskRange {
                split: Split::Validation,
                seed: recipe.seed,
                tasks: CALIBRATION_TASKS,
            };
            let outcomes = adapt_to_tasks(&image, &SinusoidFamily::new(settings), range, threads)?;
            let mut changes: Vec<f32> = outcomes
                .iter()
                .filter(|task| task.accepted)
                .map(|task| task.change)
                .collect();
            changes.sort_by(f32::total_cmp);
            let rank = ((changes.len() as f64 * CALIBRATION_QUANTILE) as usize).min(changes.len().saturating_sub(1));
            Ok(changes
                .get(rank)
                .map(|change| change * CALIBRATION_MARGIN)
                .filter(|region| *region > 0.0))
        }
        // The guard of a policy gradient is the divergence of the policy, not the distance of its parameters.
        Family::Navigation(_) => Ok(None),
    }
}

/// One number where all step sizes are the same, otherwise one an element.
fn step_sizes(learned: &Learned) -> StepSizes {
    let mut all = learned.step_sizes.iter().flat_map(|tensor| &tensor.values);
    let first = all.next().copied().unwrap_or(0.0);
    if all.all(|&value| value == first) {
        return StepSizes::Uniform(first);
    }
    let elements = |(parameter, step_size): (&NamedTensor, &NamedTensor)| match step_size.values[..] {
        [one] => vec![one; parameter.values.len()],
        _ => step_size.values.clone(),
    };
    StepSizes::PerElement(
        learned
            .parameters
            .iter()
            .zip(&learned.step_sizes)
            .flat_map(elements)
            .collect(),
    )
}

fn tensor(named: &NamedTensor) -> Tensor {
    Tensor::f32(&named.shape, named.values.as_slice()).expect("a named tensor is as long as its shape says")
}
