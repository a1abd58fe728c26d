//! How much of what knowing the task is worth a policy gets by adapting.

use serde::Serialize;

use super::statistics::{Estimate, bootstrap, interquartile_mean};

/// Returns on the same held-out tasks, `[task]`, of policies trained alike: one that cannot adapt, one that does, and an
/// oracle that is told the task's true parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Returns {
    /// Of the policy that cannot adapt.
    pub non_adaptive: Vec<f64>,
    /// Of the policy that adapts.
    pub adaptive: Vec<f64>,
    /// Of the oracle.
    pub oracle: Vec<f64>,
}

/// What [`Returns`] come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gap {
    /// Mean return of the policy that cannot adapt.
    pub non_adaptive: Estimate,
    /// Mean return of the policy that adapts.
    pub adaptive: Estimate,
    /// Mean return of the oracle.
    pub oracle: Estimate,
    /// (adaptive - non-adaptive) / (oracle - non-adaptive), in percent.
    pub closed: Estimate,
    /// The same of the three interquartile means, which rare terminations do not move.
    pub closed_middle: Estimate,
    /// (oracle - non-adaptive) / |oracle|, in percent: below 10 the tasks hardly need adaptation.
    pub width: Estimate,
}

impl Returns {
    /// Means, and the share of the gap that is closed, with 95 % bootstrap intervals over tasks: the three policies are
    /// resampled together. Deterministic for `seed`.
    ///
    /// ```
    /// use pliant_trainer::eval::Returns;
    /// let returns = Returns {
    ///     non_adaptive: vec![-30.0, -50.0],
    ///     adaptive: vec![-12.0, -14.0],
    ///     oracle: vec![-10.0, -14.0],
    /// };
    /// let gap = returns.gap(0);
    /// assert!((gap.closed.mean - 100.0 * 27.0 / 28.0).abs() < 1e-9);
    /// assert!(gap.closed.ci95[0] >= 90.0 && gap.closed.ci95[1] <= 100.0);
    /// ```
    pub fn gap(&self, seed: u64) -> Gap {
        let Self {
            non_adaptive,
            adaptive,
            oracle,
        } = self;
        let estimate = |of: &dyn Fn(&[usize]) -> f64| bootstrap(oracle.len(), seed, of);
        let mean =
            |values: &[f64], tasks: &[usize]| tasks.iter().map(|&task| values[task]).sum::<f64>() / tasks.len() as f64;
        let middle = |values: &[f64], tasks: &[usize]| {
            interquartile_mean(&mut tasks.iter().map(|&task| values[task]).collect::<Vec<_>>())
        };
        Gap {
            non_adaptive: estimate(&|tasks| mean(non_adaptive, tasks)),
            adaptive: estimate(&|tasks| mean(adaptive, tasks)),
            oracle: estimate(&|tasks| mean(oracle, tasks)),
            closed: estimate(&|tasks| {
                let floor = mean(non_adaptive, tasks);
                100.0 * (mean(adaptive, tasks) - floor) / (mean(oracle, tasks) - floor)
            }),
            closed_middle: estimate(&|tasks| {
                let floor = middle(non_adaptive, tasks);
                100.0 * (middle(adaptive, tasks) - floor) / (middle(oracle, tasks) - floor)
            }),
            width: estimate(&|tasks| {
                let best = mean(oracle, tasks);
                100.0 * (best - mean(non_adaptive, tasks)) / best.abs()
            }),
        }
    }

    /// The mean over training seeds, task by task.
    pub fn mean(seeds: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> &Vec<f64>| {
            let tasks = seeds.first().map_or(0, |first| of(first).len());
            (0..tasks)
                .map(|task| seeds.iter().map(|one| of(one)[task]).sum::<f64>() / seeds.len() as f64)
                .collect()
        };
        Self {
            non_adaptive: mean(|one| &one.non_adaptive),
            adaptive: mean(|one| &one.adaptive),
            oracle: mean(|one| &one.oracle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_resampled_together() {
        // Tasks differ a lot, policies by the same on each: the share of the gap has hardly any interval.
        let oracle: Vec<f64> = (0..50).map(|task| -f64::from(task)).collect();
        let below = |by: f64| oracle.iter().map(|value| value - by).collect::<Vec<_>>();
        let returns = Returns {
            non_adaptive: below(20.0),
            adaptive: below(1.0),
            oracle: oracle.clone(),
        };
        let gap = returns.gap(0);
        assert!((gap.closed.mean - 95.0).abs() < 1e-9);
        assert!(gap.closed.ci95[1] - gap.closed.ci95[0] < 1e-9, "{gap:?}");
        assert!(gap.oracle.ci95[1] - gap.oracle.ci95[0] > 5.0, "{gap:?}");
        // One lost episode moves the mean a long way; the middle by the one place that others move up: 1 of a gap of 20.
        let mut unlucky = returns.clone();
        unlucky.adaptive[7] -= 500.0;
        let gap = unlucky.gap(0);
        assert!(
            gap.closed.mean < 50.0 && (gap.closed_middle.mean - 90.0).abs() < 1e-9,
            "{gap:?}"
        );
        let both = Returns::mean(&[returns.clone(), returns.clone()]);
        assert_eq!(both, returns);
    }
}
