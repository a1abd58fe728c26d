//! `[algorithm.maml-policy-gradient]`.

use serde::{Deserialize, Serialize};

use super::{Adam, check::Checker};

/// Model-agnostic meta-learning of a policy by policy gradients (Finn et al. 2017, section 4.2), with one learned step size
/// a parameter element (Meta-SGD, Li et al. 2017) and a clipped surrogate in the outer loop (Schulman et al. 2017).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MamlPolicyGradient {
    /// Initial step size of the inner loop for weights and biases. Greater than 0, at most 10.
    pub inner_rate: f32,
    /// Initial step size of the inner loop for the logarithm of the standard deviation. Greater than 0, at most 100.
    pub inner_rate_log_std: f32,
    /// What the step sizes are multiplied by at the first, second, ... adaptation step: the device takes as many steps.
    /// 1 to 16 values, each greater than 0, at most 10.
    pub step_scales: Vec<f32>,
    /// The L2 norm of each task's mean inner gradient is clipped to this, in training and on the device. Greater than 0,
    /// at most 1000000; default: no clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f32>,
    /// Initial logarithm of the policy's standard deviation, in units of its output. From -5 to 2.
    pub log_std: f32,
    /// The logarithm of the standard deviation never falls below this. From -10 to 2.
    pub log_std_floor: f32,
    /// Discount for each step. From 0 to 1.
    pub discount: f32,
    /// Lambda of generalised advantage estimation (Schulman et al. 2016). From 0 to 1.
    pub gae_lambda: f32,
    /// Ridge of the linear feature baseline, as a share of each feature's squared sum. Greater than 0, at most 1.
    pub baseline_ridge: f32,
    /// The outer probability ratio is clipped to 1 +- this. Greater than 0, below 1.
    pub clip: f32,
    /// Outer gradient steps on each iteration's trajectories. From 1 to 100.
    pub epochs: usize,
    /// The outer optimiser; its rate is multiplied by each phase's.
    pub optimizer: Adam,
    /// What is trained, one phase after the other. 1 to 16 phases.
    pub phases: Vec<Phase>,
}

/// `[[algorithm.maml-policy-gradient.phases]]`: one stretch of the curriculum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Meta-iterations. From 1 to 1000000.
    pub iterations: u64,
    /// Tasks in a meta-batch. From 1 to 4096.
    pub tasks: usize,
    /// Weight of the outer loss after the first, second, ... adaptation step; as many inner steps are trained as weights
    /// are given. 1 to 4 values, each from 0 to 100, the last above 0.
    pub loss_weights: Vec<f32>,
    /// Multiplies the optimiser's rate at the first iteration of the phase. Greater than 0, at most 1000.
    pub rate: f32,
    /// Multiplies the optimiser's rate at the end of the phase; between, it moves linearly. From 0 to 1000; default: as at
    /// the first iteration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_rate: Option<f32>,
    /// The step sizes of the logarithm of the standard deviation are multiplied by this when the phase begins. Greater
    /// than 0, at most 100; default 1.
    #[serde(default = "Phase::default_scale_log_std_step")]
    pub scale_log_std_step: f32,
}

impl MamlPolicyGradient {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.positive("inner_rate", self.inner_rate, 10.0);
        checker.positive("inner_rate_log_std", self.inner_rate_log_std, 100.0);
        checker.require(
            (1..=16).contains(&self.step_scales.len()) && self.step_scales.iter().all(|&s| s > 0.0 && s <= 10.0),
            "step_scales",
            format_args!("{:?}", self.step_scales),
            "1 to 16 values, each greater than 0, at most 10",
        );
        if let Some(clip) = self.gradient_clip {
            checker.positive("gradient_clip", clip, 1e6);
        }
        checker.between("log_std", self.log_std, -5.0, 2.0);
        checker.between("log_std_floor", self.log_std_floor, -10.0, 2.0);
        checker.between("discount", self.discount, 0.0, 1.0);
        checker.between("gae_lambda", self.gae_lambda, 0.0, 1.0);
        checker.positive("baseline_ridge", self.baseline_ridge, 1.0);
        checker.require(
            self.clip > 0.0 && self.clip < 1.0,
            "clip",
            self.clip,
            "greater than 0, below 1",
        );
        checker.count("epochs", self.epochs as u64, 1, 100);
        checker.section("optimizer", |checker| self.optimizer.check(checker));
        checker.count("phases", self.phases.len() as u64, 1, 16);
        for phase in &self.phases {
            checker.section("phases", |checker| phase.check(checker, self.step_scales.len()));
        }
    }
}

impl Phase {
    fn default_scale_log_std_step() -> f32 {
        1.0
    }

    fn check(&self, checker: &mut Checker, step_scales: usize) {
        checker.count("iterations", self.iterations, 1, 1_000_000);
        checker.count("tasks", self.tasks as u64, 1, 4096);
        let weights = &self.loss_weights;
        checker.require(
            (1..=step_scales.min(4)).contains(&weights.len())
                && weights.iter().all(|weight| (0.0..=100.0).contains(weight))
                && weights.last().is_some_and(|&last| last > 0.0),
            "loss_weights",
            format_args!("{weights:?}"),
            "1 to 4 values, no more than there are step_scales, each from 0 to 100, the last above 0",
        );
        checker.positive("rate", self.rate, 1000.0);
        if let Some(rate) = self.final_rate {
            checker.between("final_rate", rate, 0.0, 1000.0);
        }
        checker.positive("scale_log_std_step", self.scale_log_std_step, 100.0);
    }
}
