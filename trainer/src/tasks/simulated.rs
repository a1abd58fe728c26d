//! Families of simulated systems: a task is a set of drawn parameters.

use std::sync::Arc;

use super::Split;
use crate::envs::{Quadrotor, Simulator, System, Told};
use crate::random::{Stream, stream};
use crate::recipe::{Family, Recipe};

/// The simulator of a recipe's family, if it has one; it shows the true parameters where the policy is privileged.
pub fn simulator(recipe: &Recipe) -> Option<Arc<dyn Simulator>> {
    let told = recipe.policy.privileged;
    match &recipe.family {
        Family::CartPole(system) => Some(shared(system.clone(), told)),
        Family::Pendulum(system) => Some(shared(system.clone(), told)),
        Family::Quadrotor(variation) => Some(shared(Quadrotor::new(*variation), told)),
        Family::TwoLinkArm(system) => Some(shared(system.clone(), told)),
        Family::Vehicle(system) => Some(shared(system.clone(), told)),
        Family::Navigation(_) | Family::Sinusoid(_) => None,
    }
}

fn shared<S: System>(system: S, told: bool) -> Arc<dyn Simulator> {
    if told {
        Arc::new(Told::new(system))
    } else {
        Arc::new(system)
    }
}

/// The stream that draws task `index` of a split, and the one that draws its episode number `episode`.
pub fn task_streams(seed: u64, split: Split, index: u64, episode: u64) -> [Stream; 2] {
    let name = split.simulated_tasks();
    [
        stream(seed, name, &[index]),
        stream(seed, &format!("{name}, episodes"), &[index, episode]),
    ]
}
