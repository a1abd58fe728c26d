//! Bundles: a trained policy as a folder of files, ready to deploy.
//!
//! | file | what |
//! |---|---|
//! | `recipe.toml` | what it was trained by, every override included |
//! | `policy.onnx`, `adapt.onnx`, `score.onnx` | for ONNX Runtime and tract; inputs and outputs below |
//! | `policy.pliant` | the device image |
//! | `card.md`, `plot.svg`, `report.html` | what it was trained on, scores, cost, how long it took |
//! | `evaluation.json` | the scores and what they are compared with, see [`report::Results`](crate::report::Results) |
//!
//! # The ONNX models
//!
//! | model | inputs | outputs |
//! |---|---|---|
//! | `policy.onnx` | `observation` `[batch, n]` | `action` `[batch, m]`; `action_log_std` `[m]` where actions are sampled |
//! | | `memory` `[batch, k]` where the policy is recurrent, zero at the start of an episode | `next.memory` |
//! | | `task` `[batch]` where there is a head a task (int64) | |
//! | `adapt.onnx` | the row fields `[rows, width]`, `row_weight` `[rows]`, `step_scale` `[1]` | `next.NAME` for each parameter |
//! | `score.onnx` | the row fields, `row_weight` | `score` `[1]` |
//!
//! Each model also takes the parameters by name; without them it uses the meta-learned ones (they are initialisers that
//! an input overrides); where there is a head a task, `policy.onnx` holds the bank as `bank.NAME`, tasks in front, and the
//! others take one task's slice by name. Observations are normalised and actions unit-less: the contract, in the metadata under
//! `pliant.contract` as JSON, says how they relate to physical ones. Adapting runs `adapt.onnx` once for each of
//! `pliant.step_scales`, with that scale, feeding `next.NAME` back as `NAME`.

mod banked;
mod export;
mod onnx;
mod parameters;
mod repack;
mod systems;

use std::path::{Path, PathBuf};

use pliant_compiler::image::{AlignedBytes, InspectError};
use pliant_runtime::image::{Image, ImageError};

pub use banked::{BankedNetwork, banked_image, banked_network};
pub use export::{ExportError, Exported, device_image, export, policy_image};
pub use parameters::parameters;
pub use repack::{RepackError, Repacked, repack};
pub use systems::systems_network;

use crate::recipe::{self, Recipe, RecipeError};

/// File name of the device image.
pub const IMAGE_FILE: &str = "policy.pliant";
/// File name of the recipe.
pub const RECIPE_FILE: &str = "recipe.toml";

/// A bundle that was opened and checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The folder.
    pub directory: PathBuf,
    /// What it was trained by.
    pub recipe: Recipe,
    /// The device image, accepted by [`Image::new_checked`].
    pub image: AlignedBytes,
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file is missing or cannot be read.
    #[error(
        "cannot read {path}: {source}; a bundle is a folder with {IMAGE_FILE} and {RECIPE_FILE}, as `pliant train` writes it"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The recipe is refused.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The image is refused.
    #[error("{path} is not a usable device image: {source}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ImageError,
    },
    /// The image cannot be inspected.
    #[error("{path}: {source}")]
    Inspect {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InspectError,
    },
    /// A trained policy cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// There are no parameters to start another training from.
    #[error(
        "{path} has no parameters to start from: {problem}; name a bundle, or the folder of a run that `pliant train` made"
    )]
    NoParameters {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// A bundle cannot be repacked.
    #[error(transparent)]
    Repack(RepackError),
}

impl Bundle {
    /// Opens the bundle in the folder `path`, or beside the image file `path`.
    ///
    /// # Errors
    /// A file missing, or refused by its own checks.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let image_path = image_path(path);
        let image = read_image(&image_path)?;
        let directory = image_path.parent().map(Path::to_owned).unwrap_or_default();
        let recipe = directory.join(RECIPE_FILE);
        let text = std::fs::read_to_string(&recipe).map_err(|source| BundleError::Read {
            path: recipe.clone(),
            source,
        })?;
        let recipe = recipe::Source {
            origin: recipe.display().to_string(),
            text,
        }
        .parse()?;
        Ok(Self {
            directory,
            recipe,
            image,
        })
    }
}

/// The image of a bundle: the file itself, or the one in the folder. What is not there and has no extension is taken for a
/// folder.
pub fn image_path(path: &Path) -> PathBuf {
    if path.is_dir() || (path.extension().is_none() && !path.is_file()) {
        path.join(IMAGE_FILE)
    } else {
        path.to_owned()
    }
}

/// Reads and checks the device image at `path` (a file, or a bundle's folder).
///
/// # Errors
/// The file cannot be read, or is no usable image.
pub fn read_image(path: &Path) -> Result<AlignedBytes, BundleError> {
    let path = image_path(path);
    let bytes = std::fs::read(&path).map_err(|source| BundleError::Read {
        path: path.clone(),
        source,
    })?;
    let image = AlignedBytes::new(&bytes);
    Image::new_checked(&image).map_err(|source| BundleError::Image { path, source })?;
    Ok(image)
}
