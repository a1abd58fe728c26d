//! `[algorithm.ridge]`.

use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker};

/// Meta-learned features with a ridge regression for a head (R2-D2; Bertinetto et al. 2019): the outer loop learns the
/// layers before the head, the head's prior mean and the ridge, through the closed-form solution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ridge {
    /// Meta-iterations. From 1 to 10000000.
    pub iterations: u64,
    /// Tasks in a meta-batch. From 1 to 4096.
    pub tasks: usize,
    /// The ridge at the start of training, which learns its logarithm. Greater than 0, at most 1000.
    pub ridge: f32,
    /// On the device by recursive least squares, a row at a time, with this forgetting factor: the row that came `j` rows
    /// before the last counts the factor to the power of `j`. Greater than 0, at most 1 (every row counts the same, and
    /// the result is that of the closed form); absent: sums over rows, then one solution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<f32>,
    /// Parts into which the meta-batch is split for worker threads. From 1 to `tasks`; default 1.
    #[serde(default = "Ridge::default_chunks")]
    pub chunks: usize,
    /// The outer optimiser.
    pub optimizer: Adam,
}

impl Ridge {
    /// Most units of the last hidden layer: each is a pivot of the solver, two to three records of the device's plan.
    pub(super) const MOST_FEATURES: usize = 64;

    fn default_chunks() -> usize {
        1
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("iterations", self.iterations, 1, 10_000_000);
        checker.count("tasks", self.tasks as u64, 1, 4096);
        checker.positive("ridge", self.ridge, 1e3);
        if let Some(forgetting) = self.forgetting {
            checker.positive("forgetting", forgetting, 1.0);
        }
        checker.count("chunks", self.chunks as u64, 1, self.tasks.max(1) as u64);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
