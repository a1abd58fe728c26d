//! Players of Bernoulli bandits.

use pliant_runtime::experience::End;

use crate::envs::{Bandits, VectorEnvironment};
use crate::random::{Stream, uniform};

/// How arms are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BanditPlayer {
    /// Any arm.
    Random,
    /// Thompson sampling (Thompson 1933): the arm that is best under a draw from the posterior, Beta(1 + successes, 1 +
    /// failures).
    Thompson,
    /// UCB1 (Auer, Cesa-Bianchi and Fischer 2002): the arm with the largest mean + sqrt(c ln t / pulls), each once at first.
    /// Theory asks for c = 2.
    Ucb {
        /// The coefficient c, above 0.
        coefficient: f32,
    },
    /// The best arm, told which one it is.
    Oracle,
}

/// Return of a player in an episode of instance 0, which has just begun. `random` is the player's own chance.
pub fn play_bandit(bandits: &mut Bandits, player: BanditPlayer, random: &mut Stream) -> f64 {
    let probabilities = bandits.probabilities(0).to_vec();
    let arms = probabilities.len();
    let (mut pulls, mut successes) = (vec![0u32; arms], vec![0u32; arms]);
    let (mut reward, mut end, mut total) = ([0.0], [End::Continue], 0.0);
    let mut time = 0u32;
    while !end[0].is_last() {
        time += 1;
        let arm = match player {
            BanditPlayer::Random => ((uniform(random, 0.0, 1.0) * arms as f32) as usize).min(arms - 1),
            BanditPlayer::Oracle => greatest(arms, |arm| probabilities[arm]),
            BanditPlayer::Thompson => {
                let draws: Vec<f32> = (0..arms)
                    .map(|arm| beta(random, 1 + successes[arm], 1 + pulls[arm] - successes[arm]))
                    .collect();
                greatest(arms, |arm| draws[arm])
            }
            BanditPlayer::Ucb { coefficient } => greatest(arms, |arm| match pulls[arm] {
                0 => f32::INFINITY,
                count => {
                    let count = count as f32;
                    successes[arm] as f32 / count + (coefficient * (time as f32).ln() / count).sqrt()
                }
            }),
        };
        bandits.step(&[arm as f32], &mut reward, &mut end);
        pulls[arm] += 1;
        successes[arm] += u32::from(reward[0] > 0.5);
        total += f64::from(reward[0]);
    }
    total
}

/// The first index with the greatest value.
pub(super) fn greatest(count: usize, value: impl Fn(usize) -> f32) -> usize {
    let better = |best: usize, at: usize| if value(at) > value(best) { at } else { best };
    (1..count).fold(0, better)
}

/// A draw from Beta(a, b) with whole a and b, as a ratio of Gamma draws.
fn beta(random: &mut Stream, a: u32, b: u32) -> f32 {
    let (x, y) = (gamma(random, a), gamma(random, b));
    (x / (x + y)) as f32
}

/// A draw from the Gamma distribution of a whole shape: a sum of exponential numbers.
pub(super) fn gamma(random: &mut Stream, shape: u32) -> f64 {
    (0..shape)
        .map(|_| -f64::from(1.0 - uniform(random, 0.0, 1.0)).ln())
        .sum::<f64>()
        .max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn gamma_has_its_mean_and_variance() {
        let mut random = stream(0, "test", &[]);
        let draws: Vec<f64> = (0..20_000).map(|_| gamma(&mut random, 4)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
        assert!(
            (mean - 4.0).abs() < 0.06 && (variance - 4.0).abs() < 0.2,
            "{mean} {variance}"
        );
    }

    #[test]
    fn players_come_in_the_order_of_what_they_know() {
        let mean = |player| {
            (0..400)
                .map(|index| {
                    let mut bandits = Bandits::new(10, 100, 1);
                    let mut random = stream(0, "test", &[index]);
                    bandits.new_task(0, &mut random);
                    bandits.new_episode(0, &mut random);
                    play_bandit(&mut bandits, player, &mut random)
                })
                .sum::<f64>()
                / 400.0
        };
        let random = mean(BanditPlayer::Random);
        let thompson = mean(BanditPlayer::Thompson);
        let oracle = mean(BanditPlayer::Oracle);
        // Expected: 50 of a random arm, and 100 times 10/11 of the best of ten.
        assert!((random - 50.0).abs() < 1.5, "{random}");
        assert!(thompson > random + 20.0 && thompson < oracle - 5.0, "{thompson}");
        assert!((oracle - 90.9).abs() < 1.0, "{oracle}");
    }
}
