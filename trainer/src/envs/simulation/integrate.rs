//! One integration step of a differential equation.

use super::{Number, replaced};

/// One classical fourth-order Runge-Kutta step of `period` seconds from `start`, along `derivative` (per second).
///
/// ```
/// use pliant_trainer::envs::runge_kutta;
/// // x' = -x from 1: exp(-0.1) after 0.1 s.
/// let [x] = runge_kutta([1.0f32], 0.1, |[x]| [-x]);
/// assert!((x - 0.904_837_4).abs() < 1e-6);
/// ```
#[inline(always)]
pub fn runge_kutta<T: Number, const N: usize>(
    start: [T; N],
    period: f32,
    derivative: impl Fn([T; N]) -> [T; N],
) -> [T; N] {
    let first = derivative(start);
    let second = derivative(ahead(start, 0.5 * period, &first));
    let third = derivative(ahead(start, 0.5 * period, &second));
    let fourth = derivative(ahead(start, period, &third));
    replaced(start, |i| {
        start[i] + (first[i] + (second[i] + third[i]) * 2.0 + fourth[i]) * (period / 6.0)
    })
}

/// Along `slope` for so long.
#[inline(always)]
fn ahead<T: Number, const N: usize>(start: [T; N], by: f32, slope: &[T; N]) -> [T; N] {
    replaced(start, |i| start[i] + slope[i] * by)
}

/// How far `value` is from 0, as a cost: like its size from `near` on, like its square inside; its slope does not fade
/// with the distance before that, which is what teaches a recurrent policy to leave no constant offset.
#[inline(always)]
pub fn smooth_distance<T: Number>(squared: T, near: f32) -> T {
    (squared + near * near).sqrt() - near
}
