//! PCGrad (Yu, Kumar, Gupta, Levine, Hausman and Finn 2020, "Gradient Surgery for Multi-Task Learning", algorithm 1): each
//! task's gradient is projected onto the normal plane of every other one that it conflicts with, in random order, and the
//! results are averaged (the paper sums them, which Adam does not tell apart).

use rand_core::Rng;

use super::{Balancer, Coefficients, Gram, Needs, Step};
use crate::random::stream;

/// Projects conflicting gradients.
#[derive(Debug, Clone)]
pub struct Pcgrad {
    seed: u64,
}

impl Pcgrad {
    /// `seed` governs the order of the projections.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

/// The coefficients of task `task`'s gradient after projection against the tasks of `order`, one after the other.
pub fn project(gram: &Gram, task: usize, order: &[usize]) -> Vec<f64> {
    let mut coefficients = vec![0.0; gram.tasks()];
    coefficients[task] = 1.0;
    for &other in order.iter().filter(|&&other| other != task) {
        let product = gram.row_times(other, &coefficients);
        if product < 0.0 {
            coefficients[other] -= product / gram.at(other, other);
        }
    }
    coefficients
}

impl Balancer for Pcgrad {
    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        let present = step.present();
        let gram = step.gram.among(&present);
        let mut sum = vec![0.0; present.len()];
        let mut order: Vec<usize> = (0..present.len()).collect();
        for task in 0..present.len() {
            let mut random = stream(self.seed, "pcgrad", &[step.iteration, task as u64]);
            // Fisher and Yates.
            for last in (1..order.len()).rev() {
                let other = ((u128::from(random.next_u64()) * (last as u128 + 1)) >> 64) as usize;
                order.swap(last, other);
            }
            for (sum, coefficient) in sum.iter_mut().zip(project(&gram, task, &order)) {
                *sum += coefficient / present.len() as f64;
            }
        }
        step.spread(&present, &sum)
    }
}
