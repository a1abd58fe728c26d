//! Unary, binary and ternary functions with broadcasting.
//!
//! Every call is cut into blocks of contiguous outputs. An operand that is contiguous there too is read where it lies;
//! otherwise (broadcast, strided, or the output itself) its values are first laid out in a small buffer. So each
//! function is one plain loop over equally long slices, which vectorises, whatever the strides. Small cores, where there is
//! nothing to vectorise and code is dear, take [`compact`] instead.

pub(super) mod compact;

use super::COMPACT;
use super::functions as f;
use crate::image::record::{Binary, Ternary, Unary};

/// Outputs of one block.
const BLOCK: usize = 256;

/// Rows shorter than this share a block.
const SHORT: usize = BLOCK / 4;

/// Values of the widest vector: rows shorter than this are not worth a loop each.
const VECTOR: usize = 16;

/// Where an operand's values come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The output's old values.
    Output,
    /// Values outside the output.
    Values(&'a [f32]),
}

/// An operand: where from, and how far apart its values are along each dimension.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) source: Source<'a>,
    pub(super) strides: [usize; 3],
}

/// What to compute for one block.
trait Function<const N: usize> {
    fn apply(&self, operands: [&[f32]; N], out: &mut [f32]);
}

/// `map!(out, a, b => value)` is `out[i] = value` for each element of `a` and `b`. A macro, not a function that takes a
/// closure: a closure is a function of its own, compiled for the baseline wherever it is not inlined.
macro_rules! map {
    ($out:ident; $a:ident => $value:expr) => {
        for (out, &$a) in $out.iter_mut().zip($a) {
            *out = $value;
        }
    };
    ($out:ident; $a:ident, $b:ident => $value:expr) => {
        for ((out, &$a), &$b) in $out.iter_mut().zip($a).zip($b) {
            *out = $value;
        }
    };
    ($out:ident; $a:ident, $b:ident, $c:ident => $value:expr) => {
        for (((out, &$a), &$b), &$c) in $out.iter_mut().zip($a).zip($b).zip($c) {
            *out = $value;
        }
    };
}

pub(super) use map;

/// `one!(; a, b => value)` is the value.
macro_rules! one {
    (; $($operand:ident),+ => $value:expr) => {
        $value
    };
}

// What each function is, for `map!` and `one!` alike.

/// A unary function and its parameters.
#[derive(Clone, Copy)]
pub(super) struct UnaryFunction {
    pub(super) function: Unary,
    pub(super) parameters: [f32; 2],
}

macro_rules! unary_functions {
    ($each:ident!($($out:ident)?; $a:ident), $function:expr) => {{
        let UnaryFunction { function, parameters: [p, q] } = $function;
        match function {
            Unary::Identity => $each!($($out)?; $a => $a),
            Unary::Neg => $each!($($out)?; $a => -$a),
            Unary::Abs => $each!($($out)?; $a => $a.abs()),
            Unary::Sqrt => $each!($($out)?; $a => f::sqrt($a)),
            #[cfg(feature = "kernel-transcendental")]
            Unary::Exp => $each!($($out)?; $a => f::exp($a)),
            #[cfg(feature = "kernel-transcendental")]
            Unary::Log => $each!($($out)?; $a => f::log($a)),
            #[cfg(feature = "kernel-transcendental")]
            Unary::Sin => $each!($($out)?; $a => f::sin($a)),
            #[cfg(feature = "kernel-transcendental")]
            Unary::Cos => $each!($($out)?; $a => f::cos($a)),
            Unary::Tanh => $each!($($out)?; $a => f::tanh($a)),
            Unary::Sigmoid => $each!($($out)?; $a => f::sigmoid($a)),
            Unary::Relu => $each!($($out)?; $a => f::relu($a)),
            #[cfg(feature = "kernel-transcendental")]
            Unary::Softplus => $each!($($out)?; $a => f::softplus($a)),
            Unary::Not => $each!($($out)?; $a => 1.0 - $a),
            Unary::Clip => $each!($($out)?; $a => f::clip($a, p, q)),
            Unary::Reciprocal => $each!($($out)?; $a => 1.0 / $a),
            Unary::Square => $each!($($out)?; $a => $a * $a),
            Unary::Affine => $each!($($out)?; $a => $a * p + q),
            Unary::Sign => $each!($($out)?; $a => f::sign($a)),
            // The checks of the plan rule the others out.
            #[cfg(not(feature = "kernel-transcendental"))]
            _ => $each!($($out)?; $a => $a),
        }
    }};
}

macro_rules! binary_functions {
    ($each:ident!($($out:ident)?; $a:ident, $b:ident), $function:expr) => {
        match $function {
            Binary::Add => $each!($($out)?; $a, $b => $a + $b),
            Binary::Sub => $each!($($out)?; $a, $b => $a - $b),
            Binary::Mul => $each!($($out)?; $a, $b => $a * $b),
            Binary::Div => $each!($($out)?; $a, $b => $a / $b),
            #[cfg(feature = "kernel-transcendental")]
            Binary::Pow => $each!($($out)?; $a, $b => f::pow($a, $b)),
            Binary::Min => $each!($($out)?; $a, $b => f::min($a, $b)),
            Binary::Max => $each!($($out)?; $a, $b => f::max($a, $b)),
            Binary::Greater => $each!($($out)?; $a, $b => f::truth($a > $b)),
            Binary::Less => $each!($($out)?; $a, $b => f::truth($a < $b)),
            Binary::Equal => $each!($($out)?; $a, $b => f::truth($a == $b)),
            Binary::And => $each!($($out)?; $a, $b => f::truth(($a != 0.0) & ($b != 0.0))),
            Binary::Or => $each!($($out)?; $a, $b => f::truth(($a != 0.0) | ($b != 0.0))),
            #[cfg(feature = "kernel-gradient")]
            Binary::TanhGradient => $each!($($out)?; $a, $b => $a * (1.0 - $b * $b)),
            #[cfg(feature = "kernel-gradient")]
            Binary::ReluGradient => $each!($($out)?; $a, $b => f::relu_gradient($a, $b)),
            #[cfg(feature = "kernel-gradient")]
            Binary::SigmoidGradient => $each!($($out)?; $a, $b => $a * ($b * (1.0 - $b))),
            // The checks of the plan rule the others out.
            #[cfg(not(all(feature = "kernel-transcendental", feature = "kernel-gradient")))]
            _ => $each!($($out)?; $a, $b => $a + $b),
        }
    };
}

macro_rules! ternary_functions {
    ($each:ident!($($out:ident)?; $a:ident, $b:ident, $c:ident), $function:expr) => {
        match $function {
            Ternary::Where => $each!($($out)?; $a, $b, $c => if $a != 0.0 { $b } else { $c }),
            Ternary::AddProduct => $each!($($out)?; $a, $b, $c => $a + $b * $c),
            Ternary::SubProduct => $each!($($out)?; $a, $b, $c => $a - $b * $c),
        }
    };
}

use {binary_functions, one, ternary_functions, unary_functions};

impl Function<1> for UnaryFunction {
    #[inline(always)]
    fn apply(&self, [a]: [&[f32]; 1], out: &mut [f32]) {
        unary_functions!(map!(out; a), *self);
    }
}

impl Function<2> for Binary {
    #[inline(always)]
    fn apply(&self, [a, b]: [&[f32]; 2], out: &mut [f32]) {
        binary_functions!(map!(out; a, b), self);
    }
}

impl Function<3> for Ternary {
    #[inline(always)]
    fn apply(&self, [a, b, c]: [&[f32]; 3], out: &mut [f32]) {
        ternary_functions!(map!(out; a, b, c), self);
    }
}

/// `out[i] = function(a[i])`, of the output's own old values without an operand.
#[inline(always)]
pub(super) fn unary(function: UnaryFunction, a: Source<'_>, out: &mut [f32]) {
    if COMPACT {
        return compact::unary(function, a, out);
    }
    match a {
        Source::Values(a) => function.apply([a], out),
        // Activations of layers: in place.
        Source::Output if function.function == Unary::Tanh => {
            for a in out {
                *a = f::tanh(*a);
            }
        }
        Source::Output if function.function == Unary::Relu => {
            for a in out {
                *a = f::relu(*a);
            }
        }
        Source::Output => {
            let mut buffer = [0.0; SHORT];
            for block in out.chunks_mut(SHORT) {
                let old = copy_into(&mut buffer, block);
                function.apply([old], block);
            }
        }
    }
}

/// `out = function(a, b)` over three dimensions.
#[inline(always)]
pub(super) fn binary(function: Binary, dims: [usize; 3], operands: [Strided<'_>; 2], out: &mut [f32]) {
    if COMPACT {
        return compact::binary(function, dims, operands, out);
    }
    if !by_rows(function, dims, operands, out) {
        broadcast(&function, dims, operands, out);
    }
}

/// A sum or product of rows with one number each: a layer's bias, or a scale, where the batch lies in columns. Gives
/// false, and does nothing, if it is something else.
#[inline(always)]
fn by_rows(function: Binary, [d0, d1, d2]: [usize; 3], [a, b]: [Strided<'_>; 2], out: &mut [f32]) -> bool {
    let Source::Values(numbers) = b.source else {
        return false;
    };
    let dense = (d1 == 1 || a.strides[1] == d2) && a.strides[2] == 1;
    if d0 != 1 || !dense || b.strides[2] != 0 || b.strides[1] != 1 || d2 < VECTOR {
        return false;
    }
    macro_rules! rows {
        ($a:ident, $b:ident => $value:expr) => {
            match a.source {
                // Rows of one vector. The compiler would take the same place of many rows together, gathered and scattered; a
                // number that it cannot see through keeps it to the row.
                Source::Values(values) if d2 == VECTOR => {
                    let rows = out.as_chunks_mut::<VECTOR>().0.iter_mut();
                    for ((row, values), &number) in rows.zip(values.as_chunks::<VECTOR>().0).zip(numbers) {
                        let $b = core::hint::black_box(number);
                        for (out, &$a) in row.iter_mut().zip(values) {
                            *out = $value;
                        }
                    }
                }
                Source::Output if d2 == VECTOR => {
                    for (row, &number) in out.as_chunks_mut::<VECTOR>().0.iter_mut().zip(numbers) {
                        let $b = core::hint::black_box(number);
                        for out in row {
                            let $a = *out;
                            *out = $value;
                        }
                    }
                }
                Source::Values(values) => {
                    for ((row, values), &$b) in out
                        .chunks_mut(d2.max(1))
                        .zip(values.chunks(d2.max(1)))
                        .zip(numbers)
                    {
                        for (out, &$a) in row.iter_mut().zip(values) {
                            *out = $value;
                        }
                    }
                }
                Source::Output => {
                    for (row, &$b) in out.chunks_mut(d2.max(1)).zip(numbers) {
                        for out in row {
                            let $a = *out;
                            *out = $value;
                        }
                    }
                }
            }
        };
    }
    match function {
        Binary::Add => rows!(a, b => a + b),
        Binary::Mul => rows!(a, b => a * b),
        _ => return false,
    }
    true
}

/// `out = function(a, b, c)` over two dimensions (the first of the three is 1).
#[inline(always)]
pub(super) fn ternary(function: Ternary, dims: [usize; 3], operands: [Strided<'_>; 3], out: &mut [f32]) {
    if COMPACT {
        return compact::ternary(function, dims, operands, out);
    }
    broadcast(&function, dims, operands, out);
}

/// `out[i] = function(out[i], operand[i])`: the epilogue of a matrix product.
#[inline(always)]
pub(super) fn epilogue(function: Binary, operand: &[f32], out: &mut [f32]) {
    if COMPACT {
        return compact::epilogue(function, operand, out);
    }
    let mut buffer = [0.0; SHORT];
    for (block, operand) in out.chunks_mut(SHORT).zip(operand.chunks(SHORT)) {
        let old = copy_into(&mut buffer, block);
        function.apply([old, operand], block);
    }
}

/// Copies `values` to the front of the buffer. A copy of constant length where it fills the buffer.
#[inline(always)]
fn copy_into<'b, const LEN: usize>(buffer: &'b mut [f32; LEN], values: &[f32]) -> &'b [f32] {
    if let Some(whole) = values.first_chunk::<LEN>() {
        *buffer = *whole;
        return buffer;
    }
    for (to, &from) in buffer.iter_mut().zip(values) {
        *to = from;
    }
    buffer.get(..values.len()).unwrap_or(&[])
}

/// Joins neighbouring dimensions that every operand runs through without a jump, so that the last one is long.
#[inline(always)]
fn join<const N: usize>(dims: &mut [usize; 3], operands: &mut [Strided<'_>; N]) {
    let [d0, d1, d2] = *dims;
    let joins = |outer: usize, inner: usize, d_outer: usize, d_inner: usize, operands: &[Strided<'_>; N]| {
        d_outer == 1
            || operands.iter().all(|o| {
                let (s_outer, s_inner) = (o.strides.get(outer), o.strides.get(inner));
                d_inner == 1 || matches!((s_outer, s_inner), (Some(a), Some(b)) if *a == b.wrapping_mul(d_inner))
            })
    };
    if joins(1, 2, d1, d2, operands) {
        for o in operands.iter_mut() {
            let [s0, s1, s2] = o.strides;
            o.strides = [0, s0, if d2 == 1 { s1 } else { s2 }];
        }
        *dims = [1, d0, d1.wrapping_mul(d2)];
        let [_, d1, d2] = *dims;
        if joins(1, 2, d1, d2, operands) {
            for o in operands.iter_mut() {
                let [_, s1, s2] = o.strides;
                o.strides = [0, 0, if d2 == 1 { s1 } else { s2 }];
            }
            *dims = [1, 1, d1.wrapping_mul(d2)];
        }
    } else if joins(0, 1, d0, d1, operands) {
        for o in operands.iter_mut() {
            let [s0, s1, s2] = o.strides;
            o.strides = [0, if d1 == 1 { s0 } else { s1 }, s2];
        }
        *dims = [1, d0.wrapping_mul(d1), d2];
    }
}

#[inline(always)]
fn broadcast<const N: usize>(
    function: &impl Function<N>,
    mut dims: [usize; 3],
    mut operands: [Strided<'_>; N],
    out: &mut [f32],
) {
    join(&mut dims, &mut operands);
    let [_, d1, d2] = dims;
    if d1 == 0 || d2 == 0 {
        return;
    }
    // Everything contiguous: one loop, no buffer.
    if d1 == 1 {
        let mut direct: [&[f32]; N] = [&[]; N];
        let mut all = true;
        for (direct, o) in direct.iter_mut().zip(&operands) {
            match o.source {
                Source::Values(values) if o.strides[2] == 1 && dims[0] == 1 => *direct = values,
                _ => all = false,
            }
        }
        if all {
            function.apply(direct, out);
            return;
        }
    }
    let mut buffers = [[0.0f32; BLOCK]; N];
    // Start of what each buffer holds: rows repeated along d1 need laying out only once.
    let mut held = [usize::MAX; N];
    // Short rows share a block; long ones are cut, unless nothing has to be laid out.
    let (rows, columns) = if d2 < SHORT {
        ((BLOCK / d2).min(d1), d2)
    } else if operands
        .iter()
        .all(|o| matches!(o.source, Source::Values(_)) && o.strides[2] == 1)
    {
        (1, d2)
    } else {
        (1, BLOCK.min(d2))
    };
    let (plane_len, band_len) = (d1.wrapping_mul(d2).max(1), rows.wrapping_mul(d2).max(1));
    let block_len = rows.wrapping_mul(columns).max(1);
    for (i0, plane) in out.chunks_mut(plane_len).enumerate() {
        for (band_index, band) in plane.chunks_mut(band_len).enumerate() {
            let i1 = band_index.wrapping_mul(rows);
            for (block_index, block) in band.chunks_mut(block_len).enumerate() {
                let i2 = block_index.wrapping_mul(columns);
                let mut laid_out: [&[f32]; N] = [&[]; N];
                let each = laid_out
                    .iter_mut()
                    .zip(&operands)
                    .zip(buffers.iter_mut())
                    .zip(held.iter_mut());
                for (((laid_out, operand), buffer), held) in each {
                    *laid_out = lay_out(operand, [i0, i1, i2], d2, block, buffer, held);
                }
                function.apply(laid_out, block);
            }
        }
    }
}

/// The operand's values for one block, in place where they lie contiguous, otherwise in the buffer.
#[inline(always)]
fn lay_out<'b>(
    operand: &Strided<'b>,
    [i0, i1, i2]: [usize; 3],
    d2: usize,
    block: &[f32],
    buffer: &'b mut [f32; BLOCK],
    held: &mut usize,
) -> &'b [f32] {
    let count = block.len();
    let values = match operand.source {
        Source::Output => return copy_into(buffer, block),
        Source::Values(values) => values,
    };
    let [s0, s1, s2] = operand.strides;
    let start = i0
        .wrapping_mul(s0)
        .wrapping_add(i1.wrapping_mul(s1))
        .wrapping_add(i2.wrapping_mul(s2));
    if s2 == 1 && (count <= d2 || s1 == d2) {
        return values
            .get(start..)
            .and_then(|values| values.get(..count))
            .unwrap_or(&[]);
    }
    // Without a row stride, blocks that start alike hold the same values; the first one is the longest.
    if s1 != 0 || *held != start {
        *held = start;
        for (row, to) in buffer
            .get_mut(..count)
            .unwrap_or_default()
            .chunks_mut(d2.max(1))
            .enumerate()
        {
            let from = values.get(start.wrapping_add(row.wrapping_mul(s1))..).unwrap_or(&[]);
            match s2 {
                0 => to.fill(from.first().copied().unwrap_or(0.0)),
                1 => to.iter_mut().zip(from).for_each(|(to, &from)| *to = from),
                _ => to
                    .iter_mut()
                    .zip(from.iter().step_by(s2))
                    .for_each(|(to, &from)| *to = from),
            }
        }
    }
    buffer.get(..count).unwrap_or(&[])
}
