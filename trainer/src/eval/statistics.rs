//! Means and interquartile means with bootstrap intervals.

use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::random::stream;

/// Resamples of one interval: enough that its ends move by about a hundredth of its width between seeds.
const RESAMPLES: usize = 2000;

/// A mean with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean, or the statistic, of the samples; NaN without samples.
    pub mean: f64,
    /// 2.5 % and 97.5 % points of its bootstrap distribution (percentile method, Efron 1979).
    pub ci95: [f64; 2],
}

/// Mean of `samples` (one a task) and its percentile bootstrap interval over tasks. Deterministic for `seed`.
///
/// ```
/// use pliant_trainer::eval::bootstrap_mean;
/// let estimate = bootstrap_mean(&[1.0, 2.0, 3.0, 4.0], 0);
/// assert_eq!(estimate.mean, 2.5);
/// assert!(estimate.ci95[0] < 2.5 && 2.5 < estimate.ci95[1]);
/// ```
pub fn bootstrap_mean(samples: &[f64], seed: u64) -> Estimate {
    bootstrap(samples.len(), seed, |chosen| {
        chosen.iter().map(|&index| samples[index]).sum::<f64>() / chosen.len() as f64
    })
}

/// Mean of the middle half of `samples` (one a task), which no outlier moves and which uses more of them than the median
/// (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"), with its interval as
/// [`bootstrap_mean`]. The lower and the upper quarter, rounded down to whole samples, do not count; one that is not a number
/// is an upper one.
///
/// ```
/// use pliant_trainer::eval::bootstrap_interquartile_mean;
/// let estimate = bootstrap_interquartile_mean(&[1.0, 900.0, 3.0, 2.0], 0);
/// assert_eq!(estimate.mean, 2.5);
/// ```
pub fn bootstrap_interquartile_mean(samples: &[f64], seed: u64) -> Estimate {
    bootstrap(samples.len(), seed, |chosen| {
        interquartile_mean(&mut chosen.iter().map(|&index| samples[index]).collect::<Vec<_>>())
    })
}

/// Of a slice whose order it changes.
pub(super) fn interquartile_mean(samples: &mut [f64]) -> f64 {
    let quarter = samples.len() / 4;
    let middle = quarter..samples.len() - quarter;
    if quarter > 0 {
        samples.select_nth_unstable_by(middle.start, f64::total_cmp);
        samples[middle.start..].select_nth_unstable_by(middle.len() - 1, f64::total_cmp);
    }
    let middle = &samples[middle];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// A statistic of `count` samples, given by their numbers, and its percentile bootstrap interval.
pub(super) fn bootstrap(count: usize, seed: u64, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
    let mut chosen: Vec<usize> = (0..count).collect();
    let mean = statistic(&chosen);
    if count < 2 {
        return Estimate {
            mean,
            ci95: [mean, mean],
        };
    }
    let mut random = stream(seed, "bootstrap", &[]);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            chosen.fill_with(|| ((u128::from(random.next_u64()) * count as u128) >> 64) as usize);
            statistic(&chosen)
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| resampled[((RESAMPLES - 1) as f64 * share).round() as usize];
    Estimate {
        mean,
        ci95: [at(0.025), at(0.975)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::fill_standard_normal;

    /// For normal samples the interval is close to mean +- 1.96 s / sqrt(n), and covers the truth about as often.
    #[test]
    fn the_interval_covers() {
        let mut covered = 0;
        for trial in 0..200 {
            let mut values = [0.0f32; 50];
            fill_standard_normal(&mut stream(trial, "test", &[]), &mut values);
            let estimate = bootstrap_mean(&values.map(f64::from), trial);
            let width = estimate.ci95[1] - estimate.ci95[0];
            assert!((0.3..0.8).contains(&width), "width {width}, expected near 0.55");
            covered += u32::from(estimate.ci95[0] <= 0.0 && 0.0 <= estimate.ci95[1]);
        }
        assert!((175..=200).contains(&covered), "covered {covered} of 200");
    }

    /// Against the definition by sorting, and for a normal it is about its mean, with a wider interval.
    #[test]
    fn the_interquartile_mean_is_that_of_the_middle_half() {
        let mut values = [0.0f32; 203];
        fill_standard_normal(&mut stream(1, "test", &[]), &mut values);
        let values = values.map(f64::from);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        let expected = sorted[50..153].iter().sum::<f64>() / 103.0;
        let estimate = bootstrap_interquartile_mean(&values, 0);
        assert!(
            (estimate.mean - expected).abs() < 1e-12,
            "{} and {expected}",
            estimate.mean
        );
        let width = |estimate: Estimate| estimate.ci95[1] - estimate.ci95[0];
        assert!(width(estimate) > width(bootstrap_mean(&values, 0)));
        assert!(estimate.ci95[0] < 0.0 && 0.0 < estimate.ci95[1]);
    }

    #[test]
    fn a_diverged_task_moves_the_mean_alone() {
        assert_eq!(bootstrap_interquartile_mean(&[1.0, 2.0, f64::NAN, 3.0], 0).mean, 2.5);
        assert!(bootstrap_interquartile_mean(&[], 0).mean.is_nan());
    }

    #[test]
    fn a_diverged_task_shows() {
        assert!(bootstrap_mean(&[1.0, f64::NAN], 0).mean.is_nan());
        assert!(bootstrap_mean(&[], 0).mean.is_nan());
    }
}
