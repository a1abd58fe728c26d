//! The gates of a gated recurrent unit, from its two products to the next state, in one pass.
//!
//! The same operations in the same order as the elementwise records it stands for, so the same bits; no gate is ever in
//! memory.

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
        let reset = f::sigmoid(a0 + b0);
        let update = f::sigmoid(a1 + b1);
        let candidate = f::tanh(a2 + reset * b2);
        *state = (1.0 - update) * candidate + update * *state;
    }
    Some(())
}
