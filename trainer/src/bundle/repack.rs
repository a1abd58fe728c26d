//! A bundle's device image again, lowered by the compiler of today: what was learned stays.

use std::path::PathBuf;

use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AlignedBytes, ImageReport, compile_policy, inspect};
use pliant_compiler::onnx::{OnnxError, initializers};
use pliant_runtime::image::{Image, ImageError};
use pliant_runtime::policy::{Policy, PolicyError, ResetKind, act_workspace_len};

use super::export::{ExportError, image_options};
use super::{Bundle, IMAGE_FILE};
use crate::deployment;

/// The model whose initialisers are the parameters.
const MODEL_FILE: &str = "policy.onnx";
/// Steps for which both images act, and those after which an episode begins anew.
const STEPS: usize = 1000;
const EPISODE: usize = 100;

/// Why a bundle is not repacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepackError {
    /// What the image learns on the device cannot be taken from it again.
    #[error(
        "{0} adapts on the device: its learned step sizes and guards are only in its plans; `pliant train {0}/recipe.toml` writes it anew"
    )]
    Adapts(PathBuf),
    /// The model is missing or cannot be read.
    #[error("cannot read {path}, which holds the parameters: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The model is refused.
    #[error("{path}: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OnnxError,
    },
    /// The model lacks a parameter of the recipe's policy.
    #[error(
        "{path} has no parameter `{name}` of this shape, which the policy of the recipe has: they do not belong together"
    )]
    Parameter {
        /// The model.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// The image cannot be built.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An image is refused.
    #[error("{IMAGE_FILE}: {0}")]
    Image(#[from] ImageError),
    /// An image cannot be loaded.
    #[error("{IMAGE_FILE} cannot be loaded: {0}")]
    Policy(#[from] PolicyError),
    /// The new image acts differently.
    #[error(
        "the image built from {MODEL_FILE} and recipe.toml does not act as {IMAGE_FILE} does (step {step}): they do not belong together; nothing was written"
    )]
    OtherBits {
        /// The first step that differs.
        step: usize,
    },
}

/// A bundle's image, built anew.
#[derive(Debug)]
pub struct Repacked {
    /// The image.
    pub image: Vec<u8>,
    /// What the old one cost.
    pub before: ImageReport,
    /// What the new one costs.
    pub after: ImageReport,
}

/// Builds the device image of a policy that only acts from the parameters in its ONNX model, the contract of its old
/// image and its recipe, and lets both act on the same observations: every bit must be the same. A signature is lost. The
/// [hash](Image::hash) is another one, so that what was stored for the old image does not fit.
///
/// # Errors
/// [`RepackError`]: nothing is written here in any case.
pub fn repack(bundle: &Bundle) -> Result<Repacked, RepackError> {
    let old = Image::new_checked(&bundle.image)?;
    if old.adaptation().is_some() {
        return Err(RepackError::Adapts(bundle.directory.clone()));
    }
    let path = bundle.directory.join(MODEL_FILE);
    let model = std::fs::read(&path).map_err(|source| RepackError::Read {
        path: path.clone(),
        source,
    })?;
    let stored = initializers(&model).map_err(|source| RepackError::Model {
        path: path.clone(),
        source,
    })?;
    let policy = deployment::policy(&bundle.recipe);
    let parameters: Vec<Tensor> = policy
        .parameters()
        .iter()
        .map(|parameter| {
            let found = stored.iter().find(|(name, _)| *name == parameter.name);
            let found = found.filter(|(_, tensor)| tensor.shape() == parameter.shape);
            let tensor = found.map(|(_, tensor)| tensor.clone());
            tensor.ok_or_else(|| RepackError::Parameter {
                path: path.clone(),
                name: parameter.name.clone(),
            })
        })
        .collect::<Result<_, _>>()?;
    let report = |bytes: &[u8]| inspect(bytes).expect("an image that was checked can be inspected");
    let before = report(&bundle.image);
    let options = pliant_compiler::image::ImageOptions {
        card: old.card().map(str::to_owned),
        ..image_options(&bundle.recipe)
    };
    let image = compile_policy(&policy, &parameters, None, &before.contract, &options).map_err(ExportError::from)?;
    let aligned = AlignedBytes::new(&image);
    same_bits(&old, &Image::new_checked(&aligned)?)?;
    let after = report(&image);
    Ok(Repacked { image, before, after })
}

/// Lets both images act on the same observations, over several episodes.
fn same_bits(old: &Image<'_>, new: &Image<'_>) -> Result<(), RepackError> {
    let memory = |image: &Image<'_>| vec![0.0; act_workspace_len(image.bytes())];
    let (mut old_memory, mut new_memory) = (memory(old), memory(new));
    let mut policies = [
        Policy::act_only(old, None, &mut old_memory)?,
        Policy::act_only(new, None, &mut new_memory)?,
    ];
    let [mut one, mut other] = policies.each_mut().map(|policy| policy.split().0);
    let contract =
        pliant_runtime::contract::ContractView::new_checked(old.contract_bytes()).map_err(PolicyError::Contract)?;
    let (inputs, outputs) = (contract.observations().count(), contract.actions().count());
    let (mut observation, mut actions) = (vec![0.0; inputs], [vec![0.0; outputs], vec![0.0; outputs]]);
    // SplitMix64: any numbers of ordinary size will do.
    let mut state = 0u64;
    let mut number = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 22) as f32 - 2.0
    };
    for step in 0..STEPS {
        if step % EPISODE == 0 {
            one.reset(ResetKind::All);
            other.reset(ResetKind::All);
        }
        observation.iter_mut().for_each(|value| *value = number());
        let status = [
            one.act(&observation, &mut actions[0]),
            other.act(&observation, &mut actions[1]),
        ];
        let [first, second] = actions
            .each_ref()
            .map(|action| action.iter().map(|value| value.to_bits()));
        if status[0] != status[1] || !first.eq(second) {
            return Err(RepackError::OtherBits { step });
        }
    }
    Ok(())
}
