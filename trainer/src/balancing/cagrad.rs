//! CAGrad (Liu, Liu, Jin, Stone and Liu 2021, "Conflict-Averse Gradient Descent for Multi-task Learning"): the direction
//! that serves the worst-off task best, within a ball around the mean gradient.
//!
//! `max_d min_i g_i . d` over `|d - g_0| <= c |g_0|` has the dual (algorithm 1) `min_w g_w . g_0 + sqrt(phi) |g_w|` over
//! the simplex, `phi = c^2 |g_0|^2`, and the direction `d = g_0 + sqrt(phi) g_w / |g_w|`. The dual is convex; it is solved
//! by exchanging weight between the pair of tasks with the greatest difference of slopes, each exchange exactly.

use super::{Balancer, Coefficients, Gram, Needs, Step};

/// Most exchanges of weight between two tasks.
const EXCHANGES: usize = 10_000;
/// The dual is solved when no exchange can lower it by more than this share of its scale.
const GAP: f64 = 1e-9;

/// Averse to conflict.
#[derive(Debug, Clone)]
pub struct Cagrad {
    aversion: f64,
}

impl Cagrad {
    /// `aversion` is c, from 0 (plain averaging) to below 1 (0.5 in the paper, 0.4 in most of its experiments).
    pub fn new(aversion: f64) -> Self {
        Self { aversion }
    }
}

/// The weights `w` that solve the dual, and `sqrt(phi)`.
pub fn dual(gram: &Gram, aversion: f64) -> (Vec<f64>, f64) {
    let tasks = gram.tasks();
    let mean = vec![1.0 / tasks as f64; tasks];
    // g_i . g_0 and |g_0|
    let to_mean: Vec<f64> = (0..tasks).map(|task| gram.row_times(task, &mean)).collect();
    let mean_norm = (to_mean.iter().sum::<f64>() / tasks as f64).max(0.0).sqrt();
    let radius = aversion * mean_norm;
    let mut weights = mean.clone();
    // g_i . g_w
    let mut to_weighted = to_mean.clone();
    for _ in 0..EXCHANGES {
        let square = dot(&weights, &to_weighted).max(0.0);
        let norm = square.sqrt();
        let slope = |task: usize| {
            let along = if norm > 0.0 {
                radius * to_weighted[task] / norm
            } else {
                0.0
            };
            to_mean[task] + along
        };
        let best = (0..tasks).min_by(|&a, &b| slope(a).total_cmp(&slope(b)));
        let giving = (0..tasks)
            .filter(|&task| weights[task] > 0.0)
            .max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
        let (Some(best), Some(giving)) = (best, giving) else {
            break;
        };
        let difference = slope(giving) - slope(best);
        let scale = gram.at(giving, giving).max(gram.at(best, best));
        if difference <= GAP * scale {
            break;
        }
        // Along e_best - e_giving the dual is  a x + radius sqrt(square + 2 b x + curve x^2).
        let a = to_mean[best] - to_mean[giving];
        let b = to_weighted[best] - to_weighted[giving];
        let curve = gram.at(best, best) - 2.0 * gram.at(best, giving) + gram.at(giving, giving);
        let moved = if radius > 0.0 && curve > 0.0 && (a / radius).powi(2) < curve {
            let k = -a / radius;
            let rest = (square * curve - b * b).max(0.0);
            let u = k.signum() * (k * k * rest / (curve - k * k)).sqrt();
            (u - b) / curve
        } else {
            f64::INFINITY
        };
        let moved = moved.clamp(0.0, weights[giving]);
        if moved == 0.0 {
            break;
        }
        weights[best] += moved;
        weights[giving] -= moved;
        for (task, product) in to_weighted.iter_mut().enumerate() {
            *product += moved * (gram.at(task, best) - gram.at(task, giving));
        }
    }
    (weights, radius)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Balancer for Cagrad {
    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        let present = step.present();
        let gram = step.gram.among(&present);
        let (weights, radius) = dual(&gram, self.aversion);
        let square: f64 = (0..present.len())
            .map(|task| weights[task] * gram.row_times(task, &weights))
            .sum();
        // Gradients that cancel leave the mean.
        let along = if square > 0.0 { radius / square.sqrt() } else { 0.0 };
        let coefficients: Vec<f64> = weights
            .iter()
            .map(|weight| 1.0 / present.len() as f64 + along * weight)
            .collect();
        step.spread(&present, &coefficients)
    }
}
