//! GradNorm (Chen, Badrinarayanan, Lee and Rabinovich 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing
//! in Deep Multitask Networks"): weights such that the tasks' weighted gradients have like norms, the greater the slower a
//! task learns.
//!
//! With `G_i = w_i |g_i|`, their mean `G`, loss ratios `l_i = L_i / L_i(0)` and inverse training rates
//! `r_i = l_i / mean l`, the weights descend `sum_i |G_i - G r_i^alpha|`, the target taken as constant (equation 2), and
//! are then scaled to sum to the number of tasks. Deviations: all shared parameters count, not only the last layer; the
//! weights are `exp(v)`, so that they stay positive and tasks whose gradients differ by orders of magnitude can be
//! balanced, and `v` descends the objective divided by `G`, with Adam; the weights are divided by the number of tasks, so
//! that all equal they are the mean's.

use super::{Balancer, Coefficients, Needs, SmallAdam, Step};

/// Learned weights.
#[derive(Debug, Clone)]
pub struct GradNorm {
    asymmetry: f64,
    logarithms: Vec<f32>,
    /// Losses at the first step, 0 before.
    initial: Vec<f32>,
    adam: SmallAdam,
}

impl GradNorm {
    /// Equal weights; `asymmetry` is alpha (1.5 in the paper).
    pub fn new(tasks: usize, rate: f64, asymmetry: f64) -> Self {
        Self {
            asymmetry,
            logarithms: vec![0.0; tasks],
            initial: vec![0.0; tasks],
            adam: SmallAdam::new(tasks, rate),
        }
    }

    /// The weights, which sum to the number of tasks.
    pub fn weights(&self) -> Vec<f64> {
        let shares = super::softmax(&self.logarithms);
        shares.iter().map(|share| share * shares.len() as f64).collect()
    }

    /// The gradient of the objective with respect to the logarithms of the weights, divided by the mean weighted norm: for
    /// gradients of these norms and losses of these ratios to the first. NaN for a task whose norm is.
    pub fn gradient(&self, norms: &[f64], ratios: &[f64]) -> Vec<f64> {
        let mean = |values: &[f64]| {
            let there = || values.iter().filter(|value| !value.is_nan());
            there().sum::<f64>() / there().count().max(1) as f64
        };
        let weighted: Vec<f64> = self.weights().iter().zip(norms).map(|(w, norm)| w * norm).collect();
        let (mean_norm, mean_ratio) = (mean(&weighted), mean(ratios));
        weighted
            .iter()
            .zip(ratios)
            .map(|(norm, ratio)| {
                let target = mean_norm * (ratio / mean_ratio).powf(self.asymmetry);
                let excess = norm - target;
                // The absolute value has no slope where it vanishes.
                let sign = if excess == 0.0 { 0.0 } else { excess.signum() };
                sign * norm / mean_norm
            })
            .collect()
    }
}

impl Balancer for GradNorm {
    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        for (initial, loss) in self.initial.iter_mut().zip(step.losses) {
            if *initial == 0.0 && *loss > 0.0 {
                *initial = *loss as f32;
            }
        }
        let tasks = step.losses.len();
        // Weights of this step first: the paper updates them after the gradients are taken.
        let shared: Vec<f64> = GradNorm::weights(self)
            .iter()
            .map(|weight| weight / tasks as f64)
            .collect();
        let norms: Vec<f64> = (0..tasks)
            .map(|task| {
                if step.losses[task].is_nan() {
                    f64::NAN
                } else {
                    step.gram.at(task, task).sqrt()
                }
            })
            .collect();
        let ratio = |(loss, &initial): (&f64, &f32)| loss / f64::from(initial);
        let ratios: Vec<f64> = step.losses.iter().zip(&self.initial).map(ratio).collect();
        let change = self.adam.step(&self.gradient(&norms, &ratios));
        for (logarithm, change) in self.logarithms.iter_mut().zip(change) {
            *logarithm = (f64::from(*logarithm) - change) as f32;
        }
        Coefficients {
            private: shared.clone(),
            shared,
        }
    }

    fn state(&self) -> Vec<f32> {
        [self.logarithms.clone(), self.initial.clone(), self.adam.state()].concat()
    }

    fn restore(&mut self, state: &[f32]) {
        let tasks = self.logarithms.len();
        if state.len() >= 2 * tasks {
            self.logarithms.copy_from_slice(&state[..tasks]);
            self.initial.copy_from_slice(&state[tasks..2 * tasks]);
            self.adam.restore(&state[2 * tasks..]);
        }
    }
}
