//! From what was learned to the files of a bundle.

use pliant_compiler::adaptation::Update;
use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AdaptationDescription, AlignedBytes, ImageBuildError, ImageOptions, compile_policy};
use pliant_compiler::onnx::OnnxError;
use pliant_compiler::policy::PolicyDescription;
use pliant_runtime::contract::{Contract, ContractError};
use pliant_runtime::image::{AdaptationSpec, Image, ImageError};

use super::banked::export_banked;
use super::systems::export_systems;
use super::{IMAGE_FILE, onnx};
use crate::algorithms::{Learned, NamedTensor};
use crate::deployment;
use crate::error::TrainError;
use crate::eval::{EvalError, TaskRange, adapt_to_environments, adapt_to_tasks};
use crate::recipe::{Algorithm, Family, Recipe};
use crate::tasks::{DataError, NavigationFamily, Split, Tasks, task_set};

/// Validation tasks that are too few to calibrate the guards alone: a percentile of what they need says little of others.
const FEW_TASKS: u64 = 100;
/// Validation tasks that calibrate the guards of a supervised family.
const SUPERVISED_TASKS: u64 = 500;
/// Validation tasks that calibrate the guards of a control family, whose tasks cost thousands of environment steps each.
const CONTROL_TASKS: u64 = 60;
/// A guard is this quantile of what it limits on validation tasks, times [`GUARD_MARGIN`].
const GUARD_QUANTILE: f64 = 0.99;
const GUARD_MARGIN: f32 = 1.5;
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
    /// There is no contract.
    #[error(transparent)]
    Deployment(#[from] deployment::DeploymentError),
    /// Logged data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A graph cannot be written as ONNX.
    #[error("cannot write ONNX: {0}")]
    Onnx(#[from] OnnxError),
    /// A graph to be exported cannot be built.
    #[error("cannot build the exported graphs: {0}")]
    Graph(#[from] pliant_compiler::graph::GraphError),
    /// The adaptation to be exported cannot be built.
    #[error("cannot build the exported adaptation: {0}")]
    Adaptation(#[from] pliant_compiler::adaptation::AdaptationError),
    /// What was learned cannot be laid out for a device.
    #[error("cannot lay out the network for a device: {0}")]
    Layout(#[from] TrainError),
    /// The guards could not be calibrated.
    #[error("cannot calibrate the guards: {0}")]
    Calibration(#[from] EvalError),
}

/// What [`export`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The device image and the ONNX models, by file name.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Environment steps that the calibration of the guards simulated.
    pub env_steps: u64,
}

/// The device image and the ONNX models of a trained policy. The guards of the image are calibrated on validation tasks.
///
/// # Errors
/// [`ExportError`]; for parameters that are not finite, for instance.
pub fn export(recipe: &Recipe, learned: &Learned, threads: usize) -> Result<Exported, ExportError> {
    if let (Some(tables), Algorithm::MultiTask(settings)) = (task_set(recipe)?, &recipe.algorithm) {
        return export_banked(recipe, settings, &tables, learned);
    }
    if let (Family::Systems(family), Algorithm::MultiTaskPpo(settings)) = (&recipe.family, &recipe.algorithm) {
        return export_systems(recipe, settings, family, learned);
    }
    let Some(spec) = deployment::adaptation_spec(recipe, &learned.step_scales) else {
        let contract = deployment::contract_with(recipe, learned.observations.as_ref())?;
        let parameters: Vec<Tensor> = learned.parameters.iter().map(tensor).collect();
        let options = image_options(recipe);
        let image = compile_policy(&deployment::policy(recipe), &parameters, None, &contract, &options)?;
        let model = onnx::policy_model(recipe, &contract, &learned.parameters)?;
        return Ok(Exported {
            files: vec![model, (IMAGE_FILE, image)],
            env_steps: 0,
        });
    };
    let build = |spec| device_image(recipe, learned, spec);
    let (spec, env_steps) = calibrate(recipe, spec, build, threads)?;
    let image = build(spec)?;
    let contract = deployment::contract_with(recipe, learned.observations.as_ref())?;
    let update = update(learned, forgetting(recipe));
    let models = onnx::models(recipe, &contract, &learned.parameters, &update, &spec)?;
    Ok(Exported {
        files: models.into_iter().chain([(IMAGE_FILE, image)]).collect(),
        env_steps,
    })
}

/// How every image of a recipe is written.
pub(super) fn image_options(recipe: &Recipe) -> ImageOptions {
    ImageOptions {
        max_macs_per_record: Some(MAX_MACS_PER_RECORD),
        card: Some(format!("{}: {}", recipe.name, recipe.description)),
        state_reset: deployment::state_reset(recipe),
    }
}

/// The device image of these parameters, adapting as `spec` says.
///
/// # Errors
/// As [`export`].
pub fn device_image(recipe: &Recipe, learned: &Learned, spec: AdaptationSpec) -> Result<Vec<u8>, ExportError> {
    let card = format!("{}: {}", recipe.name, recipe.description);
    let contract = deployment::contract_with(recipe, learned.observations.as_ref())?;
    let policy = deployment::policy(recipe);
    image_of(&policy, learned, spec, forgetting(recipe), &contract, Some(card))
}

/// The forgetting factor of a head that is fitted recursively.
fn forgetting(recipe: &Recipe) -> Option<f32> {
    match &recipe.algorithm {
        Algorithm::Ridge(settings) => settings.forgetting,
        _ => None,
    }
}

/// The device image of a policy that was trained without a recipe.
///
/// # Errors
/// As [`export`]: a contract with other channels than the policy has, for instance.
pub fn policy_image(
    policy: &PolicyDescription,
    learned: &Learned,
    spec: AdaptationSpec,
    contract: &Contract,
    card: Option<String>,
) -> Result<Vec<u8>, ExportError> {
    image_of(policy, learned, spec, None, contract, card)
}

fn image_of(
    policy: &PolicyDescription,
    learned: &Learned,
    spec: AdaptationSpec,
    forgetting: Option<f32>,
    contract: &Contract,
    card: Option<String>,
) -> Result<Vec<u8>, ExportError> {
    let parameters: Vec<Tensor> = learned.parameters.iter().map(tensor).collect();
    let options = ImageOptions {
        max_macs_per_record: Some(MAX_MACS_PER_RECORD),
        card,
        ..ImageOptions::default()
    };
    let adaptation = AdaptationDescription {
        spec,
        adapts: Some(adapts(learned)),
        update: update(learned, forgetting),
    };
    Ok(compile_policy(
        policy,
        &parameters,
        Some(&adaptation),
        contract,
        &options,
    )?)
}

/// Sets the guards from what adaptation does on validation tasks, and counts the environment steps that took.
fn calibrate(
    recipe: &Recipe,
    spec: AdaptationSpec,
    build: impl Fn(AdaptationSpec) -> Result<Vec<u8>, ExportError>,
    threads: usize,
) -> Result<(AdaptationSpec, u64), ExportError> {
    let range = |tasks| TaskRange {
        split: Split::Validation,
        seed: recipe.seed,
        tasks,
    };
    if let Some(Tasks::Supervised(family)) = Tasks::of(recipe)? {
        let bytes = AlignedBytes::new(&build(spec)?);
        let image = Image::new_checked(&bytes)?;
        let mut outcomes = adapt_to_tasks(&image, family.as_ref(), range(SUPERVISED_TASKS), threads)?;
        // How far a task may lie from the others, a handful of them cannot tell: those that trained help.
        if family
            .task_count(Split::Validation)
            .is_some_and(|tasks| tasks < FEW_TASKS)
        {
            let range = TaskRange {
                split: Split::Train,
                ..range(SUPERVISED_TASKS)
            };
            outcomes.extend(adapt_to_tasks(&image, family.as_ref(), range, threads)?);
        }
        let trust_region = guard(outcomes.iter().map(|task| task.change).collect());
        return Ok((AdaptationSpec { trust_region, ..spec }, 0));
    }
    match &recipe.family {
        Family::Navigation(settings) => {
            // The divergence is measured only where it has a limit.
            let bytes = AlignedBytes::new(&build(AdaptationSpec {
                kl_limit: f32::MAX,
                ..spec
            })?);
            let (image, family) = (Image::new_checked(&bytes)?, NavigationFamily::new(settings));
            let trajectories = settings.evaluation_trajectories;
            let outcomes = adapt_to_environments(&image, &family, range(CONTROL_TASKS), trajectories, threads)?;
            let trust_region = guard(outcomes.iter().flat_map(|task| task.changes.iter().copied()).collect());
            let kl_limit = guard(
                outcomes
                    .iter()
                    .flat_map(|task| task.divergences.iter().copied())
                    .collect(),
            );
            let env_steps = outcomes.iter().map(|task| task.env_steps).sum();
            Ok((
                AdaptationSpec {
                    trust_region,
                    kl_limit,
                    ..spec
                },
                env_steps,
            ))
        }
        // What only acts has nothing to guard; heads learned together have no validation tasks.
        Family::Bandit(_)
        | Family::CartPole(_)
        | Family::HalfCircle(_)
        | Family::Pendulum(_)
        | Family::Quadrotor(_)
        | Family::SwingUp(_)
        | Family::Systems(_)
        | Family::Tabular(_)
        | Family::Logged(_)
        | Family::Motifs(_)
        | Family::Sinusoid(_)
        | Family::TaskConflict(_)
        | Family::TwoLinkArm(_)
        | Family::Vehicle(_) => Ok((spec, 0)),
    }
}

/// The limit that these values calibrate; open where there is none.
fn guard(mut values: Vec<f32>) -> f32 {
    values.retain(|value| value.is_finite());
    values.sort_by(f32::total_cmp);
    let rank = (values.len() as f64 * GUARD_QUANTILE) as usize;
    let limit = values
        .get(rank.min(values.len().saturating_sub(1)))
        .map_or(0.0, |value| value * GUARD_MARGIN);
    if limit > 0.0 && limit.is_finite() {
        limit
    } else {
        f32::INFINITY
    }
}

/// The rule with its numbers.
fn update(learned: &Learned, forgetting: Option<f32>) -> Update {
    match learned.ridge() {
        Some(ridge) => Update::Ridge { ridge, forgetting },
        None => Update::Gradient(step_sizes(learned)),
    }
}

/// Which parameters have a step size: all, or those that one is named after.
fn adapts(learned: &Learned) -> Vec<bool> {
    let Learned {
        parameters, step_sizes, ..
    } = learned;
    let all = parameters.len() == step_sizes.len();
    let named = |parameter: &NamedTensor| {
        let own = |rate: &NamedTensor| rate.name.strip_prefix("rate/") == Some(&parameter.name);
        all || step_sizes.iter().any(own)
    };
    parameters.iter().map(named).collect()
}

/// One number where all step sizes are the same, otherwise one an element.
pub(super) fn step_sizes(learned: &Learned) -> StepSizes {
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
            .zip(adapts(learned))
            .filter_map(|(parameter, adapts)| adapts.then_some(parameter))
            .zip(&learned.step_sizes)
            .flat_map(elements)
            .collect(),
    )
}

pub(super) fn tensor(named: &NamedTensor) -> Tensor {
    Tensor::f32(&named.shape, named.values.as_slice()).expect("a named tensor is as long as its shape says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_the_upper_quantile_with_a_margin() {
        assert_eq!(
            guard((1..=200).map(|value| value as f32).rev().collect()),
            199.0 * GUARD_MARGIN
        );
        assert_eq!(guard(vec![2.0]), 2.0 * GUARD_MARGIN);
        assert_eq!(guard(vec![f32::NAN, 1.0]), GUARD_MARGIN);
        assert_eq!(guard(Vec::new()), f32::INFINITY);
        assert_eq!(
            guard(vec![0.0; 5]),
            f32::INFINITY,
            "a policy that never moves has nothing to guard"
        );
    }

    #[test]
    fn equal_step_sizes_are_one_number() {
        let named = |shape: &[usize], values: &[f32]| NamedTensor {
            name: "x".into(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let parameters = vec![named(&[2], &[1.0, 2.0]), named(&[1], &[3.0])];
        let learned = |step_sizes| Learned {
            parameters: parameters.clone(),
            step_sizes,
            step_scales: vec![1.0],
            observations: None,
        };
        let fixed = learned(vec![named(&[], &[0.1]), named(&[], &[0.1])]);
        assert_eq!(step_sizes(&fixed), StepSizes::Uniform(0.1));
        let mixed = learned(vec![named(&[], &[0.1]), named(&[1], &[0.2])]);
        assert_eq!(step_sizes(&mixed), StepSizes::PerElement(vec![0.1, 0.1, 0.2]));
    }
}
