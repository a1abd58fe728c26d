//! 2D navigation tasks (Finn, Abbeel and Levine 2017, section 5.3): a task is a goal on the plane.

use super::Split;
use crate::random::{stream, uniform};

/// Half the side of the square that goals are drawn from, in the plane's units.
pub const GOAL_RANGE: f32 = 0.5;

/// The goal `[x, y]` of one task, uniform in the square of ±[`GOAL_RANGE`] around the start.
///
/// `index` numbers the tasks of a split: training counts up over iterations, tests use `0..tasks`.
///
/// ```
/// use pliant_trainer::tasks::{Split, navigation::goal};
/// assert_eq!(goal(0, Split::Test, 5), goal(0, Split::Test, 5));
/// assert_ne!(goal(0, Split::Test, 5), goal(0, Split::Train, 5));
/// ```
pub fn goal(seed: u64, split: Split, index: u64) -> [f32; 2] {
    let name = match split {
        Split::Train => "navigation goals, train",
        Split::Validation => "navigation goals, validation",
        Split::Test => "navigation goals, test",
    };
    let mut random = stream(seed, name, &[index]);
    [
        uniform(&mut random, -GOAL_RANGE, GOAL_RANGE),
        uniform(&mut random, -GOAL_RANGE, GOAL_RANGE),
    ]
}

/// The goals of the tasks `first..first + count`.
pub fn goals(seed: u64, split: Split, first: u64, count: usize) -> Vec<[f32; 2]> {
    (first..first + count as u64)
        .map(|index| goal(seed, split, index))
        .collect()
}
