//! Seeded exploration noise with the same bits on every core.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro128PlusPlus;

use crate::kernels::functions;

/// Standard normal numbers: xoshiro128++ (32-bit operations only) and the Box-Muller transform with the runtime's own
/// logarithm, sine and cosine.
///
/// ```
/// use pliant_runtime::noise::Noise;
///
/// let (mut one, mut same) = (Noise::seeded(7), Noise::seeded(7));
/// assert_eq!(one.gaussian().to_bits(), same.gaussian().to_bits());
/// ```
#[derive(Clone, Debug)]
pub struct Noise {
    generator: Xoshiro128PlusPlus,
    /// The second number of the last pair.
    spare: Option<f32>,
    drawn: u32,
}

impl Noise {
    /// The stream of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            generator: Xoshiro128PlusPlus::seed_from_u64(seed),
            spare: None,
            drawn: 0,
        }
    }

    /// As [`seeded`](Self::seeded) with 0, without the code that spreads a seed.
    pub(crate) fn unseeded() -> Self {
        Self {
            // All zero would be no state: the generator takes what it makes of the seed 0.
            generator: Xoshiro128PlusPlus::from_seed([0; 16]),
            spare: None,
            drawn: 0,
        }
    }

    /// Uniform in the open-closed interval (0, 1], a multiple of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        let bits = self.generator.next_u32() >> 8;
        (bits + 1) as f32 * (1.0 / 16_777_216.0)
    }

    /// The next standard normal number; its magnitude is at most 5.77.
    pub fn gaussian(&mut self) -> f32 {
        self.drawn = self.drawn.wrapping_add(1);
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = functions::sqrt(-2.0 * functions::log(self.uniform()));
        let angle = self.uniform() * core::f32::consts::TAU;
        self.spare = Some(radius * functions::sin(angle));
        radius * functions::cos(angle)
    }

    /// A choice among as many as there are `logits`, drawn with probabilities in proportion to their exponentials (a
    /// softmax): how a policy with discrete actions acts when it samples. The choice does not depend on a constant added to
    /// all logits. One uniform number a call; 0 for no logits.
    ///
    /// ```
    /// use pliant_runtime::noise::Noise;
    ///
    /// let mut noise = Noise::seeded(3);
    /// // ln 3 and ln 1: three times as likely.
    /// let first = (0..4000).filter(|_| noise.choose(&[1.0986, 0.0]) == 0).count();
    /// assert!((2900..3100).contains(&first));
    /// ```
    pub fn choose(&mut self, logits: &[f32]) -> usize {
        let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
        let weight = |logit: &f32| functions::exp(logit - greatest);
        let total: f32 = logits.iter().map(weight).sum();
        let mut left = self.uniform() * total;
        for (index, logit) in logits.iter().enumerate() {
            left -= weight(logit);
            if left <= 0.0 {
                return index;
            }
        }
        logits.len().saturating_sub(1)
    }

    /// Standard normal numbers drawn since the seed; wraps. With the seed it says where in the stream this is.
    pub const fn drawn(&self) -> u32 {
        self.drawn
    }

    /// Fills a slice with standard normal numbers.
    pub fn fill(&mut self, values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = self.gaussian());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseeded_is_the_seed_zero() {
        let (mut unseeded, mut zero) = (Noise::unseeded(), Noise::seeded(0));
        for _ in 0..10 {
            assert_eq!(unseeded.gaussian().to_bits(), zero.gaussian().to_bits());
        }
    }
}
