//! Task families of reinforcement learning: a task is an environment.

use super::Split;
use crate::envs::Environment;

/// A family of environments that share observations and actions.
pub trait ControlFamily: Send + Sync {
    /// Numbers in one observation.
    fn observation_width(&self) -> usize;

    /// Numbers in one action.
    fn action_width(&self) -> usize;

    /// Steps after which an episode ends at the latest.
    fn horizon(&self) -> usize;

    /// What the policy's outputs are multiplied by to be actions of the environment, `[action_width]`: the scale of the
    /// contract's action channels.
    fn action_scale(&self) -> Vec<f32>;

    /// `instances` instances of the environment of task `index` of a split.
    fn environment(&self, seed: u64, split: Split, index: u64, instances: usize) -> Box<dyn Environment>;

    /// The best that is known for task `index`, told what the policy is not: reads an observation, writes the action in
    /// the environment's units. None where nothing better than learning is known.
    fn oracle(&self, _seed: u64, _split: Split, _index: u64) -> Option<Oracle> {
        None
    }

    /// How to draw an episode of task `index` as a path on a plane; none where it is no movement on one.
    fn plane(&self, _seed: u64, _split: Split, _index: u64) -> Option<Plane> {
        None
    }
}

/// Reads an observation, writes an action.
pub type Oracle = Box<dyn FnMut(&[f32], &mut [f32])>;

/// Where on a plane the agent is and should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    /// The observation channels that are the position.
    pub position: [usize; 2],
    /// What the axes are called, with units.
    pub axes: [String; 2],
    /// Where the task wants it.
    pub goal: [f32; 2],
}
