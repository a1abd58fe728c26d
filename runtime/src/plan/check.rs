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

/// Lengths of the dimensions, or strides, of everything a record touches; what a record does not have is 1 long, its stride
/// anything.
type Axes = [u32; 4];

/// One more than the offset of the last element reached. Saturates, and what is saturated reaches past the end of every
/// space.
#[inline(never)]
fn extent(dims: &Axes, strides: &Axes) -> u32 {
    dims.iter().zip(strides).fold(1u32, |extent, (&dim, &stride)| {
        extent.saturating_add(dim.saturating_sub(1).saturating_mul(stride))
    })
}

/// Row-major strides of a dense tensor.
#[inline(never)]
fn dense(dims: &Axes) -> Axes {
    let mut strides = [1; 4];
    let mut next = 1u32;
    for (stride, &dim) in strides.iter_mut().zip(dims).rev() {
        *stride = next;
        next = next.saturating_mul(dim);
    }
    strides
}

/// Whether these strides certainly send no two positions to one element: in rising order, each exceeds the reach of
/// all smaller ones.
fn injective(dims: Axes, strides: Axes) -> bool {
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

    /// The output: in a space that may be written, in bounds, at least one element.
    #[inline(never)]
    fn output(&mut self, word: usize, dims: &Axes, strides: &Axes) -> Check {
        ensure(dims.iter().all(|&dim| dim >= 1), Rule::Empty.at(0))?;
        self.out = self.reach(word, extent(dims, strides))?;
        ensure(self.out.space.writable(), Rule::ReadOnly.at(0))
    }

    /// An operand that does not overlap the output.
    #[inline(never)]
    fn apart(&self, word: usize, dims: &Axes, strides: &Axes) -> Check {
        let reach = self.reach(word, extent(dims, strides))?;
        ensure(!reach.overlaps(&self.out), Rule::Overlap.at(word))
    }

    /// An operand that does not overlap the output, or is the output: the same offset, and dense strides as it has.
    #[inline(never)]
    fn apart_or_same(&self, word: usize, dims: &Axes, strides: &Axes) -> Check {
        let at_output = self.word(word) == self.word(1);
        let dense = dense(dims);
        // A dimension of length 1 may have any stride.
        let mut axes = dims.iter().zip(strides).zip(&dense);
        if at_output && axes.all(|((&dim, stride), dense)| dim <= 1 || stride == dense) {
            return Ok(());
        }
        self.apart(word, dims, strides)
    }

    /// Records without a function have the number 0 there.
    fn no_function(&self) -> Check {
        let function = self.record.function();
        ensure(function == 0, Rule::Function.at(function.into()))
    }

    fn matmul(&mut self) -> Check {
        self.flags(flags::TRANSPOSE_A | flags::ACCUMULATE)?;
        self.unused(15)?;
        let (transposed, epilogue) = (self.record.has(flags::TRANSPOSE_A), !self.record.operand(5).is_none());
        if (transposed || epilogue) && !kernels::GRADIENT {
            built(Some(Lacking::Gradient))?;
        }
        let function = self.record.function();
        ensure(function <= Unary::Relu as u8, Rule::Function.at(function.into()))?;
        let known = Unary::from_bits(function).ok_or(Rule::Function.at(function.into()))?;
        built(kernels::unary_lacks(known))?;
        let dims: Axes = self.words(6);
        let [_, m, _, n] = dims;
        let [a_batch, w_batch, bias_batch, row, epilogue_function] = self.words(10);
        let out = [m.saturating_mul(n), n, 0, 1];
        self.output(1, &dims, &out)?;
        let (of_row, of_term) = if transposed && kernels::GRADIENT {
            (1, row)
        } else {
            (row, 1)
        };
        self.apart(2, &dims, &[a_batch, of_row, of_term, 0])?;
        self.apart(3, &dims, &[w_batch, 0, n, 1])?;
        if self.record.operand(4).is_none() {
            ensure(bias_batch == 0, Rule::UnusedWord.at(12))?;
        } else {
            ensure(!self.record.has(flags::ACCUMULATE), Rule::Flags.at(0))?;
            self.apart(4, &dims, &[bias_batch, 0, 0, 1])?;
        }
        if !epilogue || !kernels::GRADIENT {
            ensure(epilogue_function == 0, Rule::UnusedWord.at(14))
        } else {
            let function = u8::try_from(epilogue_function).ok().and_then(Binary::from_bits);
            let function = function.ok_or(Rule::Function.at(epilogue_function as usize))?;
            built(kernels::binary_lacks(function))?;
            self.apart(5, &dims, &out)
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
        // Filled up behind with dimensions of length 1.
        let mut dims = [1; 4];
        for (axis, dim) in dims.iter_mut().enumerate().take(axes) {
            *dim = self.word(first + axis);
        }
        self.output(1, &dims, &dense(&dims))?;
        for operand in 0..operands {
            let mut strides = [1; 4];
            if operands > 1 {
                for (axis, stride) in strides.iter_mut().enumerate().take(axes) {
                    *stride = self.word(7 + operand * axes + axis);
                }
            }
            self.apart_or_same(2 + operand, &dims, &strides)?;
        }
        Ok(())
    }

    fn reduce(&mut self) -> Check {
        self.flags(flags::ACCUMULATE)?;
        self.unused(7)?;
        let bits = self.record.function();
        ensure(Reduce::from_bits(bits).is_some(), Rule::Function.at(bits.into()))?;
        let [outer, reduced, inner, scale] = self.words(3);
        let dims = [outer, reduced, inner, 1];
        let plain = scale == 1f32.to_bits();
        ensure(plain || !self.record.has(flags::ACCUMULATE), Rule::Scale.at(0))?;
        self.output(1, &dims, &[inner, 0, 1, 0])?;
        self.apart(2, &dims, &dense(&dims))
    }

    fn copy(&mut self) -> Check {
        self.flags(0)?;
        self.no_function()?;
        self.unused(15)?;
        let (dims, out_strides): (Axes, Axes) = (self.words(3), self.words(7));
        self.output(1, &dims, &out_strides)?;
        ensure(injective(dims, out_strides), Rule::OutputStrides.at(0))?;
        self.apart(2, &dims, &self.words(11))
    }

    fn gather(&mut self, scatter: bool) -> Check {
        self.flags(0)?;
        self.no_function()?;
        self.unused(8)?;
        let dims: Axes = self.words(4);
        let [_, axis, indices, inner] = dims;
        let whole = [axis.saturating_mul(inner), inner, 0, 1];
        let picked = [indices.saturating_mul(inner), 0, inner, 1];
        let (out, data) = if scatter { (whole, picked) } else { (picked, whole) };
        self.output(1, &dims, &out)?;
        self.apart(2, &dims, &data)?;
        self.apart(3, &dims, &[0, 0, 1, 0])
    }

    fn fill(&mut self) -> Check {
        self.flags(0)?;
        self.no_function()?;
        self.unused(4)?;
        self.output(1, &[self.word(2), 1, 1, 1], &[1; 4])
    }

    fn gru(&mut self) -> Check {
        self.flags(0)?;
        self.no_function()?;
        self.unused(7)?;
        let [outer, count] = self.words(5);
        let (dims, products) = ([outer, 1, count, 1], [outer, 3, count, 1]);
        let strides = dense(&dims);
        self.output(1, &dims, &strides)?;
        for word in [2, 3] {
            self.apart(word, &products, &dense(&products))?;
        }
        self.apart_or_same(4, &dims, &strides)
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
        let dims = [count, 1, 1, 1];
        self.output(first + 1, &dims, &[1; 4])?;
        // Whoever looks for plans that write the parameters looks at word 1.
        ensure(self.out.space != Space::Adapted, Rule::ReadOnly.at(0))?;
        (0..function.operands()).try_for_each(|operand| self.apart(first + 2 + operand, &dims, &[1; 4]))?;
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
    #[allow(unused_mut, unused_variables)] // Without any kernel.
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
