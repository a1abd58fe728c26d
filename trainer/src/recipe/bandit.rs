//! `[family.bandit]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Bernoulli bandits (Duan et al. 2016, section 3.1): the probabilities of the arms are uniform in 0..1, one draw a task;
/// a pull gives 1 with the probability of its arm, otherwise 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandit {
    /// Arms. From 2 to 16.
    pub arms: usize,
    /// Pulls of an episode. From 1 to 10000.
    pub pulls: usize,
}

impl Bandit {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("arms", self.arms as u64, 2, 16);
        checker.count("pulls", self.pulls as u64, 1, 10_000);
    }
}
