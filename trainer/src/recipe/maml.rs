//! `[algorithm.maml]`.

use pliant_compiler::adaptation::Subset;
use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker};

/// Model-agnostic meta-learning of a supervised loss (Finn et al. 2017), optionally of first order (FOMAML), with learned
/// step sizes (Meta-SGD, Li et al. 2017), or of a part of the parameters (ANIL, Raghu et al. 2020; CAVIA, Zintgraf et al.
/// 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maml {
    /// Meta-iterations. From 1 to 10000000.
    pub iterations: u64,
    /// Tasks in a meta-batch. From 1 to 4096.
    pub tasks: usize,
    /// Gradient steps on the support set in training. From 1 to 16.
    pub inner_steps: usize,
    /// Step size of the inner loop; where step sizes are learned, their initial value. Greater than 0, at most 10.
    pub inner_rate: f32,
    /// Whether the meta-gradient goes through the inner gradient (`second`) or takes it as constant (`first`, FOMAML).
    pub order: Order,
    /// Which parameters adapt: `all` (default), `head` (ANIL) or `context` (CAVIA, with `policy.context`). The others stay
    /// on the device as they were trained.
    #[serde(default, skip_serializing_if = "Adapts::is_all")]
    pub adapts: Adapts,
    /// The L2 norm of each task's mean inner gradient is clipped to this, in training and on the device. Greater than 0,
    /// at most 1000000; default: no clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f32>,
    /// Learn one step size a parameter element, trained with the initial parameters (Meta-SGD). Default false.
    #[serde(default)]
    pub learn_inner_rate: bool,
    /// Parts into which the meta-batch is split for worker threads; 1 keeps parameters and optimiser on the device.
    /// From 1 to `tasks`. It belongs to the recipe, not to the machine: the number of threads never changes a result.
    #[serde(default = "Maml::default_chunks")]
    pub chunks: usize,
    /// The outer optimiser.
    pub optimizer: Adam,
}

/// Order of the meta-gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The inner gradient is a constant of the outer one (FOMAML).
    First,
    /// The outer gradient goes through the inner one (MAML).
    Second,
}

/// Which parameters adapt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapts {
    /// Every one.
    #[default]
    All,
    /// Weight and bias of the last layer (ANIL).
    Head,
    /// The context vector (CAVIA).
    Context,
}

impl Adapts {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl From<Adapts> for Subset {
    fn from(adapts: Adapts) -> Self {
        match adapts {
            Adapts::All => Self::All,
            Adapts::Head => Self::Head,
            Adapts::Context => Self::Context,
        }
    }
}

impl Maml {
    fn default_chunks() -> usize {
        1
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("iterations", self.iterations, 1, 10_000_000);
        checker.count("tasks", self.tasks as u64, 1, 4096);
        checker.count("inner_steps", self.inner_steps as u64, 1, 16);
        checker.positive("inner_rate", self.inner_rate, 10.0);
        if let Some(clip) = self.gradient_clip {
            checker.positive("gradient_clip", clip, 1e6);
        }
        checker.count("chunks", self.chunks as u64, 1, self.tasks.max(1) as u64);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
