//! The same functions in little code: one loop for each number of operands, which chooses the function anew for each element.
//!
//! Only `tanh`, `sigmoid` by way of it, and `relu` have a loop of their own: policies spend their time there.

use super::{Source, Strided, UnaryFunction, binary_functions, one, ternary_functions, unary_functions};
use crate::image::record::{Binary, Ternary, Unary};

/// The elementwise functions, of which the long one is there once.
mod f {
    pub(super) use super::super::f::*;

    pub(super) fn tanh(x: f32) -> f32 {
        let mut value = [x];
        super::tanh(&mut value);
        let [value] = value;
        value
    }

    pub(super) fn sigmoid(x: f32) -> f32 {
        0.5 * tanh(0.5 * x) + 0.5
    }
}

/// `out = function(operands)` for the function of this number with so many operands, over three dimensions.
pub(in crate::kernels) fn elementwise(
    function: u8,
    parameters: [f32; 2],
    dims: [usize; 3],
    operands: &[Strided<'_>],
    out: &mut [f32],
) {
    match *operands {
        [a] => {
            if let Some(function) = Unary::from_bits(function) {
                unary(UnaryFunction { function, parameters }, a.source, out);
            }
        }
        [a, b] => {
            if let Some(function) = Binary::from_bits(function) {
                binary(function, dims, [a, b], out);
            }
        }
        [a, b, c] => {
            if let Some(function) = Ternary::from_bits(function) {
                ternary(function, dims, [a, b, c], out);
            }
        }
        _ => {}
    }
}

/// See [`unary`](super::unary).
pub(super) fn unary(function: UnaryFunction, a: Source<'_>, out: &mut [f32]) {
    if let Source::Values(values) = a {
        for (to, from) in out.iter_mut().zip(values) {
            *to = *from;
        }
    }
    match function.function {
        Unary::Tanh => tanh(out),
        Unary::Sigmoid => {
            for value in &mut *out {
                *value *= 0.5;
            }
            tanh(out);
            for value in out {
                *value = 0.5 * *value + 0.5;
            }
        }
        Unary::Relu => {
            for value in out {
                *value = super::f::relu(*value);
            }
        }
        _ => {
            for value in out {
                *value = of_one(function, *value);
            }
        }
    }
}

/// Constants stay in registers over the loop.
#[inline(never)]
fn tanh(values: &mut [f32]) {
    for value in values {
        *value = super::f::tanh(*value);
    }
}

#[inline(never)]
fn of_one(function: UnaryFunction, a: f32) -> f32 {
    unary_functions!(one!(; a), function)
}

/// See [`epilogue`](super::epilogue).
pub(super) fn epilogue(function: Binary, operand: &[f32], out: &mut [f32]) {
    let operands = [contiguous(Source::Output), contiguous(Source::Values(operand))];
    binary(function, [1, 1, out.len()], operands, out);
}

pub(in crate::kernels) fn contiguous(source: Source<'_>) -> Strided<'_> {
    Strided {
        source,
        strides: [0, 0, 1],
    }
}

/// See [`binary`](super::binary).
#[inline(never)]
pub(super) fn binary(function: Binary, dims: [usize; 3], operands: [Strided<'_>; 2], out: &mut [f32]) {
    broadcast(dims, &operands, out, |[a, b]| binary_functions!(one!(; a, b), function));
}

/// See [`ternary`](super::ternary).
#[inline(never)]
pub(super) fn ternary(function: Ternary, dims: [usize; 3], operands: [Strided<'_>; 3], out: &mut [f32]) {
    broadcast(dims, &operands, out, |[a, b, c]| {
        ternary_functions!(one!(; a, b, c), function)
    });
}

/// `out = function(operands)`, element by element.
#[inline(always)]
fn broadcast<const N: usize>(
    [_, d1, d2]: [usize; 3],
    operands: &[Strided<'_>; N],
    out: &mut [f32],
    function: impl Fn([f32; N]) -> f32,
) {
    let (mut i0, mut i1) = (0usize, 0usize);
    for row in out.chunks_mut(d2.max(1)) {
        // The output's own values stand for what is not there, as nothing is of an operand that is the output.
        let rows = operands.each_ref().map(|operand| {
            let values = match operand.source {
                Source::Output => &[],
                Source::Values(values) => values,
            };
            let [s0, s1, _] = operand.strides;
            values
                .get(i0.wrapping_mul(s0).wrapping_add(i1.wrapping_mul(s1))..)
                .unwrap_or(&[])
        });
        let steps = operands.each_ref().map(|operand| operand.strides[2]);
        let mut at = [0usize; N];
        for out in row {
            let mut values = [*out; N];
            for i in 0..N {
                if let Some(value) = rows[i].get(at[i]) {
                    values[i] = *value;
                }
                at[i] = at[i].wrapping_add(steps[i]);
            }
            *out = function(values);
        }
        i1 = i1.wrapping_add(1);
        if i1 == d1 {
            (i0, i1) = (i0.wrapping_add(1), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Function, broadcast as blocks};
    use super::*;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    const LEN: usize = 2 * 40 * 41;

    /// Numbers of all sizes and the special ones.
    fn numbers(random: &mut Xoshiro128PlusPlus) -> [f32; LEN] {
        core::array::from_fn(|_| match random.next_u32() % 16 {
            0 => 0.0,
            1 => -0.0,
            2 => f32::INFINITY,
            3 => f32::NAN,
            4 => 1.0,
            5 => f32::from_bits(random.next_u32()),
            _ => (random.next_u32() as f32 / 4e8) - 5.0,
        })
    }

    fn assert_same<const N: usize>(
        function: &impl Function<N>,
        compact: impl Fn([usize; 3], [Strided<'_>; N], &mut [f32]),
        random: &mut Xoshiro128PlusPlus,
    ) {
        let data: [[f32; LEN]; N] = core::array::from_fn(|_| numbers(random));
        let mut pick = |limit: u32| (random.next_u32() % limit) as usize;
        let dims = [1 + pick(2), 1 + pick(40), 1 + pick(41)];
        let len = dims[0] * dims[1] * dims[2];
        // Each operand dense, broadcast along some dimensions, or the output itself.
        let operands: [Strided<'_>; N] = core::array::from_fn(|i| {
            let dense = [dims[1] * dims[2], dims[2], 1];
            if pick(4) == 0 {
                return Strided {
                    source: Source::Output,
                    strides: dense,
                };
            }
            Strided {
                source: Source::Values(&data[i]),
                strides: dense.map(|stride| stride * pick(2)),
            }
        });
        let start = numbers(random);
        let (mut one, mut other) = (start, start);
        compact(dims, operands, &mut one[..len]);
        blocks(function, dims, operands, &mut other[..len]);
        for (one, other) in one.iter().zip(&other) {
            assert!(
                one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan(),
                "{one} is not {other}"
            );
        }
    }

    #[test]
    fn the_same_bits_as_in_blocks() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(1);
        for _ in 0..if cfg!(miri) { 1 } else { 20 } {
            for &function in Unary::ALL {
                let function = UnaryFunction {
                    function,
                    parameters: [-0.75, 1.5],
                };
                let values = numbers(&mut random);
                let (mut one, mut other, mut in_place) = (values, values, values);
                unary(function, Source::Values(&values), &mut one);
                function.apply([&values], &mut other);
                unary(function, Source::Output, &mut in_place);
                for ((one, other), in_place) in one.iter().zip(&other).zip(&in_place) {
                    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    assert!(
                        same(*one, *other) && same(*one, *in_place),
                        "{:?}: {one} is not {other}",
                        function.function
                    );
                }
            }
            for function in Binary::ALL {
                assert_same(
                    function,
                    |dims, operands, out| binary(*function, dims, operands, out),
                    &mut random,
                );
            }
            for function in Ternary::ALL {
                assert_same(
                    function,
                    |dims, operands, out| ternary(*function, dims, operands, out),
                    &mut random,
                );
            }
        }
    }
}
