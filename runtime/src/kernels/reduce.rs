//! Sums and maxima over one dimension, in index order, vectorised across the outputs.

use super::COMPACT;
use super::arithmetic::Ops;
use super::functions as f;
use crate::image::record::Reduce as Function;

/// A decoded record: `a` is `[outer][reduced][inner]`, the output `[outer][inner]`.
pub(super) struct Reduce<'a> {
    pub(super) a: &'a [f32],
    pub(super) reduced: usize,
    pub(super) inner: usize,
    pub(super) scale: f32,
    pub(super) function: Function,
    pub(super) accumulate: bool,
}

/// Columns in registers at once.
const WIDE: usize = 64;
/// Columns in registers for what is left.
const NARROW: usize = 8;
/// Rows from this length on are worth as many running sums each as the registers hold, where their order is free.
const LONG: usize = 8 * WIDE;
/// Running sums of shorter rows: one vector.
const VECTOR: usize = 16;
/// Rows summed side by side where there is one column.
const ROWS: usize = 8;

#[inline(always)]
pub(super) fn run<O: Ops>(p: &Reduce<'_>, out: &mut [f32]) {
    if COMPACT {
        return one_by_one(p, out);
    }
    match p.function {
        Function::Sum if p.inner == 1 && O::REASSOCIATE && p.reduced >= LONG => sum_rows_any_order::<WIDE>(p, out),
        Function::Sum if p.inner == 1 && O::REASSOCIATE && p.reduced >= VECTOR => sum_rows_any_order::<VECTOR>(p, out),
        Function::Sum => run_with::<false>(p, out),
        Function::Max => run_with::<true>(p, out),
    }
    if p.scale != 1.0 {
        out.iter_mut().for_each(|out| *out *= p.scale);
    }
}

/// Each output by itself, in little code.
fn one_by_one(p: &Reduce<'_>, out: &mut [f32]) {
    let max = p.function == Function::Max;
    let (mut plane, mut column) = (p.a, 0usize);
    for out in out {
        let mut sum = match (p.accumulate, max) {
            (true, _) => *out,
            (false, true) => f32::NEG_INFINITY,
            (false, false) => 0.0,
        };
        let mut at = column;
        for _ in 0..p.reduced {
            let value = plane.get(at).copied().unwrap_or(0.0);
            sum = if max { f::max(sum, value) } else { sum + value };
            at = at.wrapping_add(p.inner);
        }
        *out = if p.scale == 1.0 { sum } else { sum * p.scale };
        column = column.wrapping_add(1);
        if column == p.inner {
            column = 0;
            plane = plane.get(p.reduced.wrapping_mul(p.inner)..).unwrap_or(&[]);
        }
    }
}

/// The larger (`MAX`) or the sum.
#[inline(always)]
fn combine<const MAX: bool>(a: f32, b: f32) -> f32 {
    if MAX { f::max(a, b) } else { a + b }
}

#[inline(always)]
fn run_with<const MAX: bool>(p: &Reduce<'_>, out: &mut [f32]) {
    if !p.accumulate {
        out.fill(if MAX { f32::NEG_INFINITY } else { 0.0 });
    }
    if p.inner == 1 {
        rows::<MAX>(p.a, p.reduced, out);
        return;
    }
    let plane = p.reduced.wrapping_mul(p.inner).max(1);
    for (a, out) in p.a.chunks_exact(plane).zip(out.chunks_exact_mut(p.inner.max(1))) {
        let mut column = 0;
        while column < p.inner {
            let left = p.inner - column;
            column = column.wrapping_add(if left >= WIDE {
                columns::<MAX, WIDE>(a, p.inner, column, out)
            } else if left >= NARROW {
                columns::<MAX, NARROW>(a, p.inner, column, out)
            } else if left >= 4 {
                columns::<MAX, 4>(a, p.inner, column, out)
            } else {
                columns::<MAX, 1>(a, p.inner, column, out)
            });
        }
    }
}

/// Reduces `WIDTH` columns and gives `WIDTH`.
#[inline(always)]
fn columns<const MAX: bool, const WIDTH: usize>(a: &[f32], inner: usize, column: usize, out: &mut [f32]) -> usize {
    if let Some(out) = out.get_mut(column..).and_then(|out| out.first_chunk_mut::<WIDTH>()) {
        let mut sums = *out;
        for row in a.chunks_exact(inner.max(1)) {
            let Some(row) = row.get(column..).and_then(|row| row.first_chunk::<WIDTH>()) else {
                break;
            };
            for j in 0..WIDTH {
                sums[j] = combine::<MAX>(sums[j], row[j]);
            }
        }
        *out = sums;
    }
    WIDTH
}

/// Reduces rows to one value each, several rows side by side: each still in index order.
#[inline(always)]
fn rows<const MAX: bool>(a: &[f32], reduced: usize, out: &mut [f32]) {
    let reduced = reduced.max(1);
    let (groups, last) = out.as_chunks_mut::<ROWS>();
    let mut rest = a;
    for group in groups {
        let mut lanes: [&[f32]; ROWS] = [&[]; ROWS];
        for lane in &mut lanes {
            let Some((row, after)) = rest.split_at_checked(reduced) else {
                return;
            };
            (*lane, rest) = (row, after);
        }
        let mut sums = *group;
        for i in 0..reduced {
            for (sum, lane) in sums.iter_mut().zip(&lanes) {
                let Some(&value) = lane.get(i) else { return };
                *sum = combine::<MAX>(*sum, value);
            }
        }
        *group = sums;
    }
    for (out, row) in last.iter_mut().zip(rest.chunks_exact(reduced)) {
        *out = row.iter().fold(*out, |sum, &value| combine::<MAX>(sum, value));
    }
}

/// Sums rows with `SUMS` running sums each.
#[inline(always)]
fn sum_rows_any_order<const SUMS: usize>(p: &Reduce<'_>, out: &mut [f32]) {
    for (row, out) in p.a.chunks_exact(p.reduced.max(1)).zip(out) {
        let mut sums = [0.0f32; SUMS];
        let (blocks, rest) = row.as_chunks::<SUMS>();
        for block in blocks {
            for j in 0..SUMS {
                sums[j] += block[j];
            }
        }
        let mut width = SUMS;
        while width > 1 {
            width /= 2;
            for j in 0..width {
                sums[j] += sums[j + width];
            }
        }
        let sum = sums[0] + rest.iter().sum::<f32>();
        *out = if p.accumulate { *out + sum } else { sum };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arithmetic::Rounded;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    #[test]
    fn one_by_one_gives_the_same_bits() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(1);
        for _ in 0..if cfg!(miri) { 4 } else { 400 } {
            let mut pick = |limit: u32| (random.next_u32() % limit) as usize;
            let (outer, reduced, inner) = (1 + pick(4), 1 + pick(20), [1, 3, 8, 70, 1 + pick(90)][pick(5)]);
            let (accumulate, max, scale) = (pick(2) == 1, pick(2) == 1, [1.0, 0.3][pick(2)]);
            let mut data = [0.0f32; 4 * 20 * 90];
            data.fill_with(|| random.next_u32() as f32 / 4e8 - 5.0);
            let p = Reduce {
                a: &data[..outer * reduced * inner],
                reduced,
                inner,
                scale,
                function: if max { Function::Max } else { Function::Sum },
                accumulate,
            };
            let mut fast = [0.5f32; 4 * 90];
            let mut slow = fast;
            run::<Rounded>(&p, &mut fast[..outer * inner]);
            one_by_one(&p, &mut slow[..outer * inner]);
            assert_eq!(
                fast.map(f32::to_bits),
                slow.map(f32::to_bits),
                "{outer} {reduced} {inner}"
            );
        }
    }
}
