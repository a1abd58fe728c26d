//! `[algorithm.multi-task-ppo]`.

use serde::{Deserialize, Serialize};

use super::{Balance, Balancing, HeadAdaptation, Ppo, check::Checker};

/// Proximal policy optimisation of several unlike tasks at once: a first layer and a head for each around shared layers, in
/// the policy and in the value function. Observations and advantages are normalised for each task by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiTaskPpo {
    /// Width of the first layer that each task has for itself. From 1 to 4096; default 32.
    #[serde(default = "MultiTaskPpo::default_encoder")]
    pub encoder: usize,
    /// What the value function learns of a task's returns. Default `pop-art`.
    #[serde(default)]
    pub returns: Returns,
    /// `normalised`, `pop-art`: how far mean and second moment of a task's returns move towards those of a window. Greater
    /// than 0, at most 1; default 0.1. The first window counts whole.
    #[serde(default = "MultiTaskPpo::default_return_rate")]
    pub return_rate: f32,
    /// How the tasks' gradients become one step: `uniform`, `pcgrad`, `cagrad`, `nash-mtl` or `upgrad`.
    #[serde(default)]
    pub balance: Balance,
    /// How each task is learned; `environments` are those of one task. Without memory, with `shards = 1`: the tasks are what
    /// threads share.
    pub ppo: Ppo,
    /// How the device fits a head to what somebody else does (observations, with the action that was right).
    #[serde(default)]
    pub adaptation: HeadAdaptation,
}

/// What the value function learns of a task's returns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Returns {
    /// The returns.
    Raw,
    /// The returns minus their running mean, over their running deviation.
    Normalised,
    /// The same, and where mean and deviation change, its last layer changes so that it says the same of the returns as
    /// before (van Hasselt et al. 2016; for several tasks Hessel et al. 2019).
    #[default]
    PopArt,
}

impl MultiTaskPpo {
    fn default_encoder() -> usize {
        32
    }

    fn default_return_rate() -> f32 {
        0.1
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("encoder", self.encoder as u64, 1, 4096);
        checker.positive("return_rate", self.return_rate, 1.0);
        checker.section("balance", |checker| {
            self.balance.check(checker);
            let of_gradients = matches!(
                self.balance.method,
                Balancing::Uniform | Balancing::Pcgrad | Balancing::Cagrad | Balancing::NashMtl | Balancing::Upgrad
            );
            checker.require(
                of_gradients,
                "method",
                self.balance.method.name(),
                "uniform, pcgrad, cagrad, nash-mtl or upgrad: the surrogate loss says nothing of how well a task is learned",
            );
        });
        checker.section("ppo", |checker| {
            self.ppo.check(checker, false);
            checker.require(
                self.ppo.shards == 1,
                "shards",
                self.ppo.shards,
                "1: the tasks are what threads share",
            );
        });
        checker.section("adaptation", |checker| {
            self.adaptation.check(checker);
            let plain = !self.adaptation.adapts_input() && self.adaptation.spare_heads == 0;
            checker.require(
                plain,
                "input_rate",
                self.adaptation.input_rate,
                "0, with `standardise_inputs` false and `spare_heads` 0: only the head of a known task adapts here",
            );
        });
    }
}
