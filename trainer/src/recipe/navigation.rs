//! `[family.navigation]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// 2D navigation to a goal the policy is not told (Finn et al. 2017, section 5.3): one goal a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Navigation {
    /// Goals are uniform in the square of +- this around the start, in the plane's units. From 0.05 to 5.
    pub goal_range: f32,
    /// Trajectories of at most 100 steps for each adaptation step in training. From 1 to 1000.
    pub trajectories: usize,
    /// Trajectories of at most 100 steps for each adaptation step on held-out tasks, which is also the capacity of the
    /// device's support set. From 1 to 1000.
    pub evaluation_trajectories: usize,
}

impl Navigation {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.between("goal_range", self.goal_range, 0.05, 5.0);
        checker.count("trajectories", self.trajectories as u64, 1, 1000);
        checker.count("evaluation_trajectories", self.evaluation_trajectories as u64, 1, 1000);
    }
}
