//! Nash-MTL (Navon et al. 2022, "Multi-Task Learning as a Bargaining Game"): the direction on which tasks would agree that
//! bargain for their own descent; it does not depend on the scale of any loss.
//!
//! The direction is `sum_i a_i g_i` with `a > 0` and `G^T G a = 1 / a` (equation 2 and claim 3.2). These are the first-order conditions of
//! the strictly convex `a . M a / 2 - sum_i log a_i`, `M = G^T G`, which Newton's method solves here to rounding; the paper
//! approaches it by a sequence of convex programmes.

use super::{Balancer, Coefficients, Gram, Needs, Step};

/// Steps of Newton's method; it takes about ten.
const STEPS: usize = 100;

/// Bargains.
#[derive(Debug, Clone, Copy)]
pub struct NashMtl;

/// The positive solution of `M a = 1 / a`. A task without a gradient has nothing to bargain for: it gets the mean of the
/// others' (1 where no task has one), by which its own parameters move, and the shared ones do not.
pub fn bargain(gram: &Gram) -> Vec<f64> {
    let there: Vec<usize> = (0..gram.tasks())
        .filter(|&task| gram.at(task, task).is_normal())
        .collect();
    if there.len() < gram.tasks() {
        let own = if there.is_empty() {
            Vec::new()
        } else {
            bargain(&gram.among(&there))
        };
        let mean = if own.is_empty() {
            1.0
        } else {
            own.iter().sum::<f64>() / own.len() as f64
        };
        let mut all = vec![mean; gram.tasks()];
        there.iter().zip(own).for_each(|(&task, value)| all[task] = value);
        return all;
    }
    let tasks = gram.tasks();
    // In units of the gradients' norms the products are cosines: well scaled, whatever the losses' scales.
    let norms: Vec<f64> = (0..tasks).map(|task| gram.at(task, task).sqrt()).collect();
    let cosine = |i: usize, j: usize| gram.at(i, j) / (norms[i] * norms[j]);
    // At most 1, as the diagonal is 1: the solution with tasks that all agree.
    let mut solution = vec![1.0 / (tasks as f64).sqrt(); tasks];
    let objective = |x: &[f64]| {
        let quadratic: f64 = (0..tasks)
            .map(|i| x[i] * (0..tasks).map(|j| cosine(i, j) * x[j]).sum::<f64>())
            .sum();
        0.5 * quadratic - x.iter().map(|x| x.ln()).sum::<f64>()
    };
    for _ in 0..STEPS {
        let gradient: Vec<f64> = (0..tasks)
            .map(|i| (0..tasks).map(|j| cosine(i, j) * solution[j]).sum::<f64>() - 1.0 / solution[i])
            .collect();
        let mut hessian: Vec<f64> = (0..tasks * tasks)
            .map(|index| cosine(index / tasks, index % tasks))
            .collect();
        for i in 0..tasks {
            // Rounding of the products may have cost a little definiteness.
            hessian[i * tasks + i] += 1.0 / (solution[i] * solution[i]) + 1e-9;
        }
        let Some(change) = solve(hessian, gradient.clone()) else {
            break;
        };
        let decrement: f64 = change.iter().zip(&gradient).map(|(c, g)| c * g).sum();
        if decrement <= 1e-24 {
            break;
        }
        // The largest step that stays positive, then halved until the objective falls.
        let mut length: f64 = 1.0;
        for (x, change) in solution.iter().zip(&change).filter(|(_, change)| **change > 0.0) {
            length = length.min(0.95 * x / change);
        }
        let before = objective(&solution);
        loop {
            let next: Vec<f64> = solution.iter().zip(&change).map(|(x, c)| x - length * c).collect();
            if objective(&next) <= before - 1e-4 * length * decrement || length < 1e-6 {
                solution = next;
                break;
            }
            length *= 0.5;
        }
    }
    solution.iter().zip(&norms).map(|(x, norm)| x / norm).collect()
}

/// Solves `A x = b` by the Cholesky factor of the positive definite `A`; `None` where it is not.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for column in 0..n {
        for row in column..n {
            let products: f64 = (0..column).map(|k| a[row * n + k] * a[column * n + k]).sum();
            let rest = a[row * n + column] - products;
            a[row * n + column] = if row == column {
                if rest <= 0.0 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / a[column * n + column]
            };
        }
    }
    for row in 0..n {
        let known: f64 = (0..row).map(|k| a[row * n + k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row * n + row];
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| a[k * n + row] * b[k]).sum();
        b[row] = (b[row] - known) / a[row * n + row];
    }
    Some(b)
}

impl Balancer for NashMtl {
    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn combine(&mut self, step: &Step<'_>) -> Coefficients {
        let present = step.present();
        let coefficients = bargain(&step.gram.among(&present));
        // A task's own parameters get its weight too, as in the authors' program: there too the scale must not matter.
        let mut spread = step.spread(&present, &coefficients);
        spread.private.clone_from(&spread.shared);
        spread
    }
}
