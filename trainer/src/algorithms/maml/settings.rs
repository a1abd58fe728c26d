//! What meta-training of a supervised loss is told, whichever algorithm asks for it.

use pliant_compiler::adaptation::gradient::Order;

use crate::recipe::{self, Adam};

/// Settings of a meta-training run: the outer loop, and what happens to a task.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaSettings {
    /// Meta-iterations.
    pub iterations: u64,
    /// Tasks in a meta-batch.
    pub tasks: usize,
    /// Parts into which the meta-batch is split for worker threads.
    pub chunks: usize,
    /// The outer optimiser.
    pub optimizer: Adam,
    /// What happens to a task.
    pub inner: Inner,
}

/// What happens to a task in a meta-iteration, and what its meta-gradient is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inner {
    /// Gradient steps on the support set; the gradient of the query loss after them (MAML and its kin).
    Gradient {
        /// How many, at least 1.
        steps: usize,
        /// Their size, or its initial value.
        rate: f32,
        /// Learn one size for each element that adapts.
        learn_rate: bool,
        /// Whether the meta-gradient goes through the inner one.
        order: Order,
    },
    /// Gradient steps on the support set and shares of the query set; the displacement over the step size.
    Reptile {
        /// How many, at least 2.
        steps: usize,
        /// Their size.
        rate: f32,
    },
    /// The head in closed form on the support set; the gradient of the query loss with it.
    Ridge {
        /// The ridge at the start of training.
        initial: f32,
    },
    /// Nothing: the gradient of the query loss itself, as in ordinary training on all tasks together.
    Nothing,
}

impl Inner {
    /// Adaptation steps of the device.
    pub fn steps(&self) -> usize {
        match *self {
            Self::Gradient { steps, .. } | Self::Reptile { steps, .. } => steps,
            Self::Ridge { .. } => 1,
            Self::Nothing => 0,
        }
    }

    /// Whether one step size is learned for each element.
    pub(super) fn learns_rates(&self) -> bool {
        matches!(self, Self::Gradient { learn_rate: true, .. })
    }

    /// The fixed step size, or the initial value of learned ones.
    pub(super) fn rate(&self) -> f32 {
        match *self {
            Self::Gradient { rate, .. } | Self::Reptile { rate, .. } => rate,
            Self::Ridge { .. } | Self::Nothing => 0.0,
        }
    }
}

impl MetaSettings {
    /// The settings of a recipe's algorithm; none where it is not one of these.
    pub fn of(algorithm: &recipe::Algorithm) -> Option<Self> {
        match algorithm {
            recipe::Algorithm::Maml(settings) => Some(settings.into()),
            recipe::Algorithm::Reptile(settings) => Some(settings.into()),
            recipe::Algorithm::Ridge(settings) => Some(settings.into()),
            _ => None,
        }
    }

    /// The same outer loop without adaptation: training on all tasks together.
    #[must_use]
    pub fn without_adaptation(mut self) -> Self {
        self.inner = Inner::Nothing;
        self
    }
}

impl From<&recipe::Maml> for MetaSettings {
    fn from(settings: &recipe::Maml) -> Self {
        Self {
            iterations: settings.iterations,
            tasks: settings.tasks,
            chunks: settings.chunks,
            optimizer: settings.optimizer.clone(),
            inner: Inner::Gradient {
                steps: settings.inner_steps,
                rate: settings.inner_rate,
                learn_rate: settings.learn_inner_rate,
                order: match settings.order {
                    recipe::Order::First => Order::First,
                    recipe::Order::Second => Order::Second,
                },
            },
        }
    }
}

impl From<&MetaSettings> for MetaSettings {
    fn from(settings: &MetaSettings) -> Self {
        settings.clone()
    }
}
