//! Short elementwise steps, one after the other: what a simulation step is made of.
//!
//! Where the values are few (one row of instances, one layer's units), a record of its own for each function costs more than
//! the function. Here operands are contiguous and apart from the output, so a step is found, borrowed and computed in a few
//! instructions. Functions that take long anyway are those of the other kernels, so that their code is there once.

#[cfg(feature = "std")]
pub(crate) mod prepared;

// Element by element.
use super::elementwise::map as each;
use super::elementwise::{Source, Strided, UnaryFunction};
use super::execute::Operands;
use super::{COMPACT, KernelSet, functions as f};
use crate::image::record::{Binary, ChainFunction, Instruction, Operand, Record, Scaled, Ternary, Unary};
use crate::plan::Table;

/// Elements computed without a branch in between: four of the widest vectors.
const BLOCK: usize = 64;

/// `map!(out; a, b => value)` is `out[i] = value` for each element of `a` and `b`, whole blocks first: with the few elements
/// of an instruction, finding out how many there are takes as long as the work.
macro_rules! map {
    ($out:ident; $($a:ident),+ => $value:expr) => {{
        if COMPACT {
            each!($out; $($a),+ => $value);
        } else {
            let (blocks, rest) = $out.as_chunks_mut::<BLOCK>();
            blocks!(blocks; $($a),+ => $value);
            if !rest.is_empty() {
                $(let $a = $a.get($a.len().wrapping_sub(rest.len())..).unwrap_or(&[]);)+
                each!(rest; $($a),+ => $value);
            }
        }
    }};
}

/// As `map!`, of whole blocks.
macro_rules! blocks {
    ($out:ident; $a:ident => $value:expr) => {
        for (out, a) in $out.iter_mut().zip($a.as_chunks::<BLOCK>().0) {
            each!(out; a => {
                let $a = a;
                $value
            });
        }
    };
    ($out:ident; $a:ident, $b:ident => $value:expr) => {
        for ((out, a), b) in $out.iter_mut().zip($a.as_chunks::<BLOCK>().0).zip($b.as_chunks::<BLOCK>().0) {
            each!(out; a, b => {
                let ($a, $b) = (a, b);
                $value
            });
        }
    };
    ($out:ident; $a:ident, $b:ident, $c:ident => $value:expr) => {
        for (((out, a), b), c) in $out
            .iter_mut()
            .zip($a.as_chunks::<BLOCK>().0)
            .zip($b.as_chunks::<BLOCK>().0)
            .zip($c.as_chunks::<BLOCK>().0)
        {
            each!(out; a, b, c => {
                let ($a, $b, $c) = (a, b, c);
                $value
            });
        }
    };
}

/// Runs the instructions of records, all of them chains.
#[inline(always)]
pub(super) fn run<K: KernelSet>(records: &[Record], table: &mut Table<'_>) {
    for instruction in records.iter().flat_map(Record::instructions) {
        // `None` would mean an access out of bounds, which the checks of the plan rule out.
        let _ = step::<K>(instruction, table);
    }
}

/// Runs a chain that has been prepared.
#[cfg(feature = "std")]
#[inline(always)]
pub(super) fn run_prepared<K: KernelSet>(chain: &prepared::Chain, table: &mut Table<'_>) {
    for step in chain.steps() {
        let whole = table.take(step.out);
        // `None` would mean an access out of bounds, which the preparation rules out.
        let _ = compute_prepared::<K>(step, table, whole);
        table.put_back(step.out, whole);
    }
}

#[cfg(feature = "std")]
#[inline(always)]
fn compute_prepared<K: KernelSet>(step: &prepared::Step, table: &Table<'_>, whole: &mut [f32]) -> Option<()> {
    let count = step.count as usize;
    let (operands, out) = Operands::around(table, step.out, count, whole)?;
    let [a, b, c] = step.operands;
    let operands = [
        operands.slice(a, count)?,
        operands.slice(b, count)?,
        operands.slice(c, count)?,
    ];
    apply::<K>(step.function, operands, step.parameters, out)
}

/// Hands the functions that are computed here to a macro, by name.
macro_rules! functions {
    ($with:ident!) => {
        $with! {
            IDENTITY = Unary::Identity, NEG = Unary::Neg, ABS = Unary::Abs, SQRT = Unary::Sqrt, RELU = Unary::Relu,
            NOT = Unary::Not, CLIP = Unary::Clip, RECIPROCAL = Unary::Reciprocal, SQUARE = Unary::Square,
            AFFINE = Unary::Affine, SIGN = Unary::Sign,
            ADD = Binary::Add, SUB = Binary::Sub, MUL = Binary::Mul, DIV = Binary::Div, MIN = Binary::Min,
            MAX = Binary::Max, GREATER = Binary::Greater, LESS = Binary::Less, EQUAL = Binary::Equal, AND = Binary::And,
            OR = Binary::Or, TANH_GRADIENT = Binary::TanhGradient, RELU_GRADIENT = Binary::ReluGradient,
            SIGMOID_GRADIENT = Binary::SigmoidGradient,
            WHERE = Ternary::Where, ADD_PRODUCT = Ternary::AddProduct, SUB_PRODUCT = Ternary::SubProduct,
            ADD_SCALED = Scaled::AddScaled,
        }
    };
}
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) use functions;

/// Defines the number of each function, to match against.
macro_rules! numbers {
    ($($name:ident = $kind:ident::$function:ident),+ $(,)?) => {
        /// The numbers of the functions that [`apply`] knows.
        pub(super) mod number {
            use super::{Binary, ChainFunction, Scaled, Ternary, Unary};

            $(pub(in crate::kernels) const $name: u8 = ChainFunction::$kind($kind::$function).bits();)+
        }
    };
}
functions!(numbers!);
use number::*;

#[inline(always)]
fn step<K: KernelSet>(instruction: &Instruction, table: &mut Table<'_>) -> Option<()> {
    let out = instruction.out();
    let whole = table.take(out);
    let done = compute::<K>(instruction, table, whole);
    table.put_back(out, whole);
    done
}

// Without a closure around it: one that is not inlined would be compiled for the baseline, and `map!` with it.
#[inline(always)]
fn compute<K: KernelSet>(instruction: &Instruction, table: &Table<'_>, whole: &mut [f32]) -> Option<()> {
    let [head, out, a, b, c] = instruction.words;
    let (function, count) = (head as u8, instruction.count() as usize);
    let (operands, out) = Operands::around(table, Operand(out), count, whole)?;
    // Of a function with fewer operands, the first once more: cheaper than to ask.
    let a = operands.slice(Operand(a), count)?;
    let parameters = [f32::from_bits(b), f32::from_bits(c)];
    let (b, c) = match function >> 5 {
        0 => (a, a),
        2 => (operands.slice(Operand(b), count)?, operands.slice(Operand(c), count)?),
        _ => (operands.slice(Operand(b), count)?, a),
    };
    apply::<K>(function, [a, b, c], parameters, out)
}

/// Computes one instruction. Slices are equally long; those that the function does not take do not matter.
#[inline(always)]
pub(super) fn apply<K: KernelSet>(
    function: u8,
    [a, b, c]: [&[f32]; 3],
    [p, q]: [f32; 2],
    out: &mut [f32],
) -> Option<()> {
    match function {
        IDENTITY => map!(out; a => a),
        NEG => map!(out; a => -a),
        ABS => map!(out; a => a.abs()),
        SQRT => map!(out; a => f::sqrt(a)),
        RELU => map!(out; a => f::relu(a)),
        NOT => map!(out; a => 1.0 - a),
        CLIP => map!(out; a => f::clip(a, p, q)),
        RECIPROCAL => map!(out; a => 1.0 / a),
        SQUARE => map!(out; a => a * a),
        AFFINE => map!(out; a => a * p + q),
        SIGN => map!(out; a => f::sign(a)),
        ADD => map!(out; a, b => a + b),
        SUB => map!(out; a, b => a - b),
        MUL => map!(out; a, b => a * b),
        DIV => map!(out; a, b => a / b),
        MIN => map!(out; a, b => f::min(a, b)),
        MAX => map!(out; a, b => f::max(a, b)),
        GREATER => map!(out; a, b => f::truth(a > b)),
        LESS => map!(out; a, b => f::truth(a < b)),
        EQUAL => map!(out; a, b => f::truth(a == b)),
        AND => map!(out; a, b => f::truth((a != 0.0) & (b != 0.0))),
        OR => map!(out; a, b => f::truth((a != 0.0) | (b != 0.0))),
        TANH_GRADIENT => map!(out; a, b => a * (1.0 - b * b)),
        RELU_GRADIENT => map!(out; a, b => f::relu_gradient(a, b)),
        SIGMOID_GRADIENT => map!(out; a, b => a * (b * (1.0 - b))),
        WHERE => map!(out; a, b, c => if a != 0.0 { b } else { c }),
        ADD_PRODUCT => map!(out; a, b, c => a + b * c),
        SUB_PRODUCT => map!(out; a, b, c => a - b * c),
        ADD_SCALED => {
            let p = q;
            map!(out; a, b => a + b * p)
        }
        _ => return slow::<K>(function, a, b, out),
    }
    Some(())
}

/// Functions that take long.
#[inline(always)]
pub(super) fn slow<K: KernelSet>(function: u8, a: &[f32], b: &[f32], out: &mut [f32]) -> Option<()> {
    match ChainFunction::from_bits(function)? {
        ChainFunction::Unary(function) => {
            let parameters = [0.0; 2];
            K::unary(UnaryFunction { function, parameters }, Source::Values(a), out);
        }
        ChainFunction::Binary(function) => {
            let operand = |values| Strided {
                source: Source::Values(values),
                strides: [0, 0, 1],
            };
            K::binary(function, [1, 1, out.len()], [operand(a), operand(b)], out);
        }
        ChainFunction::Ternary(_) | ChainFunction::Scaled(_) => {}
    }
    Some(())
}
