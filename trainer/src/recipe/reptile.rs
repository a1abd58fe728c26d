//! `[algorithm.reptile]`.

use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker};

/// Reptile of a supervised loss (Nichol, Achiam and Schulman 2018): the start moves towards where gradient descent on each
/// task ends. No gradient of a gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reptile {
    /// Meta-iterations. From 1 to 10000000.
    pub iterations: u64,
    /// Tasks in a meta-batch. From 1 to 4096.
    pub tasks: usize,
    /// Gradient steps on a task, in training and on the device. From 2 to 16. In training the first is on the support set
    /// and each other one on its own equal share of the queries, of which there must be a multiple of the steps after
    /// the first: with fresh rows for each step the meta-gradient differs from that of ordinary training.
    pub inner_steps: usize,
    /// Step size of the inner loop. Greater than 0, at most 10.
    pub inner_rate: f32,
    /// Parts into which the meta-batch is split for worker threads. From 1 to `tasks`; default 1.
    #[serde(default = "Reptile::default_chunks")]
    pub chunks: usize,
    /// The outer optimiser; its gradient is the displacement over the inner step size.
    pub optimizer: Adam,
}

impl Reptile {
    fn default_chunks() -> usize {
        1
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("iterations", self.iterations, 1, 10_000_000);
        checker.count("tasks", self.tasks as u64, 1, 4096);
        checker.count("inner_steps", self.inner_steps as u64, 2, 16);
        checker.positive("inner_rate", self.inner_rate, 10.0);
        checker.count("chunks", self.chunks as u64, 1, self.tasks.max(1) as u64);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
