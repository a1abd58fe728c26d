//! Families of environments for reinforcement learning on many tasks at once.

use super::{Split, simulator};
use crate::envs::{Bandits, HalfCircle, Simulated, SwingUp, TabularProcesses, VectorEnvironment};
use crate::random::{Stream, stream};
use crate::recipe::{Family, Recipe};

/// `batch` instances of a recipe's environment, if it has one for reinforcement learning on many tasks at once.
pub fn vector_environment(recipe: &Recipe, batch: usize) -> Option<Box<dyn VectorEnvironment>> {
    Some(match &recipe.family {
        Family::Bandit(family) => Box::new(Bandits::new(family.arms, family.pulls, batch)),
        Family::HalfCircle(family) => Box::new(HalfCircle::new(family.horizon, batch)),
        Family::SwingUp(_) => Box::new(SwingUp::new(batch)),
        Family::Tabular(family) => Box::new(TabularProcesses::new(
            family.states,
            family.actions,
            family.horizon,
            batch,
        )),
        family => Box::new(Simulated::new(family.name(), simulator(recipe)?, batch)),
    })
}

/// The stream that a task is drawn from, with the first episode of it: `indices` number the tasks of a split, `[index]` in
/// validation and tests.
pub fn task_stream(seed: u64, split: Split, indices: &[u64]) -> Stream {
    let name = match split {
        Split::Train => "tasks, train",
        Split::Validation => "tasks, validation",
        Split::Test => "tasks, test",
    };
    stream(seed, name, indices)
}
