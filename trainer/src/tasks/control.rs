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
}
