//! Meta-learned features with a ridge regression for a head: R2-D2 (Bertinetto, Henriques, Torr and Vedaldi 2019,
//! "Meta-learning with differentiable closed-form solvers").
//!
//! The outer loop of [`Maml`](super::Maml) learns the layers before the head, the head's prior mean and the logarithm of the
//! ridge, through the solution that [`RidgeRule`] gives for each task's support set. `docs/algorithms/ridge.md` tables
//! recipe against paper.
//!
//! [`RidgeRule`]: pliant_compiler::adaptation::ridge::RidgeRule

use super::maml::{Inner, MetaSettings};
use super::{Learned, NamedTensor};
use crate::recipe;

/// Name of the ridge among what was learned.
pub const RIDGE: &str = "ridge";

/// Name of what the outer loop trains of it.
pub(super) const LOG_RIDGE: &str = "logarithm of the ridge";

impl From<&recipe::Ridge> for MetaSettings {
    fn from(settings: &recipe::Ridge) -> Self {
        Self {
            iterations: settings.iterations,
            tasks: settings.tasks,
            chunks: settings.chunks,
            optimizer: settings.optimizer.clone(),
            inner: Inner::Ridge {
                initial: settings.ridge,
            },
        }
    }
}

impl Learned {
    /// Parameters whose head is fitted with this ridge, in one step.
    pub fn with_ridge(parameters: Vec<NamedTensor>, ridge: f32) -> Self {
        Self {
            parameters,
            step_sizes: vec![NamedTensor {
                name: RIDGE.to_owned(),
                shape: vec![],
                values: vec![ridge],
            }],
            step_scales: vec![1.0],
            observations: None,
        }
    }

    /// The ridge, of a policy whose head is fitted.
    pub fn ridge(&self) -> Option<f32> {
        match &self.step_sizes[..] {
            [NamedTensor { name, values, .. }] if name == RIDGE => values.first().copied(),
            _ => None,
        }
    }
}
