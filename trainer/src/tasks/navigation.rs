//! 2D navigation tasks (Finn, Abbeel and Levine 2017, section 5.3): a task is a goal on the plane.

use super::{ControlFamily, Oracle, Plane, Split};
use crate::envs::{self, Environment};
use crate::random::{stream, uniform};
use crate::recipe;

/// Goals uniform in a square around the start.
#[derive(Debug, Clone, PartialEq)]
pub struct NavigationFamily {
    goal_range: f32,
}

impl NavigationFamily {
    /// The family of a recipe.
    pub fn new(settings: &recipe::Navigation) -> Self {
        Self {
            goal_range: settings.goal_range,
        }
    }

    /// The goal `[x, y]` of one task, in the plane's units.
    ///
    /// `index` numbers the tasks of a split: training counts up over iterations, tests use `0..tasks`.
    ///
    /// ```
    /// use pliant_trainer::{recipe, tasks::{NavigationFamily, Split}};
    /// let settings = recipe::Navigation { goal_range: 0.5, trajectories: 20, evaluation_trajectories: 40 };
    /// let family = NavigationFamily::new(&settings);
    /// assert_eq!(family.goal(0, Split::Test, 5), family.goal(0, Split::Test, 5));
    /// assert_ne!(family.goal(0, Split::Test, 5), family.goal(0, Split::Train, 5));
    /// ```
    pub fn goal(&self, seed: u64, split: Split, index: u64) -> [f32; 2] {
        let name = match split {
            Split::Train => "navigation goals, train",
            Split::Validation => "navigation goals, validation",
            Split::Test => "navigation goals, test",
        };
        let mut random = stream(seed, name, &[index]);
        [(); 2].map(|()| uniform(&mut random, -self.goal_range, self.goal_range))
    }
}

impl ControlFamily for NavigationFamily {
    fn observation_width(&self) -> usize {
        2
    }

    fn action_width(&self) -> usize {
        2
    }

    fn horizon(&self) -> usize {
        envs::Navigation::HORIZON
    }

    fn action_scale(&self) -> Vec<f32> {
        vec![envs::MAX_STEP; 2]
    }

    fn environment(&self, seed: u64, split: Split, index: u64, instances: usize) -> Box<dyn Environment> {
        Box::new(envs::Navigation::new(&vec![self.goal(seed, split, index); instances]))
    }

    /// Goes straight to the goal, as fast as each axis may.
    fn oracle(&self, seed: u64, split: Split, index: u64) -> Option<Oracle> {
        let goal = self.goal(seed, split, index);
        Some(Box::new(move |position, action| {
            for ((action, goal), position) in action.iter_mut().zip(goal).zip(position) {
                *action = (goal - position).clamp(-envs::MAX_STEP, envs::MAX_STEP);
            }
        }))
    }

    fn plane(&self, seed: u64, split: Split, index: u64) -> Option<Plane> {
        Some(Plane {
            position: [0, 1],
            axes: ["x".to_owned(), "y".to_owned()],
            goal: self.goal(seed, split, index),
        })
    }
}
