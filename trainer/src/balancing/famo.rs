//! FAMO (Liu, Feng, Stone and Liu 2023, "FAMO: Fast Adaptive Multitask Optimization"): all losses shall fall at the same
//! relative rate, learned from the losses alone.
//!
//! A step descends `c sum_t z_t log L_t` with `z = softmax(xi)` and `c = 1 / sum_t (z_t / L_t)` (algorithm 1). Then `xi`
//! moves by what the step did: `xi <- xi - beta (delta + gamma xi)` with
//! `delta = J^T (log L(theta_t) - log L(theta_(t+1)))`, `J` the Jacobian of the softmax. As in the authors' program Adam
//! takes that step, and the decay `gamma` is part of its gradient.

use super::{Balancer, Needs, SmallAdam, Weights, softmax};

/// Least loss whose logarithm is taken.
const LEAST: f64 = 1e-8;

/// Logits of the tasks' weights.
#[derive(Debug, Clone)]
pub struct Famo {
    decay: f64,
    logits: Vec<f32>,
    adam: SmallAdam,
}

impl Famo {
    /// Equal weights; `rate` is beta (0.025 in the authors' program), `decay` is gamma (0.01 to 0.001 there).
    pub fn new(tasks: usize, rate: f64, decay: f64) -> Self {
        Self {
            decay,
            logits: vec![0.0; tasks],
            adam: SmallAdam::new(tasks, rate),
        }
    }

    /// `delta + gamma xi` for these losses before and after a step; NaN for a task without rows.
    pub fn gradient(&self, before: &[f64], after: &[f64]) -> Vec<f64> {
        let shares = softmax(&self.logits);
        let change = |(before, after): (&f64, &f64)| (before + LEAST).ln() - (after + LEAST).ln();
        let changes: Vec<f64> = before.iter().zip(after).map(change).collect();
        let there = || shares.iter().zip(&changes).filter(|(_, change)| !change.is_nan());
        let mean: f64 = there().map(|(share, change)| share * change).sum();
        let own = shares.iter().zip(&changes).zip(&self.logits);
        own.map(|((share, change), &logit)| share * (change - mean) + self.decay * f64::from(logit))
            .collect()
    }
}

impl Balancer for Famo {
    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weights(&self) -> Weights {
        Weights::Relative(softmax(&self.logits))
    }

    fn needs_change(&self) -> bool {
        true
    }

    fn observe_change(&mut self, before: &[f64], after: &[f64]) {
        let change = self.adam.step(&self.gradient(before, after));
        for (logit, change) in self.logits.iter_mut().zip(change) {
            *logit = (f64::from(*logit) - change) as f32;
        }
    }

    fn state(&self) -> Vec<f32> {
        [self.logits.clone(), self.adam.state()].concat()
    }

    fn restore(&mut self, state: &[f32]) {
        if let Some((own, adam)) = state.split_at_checked(self.logits.len()) {
            self.logits.copy_from_slice(own);
            self.adam.restore(adam);
        }
    }
}
