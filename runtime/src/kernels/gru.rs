//! The gates of a gated recurrent unit, from its two products to the next state, in one pass.
//!
//! The same operations in the same order as the elementwise records it stands for, so the same bits; no gate is ever in
//! memory.

use super::COMPACT;
use super::elementwise::Source;
use super::functions as f;

/// A decoded record; slices are exactly as long as the dimensions say.
pub(super) struct Gru<'a> {
    /// `[outer][3][count]`: the input's share of the reset gate, the update gate and the candidate.
    pub(super) input: &'a [f32],
    /// `[outer][3][count]`: the state's share.
    pub(super) recurrent: &'a [f32],
    /// `[outer][count]`: the state.
    pub(super) state: Source<'a>,
    pub(super) count: usize,
}

#[inline(always)]
pub(super) fn run(p: &Gru<'_>, out: &mut [f32]) {
    // Where the state is the output it is there already.
    if let Source::Values(state) = p.state {
        for (to, from) in out.iter_mut().zip(state) {
            *to = *from;
        }
    }
    let count = p.count.max(1);
    let gates = count.wrapping_mul(3);
    let products = p.input.chunks(gates).zip(p.recurrent.chunks(gates));
    for (state, (input, recurrent)) in out.chunks_mut(count).zip(products) {
        let _ = block(input, recurrent, state);
    }
}

/// `None` if a slice is too short, which the checks of the plan rule out.
#[inline(always)]
fn block(input: &[f32], recurrent: &[f32], state: &mut [f32]) -> Option<()> {
    let count = state.len();
    let (input_reset, rest) = input.split_at_checked(count)?;
    let (input_update, input_candidate) = rest.split_at_checked(count)?;
    let (reset, rest) = recurrent.split_at_checked(count)?;
    let (update, candidate) = rest.split_at_checked(count)?;
    let input = input_reset.iter().zip(input_update).zip(input_candidate);
    let recurrent = reset.iter().zip(update).zip(candidate);
    for ((state, ((a0, a1), a2)), ((b0, b1), b2)) in state.iter_mut().zip(input).zip(recurrent) {
        let shares = [(*a0, *b0), (*a1, *b1), (*a2, *b2)];
        *state = if COMPACT {
            next_compact(shares, *state)
        } else {
            next(shares, *state)
        };
    }
    Some(())
}

/// The next state of one element.
#[inline(always)]
fn next([(a0, b0), (a1, b1), (a2, b2)]: [(f32, f32); 3], state: f32) -> f32 {
    let reset = f::sigmoid(a0 + b0);
    let update = f::sigmoid(a1 + b1);
    let candidate = f::tanh(a2 + reset * b2);
    (1.0 - update) * candidate + update * state
}

/// The same with the code of one tanh: what the gates do beside it is a factor, which changes nothing where it is 1, and a
/// summand, which changes nothing where it is minus zero.
#[inline(always)]
fn next_compact(shares: [(f32, f32); 3], state: f32) -> f32 {
    let mut gates = [1.0f32; 3];
    for (index, (a, b)) in shares.into_iter().enumerate() {
        let (weight, slope, shift) = match index {
            0 | 1 => (1.0, 0.5, 0.5),
            _ => (gates[0], 1.0, -0.0),
        };
        gates[index] = slope * f::tanh(slope * (a + weight * b)) + shift;
    }
    let [_, update, candidate] = gates;
    (1.0 - update) * candidate + update * state
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    #[test]
    fn the_same_bits_in_little_code() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(9);
        let mut number = || match random.next_u32() % 12 {
            0 => 0.0,
            1 => -0.0,
            2 => f32::INFINITY,
            3 => f32::NAN,
            4 => f32::from_bits(random.next_u32()),
            _ => (random.next_u32() as f32 / 4e8) - 5.0,
        };
        for _ in 0..if cfg!(miri) { 100 } else { 100_000 } {
            let shares = [(); 3].map(|()| (number(), number()));
            let state = number();
            let (one, other) = (next(shares, state), next_compact(shares, state));
            let same = one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan();
            assert!(same, "{shares:?} {state}: {one} is not {other}");
        }
    }
}
