//! The sections that every recipe has, whatever its family and algorithm.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// `[policy]`: the network that acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Widths of the hidden layers, first to last. 0 to 8 layers of 1 to 4096 units; `[]` is a linear policy.
    pub hidden: Vec<usize>,
    /// The activation after each hidden layer.
    pub activation: Activation,
    /// Units of a gated recurrent unit between the hidden layer, of which there must be one, and the output. 0 to 1024;
    /// default 0: no memory.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: usize,
    /// Where above 0, a policy with `memory` also sees how each observation has changed since the previous step, times this,
    /// and its previous output, both kept in its memory. 0 to 1000; default 0: neither.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes: u32,
    /// Elements of a context vector that adapts in place of weights: every row is given it beside its input. 0 to 64;
    /// default 0: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context: usize,
    /// For sequences, in place of hidden layers: detectors over every window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// How weights and biases start. Default `glorot`.
    #[serde(default)]
    pub initialiser: Initialiser,
    /// Whether the policy sees the true parameters of its task beside the observation: an oracle, or a teacher. Only where
    /// the family is a simulated system that tells them. Default false.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub privileged: bool,
}

/// `[policy.scan]`: a shared matrix over every window of a sequence, and a mixture of what its columns find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Positions of a window. From 1 to 32, at most the sequence's.
    pub window: usize,
    /// Detectors. From 1 to 1024.
    pub detectors: usize,
    /// Whether the reverse complement of a sequence is read too, by the same detectors. Default true.
    #[serde(default = "Scan::default_both_strands")]
    pub both_strands: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            window: 10,
            detectors: 64,
            both_strands: true,
        }
    }
}

impl Scan {
    fn default_both_strands() -> bool {
        true
    }

    fn check(&self, checker: &mut Checker) {
        checker.count("window", self.window as u64, 1, 32);
        checker.count("detectors", self.detectors as u64, 1, 1024);
    }
}

/// For leaving out what is not used.
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Policy {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.require(
            self.hidden.len() <= 8 && self.hidden.iter().all(|width| (1..=4096).contains(width)),
            "hidden",
            format_args!("{:?}", self.hidden),
            "0 to 8 layers of 1 to 4096 units",
        );
        checker.count("memory", self.memory as u64, 0, 1024);
        checker.count("context", self.context as u64, 0, 64);
        if let Some(scan) = &self.scan {
            checker.section("scan", |checker| scan.check(checker));
        }
        checker.require(
            self.memory == 0 || self.hidden.len() == 1,
            "hidden",
            format_args!("{:?}", self.hidden),
            "one layer, where `memory` is above 0",
        );
        checker.count("changes", u64::from(self.changes), 0, 1000);
        checker.require(
            self.changes == 0 || self.memory > 0,
            "changes",
            self.changes,
            "0 where `memory` is 0: the previous observation is kept there",
        );
    }
}

/// Activation of the hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

/// How the weights of a policy start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialiser {
    /// Normal with standard deviation 0.01, cut at two deviations (Finn et al. 2017, sinusoid).
    SmallNormal,
    /// Uniform in +-sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010).
    #[default]
    Glorot,
    /// Uniform in +-1 / sqrt(inputs), biases too, so that the kinks of ReLUs start spread out (LeCun et al. 1998; the
    /// default of PyTorch's linear layers).
    FanIn,
}

/// `[....optimizer]`: Adam (Kingma and Ba 2015) with the gradient clipped before the moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Learning rate at the first iteration. Greater than 0, at most 1.
    pub rate: f32,
    /// How the rate moves over the iterations. Default `constant`.
    #[serde(default)]
    pub schedule: Schedule,
    /// Decay of the first moment. From 0 to 0.9999; default 0.9.
    #[serde(default = "Adam::default_beta1")]
    pub beta1: f32,
    /// Decay of the second moment. From 0 to 0.99999; default 0.999.
    #[serde(default = "Adam::default_beta2")]
    pub beta2: f32,
    /// Added to the root of the second moment. Greater than 0, at most 0.1; default 1e-8.
    #[serde(default = "Adam::default_epsilon")]
    pub epsilon: f32,
    /// Each element of the gradient is clipped to +- this. Greater than 0, at most 1e6; absent: not clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_elements: Option<f32>,
    /// The whole gradient is scaled down to at most this L2 norm. Greater than 0, at most 1e6; absent: not clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// Weight matrices with at least 4 rows and columns move by their orthogonalised first moment (Muon, Jordan et al.
    /// 2024) with this root mean square in units of the rate, instead of about 0.2 to 1 as Adam moves them. Greater than
    /// 0, at most 10; absent: Adam moves all parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orthogonal: Option<f32>,
}

impl Adam {
    fn default_beta1() -> f32 {
        0.9
    }

    fn default_beta2() -> f32 {
        0.999
    }

    fn default_epsilon() -> f32 {
        1e-8
    }

    /// Adam with the usual decays, a constant rate and no clipping.
    pub fn new(rate: f32) -> Self {
        Self {
            rate,
            schedule: Schedule::Constant,
            beta1: Self::default_beta1(),
            beta2: Self::default_beta2(),
            epsilon: Self::default_epsilon(),
            clip_elements: None,
            clip_norm: None,
            orthogonal: None,
        }
    }

    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.positive("rate", self.rate, 1.0);
        checker.between("beta1", self.beta1, 0.0, 0.9999);
        checker.between("beta2", self.beta2, 0.0, 0.99999);
        checker.positive("epsilon", self.epsilon, 0.1);
        if let Some(clip) = self.clip_elements {
            checker.positive("clip_elements", clip, 1e6);
        }
        if let Some(clip) = self.clip_norm {
            checker.positive("clip_norm", clip, 1e6);
        }
        if let Some(scale) = self.orthogonal {
            checker.positive("orthogonal", scale, 10.0);
        }
    }
}

/// How the learning rate moves over the iterations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the initial rate.
    #[default]
    Constant,
    /// Half a cosine from the initial rate at the first iteration to zero after the last (Loshchilov and Hutter 2017).
    Cosine,
}

/// `[checkpoint]`: when the training state is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Seconds between checkpoints. From 0.01 to 86400; default 60. One is also written on Ctrl-C and after the last
    /// iteration.
    pub every_seconds: f32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every_seconds: 60.0 }
    }
}

impl Checkpoint {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.between("every_seconds", self.every_seconds, 0.01, 86_400.0);
    }
}

/// `[evaluation]`: the held-out evaluation of the deployed image that follows training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Held-out tasks. From 2 to 1000000.
    pub tasks: u64,
    /// Seed of the held-out tasks, separate from the training seed so that all training seeds meet the same tasks.
    /// From 0 to 2^63 - 1; default 0.
    #[serde(default)]
    pub seed: u64,
    /// Episodes of each held-out task where the family is a simulated system. From 1 to 1000; default 10.
    #[serde(default = "Evaluation::default_episodes")]
    pub episodes: usize,
}

impl Evaluation {
    fn default_episodes() -> usize {
        10
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("tasks", self.tasks, 2, 1_000_000);
        checker.count("episodes", self.episodes as u64, 1, 1000);
        checker.count("seed", self.seed, 0, i64::MAX as u64);
    }
}
