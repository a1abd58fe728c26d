//! Which trials train how long.

use super::Sweep;

/// Iterations that each rung trains to, the last to the end: with `keep` of 3 each rung trains three times as long as the
/// one before, and a third of its trials goes on. As many rungs as `trials` allow, each of at least one iteration.
///
/// ```
/// use pliant_trainer::sweep::rungs;
/// assert_eq!(rungs(27, 3, 900), [34, 100, 300, 900]);
/// assert_eq!(rungs(2, 3, 900), [900]);
/// assert_eq!(rungs(27, 3, 2), [1, 2]);
/// ```
pub fn rungs(trials: usize, keep: usize, iterations: u64) -> Vec<u64> {
    let (mut rungs, mut left, mut share) = (vec![iterations], trials, 1u64);
    while left / keep >= 1 && left > 1 {
        left /= keep;
        share = share.saturating_mul(keep as u64);
        let until = iterations.div_ceil(share);
        if rungs.last() == Some(&until) {
            break;
        }
        rungs.push(until);
    }
    rungs.reverse();
    rungs
}

/// The trials that a rung trains: all in the first, then the best share of those before, at least one. Equal scores go by
/// the trial's number; a trial that failed is behind all others.
pub fn survivors(sweep: &Sweep, rung: usize) -> Vec<usize> {
    let mut racing: Vec<usize> = (0..sweep.trials.len()).collect();
    for before in 0..rung {
        let most = (racing.len() / sweep.keep).max(1);
        racing = ranked(sweep, &racing, before);
        racing.truncate(most);
    }
    racing.retain(|&trial| rung == 0 || sweep.trials[trial].failed.is_none());
    racing.sort_unstable();
    racing
}

/// Trials by their scores in a rung, the best first.
pub(super) fn ranked(sweep: &Sweep, trials: &[usize], rung: usize) -> Vec<usize> {
    let value = |trial: usize| {
        let score = sweep.trials[trial].scores.get(rung).map(|score| score.mean);
        let signed = score.map(|mean| {
            if sweep.lower_is_better == Some(false) {
                -mean
            } else {
                mean
            }
        });
        // What is not a number is no score.
        signed.filter(|value| !value.is_nan()).unwrap_or(f64::INFINITY)
    };
    let mut ranked = trials.to_vec();
    ranked.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::super::{Score, Trial};
    use super::*;

    fn sweep(scores: &[&[f64]], lower_is_better: bool) -> Sweep {
        let trial = |means: &&[f64]| Trial {
            sets: Vec::new(),
            scores: means
                .iter()
                .map(|&mean| Score {
                    iterations: 1,
                    mean,
                    ci95: [mean; 2],
                    seconds: 0.0,
                })
                .collect(),
            failed: None,
        };
        Sweep {
            trials: scores.iter().map(trial).collect(),
            keep: 3,
            lower_is_better: Some(lower_is_better),
            ..Sweep::default()
        }
    }

    #[test]
    fn the_best_third_goes_on() {
        let scores: [&[f64]; 7] = [&[5.0], &[1.0, 9.0], &[f64::NAN], &[2.0, 3.0], &[4.0], &[7.0], &[6.0]];
        let sweep = sweep(&scores, true);
        assert_eq!(survivors(&sweep, 0), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(survivors(&sweep, 1), [1, 3]);
        assert_eq!(survivors(&sweep, 2), [3]);
        let mut higher = sweep.clone();
        higher.lower_is_better = Some(false);
        assert_eq!(survivors(&higher, 1), [5, 6]);
    }

    #[test]
    fn what_failed_is_out() {
        let mut sweep = sweep(&[&[1.0], &[2.0], &[3.0]], true);
        sweep.trials[0].scores.clear();
        sweep.trials[0].failed = Some("diverged".to_owned());
        assert_eq!(survivors(&sweep, 1), [1]);
    }
}
