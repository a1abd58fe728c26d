//! Families of simulated systems: a task is a set of drawn parameters.

use std::sync::Arc;

use super::Split;
use crate::envs::{Only, Quadrotor, Simulator, System, Told};
use crate::random::{Stream, stream};
use crate::recipe::{Family, Recipe};

/// The simulator of a recipe's family, if it has one; it shows the true parameters where the policy is privileged.
pub fn simulator(recipe: &Recipe) -> Option<Arc<dyn Simulator>> {
    simulator_of(recipe, None)
}

/// The same, of which nothing but task `index` of a split is drawn.
pub fn simulator_of_task(recipe: &Recipe, seed: u64, split: Split, index: u64) -> Option<Arc<dyn Simulator>> {
    let [mut random, _] = task_streams(seed, split, index, 0);
    simulator_of(recipe, Some(&mut random))
}

/// What `only` draws, where it is given.
fn simulator_of(recipe: &Recipe, only: Option<&mut Stream>) -> Option<Arc<dyn Simulator>> {
    let told = recipe.policy.privileged;
    match &recipe.family {
        Family::CartPole(system) => Some(shared(system.clone(), told, only)),
        Family::Pendulum(system) => Some(shared(system.clone(), told, only)),
        Family::Quadrotor(variation) => Some(shared(Quadrotor::new(*variation), told, only)),
        Family::TwoLinkArm(system) => Some(shared(system.clone(), told, only)),
        Family::Vehicle(system) => Some(shared(system.clone(), told, only)),
        _ => None,
    }
}

fn shared<S: System>(system: S, told: bool, only: Option<&mut Stream>) -> Arc<dyn Simulator> {
    match (told, only) {
        (false, None) => Arc::new(system),
        (true, None) => Arc::new(Told::new(system)),
        (false, Some(random)) => Arc::new(Only::drawn(system, random)),
        (true, Some(random)) => Arc::new(Only::drawn(Told::new(system), random)),
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
