//! Which tasks take part in a step.

use rand_core::Rng;

use crate::recipe::Sampling;

/// Least chance of a task relative to the uniform one, so that none is forgotten.
const LEAST: f64 = 0.1;

/// How likely each task is to be drawn first; sums to 1. `rows` are the tasks' numbers of rows; `difficulty` their losses
/// relative to those at the start (1 where unknown).
pub(super) fn chances(sampling: Sampling, temperature: f32, rows: &[usize], difficulty: &[f32]) -> Vec<f64> {
    let raw: Vec<f64> = match sampling {
        // What is open is drawn alike.
        Sampling::Uniform | Sampling::Curriculum => vec![1.0; rows.len()],
        Sampling::Proportional => rows.iter().map(|&rows| rows as f64).collect(),
        Sampling::Temperature => rows
            .iter()
            .map(|&rows| (rows as f64).powf(1.0 / f64::from(temperature)))
            .collect(),
        Sampling::Difficulty => difficulty
            .iter()
            .map(|&difficulty| f64::from(difficulty).max(0.0))
            .collect(),
    };
    let sum: f64 = raw.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let least = if sampling == Sampling::Difficulty {
        LEAST / rows.len() as f64
    } else {
        0.0
    };
    let bounded: Vec<f64> = raw.iter().map(|value| (value / sum).max(least)).collect();
    let sum: f64 = bounded.iter().sum();
    bounded.into_iter().map(|value| value / sum).collect()
}

/// The tasks that are open, in ascending order: this share of them, one at least, by ascending difficulty; of equally difficult
/// ones those in front.
pub(super) fn open(difficulty: &[f32], share: f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..difficulty.len()).collect();
    order.sort_by(|&a, &b| difficulty[a].total_cmp(&difficulty[b]));
    let count = (share * difficulty.len() as f32).ceil() as usize;
    order.truncate(count.clamp(1, difficulty.len().max(1)));
    order.sort_unstable();
    order
}

/// Draws `count` tasks without repetition, one after the other by their chances; in ascending order.
pub(super) fn draw(chances: &[f64], count: usize, random: &mut impl Rng) -> Vec<usize> {
    let mut left: Vec<usize> = (0..chances.len()).collect();
    let mut drawn = Vec::new();
    while drawn.len() < count.min(chances.len()) {
        let sum: f64 = left.iter().map(|&task| chances[task]).sum();
        let mut at = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * sum;
        let mut chosen = left.len() - 1;
        for (index, &task) in left.iter().enumerate() {
            at -= chances[task];
            if at < 0.0 {
                chosen = index;
                break;
            }
        }
        drawn.push(left.remove(chosen));
    }
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn chances_follow_rows_and_losses() {
        let rows = [100, 400];
        let of = |sampling, difficulty: &[f32]| chances(sampling, 2.0, &rows, difficulty);
        assert_eq!(of(Sampling::Uniform, &[1.0; 2]), [0.5, 0.5]);
        assert_eq!(of(Sampling::Proportional, &[1.0; 2]), [0.2, 0.8]);
        let temperature = of(Sampling::Temperature, &[1.0; 2]);
        assert!((temperature[0] - 1.0 / 3.0).abs() < 1e-12, "{temperature:?}");
        let difficulty = of(Sampling::Difficulty, &[0.9, 0.3]);
        assert!((difficulty[0] - 0.75).abs() < 1e-6, "{difficulty:?}");
        // What is learned still comes now and then.
        let learned = of(Sampling::Difficulty, &[1.0, 0.0]);
        assert!(learned[1] > 0.04 && learned[1] < 0.06, "{learned:?}");
    }

    #[test]
    fn the_easiest_tasks_are_open_first() {
        let difficulty = [0.9, 0.2, 0.5, 0.2];
        assert_eq!(open(&difficulty, 0.0), [1]);
        assert_eq!(open(&difficulty, 0.25), [1]);
        assert_eq!(open(&difficulty, 0.3), [1, 3]);
        assert_eq!(open(&difficulty, 0.75), [1, 2, 3]);
        assert_eq!(open(&difficulty, 1.0), [0, 1, 2, 3]);
        let schedule = crate::recipe::Curriculum::default();
        let shares = [0, 49, 50, 250, 500, 900].map(|step| schedule.open(step, 1000));
        assert_eq!(shares, [1.0, 1.0, 0.325, 0.625, 1.0, 1.0]);
    }

    #[test]
    fn draws_are_distinct_and_as_likely_as_said() {
        let mut counts = [0; 3];
        for index in 0..20_000 {
            let drawn = draw(&[0.5, 0.3, 0.2], 1, &mut stream(0, "test", &[index]));
            counts[drawn[0]] += 1;
        }
        for (count, share) in counts.iter().zip([0.5, 0.3, 0.2]) {
            assert!((f64::from(*count) / 20_000.0 - share).abs() < 0.015, "{counts:?}");
        }
        assert_eq!(draw(&[0.1, 0.8, 0.1], 3, &mut stream(0, "test", &[])), [0, 1, 2]);
    }
}
