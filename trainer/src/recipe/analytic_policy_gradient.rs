//! `[algorithm.analytic-policy-gradient]`.

use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker, sections::is_zero};

/// Gradients of the cost through policy and simulator, over truncated windows of persistent episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyticPolicyGradient {
    /// Steps that the gradient goes back through; state and memory go on from window to window. From 1 to 2000.
    pub window: usize,
    /// Steps after which an instance is replaced by a fresh one; 0 for those of a whole episode. Shorter ones see more starts.
    /// Validation and evaluation are always whole. From 0 to 100000; default 0.
    #[serde(default)]
    pub episode: usize,
    /// Share of the instances whose training episodes are whole all the same: where a policy must find out at the start what it
    /// controls and then hold on, the others show it many starts, and these the long run. From 0 to 1; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub whole: f32,
    /// Times that a terminated training episode is begun again, the same task from the same start, before another takes its
    /// place: what the policy fails at, it meets more often (compare Jiang et al. 2021, "Prioritized level replay"). From 0 to
    /// 1000; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: usize,
    /// Share of the training episodes that are ones lost before, from the same start: a shard remembers the last 32 that were
    /// terminated, and takes them in turn. From 0 to 0.9; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replay: f32,
    /// Share of the new training episodes whose system and start crowd at the ends of their ranges (each uniform draw follows
    /// the arcsine distribution instead). What is hard often lies in a corner of several ranges, where plain draws hardly ever
    /// are. Validation and evaluation draw plainly. From 0 to 1; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extremes: f32,
    /// Updates before the first of them: a policy that does not yet hold plain draws is upset by hard ones. From 0 to
    /// 10000000; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extremes_after: u64,
    /// Decay of the running average of the parameters, which is what is validated and deployed; 0 for the parameters
    /// themselves. From 0 to 0.9999; default 0.
    #[serde(default)]
    pub averaging: f32,
    /// Instances simulated side by side, in all shards together. From 1 to 65536.
    pub environments: usize,
    /// Parts into which the instances are split for worker threads; divides `environments`. It belongs to the recipe, not
    /// to the machine: the number of threads never changes a result. From 1 to 256.
    pub shards: usize,
    /// What the cotangent of the physical state is multiplied by at each step back. Below 1 the gradient forgets distant
    /// effects of the state, which bounds its variance where the dynamics are unstable; effects through the policy's
    /// memory are kept. From 0 to 1.
    #[serde(default = "AnalyticPolicyGradient::default_state_decay")]
    pub state_decay: f32,
    /// The cotangents of one instance's state and memory are scaled down to at most this L2 norm at every step, in units
    /// of cost per unit of state. Greater than 0, at most 1e9.
    #[serde(default = "AnalyticPolicyGradient::default_clip_cotangent")]
    pub clip_cotangent: f32,
    /// Before the shards' gradients are averaged, each is scaled down to at most this L2 norm. In an unstable system the
    /// gradient of a few instances is many times that of all others: so they rule their shard, not the update. Far below
    /// the usual norm every shard counts the same. More shards divide more finely, and cost more time. Greater than 0, at
    /// most 1e9; absent: not clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_shard: Option<f32>,
    /// An update is skipped when its gradient norm exceeds the running mean so many times. Greater than 1, at most 1e6.
    #[serde(default = "AnalyticPolicyGradient::default_skip_above")]
    pub skip_above: f32,
    /// The weights of the policy's last layer start multiplied by this. Greater than 0, at most 1.
    #[serde(default = "AnalyticPolicyGradient::default_output_scale")]
    pub output_scale: f32,
    /// Where the bias of a recurrent policy's update gate starts: above 0 the memory lasts longer. From -5 to 5.
    #[serde(default = "AnalyticPolicyGradient::default_update_gate_bias")]
    pub update_gate_bias: f32,
    /// Updates over which the rate rises from 0 at the very start. From 0 to 10000.
    #[serde(default = "AnalyticPolicyGradient::default_warm_up")]
    pub warm_up: u64,
    /// The learning rate's cosine cycles, one after the other. 1 to 64 cycles.
    pub cycles: Vec<Cycle>,
    /// Updates between validations; the parameters that did best are the result. From 1 to 1000000.
    pub validate_every: u64,
    /// A validation whose cost exceeds the best one so many times has failed: training goes back to the best parameters, with
    /// moments of zero. Near 1 it leaves a worse basin soon after it fell into it. Greater than 1, at most 1e6; default 4.
    #[serde(
        default = "AnalyticPolicyGradient::default_go_back_above",
        skip_serializing_if = "AnalyticPolicyGradient::is_default_go_back_above"
    )]
    pub go_back_above: f32,
    /// Whole episodes of a validation, the same ones each time. From 1 to 100000.
    pub validation_episodes: usize,
    /// The optimiser; its rate is multiplied by the cycles'.
    pub optimizer: Adam,
}

/// `[[algorithm.analytic-policy-gradient.cycles]]`: half a cosine of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cycle {
    /// Updates. From 1 to 10000000.
    pub updates: u64,
    /// Multiplies the optimiser's rate at the start of the cycle. Greater than 0, at most 1000.
    pub rate: f32,
    /// Multiplies the optimiser's rate at its end. From 0 to 1000.
    pub final_rate: f32,
}

impl AnalyticPolicyGradient {
    fn default_state_decay() -> f32 {
        0.97
    }

    fn default_clip_cotangent() -> f32 {
        1e3
    }

    fn default_skip_above() -> f32 {
        10.0
    }

    fn default_go_back_above() -> f32 {
        4.0
    }

    /// For leaving out what is not used.
    fn is_default_go_back_above(times: &f32) -> bool {
        *times == Self::default_go_back_above()
    }

    fn default_output_scale() -> f32 {
        0.1
    }

    fn default_update_gate_bias() -> f32 {
        1.0
    }

    fn default_warm_up() -> u64 {
        50
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("window", self.window as u64, 1, 2000);
        checker.count("episode", self.episode as u64, 0, 100_000);
        checker.count("retries", self.retries as u64, 0, 1000);
        checker.between("whole", self.whole, 0.0, 1.0);
        checker.between("replay", self.replay, 0.0, 0.9);
        checker.between("extremes", self.extremes, 0.0, 1.0);
        checker.count("extremes_after", self.extremes_after, 0, 10_000_000);
        checker.between("averaging", self.averaging, 0.0, 0.9999);
        checker.count("environments", self.environments as u64, 1, 65536);
        checker.count("shards", self.shards as u64, 1, 256);
        checker.require(
            self.shards == 0 || self.environments.is_multiple_of(self.shards),
            "shards",
            self.shards,
            format_args!("a divisor of `environments` = {}", self.environments),
        );
        checker.between("state_decay", self.state_decay, 0.0, 1.0);
        checker.positive("clip_cotangent", self.clip_cotangent, 1e9);
        if let Some(clip) = self.clip_shard {
            checker.positive("clip_shard", clip, 1e9);
        }
        checker.require(
            self.skip_above > 1.0 && self.skip_above <= 1e6,
            "skip_above",
            self.skip_above,
            "greater than 1, at most 1000000",
        );
        checker.require(
            self.go_back_above > 1.0 && self.go_back_above <= 1e6,
            "go_back_above",
            self.go_back_above,
            "greater than 1, at most 1000000",
        );
        checker.positive("output_scale", self.output_scale, 1.0);
        checker.between("update_gate_bias", self.update_gate_bias, -5.0, 5.0);
        checker.count("warm_up", self.warm_up, 0, 10_000);
        checker.count("cycles", self.cycles.len() as u64, 1, 64);
        for cycle in &self.cycles {
            checker.section("cycles", |checker| {
                checker.count("updates", cycle.updates, 1, 10_000_000);
                checker.positive("rate", cycle.rate, 1000.0);
                checker.between("final_rate", cycle.final_rate, 0.0, 1000.0);
            });
        }
        checker.count("validate_every", self.validate_every, 1, 1_000_000);
        checker.count("validation_episodes", self.validation_episodes as u64, 1, 100_000);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
