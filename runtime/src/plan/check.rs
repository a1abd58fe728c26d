//! The rules a record must keep. `docs/device-image.md`, "Records", lists the same.
// A build without every kernel checks less.
#![cfg_attr(not(feature = "kernels"), allow(dead_code, unused_imports))]

use super::{RecordProblem, SpaceSizes};
use crate::image::record::{Binary, ChainFunction, Opcode, Operand, Record, Reduce, Space, Ternary, Unary, flags};
use crate::kernels;

type Check = Result<(), RecordProblem>;

/// What the check of a function that this build lacks gives.
const TRANSCENDENTAL: RecordProblem = RecordProblem::FeatureMissing("kernel-transcendental");

fn ensure(condition: bool, problem: RecordProblem) -> Check {
    if condition { Ok(()) } else { Err(problem) }
}

/// The elements an operand reaches: from `start` to before `end`, in `space`.
#[derive(Clone, Copy)]
struct Reach {
    space: Space,
    start: u64,
    end: u64,
}

impl Reach {
    fn overlaps(&self, other: &Self) -> bool {
        self.space == other.space && self.start < other.end && other.start < self.end
    }
}

/// One more than the offset of the last element reached by these dimensions and strides.
fn extent(dims: &[u32], strides: &[u32]) -> u64 {
    dims.iter().zip(strides).fold(1u64, |extent, (&dim, &stride)| {
        extent.saturating_add(u64::from(dim.saturating_sub(1)).saturating_mul(u64::from(stride)))
    })
}

fn product(dims: &[u32]) -> u64 {
    dims.iter()
        .fold(1u64, |product, &dim| product.saturating_mul(u64::from(dim)))
}

/// Row-major strides of a dense tensor; a dimension of length 1 may have any stride.
fn dense(dims: &[u32], strides: &[u32]) -> bool {
    let mut expected = 1u64;
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        if dim > 1 && u64::from(stride) != expected {
            return false;
        }
        expected = expected.saturating_mul(u64::from(dim));
    }
    true
}

/// Whether these strides certainly send no two positions to one element: in rising order, each exceeds the reach of
/// all smaller ones.
fn injective(dims: [u32; 4], strides: [u32; 4]) -> bool {
    let mut axes = [(0u64, 0u64); 4];
    for ((axis, dim), stride) in axes.iter_mut().zip(dims).zip(strides) {
        // A dimension of length 1 reaches nothing.
        *axis = if dim > 1 {
            (u64::from(stride), u64::from(dim))
        } else {
            (u64::MAX, 1)
        };
    }
    axes.sort_unstable();
    let mut reach = 0u64;
    for (stride, dim) in axes {
        if dim > 1 {
            if stride <= reach {
                return false;
            }
            reach = reach.saturating_add((dim - 1).saturating_mul(stride));
        }
    }
    true
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
        match self
            .record
            .words
            .iter()
            .zip(0u8..)
            .skip(from)
            .find(|(word, _)| **word != 0)
        {
            Some((_, index)) => Err(RecordProblem::UnusedWord(index)),
            None => Ok(()),
        }
    }

    fn flags(&self, allowed: u32) -> Check {
        ensure(self.word(0) & 0xFFFF_0000 & !allowed == 0, RecordProblem::Flags)
    }

    fn reach(&self, word: usize, extent: u64) -> Result<Reach, RecordProblem> {
        let operand = Operand(self.word(word));
        let space = operand.space().ok_or(RecordProblem::Operand(word as u8))?;
        let start = u64::from(operand.offset());
        let end = start.saturating_add(extent);
        ensure(
            end <= u64::from(self.sizes.get(space)),
            RecordProblem::Bounds(word as u8),
        )?;
        Ok(Reach { space, start, end })
    }

    fn output(&mut self, extent: u64) -> Check {
        self.output_in(1, extent)
    }

    fn output_in(&mut self, word: usize, extent: u64) -> Check {
        self.out = self.reach(word, extent)?;
        ensure(self.out.space.writable(), RecordProblem::ReadOnly)
    }

    /// An operand that does not overlap the output.
    fn apart(&self, word: usize, extent: u64) -> Check {
        let reach = self.reach(word, extent)?;
        ensure(!reach.overlaps(&self.out), RecordProblem::Overlap(word as u8))
    }

    /// An operand that does not overlap the output, or is the output.
    fn apart_or_same(&self, word: usize, dims: &[u32], strides: &[u32]) -> Check {
        let reach = self.reach(word, extent(dims, strides))?;
        let same = reach.space == self.out.space && reach.start == self.out.start && dense(dims, strides);
        ensure(same || !reach.overlaps(&self.out), RecordProblem::Overlap(word as u8))
    }

    fn not_empty(&self, dims: &[u32]) -> Check {
        ensure(dims.iter().all(|&dim| dim >= 1), RecordProblem::Empty)
    }

    fn matmul(&mut self) -> Check {
        self.flags(flags::TRANSPOSE_A | flags::ACCUMULATE)?;
        self.unused(15)?;
        let backward = self.record.has(flags::TRANSPOSE_A) || !self.record.operand(5).is_none();
        ensure(
            cfg!(feature = "kernel-gradient") || !backward,
            RecordProblem::FeatureMissing("kernel-gradient"),
        )?;
        let function = self.record.function();
        ensure(function <= Unary::Relu as u8, RecordProblem::Function(function))?;
        let known = Unary::from_bits(function).ok_or(RecordProblem::Function(function))?;
        ensure(kernels::has_unary(known), TRANSCENDENTAL)?;
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
        let weights = u64::from(batch - 1)
            .saturating_mul(u64::from(w_batch))
            .saturating_add(product(&[k, n]));
        self.apart(3, weights)?;
        if self.record.operand(4).is_none() {
            ensure(bias_batch == 0, RecordProblem::UnusedWord(12))?;
        } else {
            ensure(!self.record.has(flags::ACCUMULATE), RecordProblem::Flags)?;
            self.apart(4, extent(&[batch, n], &[bias_batch, 1]))?;
        }
        if self.record.operand(5).is_none() {
            ensure(epilogue == 0, RecordProblem::UnusedWord(14))
        } else {
            let function = u8::try_from(epilogue).ok().and_then(Binary::from_bits);
            let function = function.ok_or(RecordProblem::Function(epilogue as u8))?;
            ensure(kernels::has_binary(function), TRANSCENDENTAL)?;
            self.apart(5, dense_out)
        }
    }

    fn unary(&mut self) -> Check {
        self.flags(0)?;
        let bits = self.record.function();
        let function = Unary::from_bits(bits).ok_or(RecordProblem::Function(bits))?;
        ensure(kernels::has_unary(function), TRANSCENDENTAL)?;
        self.unused(if matches!(function, Unary::Clip | Unary::Affine) {
            6
        } else {
            4
        })?;
        let count = self.word(3);
        self.not_empty(&[count])?;
        self.output(u64::from(count))?;
        self.apart_or_same(2, &[count], &[1])
    }

    fn binary(&mut self) -> Check {
        self.flags(0)?;
        self.unused(13)?;
        let bits = self.record.function();
        let function = Binary::from_bits(bits).ok_or(RecordProblem::Function(bits))?;
        ensure(kernels::has_binary(function), TRANSCENDENTAL)?;
        let dims: [u32; 3] = self.words(4);
        self.not_empty(&dims)?;
        self.output(product(&dims))?;
        self.apart_or_same(2, &dims, &self.words::<3>(7))?;
        self.apart_or_same(3, &dims, &self.words::<3>(10))
    }

    fn ternary(&mut self) -> Check {
        self.flags(0)?;
        self.unused(13)?;
        let bits = self.record.function();
        ensure(Ternary::from_bits(bits).is_some(), RecordProblem::Function(bits))?;
        let dims: [u32; 2] = self.words(5);
        self.not_empty(&dims)?;
        self.output(product(&dims))?;
        self.apart_or_same(2, &dims, &self.words::<2>(7))?;
        self.apart_or_same(3, &dims, &self.words::<2>(9))?;
        self.apart_or_same(4, &dims, &self.words::<2>(11))
    }

    fn reduce(&mut self) -> Check {
        self.flags(flags::ACCUMULATE)?;
        self.unused(7)?;
        let bits = self.record.function();
        ensure(Reduce::from_bits(bits).is_some(), RecordProblem::Function(bits))?;
        let [outer, reduced, inner, scale] = self.words(3);
        self.not_empty(&[outer, reduced, inner])?;
        let plain = scale == 1f32.to_bits();
        ensure(plain || !self.record.has(flags::ACCUMULATE), RecordProblem::Scale)?;
        self.output(product(&[outer, inner]))?;
        self.apart(2, product(&[outer, reduced, inner]))
    }

    fn copy(&mut self) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            RecordProblem::Function(self.record.function()),
        )?;
        self.unused(15)?;
        let dims: [u32; 4] = self.words(3);
        let out_strides: [u32; 4] = self.words(7);
        self.not_empty(&dims)?;
        self.output(extent(&dims, &out_strides))?;
        ensure(injective(dims, out_strides), RecordProblem::OutputStrides)?;
        self.apart(2, extent(&dims, &self.words::<4>(11)))
    }

    fn gather(&mut self, scatter: bool) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            RecordProblem::Function(self.record.function()),
        )?;
        self.unused(8)?;
        let [outer, axis, indices, inner] = self.words(4);
        self.not_empty(&[outer, axis, indices, inner])?;
        let (whole, picked) = (product(&[outer, axis, inner]), product(&[outer, indices, inner]));
        let (out, data) = if scatter { (whole, picked) } else { (picked, whole) };
        self.output(out)?;
        self.apart(2, data)?;
        self.apart(3, u64::from(indices))
    }

    fn fill(&mut self) -> Check {
        self.flags(0)?;
        ensure(
            self.record.function() == 0,
            RecordProblem::Function(self.record.function()),
        )?;
        self.unused(4)?;
        let count = self.word(2);
        self.not_empty(&[count])?;
        self.output(u64::from(count))
    }

    fn chain(&mut self) -> Check {
        self.flags(0)?;
        let instructions = usize::from(self.record.function());
        ensure(
            (1..=Record::INSTRUCTIONS).contains(&instructions),
            RecordProblem::Function(self.record.function()),
        )?;
        self.unused(1 + 5 * instructions)?;
        (0..instructions).try_for_each(|index| self.instruction(1 + 5 * index))
    }

    /// The instruction that starts at a word.
    fn instruction(&mut self, first: usize) -> Check {
        let [head, _, _, b, c] = self.words(first);
        let bits = head as u8;
        let function = ChainFunction::from_bits(bits).ok_or(RecordProblem::Function(bits))?;
        let built = match function {
            ChainFunction::Unary(function) => kernels::has_unary(function),
            ChainFunction::Binary(function) => kernels::has_binary(function),
            ChainFunction::Ternary(_) | ChainFunction::Scaled(_) => true,
        };
        ensure(built, TRANSCENDENTAL)?;
        let count = u64::from(head >> 8);
        ensure(count >= 1, RecordProblem::Empty)?;
        self.output_in(first + 1, count)?;
        // Whoever looks for plans that write the parameters looks at word 1.
        ensure(self.out.space != Space::Adapted, RecordProblem::ReadOnly)?;
        (0..function.operands()).try_for_each(|operand| self.apart(first + 2 + operand, count))?;
        let used = function.operands() + function.parameters();
        ensure(used >= 2 || b == 0, RecordProblem::UnusedWord((first + 3) as u8))?;
        ensure(used >= 3 || c == 0, RecordProblem::UnusedWord((first + 4) as u8))
    }
}

/// Checks one record against the sizes of the spaces.
pub(super) fn record(record: &Record, sizes: &SpaceSizes) -> Check {
    let opcode = record.opcode().ok_or(RecordProblem::Opcode(record.words[0] as u8))?;
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
        Opcode::Unary => checker.unary(),
        #[cfg(feature = "kernel-binary")]
        Opcode::Binary => checker.binary(),
        #[cfg(feature = "kernel-ternary")]
        Opcode::Ternary => checker.ternary(),
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
        #[allow(unreachable_patterns)] // With every kernel enabled.
        missing => Err(RecordProblem::KernelMissing(missing)),
    }
}
