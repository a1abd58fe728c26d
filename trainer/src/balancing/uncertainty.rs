//! Uncertainty weighting (Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses"): each
//! task's noise is learned with the network, and a loss counts by its inverse.
//!
//! With `s = log sigma^2` the tasks' terms are `exp(-s) L / 2 + s / 2` for numbers (equation 7) and `exp(-s) L + s / 2` for
//! labels and classes (equation 10), so `s` descends `-exp(-s) L / 2 + 1/2` and `-exp(-s) L + 1/2`. The paper sums the
//! terms and learns `s` by the network's optimiser: here by Adam with the network's rate.

use pliant_compiler::policy::TargetLoss;

use super::{Balancer, Needs, SmallAdam, Weights};

/// Learned log variances.
#[derive(Debug, Clone)]
pub struct Uncertainty {
    /// 1/2 for numbers, 1 for labels and classes.
    factors: Vec<f64>,
    log_variances: Vec<f32>,
    adam: SmallAdam,
}

impl Uncertainty {
    /// All variances 1; `rate` is that of Adam.
    pub fn new(losses: &[TargetLoss], rate: f64) -> Self {
        let factor = |loss: &TargetLoss| if *loss == TargetLoss::SquaredError { 0.5 } else { 1.0 };
        Self {
            factors: losses.iter().map(factor).collect(),
            log_variances: vec![0.0; losses.len()],
            adam: SmallAdam::new(losses.len(), rate),
        }
    }

    /// The logarithms of the variances, one a task.
    pub fn log_variances(&self) -> &[f32] {
        &self.log_variances
    }

    /// What the log variances descend, at these losses; NaN where a loss is.
    pub fn gradient(&self, losses: &[f64]) -> Vec<f64> {
        let weights = self.factors.iter().zip(&self.log_variances);
        weights
            .zip(losses)
            .map(|((factor, &s), loss)| 0.5 - factor * (-f64::from(s)).exp() * loss)
            .collect()
    }
}

impl Balancer for Uncertainty {
    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weights(&self) -> Weights {
        let weight = |(factor, &s): (&f64, &f32)| factor * (-f64::from(s)).exp();
        Weights::Absolute(self.factors.iter().zip(&self.log_variances).map(weight).collect())
    }

    fn observe(&mut self, losses: &[f64]) {
        let change = self.adam.step(&self.gradient(losses));
        for (s, change) in self.log_variances.iter_mut().zip(change) {
            *s = (f64::from(*s) - change) as f32;
        }
    }

    fn state(&self) -> Vec<f32> {
        [self.log_variances.clone(), self.adam.state()].concat()
    }

    fn restore(&mut self, state: &[f32]) {
        let tasks = self.log_variances.len();
        if let Some((own, adam)) = state.split_at_checked(tasks) {
            self.log_variances.copy_from_slice(own);
            self.adam.restore(adam);
        }
    }
}
