//! Evaluation of the deployed artefact: held-out tasks, adapted through the runtime exactly as on a device.

use serde::{Deserialize, Serialize};

mod statistics;

pub use statistics::{Estimate, bootstrap_mean};

/// Scores of a deployed image on held-out tasks, after 0, 1, 2, ... adaptation steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The task family.
    pub family: String,
    /// What acted and adapted: always the device runtime over the image, named as such.
    pub engine: String,
    /// Held-out tasks.
    pub tasks: u64,
    /// Seed of the held-out tasks and of the exploration noise.
    pub seed: u64,
    /// What `mean` measures, with its unit.
    pub metric: String,
    /// Whether a lower metric is better (a loss) or a higher one (a return).
    pub lower_is_better: bool,
    /// One entry a step, step 0 (before any adaptation) first.
    pub adaptation: Vec<AdaptationStep>,
    /// The same under another way of scoring, by its name; for instance the mean action instead of sampled ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoScored>,
    /// Adaptations that the runtime's guards refused, over all tasks and steps.
    pub refused: u64,
    /// Environment steps that the evaluation simulated; 0 where the family has no environment.
    pub env_steps: u64,
}

/// The score after some number of adaptation steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdaptationStep {
    /// Adaptation steps taken.
    pub step: u32,
    /// Mean over tasks.
    pub mean: f64,
    /// 95 % bootstrap interval of the mean over tasks.
    pub ci95: [f64; 2],
}

/// A second way of scoring the same adaptation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlsoScored {
    /// How it was scored.
    pub name: String,
    /// One entry a step.
    pub adaptation: Vec<AdaptationStep>,
}

impl AdaptationStep {
    /// From one score a task.
    pub fn over_tasks(step: u32, scores: &[f64], seed: u64) -> Self {
        let Estimate { mean, ci95 } = bootstrap_mean(scores, seed);
        Self { step, mean, ci95 }
    }
}
