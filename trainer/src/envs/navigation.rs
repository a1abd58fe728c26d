//! 2D navigation (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning", section 5.3): a point on the plane that
//! is not told its goal.

use pliant_runtime::experience::End;

use super::Environment;
use crate::random::Stream;

/// Greatest move per axis and step, in the plane's units.
pub const MAX_STEP: f32 = 0.1;

/// Distance to the goal, in the plane's units, within which the episode ends.
const ARRIVED: f32 = 0.01;

/// A batch of points, each with its own goal.
///
/// Every episode starts at the origin. The observation is the position `[x, y]`; the action is the move `[dx, dy]`,
/// clipped to ±[`MAX_STEP`] per axis; the reward is minus the Euclidean distance to the goal after the move. The episode
/// ends within 0.01 of the goal or after 100 steps. All in the plane's units.
///
/// ```
/// use pliant_runtime::experience::End;
/// use pliant_trainer::envs::{Environment, Navigation};
/// let mut batch = Navigation::new(&[[0.15, 0.0]]);
/// let (mut rewards, mut ends, mut position) = ([0.0], [End::Continue], [0.0; 2]);
/// batch.step(&[7.0, 0.0], &mut rewards, &mut ends);
/// batch.observe(&mut position);
/// assert_eq!(position, [0.1, 0.0]);
/// assert!((rewards[0] + 0.05).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Navigation {
    goal_x: Vec<f32>,
    goal_y: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    ends: Vec<End>,
    steps: usize,
}

impl Navigation {
    /// Steps after which the episode ends at the latest.
    pub const HORIZON: usize = 100;

    /// One instance at the origin for each goal.
    pub fn new(goals: &[[f32; 2]]) -> Self {
        Self {
            goal_x: goals.iter().map(|goal| goal[0]).collect(),
            goal_y: goals.iter().map(|goal| goal[1]).collect(),
            x: vec![0.0; goals.len()],
            y: vec![0.0; goals.len()],
            ends: vec![End::Continue; goals.len()],
            steps: 0,
        }
    }
}

impl Environment for Navigation {
    fn batch(&self) -> usize {
        self.x.len()
    }

    fn observation_width(&self) -> usize {
        2
    }

    fn action_width(&self) -> usize {
        2
    }

    fn horizon(&self) -> usize {
        Self::HORIZON
    }

    fn reset(&mut self, _random: &mut Stream) {
        self.x.fill(0.0);
        self.y.fill(0.0);
        self.ends.fill(End::Continue);
        self.steps = 0;
    }

    fn observe(&self, observations: &mut [f32]) {
        for ((row, &x), &y) in observations.chunks_exact_mut(2).zip(&self.x).zip(&self.y) {
            row.copy_from_slice(&[x, y]);
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.steps += 1;
        let last = self.steps >= Self::HORIZON;
        for i in 0..self.x.len() {
            if self.ends[i].is_last() {
                rewards[i] = 0.0;
                continue;
            }
            self.x[i] += actions[2 * i].clamp(-MAX_STEP, MAX_STEP);
            self.y[i] += actions[2 * i + 1].clamp(-MAX_STEP, MAX_STEP);
            let (to_x, to_y) = (self.goal_x[i] - self.x[i], self.goal_y[i] - self.y[i]);
            // Not `hypot`, which differs between C libraries in the last bit.
            let distance = (to_x * to_x + to_y * to_y).sqrt();
            rewards[i] = -distance;
            self.ends[i] = if distance < ARRIVED {
                End::Terminated
            } else if last {
                End::Truncated
            } else {
                End::Continue
            };
        }
        ends.copy_from_slice(&self.ends);
    }
}
