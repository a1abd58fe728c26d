//! `[algorithm.ppo]`.

use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker, sections::is_zero};

/// Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation (Schulman et al. 2016). A
/// policy with `memory` is trained by back-propagation through time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ppo {
    /// Iterations: a window of steps of every instance, then updates. From 1 to 10000000.
    pub iterations: u64,
    /// Instances of the environment side by side. From 1 to 65536.
    pub environments: usize,
    /// Parts of the instances that threads can work on at once. More than there are threads changes nothing but the time;
    /// fewer leave threads idle. A divisor of `environments`, from 1 to 256; default 2.
    #[serde(default = "Ppo::default_shards")]
    pub shards: usize,
    /// Steps of every instance in an iteration, which begins with a new task and episode in each of them. At least as many
    /// as an episode (of a trial, for RL2) has. From 1 to 10000.
    pub steps: usize,
    /// Times that an iteration's steps are gone through. From 1 to 100.
    pub epochs: usize,
    /// Updates of the parameters in an epoch. From 1 to 1024. With memory, `shards` times this must divide `environments`;
    /// without, it must divide the steps of a shard.
    pub minibatches: usize,
    /// Steps that gradients go back through time, with memory. From 0 to 10000; default 0: all.
    #[serde(default)]
    pub truncation: usize,
    /// The probability ratio is clipped to 1 +- this. Greater than 0, below 1; default 0.2.
    #[serde(default = "Ppo::default_clip")]
    pub clip: f32,
    /// Discount for each step. From 0 to 1.
    pub discount: f32,
    /// Whether what a terminated episode of a simulated system pays for the steps it loses is discounted, as it would be were
    /// it paid step by step. Undiscounted, one lost episode outweighs all others of an iteration. Default false.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discount_lost: bool,
    /// Lambda of generalised advantage estimation. From 0 to 1.
    pub gae_lambda: f32,
    /// Above 0, an advantage counts for at most so many times what 90 % of a window's advantages spread over (as a normal
    /// distribution's deviation: their 5th to 95th percentile over 3.29), in the surrogate and in the return that the value function
    /// learns. A rare lost episode otherwise outweighs all that the others tell: it makes their standardised advantages small. From 0
    /// to 1000; default 0: no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advantage_limit: f32,
    /// Share of the episodes in training whose system and start are drawn with every uniform draw crowded at the ends of its
    /// range (from the arcsine distribution instead), as with the analytic policy gradient. What is hard often lies in a corner
    /// of several ranges, where plain draws hardly ever are. Validation and evaluation draw plainly. From 0 to 1; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extremes: f32,
    /// Iterations before the first of them. From 0 to 10000000; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extremes_after: u64,
    /// Weight of the value function's squared error. From 0 to 100; default 0.5.
    #[serde(default = "Ppo::default_value_weight")]
    pub value_weight: f32,
    /// Weight of the entropy at the first iteration. From 0 to 10; default 0.
    #[serde(default)]
    pub entropy_weight: f32,
    /// Weight of the entropy after the last iteration; between, it moves linearly. From 0 to 10; default: as at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_entropy_weight: Option<f32>,
    /// Rewards are multiplied by this before advantages and values are made of them, so that values are of the order of 1.
    /// Greater than 0, at most 1000; default 1.
    #[serde(default = "Ppo::one")]
    pub reward_scale: f32,
    /// For RL2 on families whose simulator knows the best (`[family.bandit]`, `[family.tabular]`). Above 0 training learns from
    /// regrets in place of rewards, which the policy goes on seeing: what a step lost against the best action, played on in
    /// the best way. The best policy is the same; the chance of rewards and transitions is gone. The expected regret of the
    /// next action, over all actions and with this weight, counts beside the surrogate. From 0 to 100; default 0: rewards.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub regret_weight: f32,
    /// Whether observations are brought to mean 0 and deviation 1 by what training saw; the contract then does so on the
    /// device. Default false.
    #[serde(default)]
    pub normalise_observations: bool,
    /// Initial logarithm of the standard deviation of continuous actions, in units of the policy's output. From -5 to 2;
    /// default 0.
    #[serde(default)]
    pub log_std: f32,
    /// It never falls below this. From -10 to 2; default -5.
    #[serde(default = "Ppo::default_log_std_floor")]
    pub log_std_floor: f32,
    /// The initial weights of the policy's last layer are multiplied by this. From 0 to 1; default 0.1.
    #[serde(default = "Ppo::default_output_scale")]
    pub output_scale: f32,
    /// Added to the initial bias of the memory's update gate: it begins open for the past. From -10 to 10; default 1.
    #[serde(default = "Ppo::one")]
    pub update_gate_bias: f32,
    /// The optimiser; its schedule runs over all updates.
    pub optimizer: Adam,
}

impl Ppo {
    /// Weight of the entropy at an iteration.
    pub fn entropy_weight_at(&self, iteration: u64) -> f32 {
        let first = self.entropy_weight;
        let last = self.final_entropy_weight.unwrap_or(first);
        first + (last - first) * (iteration as f32 / self.iterations as f32)
    }

    /// Share of the draws of an iteration that crowd at the ends of their ranges.
    pub fn extremes_at(&self, iteration: u64) -> f32 {
        if iteration < self.extremes_after {
            0.0
        } else {
            self.extremes
        }
    }

    fn default_shards() -> usize {
        2
    }

    fn default_clip() -> f32 {
        0.2
    }

    fn default_value_weight() -> f32 {
        0.5
    }

    fn one() -> f32 {
        1.0
    }

    fn default_log_std_floor() -> f32 {
        -5.0
    }

    fn default_output_scale() -> f32 {
        0.1
    }

    /// Checks every range of the section, for a policy with memory or without.
    pub(super) fn check(&self, checker: &mut Checker, memory: bool) {
        checker.count("iterations", self.iterations, 1, 10_000_000);
        checker.count("environments", self.environments as u64, 1, 65536);
        checker.count("shards", self.shards as u64, 1, 256);
        checker.count("steps", self.steps as u64, 1, 10_000);
        checker.between("regret_weight", self.regret_weight, 0.0, 100.0);
        checker.count("epochs", self.epochs as u64, 1, 100);
        checker.count("minibatches", self.minibatches as u64, 1, 1024);
        checker.count("truncation", self.truncation as u64, 0, 10_000);
        let parts = self.shards.max(1);
        checker.require(
            self.environments.is_multiple_of(parts),
            "shards",
            self.shards,
            format_args!("a divisor of `environments` = {}", self.environments),
        );
        let share = self.environments / parts * if memory { 1 } else { self.steps };
        checker.require(
            share.is_multiple_of(self.minibatches.max(1)),
            "minibatches",
            self.minibatches,
            format_args!(
                "a divisor of {share}: a shard's {}",
                if memory {
                    "environments"
                } else {
                    "environments times steps"
                }
            ),
        );
        checker.require(
            self.clip > 0.0 && self.clip < 1.0,
            "clip",
            self.clip,
            "greater than 0, below 1",
        );
        checker.between("discount", self.discount, 0.0, 1.0);
        checker.between("gae_lambda", self.gae_lambda, 0.0, 1.0);
        checker.between("advantage_limit", self.advantage_limit, 0.0, 1000.0);
        checker.between("extremes", self.extremes, 0.0, 1.0);
        checker.count("extremes_after", self.extremes_after, 0, 10_000_000);
        checker.between("value_weight", self.value_weight, 0.0, 100.0);
        checker.between("entropy_weight", self.entropy_weight, 0.0, 10.0);
        if let Some(weight) = self.final_entropy_weight {
            checker.between("final_entropy_weight", weight, 0.0, 10.0);
        }
        checker.positive("reward_scale", self.reward_scale, 1000.0);
        checker.between("log_std", self.log_std, -5.0, 2.0);
        checker.between("log_std_floor", self.log_std_floor, -10.0, 2.0);
        checker.between("output_scale", self.output_scale, 0.0, 1.0);
        checker.between("update_gate_bias", self.update_gate_bias, -10.0, 10.0);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
