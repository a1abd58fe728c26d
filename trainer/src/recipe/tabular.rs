//! `[family.tabular]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Random Markov decision processes (Duan et al. 2016, section 3.2; Osband et al. 2013): a task has mean rewards from
/// N(1, 1) and transitions from a flat Dirichlet distribution for each state and action; a reward has the deviation 1, and
/// every episode starts in the first state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tabular {
    /// States, each an observation channel. From 1 to 20.
    pub states: usize,
    /// Actions. From 2 to 10; states and actions together at most 30.
    pub actions: usize,
    /// Steps of an episode. From 1 to 1000.
    pub horizon: usize,
}

impl Tabular {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("states", self.states as u64, 1, 20);
        checker.count("actions", self.actions as u64, 2, 10);
        checker.count("horizon", self.horizon as u64, 1, 1000);
    }
}
