//! Families of simulated systems: a task is a set of drawn parameters.

use std::sync::Arc;

use super::Split;
use crate::envs::{Quadrotor, Simulator};
use crate::random::{Stream, stream};
use crate::recipe::{Family, Recipe};

/// The simulator of a recipe's family, if it has one.
pub fn simulator(recipe: &Recipe) -> Option<Arc<dyn Simulator>> {
    match &recipe.family {
        Family::Quadrotor(settings) => {
            let quadrotor = Quadrotor::new(settings.variation()).with_sluggish(settings.sluggish);
            Some(Arc::new(quadrotor))
        }
        _ => None,
    }
}

/// The stream that draws task `index` of a split, and the one that draws its episode number `episode`.
pub fn fly_streams(seed: u64, split: Split, index: u64, episode: u64) -> [Stream; 2] {
    let name = match split {
        Split::Train => "simulated tasks, train",
        Split::Validation => "simulated tasks, validation",
        Split::Test => "simulated tasks, test",
    };
    [
        stream(seed, name, &[index]),
        stream(seed, &format!("{name}, episodes"), &[index, episode]),
    ]
}
