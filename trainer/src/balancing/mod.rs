//! How the gradients of several tasks become one step: loss weighting and gradient surgery, one method a file.
//!
//! Every method is a transform of the same training step. What it makes of the gradients `g_t` of the tasks' losses `L_t`
//! with respect to the shared parameters always lies in their span, so a method gives one coefficient a task, and from the
//! losses and the scalar products of the gradients ([`Gram`]) alone: nothing here depends on the number of parameters.
//! A task's own parameters see only its own loss; they get a weight.
//!
//! | method | file | needs | source |
//! |---|---|---|---|
//! | uniform | [`uniform`] | nothing | plain averaging |
//! | uncertainty weighting | [`uncertainty`] | losses | Kendall, Gal and Cipolla 2018 |
//! | dynamic weight average | [`dynamic_weight_average`] | losses | Liu, Johns and Davison 2019 |
//! | FAMO | [`famo`] | losses, before and after | Liu, Feng, Stone and Liu 2023 |
//! | GradNorm | [`grad_norm`] | gradients | Chen, Badrinarayanan, Lee and Rabinovich 2018 |
//! | PCGrad | [`pcgrad`] | gradients | Yu, Kumar, Gupta, Levine, Hausman and Finn 2020 |
//! | CAGrad | [`cagrad`] | gradients | Liu, Liu, Jin, Stone and Liu 2021 |
//! | Nash-MTL | [`nash_mtl`] | gradients | Navon et al. 2022 |
//! | UPGrad | [`upgrad`] | gradients | Quinton and Rey 2024 |
//!
//! Methods that need only losses cost a forward pass at most; those that need gradients cost one gradient a task kept
//! apart, and their products. `docs/algorithms/multi-task.md` holds the measured costs and scores.

pub mod cagrad;
pub mod dynamic_weight_average;
pub mod famo;
pub mod grad_norm;
mod gram;
pub mod nash_mtl;
pub mod pcgrad;
pub mod uncertainty;
pub mod uniform;
pub mod upgrad;

pub use gram::Gram;

use pliant_compiler::policy::TargetLoss;

use crate::recipe::{Balance, Balancing};

/// What a method needs to know of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The losses of steps before: its weights stand before the step, and the gradient is that of a weighted sum.
    Losses,
    /// Each task's gradient: its coefficients come between the gradients and the update.
    Gradients,
}

/// Weights of the losses, one a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// The step descends `sum_t w_t L_t`.
    Absolute(Vec<f64>),
    /// The step descends `c sum_t w_t log L_t` with `c` such that the effective weights `c w_t / L_t` sum to 1: relative
    /// improvements count, whatever the scale of a loss.
    Relative(Vec<f64>),
}

/// One coefficient a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// Of the gradients of the shared parameters: the step descends their sum so weighted.
    pub shared: Vec<f64>,
    /// Of the gradients of each task's own parameters.
    pub private: Vec<f64>,
}

/// What a method sees of a step.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Steps done before this one.
    pub iteration: u64,
    /// The loss of each task on this step's rows, NaN for a task without rows.
    pub losses: &'a [f64],
    /// Scalar products of the gradients of the shared parameters; zero for a task without rows.
    pub gram: &'a Gram,
}

impl Step<'_> {
    /// Tasks that take part: those with rows whose gradient is not zero.
    pub fn present(&self) -> Vec<usize> {
        (0..self.losses.len())
            .filter(|&task| !self.losses[task].is_nan() && self.gram.at(task, task) > 0.0)
            .collect()
    }

    /// Coefficients of the tasks `present`, spread over all; private parameters get the mean of the present tasks.
    pub fn spread(&self, present: &[usize], coefficients: &[f64]) -> Coefficients {
        let tasks = self.losses.len();
        let mut shared = vec![0.0; tasks];
        for (&task, &coefficient) in present.iter().zip(coefficients) {
            shared[task] = coefficient;
        }
        let there = self.losses.iter().filter(|loss| !loss.is_nan()).count().max(1);
        Coefficients {
            shared,
            private: vec![1.0 / there as f64; tasks],
        }
    }
}

/// A balancing method at work.
pub trait Balancer: Send {
    /// What it needs of a step.
    fn needs(&self) -> Needs;

    /// Weights for the next step of a method that needs only losses. Tasks without rows are left out by the caller.
    fn weights(&self) -> Weights {
        Weights::Absolute(Vec::new())
    }

    /// Coefficients of a method that needs gradients.
    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        step.spread(&[], &[])
    }

    /// Tells the losses that a step began with, after it; NaN for a task without rows.
    fn observe(&mut self, _losses: &[f64]) {}

    /// Whether [`observe_change`](Self::observe_change) is to be called: one forward pass more a step.
    fn needs_change(&self) -> bool {
        false
    }

    /// Tells the losses on the same rows before and after a step.
    fn observe_change(&mut self, _before: &[f64], _after: &[f64]) {}

    /// What it carries from step to step, so that a run can be resumed; the same length always.
    fn state(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Goes back to a state that [`state`](Self::state) gave.
    fn restore(&mut self, _state: &[f32]) {}
}

/// The method of a recipe, at its start, for tasks with these losses. `rate` is the learning rate of the network.
pub fn balancer(settings: &Balance, losses: &[TargetLoss], rate: f32, seed: u64) -> Box<dyn Balancer> {
    let tasks = losses.len();
    let own_rate = |usual: f32| f64::from(settings.rate.unwrap_or(usual));
    match settings.method {
        Balancing::Uniform => Box::new(uniform::Uniform::new(tasks)),
        Balancing::Uncertainty => Box::new(uncertainty::Uncertainty::new(losses, own_rate(rate))),
        Balancing::DynamicWeightAverage => Box::new(dynamic_weight_average::DynamicWeightAverage::new(
            tasks,
            f64::from(settings.temperature),
            settings.interval,
        )),
        Balancing::Famo => Box::new(famo::Famo::new(tasks, own_rate(0.025), f64::from(settings.decay))),
        Balancing::GradNorm => Box::new(grad_norm::GradNorm::new(
            tasks,
            own_rate(0.025),
            f64::from(settings.asymmetry),
        )),
        Balancing::Pcgrad => Box::new(pcgrad::Pcgrad::new(seed)),
        Balancing::Cagrad => Box::new(cagrad::Cagrad::new(f64::from(settings.conflict_aversion))),
        Balancing::NashMtl => Box::new(nash_mtl::NashMtl),
        Balancing::Upgrad => Box::new(upgrad::Upgrad),
    }
}

/// Adam on a few numbers of a method's own (Kingma and Ba 2015), in double precision, its state in single.
#[derive(Debug, Clone)]
pub(crate) struct SmallAdam {
    rate: f64,
    steps: f32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl SmallAdam {
    pub(crate) fn new(size: usize, rate: f64) -> Self {
        Self {
            rate,
            steps: 0.0,
            first: vec![0.0; size],
            second: vec![0.0; size],
        }
    }

    /// What to subtract; numbers whose gradient is NaN stay as they are.
    pub(crate) fn step(&mut self, gradient: &[f64]) -> Vec<f64> {
        const BETA: [f64; 2] = [0.9, 0.999];
        self.steps += 1.0;
        let correction = BETA.map(|beta| 1.0 - beta.powf(f64::from(self.steps)));
        let moments = self.first.iter_mut().zip(&mut self.second);
        moments
            .zip(gradient)
            .map(|((first, second), &gradient)| {
                if gradient.is_nan() {
                    return 0.0;
                }
                *first = (BETA[0] * f64::from(*first) + (1.0 - BETA[0]) * gradient) as f32;
                *second = (BETA[1] * f64::from(*second) + (1.0 - BETA[1]) * gradient * gradient) as f32;
                let (first, second) = (f64::from(*first) / correction[0], f64::from(*second) / correction[1]);
                self.rate * first / (second.sqrt() + 1e-8)
            })
            .collect()
    }

    pub(crate) fn state(&self) -> Vec<f32> {
        [&[self.steps][..], &self.first, &self.second].concat()
    }

    pub(crate) fn restore(&mut self, state: &[f32]) {
        let size = self.first.len();
        if let [steps, moments @ ..] = state
            && moments.len() == 2 * size
        {
            self.steps = *steps;
            self.first.copy_from_slice(&moments[..size]);
            self.second.copy_from_slice(&moments[size..]);
        }
    }
}

/// Softmax of logits.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
