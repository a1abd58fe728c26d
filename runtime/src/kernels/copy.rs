//! Strided copies of up to four dimensions: transposes, slices, concatenation, broadcasts.

use super::COMPACT;

/// One dimension: length, stride in the output, stride in the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    len: usize,
    out: usize,
    a: usize,
}

const ONE: Axis = Axis { len: 1, out: 0, a: 0 };

/// Side of the square blocks of a transpose.
pub(super) const BLOCK: usize = 8;
/// Columns of what is left beside the blocks.
const HALF: usize = BLOCK / 2;

/// How one instruction set turns a block over: the compiler does it an element at a time.
pub(super) trait Blocks {
    /// The block with rows and columns exchanged.
    #[inline(always)]
    fn transposed(block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
        core::array::from_fn(|column| core::array::from_fn(|row| block[row][column]))
    }
}

/// Copies `a` to `out`; both start at the first element copied.
#[inline(always)]
pub(super) fn run<T: Blocks>(
    dims: [usize; 4],
    out_strides: [usize; 4],
    a_strides: [usize; 4],
    a: &[f32],
    out: &mut [f32],
) {
    if COMPACT {
        return one_by_one(dims, out_strides, a_strides, a, out);
    }
    let mut axes: [Axis; 4] = core::array::from_fn(|i| Axis {
        len: dims[i],
        out: out_strides[i],
        a: a_strides[i],
    });
    tidy(&mut axes);
    let [x0, x1, x2, x3] = axes;
    // The two outer dimensions are plain loops.
    for i0 in 0..x0.len {
        for i1 in 0..x1.len {
            let out_at = i0.wrapping_mul(x0.out).wrapping_add(i1.wrapping_mul(x1.out));
            let a_at = i0.wrapping_mul(x0.a).wrapping_add(i1.wrapping_mul(x1.a));
            let (Some(out), Some(a)) = (out.get_mut(out_at..), a.get(a_at..)) else {
                return;
            };
            plane::<T>(x2, x3, a, out);
        }
    }
}

/// Each element by itself, in little code.
fn one_by_one(dims: [usize; 4], out_strides: [usize; 4], a_strides: [usize; 4], a: &[f32], out: &mut [f32]) {
    // The last dimension first, each with its index.
    let [d0, d1, d2, d3] = core::array::from_fn(|i| {
        let axis = Axis {
            len: dims[i],
            out: out_strides[i],
            a: a_strides[i],
        };
        (axis, 0usize)
    });
    let mut axes = [d3, d2, d1, d0];
    let (mut out_at, mut a_at) = (0usize, 0usize);
    'elements: loop {
        if let (Some(to), Some(from)) = (out.get_mut(out_at), a.get(a_at)) {
            *to = *from;
        }
        for (axis, index) in &mut axes {
            *index = index.wrapping_add(1);
            out_at = out_at.wrapping_add(axis.out);
            a_at = a_at.wrapping_add(axis.a);
            if *index < axis.len {
                continue 'elements;
            }
            *index = 0;
            out_at = out_at.wrapping_sub(axis.len.wrapping_mul(axis.out));
            a_at = a_at.wrapping_sub(axis.len.wrapping_mul(axis.a));
        }
        return;
    }
}

/// Outermost first by output stride; lengths of one gone; dimensions both sides run through without a jump joined; and
/// if some dimension is contiguous in the operand, it comes last or last but one.
#[inline(always)]
fn tidy(axes: &mut [Axis; 4]) {
    for axis in axes.iter_mut() {
        if axis.len == 1 {
            *axis = ONE;
        }
    }
    // Lengths of one first, then falling output strides (four elements: a plain exchange sort).
    let rank = |axis: &Axis| if axis.len == 1 { usize::MAX } else { axis.out };
    for _ in 0..3 {
        for i in 0..3 {
            if rank(&axes[i]) < rank(&axes[i + 1]) {
                axes.swap(i, i + 1);
            }
        }
    }
    // Join from the inside out, each joined pair making room at the front.
    let mut i = 3;
    while i > 0 {
        let (outer, inner) = (axes[i - 1], axes[i]);
        let joins = outer.len > 1
            && outer.out == inner.out.wrapping_mul(inner.len)
            && outer.a == inner.a.wrapping_mul(inner.len);
        if joins {
            axes[i] = Axis {
                len: outer.len.wrapping_mul(inner.len),
                ..inner
            };
            let mut j = i - 1;
            while j > 0 {
                axes[j] = axes[j - 1];
                j -= 1;
            }
            axes[0] = ONE;
        } else {
            i -= 1;
        }
    }
    // A transpose: the dimension that is contiguous in the operand next to the one contiguous in the output.
    if axes[3].a != 1 {
        for i in 0..2 {
            if axes[i].len > 1 && axes[i].a == 1 {
                axes.swap(i, 2);
            }
        }
    }
}

/// Copies two dimensions.
#[inline(always)]
fn plane<T: Blocks>(x: Axis, y: Axis, a: &[f32], out: &mut [f32]) {
    if y.out == 1 && y.a != 1 && x.a == 1 && x.len >= BLOCK && y.len >= HALF {
        transpose::<T>(x, y, a, out);
        return;
    }
    for i in 0..x.len {
        let (Some(out), Some(a)) = (out.get_mut(i.wrapping_mul(x.out)..), a.get(i.wrapping_mul(x.a)..)) else {
            return;
        };
        row(y, a, out);
    }
}

/// Copies one dimension.
#[inline(always)]
fn row(y: Axis, a: &[f32], out: &mut [f32]) {
    match (y.out, y.a) {
        (1, 1) => out.iter_mut().zip(a).take(y.len).for_each(|(to, &from)| *to = from),
        (1, 0) => {
            let value = a.first().copied().unwrap_or(0.0);
            out.iter_mut().take(y.len).for_each(|to| *to = value);
        }
        _ => {
            let (mut out_at, mut a_at) = (0usize, 0usize);
            for _ in 0..y.len {
                let (Some(to), Some(&from)) = (out.get_mut(out_at), a.get(a_at)) else {
                    return;
                };
                *to = from;
                out_at = out_at.wrapping_add(y.out);
                a_at = a_at.wrapping_add(y.a);
            }
        }
    }
}

/// Copies two dimensions, `x` contiguous in the operand and `y` in the output, in square blocks.
#[inline(always)]
fn transpose<T: Blocks>(x: Axis, y: Axis, a: &[f32], out: &mut [f32]) {
    let (x_blocks, y_blocks) = (x.len / BLOCK, y.len / BLOCK);
    for i in 0..x_blocks {
        for j in 0..y_blocks {
            let _ = transpose_block::<T, BLOCK>(x, y, i * BLOCK, j * BLOCK, a, out);
        }
    }
    let (x_done, mut y_done) = (x_blocks * BLOCK, y_blocks * BLOCK);
    if y.len - y_done >= HALF {
        for i in 0..x_blocks {
            let _ = transpose_block::<T, HALF>(x, y, i * BLOCK, y_done, a, out);
        }
        y_done += HALF;
    }
    // Right edge of every row, then the rows left.
    for i in 0..x.len {
        let start = if i < x_done { y_done } else { 0 };
        let out_at = i.wrapping_mul(x.out).wrapping_add(start);
        let a_at = i.wrapping_add(start.wrapping_mul(y.a));
        if start < y.len {
            let (Some(out), Some(a)) = (out.get_mut(out_at..), a.get(a_at..)) else {
                return;
            };
            row(
                Axis {
                    len: y.len - start,
                    ..y
                },
                a,
                out,
            );
        }
    }
}

/// Copies a block of `WIDTH` columns of the output, of as many rows of the operand.
#[inline(always)]
fn transpose_block<T: Blocks, const WIDTH: usize>(
    x: Axis,
    y: Axis,
    i: usize,
    j: usize,
    a: &[f32],
    out: &mut [f32],
) -> Option<()> {
    let mut block = [[0.0f32; BLOCK]; BLOCK];
    let mut a_at = i.wrapping_add(j.wrapping_mul(y.a));
    for row in block.iter_mut().take(WIDTH) {
        *row = *a.get(a_at..)?.first_chunk::<BLOCK>()?;
        a_at = a_at.wrapping_add(y.a);
    }
    let mut out_at = i.wrapping_mul(x.out).wrapping_add(j);
    for column in T::transposed(block) {
        *out.get_mut(out_at..)?.first_chunk_mut::<WIDTH>()? = *column.first_chunk::<WIDTH>()?;
        out_at = out_at.wrapping_add(x.out);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    struct Plain;

    impl Blocks for Plain {}

    #[test]
    fn one_by_one_copies_the_same() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(1);
        for _ in 0..if cfg!(miri) { 4 } else { 2000 } {
            let mut pick = |limit: u32| (random.next_u32() % limit) as usize;
            let dims: [usize; 4] = core::array::from_fn(|_| [1, 2, 3, 1 + pick(9)][pick(4)]);
            // The output in any order of dimensions, with gaps; the operand with any strides.
            let mut order = [0, 1, 2, 3];
            order.swap(pick(4), pick(4));
            order.swap(pick(4), pick(4));
            let (mut out_strides, mut stride) = ([0; 4], 1 + pick(2));
            for axis in order {
                out_strides[axis] = stride;
                stride *= dims[axis];
            }
            let a_strides = core::array::from_fn(|_| pick(40));
            let a: [f32; 4 * 40 * 9] = core::array::from_fn(|i| i as f32);
            let mut fast = [-1.0f32; 2 * 9 * 9 * 9 * 9];
            let mut slow = fast;
            run::<Plain>(dims, out_strides, a_strides, &a, &mut fast);
            one_by_one(dims, out_strides, a_strides, &a, &mut slow);
            assert!(fast == slow, "{dims:?} {out_strides:?} {a_strides:?}");
        }
    }
}
