//! Advantages against a straightforward double-precision calculation, and the noise against its distribution.

use pliant_runtime::experience::{
    AdvantageSweep, Baseline, End, Estimator, ReturnSweep, Trajectories, advantages, baseline_scratch, baseline_width,
};
use pliant_runtime::noise::Noise;

const ESTIMATOR: Estimator = Estimator {
    gamma: 0.99,
    lambda: 0.9,
    ridge: 1e-5,
};

/// Random walks towards a goal, with a reward of the distance left: 2D navigation in small.
struct Walks {
    observations: Vec<f32>,
    rewards: Vec<f32>,
    ends: Vec<End>,
}

fn walks(trajectories: usize, steps: usize, seed: u64) -> Walks {
    let mut noise = Noise::seeded(seed);
    let mut walks = Walks {
        observations: Vec::new(),
        rewards: Vec::new(),
        ends: Vec::new(),
    };
    for trajectory in 0..trajectories {
        let (mut x, mut y) = (0.0f32, 0.0f32);
        // Lengths differ, and some trajectories end early.
        let length = if trajectory % 3 == 0 {
            steps / 2 + trajectory
        } else {
            steps
        };
        for step in 0..length {
            walks.observations.extend([x, y]);
            x += 0.01 + 0.03 * noise.gaussian();
            y += 0.02 * noise.gaussian();
            walks.rewards.push(-(x - 0.3).hypot(y + 0.2));
            walks.ends.push(match (step + 1 == length, trajectory % 3 == 0) {
                (false, _) => End::Continue,
                (true, true) => End::Terminated,
                (true, false) => End::Truncated,
            });
        }
    }
    walks
}

/// `[s, s^2, t, t^2, t^3, 1]` of every step.
fn features(walks: &Walks) -> Vec<[f64; 8]> {
    let mut step = 0;
    let rows = walks.observations.chunks(2).zip(&walks.ends);
    rows.map(|(s, end)| {
        let (x, y, t) = (f64::from(s[0]), f64::from(s[1]), f64::from(step) / 100.0);
        step = if end.is_last() { 0 } else { step + 1 };
        [x, y, x * x, y * y, t, t * t, t * t * t, 1.0]
    })
    .collect()
}

fn returns(walks: &Walks) -> Vec<f64> {
    let mut running = 0.0;
    let mut returns: Vec<f64> = (walks.rewards.iter().zip(&walks.ends).rev())
        .map(|(reward, end)| {
            running = f64::from(*reward) + if end.is_last() { 0.0 } else { 0.99 * running };
            running
        })
        .collect();
    returns.reverse();
    returns
}

/// Weights by Gaussian elimination with the ridge on each diagonal element.
fn weights(features: &[[f64; 8]], targets: &[f64], ridge: f64) -> [f64; 8] {
    let mut system = [[0.0; 9]; 8];
    for (row, target) in features.iter().zip(targets) {
        for i in 0..8 {
            (0..8).for_each(|j| system[i][j] += row[i] * row[j]);
            system[i][8] += row[i] * target;
        }
    }
    (0..8).for_each(|i| system[i][i] *= 1.0 + ridge);
    for pivot in 0..8 {
        let best = (pivot..8)
            .max_by(|a, b| system[*a][pivot].abs().total_cmp(&system[*b][pivot].abs()))
            .unwrap();
        system.swap(pivot, best);
        for row in 0..8 {
            if row != pivot {
                let factor = system[row][pivot] / system[pivot][pivot];
                (pivot..9).for_each(|column| system[row][column] -= factor * system[pivot][column]);
            }
        }
    }
    core::array::from_fn(|i| system[i][8] / system[i][i])
}

fn reference(walks: &Walks) -> Vec<f64> {
    let features = features(walks);
    let weights = weights(&features, &returns(walks), 1e-5);
    let values: Vec<f64> = features
        .iter()
        .map(|row| row.iter().zip(weights).map(|(a, b)| a * b).sum())
        .collect();
    let (mut next_value, mut running) = (0.0, 0.0);
    let mut result = vec![0.0; values.len()];
    for step in (0..values.len()).rev() {
        if walks.ends[step].is_last() {
            (next_value, running) = (0.0, 0.0);
        }
        let delta = f64::from(walks.rewards[step]) + 0.99 * next_value - values[step];
        running = delta + 0.99 * 0.9 * running;
        (result[step], next_value) = (running, values[step]);
    }
    let mean = result.iter().sum::<f64>() / result.len() as f64;
    let variance = result.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / result.len() as f64;
    result.iter().map(|value| (value - mean) / variance.sqrt()).collect()
}

fn estimate(walks: &Walks) -> Vec<f32> {
    let steps = Trajectories {
        observations: &walks.observations,
        width: 2,
        rewards: &walks.rewards,
        ends: &walks.ends,
    };
    let mut result = vec![0.0; walks.rewards.len()];
    let mut scratch = vec![f32::NAN; baseline_scratch(2)];
    assert_eq!(
        advantages(&steps, &ESTIMATOR, &mut scratch, &mut result),
        walks.rewards.len()
    );
    result
}

#[test]
fn advantages_agree_with_double_precision() {
    for seed in 0..5 {
        let walks = walks(20, 100, seed);
        let (estimated, expected) = (estimate(&walks), reference(&walks));
        let errors = estimated.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
        // Single precision loses what the condition of the fit costs; the advantages have deviation 1.
        let worst = errors.fold(0.0, f64::max);
        assert!(worst < 2e-3, "{worst}");
    }
}

#[test]
fn advantages_have_mean_zero_and_deviation_one() {
    let result = estimate(&walks(20, 100, 9));
    let mean = result.iter().sum::<f32>() / result.len() as f32;
    let variance = result.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / result.len() as f32;
    assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
}

#[test]
fn literal_values() {
    // Two steps, the second of which ends: G = [1 + 0.5 * 2, 2].
    let mut sweep = ReturnSweep::new(0.5);
    assert_eq!(sweep.step(2.0, End::Truncated), 2.0);
    assert_eq!(sweep.step(1.0, End::Continue), 2.0);
    // Another trajectory before it does not see it.
    assert_eq!(sweep.step(3.0, End::Terminated), 3.0);

    // delta_1 = 2 - 1 = 1; delta_0 = 1 + 0.5 * 1 - 0.25 = 1.25; A_0 = 1.25 + 0.5 * 0.5 * 1.
    let mut sweep = AdvantageSweep::new(0.5, 0.5);
    assert_eq!(sweep.step(2.0, 1.0, End::Truncated), 1.0);
    assert_eq!(sweep.step(1.0, 0.25, End::Continue), 1.5);
    assert_eq!(sweep.step(3.0, 1.0, End::Terminated), 2.0);
}

#[test]
fn degenerate_features_do_no_harm() {
    // A constant channel, a channel that is always zero and a copy, over episodes of one step: rank 2 of 10.
    let mut scratch = vec![0.0; baseline_scratch(3)];
    let mut baseline = Baseline::new(3, &mut scratch).unwrap();
    baseline.clear();
    for value in [0.5, -0.5, 0.25, 0.75] {
        baseline.add(&[3.0, 0.0, value], 0, 2.0 * value + 1.0);
    }
    baseline.solve(1e-5);
    for value in [0.5f32, -0.5, 0.1] {
        let predicted = baseline.predict(&[3.0, 0.0, value], 0);
        assert!((predicted - (2.0 * value + 1.0)).abs() < 0.01, "{value}: {predicted}");
    }
    // No row at all: no value.
    baseline.clear();
    baseline.solve(1e-5);
    assert_eq!(baseline.predict(&[1.0, 1.0, 1.0], 3), 0.0);
    assert_eq!(baseline.width(), baseline_width(3));
}

#[test]
fn equal_rewards_give_no_advantage() {
    let steps = Trajectories {
        observations: &[0.0; 4],
        width: 1,
        rewards: &[1.0; 4],
        ends: &[End::Terminated; 4],
    };
    let mut result = [f32::NAN; 4];
    advantages(&steps, &ESTIMATOR, &mut [0.0; baseline_scratch(1)], &mut result);
    assert!(result.iter().all(|advantage| advantage.abs() < 1.0), "{result:?}");
    // Too little scratch, no trajectories: nothing is touched.
    assert_eq!(advantages(&steps, &ESTIMATOR, &mut [0.0; 3], &mut result), 0);
    let none = Trajectories {
        observations: &[],
        width: 1,
        rewards: &[],
        ends: &[],
    };
    assert_eq!(
        advantages(&none, &ESTIMATOR, &mut [0.0; baseline_scratch(1)], &mut []),
        0
    );
}

#[test]
fn noise_is_standard_normal() {
    let count = 200_000;
    let mut noise = Noise::seeded(3);
    let mut values = vec![0.0; count];
    noise.fill(&mut values);
    let moment = |power: i32| values.iter().map(|value| f64::from(*value).powi(power)).sum::<f64>() / count as f64;
    let error = (count as f64).sqrt().recip();
    // Five standard errors of each moment.
    assert!(moment(1).abs() < 5.0 * error, "mean {}", moment(1));
    assert!(
        (moment(2) - 1.0).abs() < 5.0 * 2f64.sqrt() * error,
        "variance {}",
        moment(2)
    );
    assert!(moment(3).abs() < 5.0 * 15f64.sqrt() * error, "skew {}", moment(3));
    assert!(
        (moment(4) - 3.0).abs() < 5.0 * 96f64.sqrt() * error,
        "kurtosis {}",
        moment(4)
    );
    // The pair that one transform gives is uncorrelated.
    let pairs = values
        .chunks_exact(2)
        .map(|pair| f64::from(pair[0]) * f64::from(pair[1]));
    assert!((pairs.sum::<f64>() / (count as f64 / 2.0)).abs() < 5.0 * 2f64.sqrt() * error);
    assert!(values.iter().all(|value| value.abs() <= 5.8));
}

#[test]
fn noise_is_fixed_by_its_seed() {
    let draw = |seed| {
        let mut noise = Noise::seeded(seed);
        core::array::from_fn::<u32, 5, _>(|_| noise.gaussian().to_bits())
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let mut noise = Noise::seeded(0);
    assert!(
        (0..10_000)
            .map(|_| noise.uniform())
            .all(|value| value > 0.0 && value <= 1.0)
    );
}
