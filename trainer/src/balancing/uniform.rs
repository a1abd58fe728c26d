//! Plain averaging: the mean of the tasks' losses.

use super::{Balancer, Needs, Weights};

/// Every task has the same weight.
#[derive(Debug, Clone)]
pub struct Uniform {
    tasks: usize,
}

impl Uniform {
    /// For this many tasks.
    pub fn new(tasks: usize) -> Self {
        Self { tasks }
    }
}

impl Balancer for Uniform {
    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weights(&self) -> Weights {
        Weights::Absolute(vec![1.0 / self.tasks as f64; self.tasks])
    }
}
