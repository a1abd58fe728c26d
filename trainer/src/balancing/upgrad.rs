//! UPGrad (Quinton and Rey 2024, "Jacobian Descent for Multi-Objective Optimization"): each task's gradient is projected
//! onto the cone of directions that harm no task, and the projections are averaged; so no task is harmed, to first order,
//! and none weighs less for having a small gradient than it does in the mean.
//!
//! The projection of `g_i` onto the dual cone of the gradients is `J^T v_i` with `v_i = argmin v . M v` over `v >= e_i`
//! (proposition 1). The minimum is found by coordinate descent over `v`, in units of the gradients' norms.

use super::{Balancer, Coefficients, Gram, Needs, Step};

/// Most rounds over the coordinates of one projection.
const ROUNDS: usize = 2000;
/// A projection is found when no coordinate moves by more than this share of the largest.
const TOLERANCE: f64 = 1e-10;

/// Projects without conflict.
#[derive(Debug, Clone, Copy)]
pub struct Upgrad;

/// The coefficients of the projection of task `task`'s gradient onto the dual cone.
pub fn projection(gram: &Gram, task: usize) -> Vec<f64> {
    let tasks = gram.tasks();
    let norms: Vec<f64> = (0..tasks).map(|task| gram.at(task, task).sqrt()).collect();
    let cosines = Gram::new(
        tasks,
        (0..tasks * tasks).map(|index| {
            let (i, j) = (index / tasks, index % tasks);
            gram.at(i, j) / (norms[i] * norms[j])
        }),
    );
    // v . M v for v in units of 1 / norm, and the bound 1 on this task's.
    let mut v = vec![0.0; tasks];
    v[task] = 1.0;
    let mut products: Vec<f64> = (0..tasks).map(|other| cosines.at(other, task)).collect();
    for _ in 0..ROUNDS {
        let mut moved: f64 = 0.0;
        for coordinate in 0..tasks {
            let least = f64::from(u8::from(coordinate == task));
            // The diagonal is 1.
            let next = (v[coordinate] - products[coordinate]).max(least);
            let change = next - v[coordinate];
            if change != 0.0 {
                v[coordinate] = next;
                for (other, product) in products.iter_mut().enumerate() {
                    *product += change * cosines.at(other, coordinate);
                }
                moved = moved.max(change.abs());
            }
        }
        let largest = v.iter().copied().fold(1.0, f64::max);
        if moved <= TOLERANCE * largest {
            break;
        }
    }
    (0..tasks).map(|other| v[other] * norms[task] / norms[other]).collect()
}

impl Balancer for Upgrad {
    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        let present = step.present();
        let gram = step.gram.among(&present);
        let mut sum = vec![0.0; present.len()];
        for task in 0..present.len() {
            for (sum, coefficient) in sum.iter_mut().zip(projection(&gram, task)) {
                *sum += coefficient / present.len() as f64;
            }
        }
        step.spread(&present, &sum)
    }
}
