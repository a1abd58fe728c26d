//! The rules a record must keep. `docs/device-image.md`, "Records", lists the same.
// A build without every kernel checks less.
#![cfg_attr(not(feature = "kernels"), allow(dead_code, unused_imports))]

use super::{RecordProblem, SpaceSizes};
use crate::image::record::{Binary, ChainFunction, Opcode, Operand, Record, Reduce, Space, Ternary, Unary, flags};
use crate::kernels::{self, Lacking};

/// A [`RecordProblem`] in one register: which, and its number. There are a hundred places that make one.
#[derive(Clone, Copy)]
struct Problem(u16);

/// Which.
#[derive(Clone, Copy)]
enum Rule {
    Function,
    UnusedWord,
    Operand,
    Bounds,
    Overlap,
    Kernel,
    Feature,
    Flags,
    Empty,
    ReadOnly,
    OutputStrides,
    Scale,
}

impl Rule {
    /// With its number.
    #[inline(always)]
    const fn at(self, number: usize) -> Problem {
        Problem((self as u16) << 8 | number as u8 as u16)
    }
}

impl From<Problem> for RecordProblem {
    #[inline(never)]
    fn from(Problem(bits): Problem) -> Self {
        let number = bits as u8;
        const NAMES: [Rule; 11] = [
            Rule::Function,
            Rule::UnusedWord,
            Rule::Operand,
            Rule::Bounds,
            Rule::Overlap,
            Rule::Kernel,
            Rule::Feature,
            Rule::Flags,
            Rule::Empty,
            Rule::ReadOnly,
            Rule::OutputStrides,
        ];
        match NAMES.get(usize::from(bits >> 8)).copied().unwrap_or(Rule::Scale) {
            Rule::Function => Self::Function(number),
            Rule::UnusedWord => Self::UnusedWord(number),
            Rule::Operand => Self::Operand(number),
            Rule::Bounds => Self::Bounds(number),
            Rule::Overlap => Self::Overlap(number),
            Rule::Kernel => Opcode::from_bits(number).map_or(Self::Opcode(number), Self::KernelMissing),
            Rule::Feature if number == Lacking::Gradient as u8 => Self::FeatureMissing(Lacking::Gradient.feature()),
            Rule::Feature => Self::FeatureMissing(Lacking::Transcendental.feature()),
            Rule::Flags => Self::Flags,
            Rule::Empty => Self::Empty,
            Rule::ReadOnly => Self::ReadOnly,
            Rule::OutputStrides => Self::OutputStrides,
            Rule::Scale => Self::Scale,
        }
    }
}

type Check = Result<(), Problem>;

#[inline(always)]
fn ensure(condition: bool, problem: Problem) -> Check {
    if condition { Ok(()) } else { Err(problem) }
}

/// Refuses a function of which this build lacks the code.
fn built(lacking: Option<Lacking>) -> Check {
    match lacking {
        Some(feature) => Err(Rule::Feature.at(feature as usize)),
        None => Ok(()),
    }
}

/// The elements an operand reaches: from `start` to before `end`, in `space`.
#[derive(Clone, Copy)]
struct Reach {
    space: Space,
    start: u32,
    end: u32,
}

impl Reach {
    fn overlaps(&self, other: &Self) -> bool {
        self.space == other.space && self.start < other.end && other.start < self.end
    }
}

/// One more than the offset of the last element reached by these dimensions and strides. Saturates, and what is saturated
/// reaches past the end of every space.
#[inline(never)]
fn extent(dims: &[u32], strides: &[u32]) -> u32 {
    dims.iter().zip(strides).fold(1u32, |extent, (&dim, &stride)| {
        extent.saturating_add(dim.saturating_sub(1).saturating_mul(stride))
    })
}

#[inline(never)]
fn product(dims: &[u32]) -> u32 {
    dims.iter().fold(1u32, |product, &dim| product.saturating_mul(dim))
}

/// Row-major strides of a dense tensor; a dimension of length 1 may have any stride.
#[inline(never)]
fn dense(dims: &[u32], strides: &[u32]) -> bool {
    let mut expected = 1u32;
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        if dim > 1 && stride != expected {
            return false;
        }
        expected = expected.saturating_mul(dim);
    }
    true
}

/// Whether these strides certainly send no two positions to one element: in rising order, each exceeds the reach of
/// all smaller ones.
fn injective(dims: [u32; 4], strides: [u32; 4]) -> bool {
    // A dimension of length 1 reaches nothing; the others one after the other, the smallest stride first.
    let mut reach = 0u32;
    let mut left = dims.map(|dim| dim > 1);
    loop {
        let mut smallest: Option<(u32, u32, &mut bool)> = None;
        for ((left, dim), stride) in left.iter_mut().zip(dims).zip(strides) {
            if *left && smallest.as_ref().is_none_or(|(least, _, _)| stride < *least) {
                smallest = Some((stride, dim, left));
            }
        }
        let Some((stride, dim, left)) = smallest else {
            return true;
        };
        if stride <= reach {
            return false;
        }
        reach = reach.saturating_add((dim - 1).saturating_mul(stride));
        *left = false;
    }
}

struct Checker<'r> {
    record: &'r Record,
    sizes: &'r SpaceSizes,
    out: Reach,
}

impl Checker<'_> {
    fn word(&self, index: usize) -> u32 {
        self.record.words.get(index).copied().unwrap_or(0)
    }

    fn words<const N: usize>(&self, start: usize) -> [u32; N] {
        core::array::from_fn(|i| self.word(start + i))
    }

    fn unused(&self, from: usize) -> Check {
        match (from..self.record.words.len()).find(|&index| self.word(index) != 0) {
            Some(index) => Err(Rule::UnusedWord.at(index)),
            None => Ok(()),
        }
    }

    fn flags(&self, allowed: u32) -> Check {
        ensure(self.word(0) & 0xFFFF_0000 & !allowed == 0, Rule::Flags.at(0))
    }

    #[inline(never)]
    fn reach(&self, word: usize, extent: u32) -> Result<Reach, Problem> {
        let operand = Operand(self.word(word));
        let space = operand.space().ok_or(Rule::Operand.at(word))?;
        let start = operand.offset();
        let end = start.saturating_add(extent);
        ensure(end <= self.sizes.get(space) && end != u32::MAX, Rule::Bounds.at(word))?;
        Ok(Reach { space, start, end })
    }

    fn output(&mut self, extent: u32) -> Check {
        self.output_in(1, extent)
    }

    fn output_in(&mut self, word: usize, extent: u32) -> Check {
        self.out = self.reach(word, extent)?;
        ensure(self.out.space.writable(), Rule::ReadOnly.at(0))
    }

    /// An operand that does not overlap the output.
    fn apart(&self, word: usize, extent: u32) -> Check {
        let reach = self.reach(word, extent)?;
        ensure(!reach.overlaps(&self.out), Rule::Overlap.at(word))
    }

    /// An operand that does not overlap the output, or is the output.
    fn apart_or_same(&self, word: usize, dims: &[u32], strides: &[u32]) -> Check {
        let reach = self.reach(word, extent(dims, strides))?;
        let same = reach.space == self.out.space && reach.start == self.out.start && dense(dims, strides);
        ensure(same || !reach.overlaps(&self.out), Rule::Overlap.at(word))
    }

    fn not_empty(&self, dims: &[u32]) -> Check {
        ensure(dims.iter().all(|&dim| dim >= 1), Rule::Empty.at(0))
    }

    fn matmul(&mut self) -> Check {
        self.flags(flags::TRANSPOSE_A | flags::ACCUMULATE)?;
        self.unused(15)?;
        let backward = self.record.has(flags::TRANSPOSE_A) || !self.record.operand(5).is_none();
        if backward && !cfg!(feature = "kernel-gradient") {
            built(Some(Lacking::Gradient))?;
        }
        let function = self.record.function();
        ensure(function <= Unary::Relu as u8, Rule::Function.at(function.into()))?;
        let known = Unary::from_bits(function).ok_or(Rule::Function.at(function.into()))?;
        built(kernels::unary_lacks(known))?;
        let [batch, m, k, n] = self.words(6);
        let [a_batch, w_batch, bias_batch, row, epilogue] = self.words(10);
        self.not_empty(&[batch, m, k, n])?;
        let dense_out = product(&[batch, m, n]);
        self.output(dense_out)?;
        let (rows, columns) = if self.record.has(flags::TRANSPOSE_A) {
            (k, m)
        } else {
            (m, k)
        };
        self.apart(2, extent(&[batch, rows, columns], &[a_batch, row, 1]))?;
        let weights = (batch - 1).saturating_mul(w_batch).saturating_add(product(&[k, n]));
        self.apart(3, weights)?;
        if self.record.operand(4).is_none() {
            ensure(bias_batch == 0, Rule::UnusedWord.at(12))?;
        } else {
            ensure(!self.record.has(flags::ACCUMULATE), Rule::Flags.at(0))?;
            self.apart(4, extent(&[batch, n], &[bias_batch, 1]))?;
        }
        if self.record.operand(5).is_none() {
            ensure(epilogue == 0, Rule::UnusedWord.at(14))
        } else {
            let function = u8::try_from(epilogue).ok().and_then(Binary::from_bits);
            let function = function.ok_or(Rule::Function.at(epilogue as usize))?;
            built(kernels::binary_lacks(function))?;
            self.apart(5, dense_out)
        }
    }

    /// Unary, Binary and Ternary, which differ in the number of operands and so in where their dimensions and strides are.
    fn elementwise(&mut self, operands: usize) -> Check {
        self.flags(0)?;
        let bits = self.record.function();
        let known = match operands {
            1 => Unary::from_bits(bits).map(|function| {
                let parameters = matches!(function, Unary::Clip | Unary::Affine);
                (kernels::unary_lacks(function), if parameters { 6 } else { 4 })
            }),
            2 => Binary::from_bits(bits).map(|function| (kernels::binary_lacks(function), 13)),
            _ => Ternary::from_bits(bits).map(|_| (None, 13)),
        };
        let (lacking, unused) = known.ok_or(Rule::Function.at(bits.into()))?;
        built(lacking)?;
        self.unused(unused)?;
        // Unary: a count, and no strides.
        let (first, axes) = match operands {
            1 => (3, 1),
            2 => (4, 3),
            _ => (5, 2),
        };
        let mut all_dims: [u32; 3] = self.words(first);
        let dims = all_dims.get_mut(..axes).unwrap_or_default();
        self.not_empty(dims)?;
        self.output(product(dims))?;
        for operand in 0..operands {
            let mut strides: [u32; 3] = self.words(7 + operand * axes);
            if operands == 1 {
                strides = [1; 3];
            }
            let strides = strides.get(..axes).unwrap_or_default();
            self.apart_or_same(2 + operand, dims, strides)?;
        }
        Ok(())
    }

    fn reduce(&mut self) -> Check {
        self.flags(flags::ACCUMULATE)?;
        self.unused(7)?;
        let bits = self.record.function();
        ensure(Reduce::from_bits(bits).is_some(), Rule::Function.at(bits.into()))?;
        let [outer, reduced, inner, scale] = self.words(3);
        self.not_empty(&[outer, reduced, inner])?;
        let plain = scale == 1f32.to_bits();
        ensure(plain || !self.record.has(flags::ACCUMULATE), Rule::Scale.at(0))?;
        self.output(product(&[outer, inner]))?;
        self.apart(2, product(&[outer, reduced, inner]))
    }

    fn copy(&mut self) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            Rule::Function.at(self.record.function().into()),
        )?;
        self.unused(15)?;
        let dims: [u32; 4] = self.words(3);
        let out_strides: [u32; 4] = self.words(7);
        self.not_empty(&dims)?;
        self.output(extent(&dims, &out_strides))?;
        ensure(injective(dims, out_strides), Rule::OutputStrides.at(0))?;
        self.apart(2, extent(&dims, &self.words::<4>(11)))
    }

    fn gather(&mut self, scatter: bool) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            Rule::Function.at(self.record.function().into()),
        )?;
        self.unused(8)?;
        let [outer, axis, indices, inner] = self.words(4);
        self.not_empty(&[outer, axis, indices, inner])?;
        let (whole, picked) = (product(&[outer, axis, inner]), product(&[outer, indices, inner]));
        let (out, data) = if scatter { (whole, picked) } else { (picked, whole) };
        self.output(out)?;
        self.apart(2, data)?;
        self.apart(3, indices)
    }

    fn fill(&mut self) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            Rule::Function.at(self.record.function().into()),
        )?;
        self.unused(4)?;
        let count = self.word(2);
        self.not_empty(&[count])?;
        self.output(count)
    }

    fn gru(&mut self) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            Rule::Function.at(self.record.function().into()),
        )?;
        self.unused(7)?;
        let [outer, count] = self.words(5);
        self.not_empty(&[outer, count])?;
        let products = product(&[outer, 3, count]);
        self.output(product(&[outer, count]))?;
        self.apart(2, products)?;
        self.apart(3, products)?;
        self.apart_or_same(4, &[outer, count], &[count, 1])
    }

    fn chain(&mut self) -> Check {
        self.flags(0)?;
        let instructions = usize::from(self.record.function());
        ensure(
            (1..=Record::INSTRUCTIONS).contains(&instructions),
            Rule::Function.at(self.record.function().into()),
        )?;
        self.unused(1 + 5 * instructions)?;
        (0..instructions).try_for_each(|index| self.instruction(1 + 5 * index))
    }

    /// The instruction that starts at a word.
    fn instruction(&mut self, first: usize) -> Check {
        let [head, _, _, b, c] = self.words(first);
        let bits = head as u8;
        let function = ChainFunction::from_bits(bits).ok_or(Rule::Function.at(bits.into()))?;
        built(match function {
            ChainFunction::Unary(function) => kernels::unary_lacks(function),
            ChainFunction::Binary(function) => kernels::binary_lacks(function),
            ChainFunction::Ternary(_) | ChainFunction::Scaled(_) => None,
        })?;
        let count = head >> 8;
        ensure(count >= 1, Rule::Empty.at(0))?;
        self.output_in(first + 1, count)?;
        // Whoever looks for plans that write the parameters looks at word 1.
        ensure(self.out.space != Space::Adapted, Rule::ReadOnly.at(0))?;
        (0..function.operands()).try_for_each(|operand| self.apart(first + 2 + operand, count))?;
        let used = function.operands() + function.parameters();
        ensure(used >= 2 || b == 0, Rule::UnusedWord.at(first + 3))?;
        ensure(used >= 3 || c == 0, Rule::UnusedWord.at(first + 4))
    }
}

/// Checks one record against the sizes of the spaces.
pub(super) fn record(record: &Record, sizes: &SpaceSizes) -> Result<(), RecordProblem> {
    checked(record, sizes).map_err(RecordProblem::from)
}

fn checked(record: &Record, sizes: &SpaceSizes) -> Check {
    let code = record.words[0] as u8;
    let opcode = record.opcode().ok_or(Rule::Kernel.at(code.into()))?;
    let mut checker = Checker {
        record,
        sizes,
        out: Reach {
            space: Space::Const,
            start: 0,
            end: 0,
        },
    };
    // What the build lacks is not even checked: its checks are no code then.
    match opcode {
        #[cfg(feature = "kernel-matmul")]
        Opcode::MatMul => checker.matmul(),
        #[cfg(feature = "kernel-unary")]
        Opcode::Unary => checker.elementwise(1),
        #[cfg(feature = "kernel-binary")]
        Opcode::Binary => checker.elementwise(2),
        #[cfg(feature = "kernel-ternary")]
        Opcode::Ternary => checker.elementwise(3),
        #[cfg(feature = "kernel-reduce")]
        Opcode::Reduce => checker.reduce(),
        #[cfg(feature = "kernel-copy")]
        Opcode::Copy => checker.copy(),
        #[cfg(feature = "kernel-gather")]
        Opcode::Gather => checker.gather(false),
        #[cfg(feature = "kernel-scatter-add")]
        Opcode::ScatterAdd => checker.gather(true),
        #[cfg(feature = "kernel-fill")]
        Opcode::Fill => checker.fill(),
        #[cfg(feature = "kernel-chain")]
        Opcode::Chain => checker.chain(),
        #[cfg(feature = "kernel-gru")]
        Opcode::Gru => checker.gru(),
        #[allow(unreachable_patterns)] // With every kernel enabled.
        _ => Err(Rule::Kernel.at(code.into())),
    }
}
