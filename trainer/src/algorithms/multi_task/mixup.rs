//! Rows between rows: mixup (Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization").

use rand_core::Rng;

use crate::random::{Stream, uniform};
use crate::tasks::TaskRows;

/// Puts in the place of each row a point between it and another of them: `l x + (1 - l) x'`, targets alike, with `l` of
/// Beta(`alpha`, `alpha`), 0 < `alpha` <= 1, for each row. Classes become probabilities; what one of both misses is missing.
pub(super) fn mix(rows: &mut TaskRows, (inputs, outputs): (usize, usize), alpha: f32, random: &mut Stream) {
    let count = rows.inputs.len() / inputs.max(1);
    let before = rows.clone();
    for row in 0..count {
        let other = ((u128::from(random.next_u64()) * count as u128) >> 64) as usize;
        let share = beta(alpha, random);
        let between = |values: &mut [f32], before: &[f32], width: usize| {
            let there = before[other * width..][..width].iter();
            for (value, there) in values[row * width..][..width].iter_mut().zip(there) {
                *value = share * *value + (1.0 - share) * there;
            }
        };
        between(&mut rows.inputs, &before.inputs, inputs);
        between(&mut rows.targets, &before.targets, outputs);
    }
}

/// A number of Beta(alpha, alpha), by rejection (Johnk 1964): quick for `alpha` up to 1.
fn beta(alpha: f32, random: &mut Stream) -> f32 {
    loop {
        let mut power = || f64::from(uniform(random, 0.0, 1.0)).powf(1.0 / f64::from(alpha));
        let (a, b) = (power(), power());
        let sum = a + b;
        if sum > 0.0 && sum <= 1.0 {
            return (a / sum) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn shares_are_of_the_beta_distribution() {
        for alpha in [0.2f32, 1.0] {
            let mut random = stream(0, "test", &[]);
            let shares: Vec<f64> = (0..20_000).map(|_| f64::from(beta(alpha, &mut random))).collect();
            let mean = shares.iter().sum::<f64>() / 2e4;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 2e4;
            let expected = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.005, "{alpha}: {variance} {expected}");
        }
    }

    /// Rows on a line stay on it, between its ends; inputs and targets move together; what is missing stays missing.
    #[test]
    fn rows_come_to_lie_between_rows() {
        let mut rows = TaskRows {
            inputs: (0..100).flat_map(|row| [row as f32, 2.0 * row as f32]).collect(),
            targets: (0..100).flat_map(|row| [-(row as f32), f32::NAN]).collect(),
        };
        let before = rows.clone();
        mix(&mut rows, (2, 2), 0.4, &mut stream(0, "test", &[]));
        let mut moved = 0;
        for (row, (input, target)) in rows.inputs.chunks(2).zip(rows.targets.chunks(2)).enumerate() {
            assert!((input[1] - 2.0 * input[0]).abs() < 1e-3 && (target[0] + input[0]).abs() < 1e-3);
            assert!((0.0..=99.0).contains(&input[0]) && target[1].is_nan());
            moved += usize::from(input[0] != before.inputs[2 * row]);
        }
        assert!(moved > 70, "{moved}");
    }
}
