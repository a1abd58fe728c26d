//! `evaluation.json`: everything measured after training that reports show.

use std::fs;
use std::path::{Path, PathBuf};

use pliant_compiler::image::ImageReport;
use serde::{Deserialize, Serialize};

use super::chart::Chart;
use crate::eval::{AdaptationStep, Evaluation};

/// File name of the results in a run or a bundle.
pub const RESULTS_FILE: &str = "evaluation.json";

/// Everything measured after training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The deployed image on held-out tasks.
    pub evaluation: Evaluation,
    /// What it is compared with, on the same tasks.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
    /// A few held-out tasks before and after adaptation.
    #[serde(default)]
    pub samples: Vec<Chart>,
    /// What the policy costs on the device.
    pub cost: DeviceCost,
    /// What training cost.
    pub training: TrainingCost,
}

/// What adaptation is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it is.
    pub name: String,
    /// Held-out tasks it was scored on, the first of the evaluation's.
    pub tasks: u64,
    /// One entry a step; a single one where steps mean nothing to it.
    pub adaptation: Vec<AdaptationStep>,
    /// Environment steps it took, all tasks together.
    pub env_steps: u64,
    /// What it costs on the device; absent where nothing would run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<DeviceCost>,
    /// Wall time to train and score it here.
    #[serde(default)]
    pub seconds: f64,
}

/// What the policy costs on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCost {
    /// Bytes of the image.
    pub flash_bytes: u64,
    /// Bytes to act and adapt.
    pub ram_bytes: u64,
    /// Bytes to act only.
    pub act_only_ram_bytes: u64,
    /// Multiply-accumulates of one action.
    pub act_macs: u64,
    /// Multiply-accumulates of one adaptation step over a full support set.
    pub adaptation_step_macs: u64,
    /// Parameters that adapt.
    pub adapted_parameters: u64,
}

impl DeviceCost {
    /// The cost of an image.
    pub fn of(report: &ImageReport) -> Self {
        let macs = |plan: &str| report.plans.get(plan).map_or(0, |plan| plan.macs);
        let chunks = report.adaptation.as_ref();
        let chunks = chunks.map_or(0, |adaptation| {
            u64::from(adaptation.capacity.div_ceil(adaptation.chunk_rows))
        });
        Self {
            flash_bytes: report.image_bytes as u64,
            ram_bytes: report.policy_ram_bytes as u64,
            act_only_ram_bytes: report.act_only_ram_bytes as u64,
            act_macs: macs("act"),
            adaptation_step_macs: macs("begin") + chunks * macs("accumulate") + macs("apply"),
            adapted_parameters: report.adapted_parameters as u64,
        }
    }
}

/// What training cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainingCost {
    /// Meta-iterations.
    pub iterations: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Environment steps, those that calibrate the guards included.
    pub environment_steps: u64,
}

/// Why results cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {reason}; `pliant train` writes it when it has evaluated the image")]
pub struct ResultsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl Results {
    /// Reads the results of the run or bundle in the directory `path`; none where it has none yet.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn read(path: &Path) -> Result<Option<Self>, ResultsError> {
        let path = path.join(RESULTS_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let reason = error.to_string();
                return Err(ResultsError { path, reason });
            }
        };
        serde_json::from_str(&text).map(Some).map_err(|error| ResultsError {
            reason: error.to_string(),
            path,
        })
    }
}
