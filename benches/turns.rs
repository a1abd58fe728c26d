//! Contenders by turns: ratios that a machine whose clock drifts cannot bend.
//!
//! Criterion measures one contender after the other, seconds apart; where other tenants share the machine its speed
//! changes by a third in that time, and the ratio of two medians with it. Here every contender runs for a fraction of a
//! millisecond in each round, and what counts is the median over rounds of the ratio *within* a round.

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, measurement::WallTime};

/// One of several ways to do the same work.
pub struct Contender {
    name: String,
    /// Does the work as many times as the argument says.
    run: Box<dyn FnMut(u64)>,
}

impl Contender {
    /// `work` does the work once.
    pub fn new(name: &str, mut work: impl FnMut() + 'static) -> Self {
        Self {
            name: name.to_owned(),
            run: Box::new(move |times| (0..times).for_each(|_| work())),
        }
    }

    fn time(&mut self, times: u64) -> Duration {
        let start = Instant::now();
        (self.run)(times);
        start.elapsed()
    }

    /// How many times fill `span`, at least once.
    fn times_in(&mut self, span: Duration) -> u64 {
        let mut times = 1;
        loop {
            let taken = self.time(times);
            if taken >= span / 4 {
                let scale = span.as_secs_f64() / taken.as_secs_f64();
                return ((times as f64 * scale) as u64).max(1);
            }
            times *= 2;
        }
    }
}

/// A contender against the first, over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The contender.
    pub name: String,
    /// Median time of one piece of work, nanoseconds.
    pub nanoseconds: f64,
    /// Lower quartile, median and upper quartile of its time as a multiple of the first contender's in the same round.
    pub ratio: [f64; 3],
}

/// Runs all contenders in each of `rounds` rounds, for about `span` each, in alternating order.
///
/// # Panics
/// Where `rounds` is 0.
pub fn by_turns(contenders: &mut [Contender], rounds: usize, span: Duration) -> Vec<Turn> {
    assert!(rounds > 0, "nothing is measured in no rounds");
    let times: Vec<u64> = contenders.iter_mut().map(|c| c.times_in(span)).collect();
    let mut taken = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            // There and back, so that nobody always follows the same neighbour.
            let index = if round % 2 == 0 {
                turn
            } else {
                contenders.len() - 1 - turn
            };
            let one = contenders[index].time(times[index]).as_secs_f64() / times[index] as f64;
            taken[index].push(one * 1e9);
        }
    }
    let turn = |index: usize| Turn {
        name: contenders[index].name.clone(),
        nanoseconds: quartiles(taken[index].clone())[1],
        ratio: quartiles(
            taken[index]
                .iter()
                .zip(&taken[0])
                .map(|(one, first)| one / first)
                .collect(),
        ),
    };
    (0..contenders.len()).map(turn).collect()
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// Criterion's measurement of each contender, then all by turns. Prints a line for people and, for `cargo xtask measure`,
/// one that starts with `by turns: `, then the group, the contender, its nanoseconds and its ratio, between tabs.
pub fn compare(group: &mut BenchmarkGroup<'_, WallTime>, title: &str, contenders: &mut [Contender]) {
    for contender in &mut *contenders {
        let name = contender.name.clone();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| contender.time(times));
        });
    }
    for turn in by_turns(contenders, 1001, Duration::from_micros(500)) {
        let [lower, median, upper] = turn.ratio;
        println!(
            "by turns: {title}\t{}\t{:.1}\t{median:.3}\t{lower:.3}\t{upper:.3}",
            turn.name, turn.nanoseconds
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_work_takes_about_twice_as_long() {
        let spin = |rounds: u32| {
            move || {
                let mut x = std::hint::black_box(1u32);
                for _ in 0..rounds {
                    x = std::hint::black_box(x.wrapping_mul(3));
                }
            }
        };
        let mut contenders = [Contender::new("once", spin(500)), Contender::new("twice", spin(1000))];
        let turns = by_turns(&mut contenders, 101, Duration::from_micros(100));
        assert_eq!(turns[0].ratio, [1.0; 3]);
        assert!((1.7..2.3).contains(&turns[1].ratio[1]), "{turns:?}");
    }

    #[test]
    fn quartiles_of_five() {
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
    }
}
