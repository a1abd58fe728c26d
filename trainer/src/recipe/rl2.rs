//! `[algorithm.rl2]`.

use serde::{Deserialize, Serialize};

use super::{Ppo, check::Checker};

/// RL2 (Duan et al. 2016): a recurrent policy that sees its previous action, reward and whether an episode begins, and
/// keeps its memory through the episodes of a trial, is trained on the return of whole trials. What it learns in a trial
/// it learns in its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rl2 {
    /// Episodes of a trial: of one task, one after the other. From 1 to 10000.
    pub episodes: usize,
    /// How the policy is trained.
    pub ppo: Ppo,
}

impl Rl2 {
    pub(super) fn check(&self, checker: &mut Checker, memory: bool) {
        checker.count("episodes", self.episodes as u64, 1, 10_000);
        checker.section("ppo", |checker| self.ppo.check(checker, memory));
    }
}
