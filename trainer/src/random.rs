//! Named random streams: one seed governs everything, and no stream depends on how often another was drawn from.
//!
//! A stream is found by its seed, its name and a list of indices (iteration, task, inner step), so that tasks can be
//! drawn and simulated on any number of threads in any order and still give the same numbers.

use core::convert::Infallible;

use rand_core::{Rng, SeedableRng, TryRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    generator: Xoshiro256PlusPlus,
    extreme: bool,
}

impl Stream {
    /// The same stream, of which [`uniform`] makes draws that crowd at both ends of their range: the arcsine distribution,
    /// of which the tenths at the ends hold 41 %. What is hard often lies in a corner of several ranges, where plain draws
    /// hardly ever are. All else that is drawn from the stream stays as it is.
    ///
    /// ```
    /// use pliant_trainer::random::{stream, uniform};
    /// let mut random = stream(0, "example", &[]).extreme();
    /// let outside = (0..10_000).filter(|_| uniform(&mut random, -1.0, 1.0).abs() > 0.8).count();
    /// assert!((3_900..4_300).contains(&outside));
    /// ```
    pub fn extreme(self) -> Self {
        Self { extreme: true, ..self }
    }
}

impl SeedableRng for Stream {
    type Seed = <Xoshiro256PlusPlus as SeedableRng>::Seed;

    fn from_seed(seed: Self::Seed) -> Self {
        Self {
            generator: Xoshiro256PlusPlus::from_seed(seed),
            extreme: false,
        }
    }

    fn seed_from_u64(seed: u64) -> Self {
        Self {
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
            extreme: false,
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.generator.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.generator.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.generator.try_fill_bytes(bytes)
    }
}

/// Opens the stream `name` of `seed` at `indices`.
///
/// ```
/// use pliant_trainer::random::{stream, uniform};
/// let draw = |name, index| uniform(&mut stream(7, name, &[index]), -1.0, 1.0);
/// assert_eq!(draw("goals", 3), draw("goals", 3));
/// assert_ne!(draw("goals", 3), draw("goals", 4));
/// assert_ne!(draw("goals", 3), draw("noise", 3));
/// ```
pub fn stream(seed: u64, name: &str, indices: &[u64]) -> Stream {
    // The key separates the names; the SplitMix64 finaliser spreads neighbouring seeds and indices.
    let state = indices.iter().fold(mix(mix(seed) ^ stream_key(name)), |state, &index| {
        mix(state ^ mix(index))
    });
    Stream::seed_from_u64(state)
}

/// A name as a number (FNV-1a): an index of a [`stream`] that belongs to what bears the name.
///
/// ```
/// use pliant_trainer::random::stream_key;
/// assert_ne!(stream_key("pendulum"), stream_key("cart-pole"));
/// ```
pub fn stream_key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014): adds the golden gamma, then finalises.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// One draw from the uniform distribution on `[low, high)`, with 24 random bits; from the arcsine distribution on it, where
/// the stream is [`extreme`](Stream::extreme).
pub fn uniform(random: &mut Stream, low: f32, high: f32) -> f32 {
    let share = unit(random.next_u32());
    let share = if random.extreme {
        0.5 - 0.5 * libm::cosf(core::f32::consts::PI * share)
    } else {
        share
    };
    low + (high - low) * share
}

/// Fills `values` with independent standard normal draws (Box and Muller 1958), two from each pair of uniforms.
pub fn fill_standard_normal(random: &mut impl Rng, values: &mut [f32]) {
    for pair in values.chunks_mut(2) {
        let bits = random.next_u64();
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit(bits as u32)).ln()).sqrt();
        let (sine, cosine) = (core::f32::consts::TAU * unit((bits >> 32) as u32)).sin_cos();
        pair[0] = radius * cosine;
        if let Some(second) = pair.get_mut(1) {
            *second = radius * sine;
        }
    }
}

/// The top 24 of 32 random bits as a number in `[0, 1)`.
fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_moments() {
        let mut values = vec![0.0; 200_000];
        fill_standard_normal(&mut stream(0, "test", &[]), &mut values);
        let moment = |power: i32| values.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 0.01);
        assert!((moment(2) - 1.0).abs() < 0.02);
        assert!((moment(4) - 3.0).abs() < 0.1);
    }

    #[test]
    fn an_odd_length_is_filled_to_the_end() {
        let mut values = [f32::NAN; 3];
        fill_standard_normal(&mut stream(0, "test", &[]), &mut values);
        assert!(values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn streams_differ_by_seed_name_index_and_depth() {
        let first = |seed, name, indices: &[u64]| stream(seed, name, indices).next_u64();
        let draws = [
            first(0, "a", &[]),
            first(1, "a", &[]),
            first(0, "b", &[]),
            first(0, "a", &[0]),
            first(0, "a", &[1]),
            first(0, "a", &[0, 0]),
            first(0, "a", &[0, 1]),
            first(0, "a", &[1, 0]),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b));
        }
    }
}
