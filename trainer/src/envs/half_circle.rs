//! Sparse 2D navigation: a goal somewhere on a half circle that is felt only from near by.

use pliant_runtime::experience::End;

use super::navigation::MAX_STEP;
use super::{ActionSpace, VectorEnvironment};
use crate::random::{Stream, uniform};

/// Points on the plane, each with a goal on the half circle of radius 1 above the origin, uniform in its angle (the sparse
/// point robot of Rakelly et al. 2019, "PEARL").
///
/// Every episode starts at the origin. The observation is the position `[x, y]`; the action is the move `[dx, dy]`, clipped
/// to ±0.1 per axis; the reward is 1 minus the distance to the goal within 0.2 of it, and 0 elsewhere. An episode is so many
/// steps. All in the plane's units.
#[derive(Clone, Debug)]
pub struct HalfCircle {
    horizon: usize,
    /// `[2, batch]`
    positions: Vec<f32>,
    /// `[2, batch]`
    goals: Vec<f32>,
    ages: Vec<usize>,
}

impl HalfCircle {
    /// Distance from the goal within which there is a reward.
    pub const REACH: f32 = 0.2;

    /// `batch` instances whose episodes have `horizon` steps.
    pub fn new(horizon: usize, batch: usize) -> Self {
        Self {
            horizon,
            positions: vec![0.0; 2 * batch],
            goals: vec![0.0; 2 * batch],
            ages: vec![0; batch],
        }
    }

    /// The goal `[x, y]` of an instance: what an oracle knows and a policy does not.
    pub fn goal(&self, instance: usize) -> [f32; 2] {
        [self.goals[instance], self.goals[self.ages.len() + instance]]
    }

    /// Return of an episode that goes straight to a goal, as fast as each axis may, and stays.
    pub fn best_return(goal: [f32; 2], horizon: usize) -> f64 {
        let mut position = [0.0f32; 2];
        (0..horizon)
            .map(|_| {
                for (position, goal) in position.iter_mut().zip(goal) {
                    *position += (goal - *position).clamp(-MAX_STEP, MAX_STEP);
                }
                f64::from(reward(position, goal))
            })
            .sum()
    }
}

fn reward(position: [f32; 2], goal: [f32; 2]) -> f32 {
    let [dx, dy] = [goal[0] - position[0], goal[1] - position[1]];
    let distance = (dx * dx + dy * dy).sqrt();
    if distance <= HalfCircle::REACH {
        1.0 - distance
    } else {
        0.0
    }
}

impl VectorEnvironment for HalfCircle {
    fn name(&self) -> &str {
        "half-circle"
    }

    fn batch(&self) -> usize {
        self.ages.len()
    }

    fn observation_width(&self) -> usize {
        2
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Continuous(2)
    }

    fn action_scale(&self) -> f32 {
        MAX_STEP
    }

    fn horizon(&self) -> usize {
        self.horizon
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        let (sine, cosine) = uniform(random, 0.0, core::f32::consts::PI).sin_cos();
        let batch = self.ages.len();
        (self.goals[instance], self.goals[batch + instance]) = (cosine, sine);
    }

    fn new_episode(&mut self, instance: usize, _random: &mut Stream) {
        let batch = self.ages.len();
        (self.positions[instance], self.positions[batch + instance]) = (0.0, 0.0);
        self.ages[instance] = 0;
    }

    fn observe(&self, observations: &mut [f32]) {
        observations.copy_from_slice(&self.positions);
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        let batch = self.ages.len();
        for (position, action) in self.positions.iter_mut().zip(actions) {
            *position += action.clamp(-MAX_STEP, MAX_STEP);
        }
        for instance in 0..batch {
            let position = [self.positions[instance], self.positions[batch + instance]];
            rewards[instance] = reward(position, self.goal(instance));
            self.ages[instance] += 1;
            ends[instance] = if self.ages[instance] >= self.horizon {
                End::Truncated
            } else {
                End::Continue
            };
        }
    }
}
