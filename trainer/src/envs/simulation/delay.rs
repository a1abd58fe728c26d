//! Actions that arrive late.

use super::Number;

/// Most control periods that an action may be late.
pub const MOST_PERIODS: f32 = 3.0;

/// Weights of the newest action and of the three before it where actions are `periods` control periods late, 0 to
/// [`MOST_PERIODS`]: between two periods, both have a share.
pub fn delay_weights(periods: f32) -> [f32; 4] {
    let periods = periods.clamp(0.0, MOST_PERIODS);
    let whole = (periods as usize).min(2);
    let share = periods - whole as f32;
    let mut weights = [0.0; 4];
    weights[whole] = 1.0 - share;
    weights[whole + 1] = share;
    weights
}

/// The action that arrives: `history` is the newest action and the three before it.
#[inline(always)]
pub fn delayed<T: Number>(history: [T; 4], weights: &[T; 4]) -> T {
    let mut sum = history[0] * weights[0];
    for (action, weight) in history.into_iter().zip(weights).skip(1) {
        sum = sum + action * *weight;
    }
    sum
}
