//! From a checked record to a kernel call: decodes the words and borrows the operands.

#[cfg(any(feature = "kernel-unary", feature = "kernel-binary", feature = "kernel-ternary"))]
use super::COMPACT;
use super::elementwise::{Source, Strided, UnaryFunction, compact};
use super::gather::Picked;
use super::gru::Gru;
use super::matmul::{MatMul, Product, Start};
use super::reduce::Reduce;
use super::{GRADIENT, KernelSet};
#[allow(unused_imports)] // Without any kernel.
use crate::image::record::Opcode;
use crate::image::record::{Binary, Operand, Record, Reduce as ReduceFunction, Ternary, Unary, flags};
use crate::plan::Table;

/// Runs checked records one after the other.
pub(super) fn records<K: KernelSet>(mut records: &[Record], table: &mut Table<'_>) {
    while let Some((record, rest)) = records.split_first() {
        #[cfg(feature = "kernel-chain")]
        if record.opcode() == Some(Opcode::Chain) {
            let is_chain = |record: &Record| record.opcode() == Some(Opcode::Chain);
            let count = records.iter().take_while(|record| is_chain(record)).count();
            let (chains, after) = records.split_at_checked(count).unwrap_or((records, &[]));
            K::chain(chains, table);
            records = after;
            continue;
        }
        // `None` would mean an access out of bounds, which the checks of the plan rule out: nothing is computed then.
        let _ = run::<K>(record, table);
        records = rest;
    }
}

/// A part of a prepared plan.
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Checked records, none of them a chain.
    Records(std::boxed::Box<[Record]>),
    /// What chains one after the other do.
    Chain(super::Chain),
}

/// Runs the parts of a prepared plan one after the other.
#[cfg(feature = "std")]
pub(super) fn parts<K: KernelSet>(parts: &[Part], table: &mut Table<'_>) {
    for part in parts {
        match part {
            Part::Records(all) => records::<K>(all, table),
            Part::Chain(chain) => K::prepared_chain(chain, table),
        }
    }
}

/// The spaces while one record runs: the output's is split around the output.
pub(super) struct Operands<'v> {
    table: &'v Table<'v>,
    out: Operand,
    before: &'v [f32],
    after: &'v [f32],
    /// Where `after` starts in its space.
    end: usize,
}

impl<'v> Operands<'v> {
    /// Splits the space of the output, `whole`, around `len` elements of output.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn around(
        table: &'v Table<'v>,
        out: Operand,
        len: usize,
        whole: &'v mut [f32],
    ) -> Option<(Self, &'v mut [f32])> {
        let start = out.offset() as usize;
        let (before, rest) = whole.split_at_mut_checked(start)?;
        let (output, after) = rest.split_at_mut_checked(len)?;
        let operands = Self {
            table,
            out,
            before,
            after,
            end: start.wrapping_add(len),
        };
        Some((operands, output))
    }

    /// `len` elements from `operand` on; not the output.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn slice(&self, operand: Operand, len: usize) -> Option<&'v [f32]> {
        let mut start = operand.offset() as usize;
        let values = if self.out.same_space(operand) {
            if start < self.end {
                self.before
            } else {
                start -= self.end;
                self.after
            }
        } else {
            self.table.get(operand)
        };
        values.get(start..)?.get(..len)
    }

    /// As [`slice`](Self::slice), but an operand at the output's own offset is the output.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn source(&self, operand: Operand, len: usize) -> Option<Source<'v>> {
        if operand == self.out {
            Some(Source::Output)
        } else {
            self.slice(operand, len).map(Source::Values)
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn strided(&self, operand: Operand, dims: [usize; 3], strides: [usize; 3]) -> Option<Strided<'v>> {
        let source = self.source(operand, extent(&dims, &strides))?;
        Some(Strided {
            source,
            strides: if matches!(source, Source::Output) {
                dense(dims)
            } else {
                strides
            },
        })
    }
}

/// Row-major strides.
#[inline(always)]
fn dense([_, d1, d2]: [usize; 3]) -> [usize; 3] {
    [d1.wrapping_mul(d2), d2, 1]
}

/// One more than the offset of the last element reached. Cannot overflow: the plan was checked.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn extent(dims: &[usize], strides: &[usize]) -> usize {
    dims.iter().zip(strides).fold(1, |extent: usize, (&dim, &stride)| {
        if dim > 1 {
            extent.wrapping_add((dim - 1).wrapping_mul(stride))
        } else {
            extent
        }
    })
}

/// Splits the output's space and hands the kernel its output and the other operands.
#[inline(always)]
fn with_output(
    table: &mut Table<'_>,
    out: Operand,
    len: usize,
    kernel: impl FnOnce(&Operands<'_>, &mut [f32]) -> Option<()>,
) -> Option<()> {
    let whole = table.take(out);
    let result = Operands::around(table, out, len, whole).and_then(|(operands, output)| kernel(&operands, output));
    table.put_back(out, whole);
    result
}

#[inline(always)]
fn words<const N: usize>(record: &Record, start: usize) -> [usize; N] {
    core::array::from_fn(|i| record.words.get(start.wrapping_add(i)).copied().unwrap_or(0) as usize)
}

#[inline(always)]
#[allow(unused_variables)] // Without any kernel.
fn run<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    match record.opcode()? {
        #[cfg(feature = "kernel-matmul")]
        Opcode::MatMul => matmul::<K>(record, table),
        #[cfg(any(feature = "kernel-unary", feature = "kernel-binary", feature = "kernel-ternary"))]
        Opcode::Unary | Opcode::Binary | Opcode::Ternary if COMPACT => elementwise(record, table),
        #[cfg(feature = "kernel-unary")]
        Opcode::Unary => unary::<K>(record, table),
        #[cfg(feature = "kernel-binary")]
        Opcode::Binary => binary::<K>(record, table),
        #[cfg(feature = "kernel-ternary")]
        Opcode::Ternary => ternary::<K>(record, table),
        #[cfg(feature = "kernel-reduce")]
        Opcode::Reduce => reduce::<K>(record, table),
        #[cfg(feature = "kernel-copy")]
        Opcode::Copy => copy::<K>(record, table),
        #[cfg(feature = "kernel-gather")]
        Opcode::Gather => gather::<K>(record, table),
        #[cfg(feature = "kernel-scatter-add")]
        Opcode::ScatterAdd => scatter_add::<K>(record, table),
        #[cfg(feature = "kernel-fill")]
        Opcode::Fill => {
            let [count, value] = words(record, 2);
            with_output(table, record.operand(1), count, |_, out| {
                out.fill(f32::from_bits(value as u32));
                Some(())
            })
        }
        #[cfg(feature = "kernel-gru")]
        Opcode::Gru => gru::<K>(record, table),
        // Chains, and what this build lacks.
        _ => None,
    }
}

fn matmul<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [batch, m, k, n] = words(record, 6);
    let plain = !GRADIENT || (record.operand(5).is_none() && !record.has(flags::TRANSPOSE_A));
    if plain && batch == 1 && m == 1 {
        return matmul_row::<K>(record, table, k, n);
    }
    let [a_batch, w_batch, bias_batch, a_row] = words(record, 10);
    let batches = |stride: usize| batch.wrapping_sub(1).wrapping_mul(stride);
    let area = m.wrapping_mul(n);
    let transposed = GRADIENT && record.has(flags::TRANSPOSE_A);
    let (rows, columns) = if transposed { (k, m) } else { (m, k) };
    with_output(table, record.operand(1), batch.wrapping_mul(area), |operands, out| {
        let optional = |operand: Operand, len: usize| {
            if operand.is_none() {
                Some(None)
            } else {
                operands.slice(operand, len).map(Some)
            }
        };
        let mut p = MatMul {
            a: operands.slice(record.operand(2), extent(&[batch, rows, columns], &[a_batch, a_row, 1]))?,
            w: operands.slice(record.operand(3), batches(w_batch).wrapping_add(k.wrapping_mul(n)))?,
            bias: optional(record.operand(4), batches(bias_batch).wrapping_add(n))?,
            batch,
            m,
            k,
            n,
            a_batch,
            w_batch,
            bias_batch,
            a_row,
            transposed,
            accumulate: record.has(flags::ACCUMULATE),
            activation: Unary::from_bits(record.function())?,
            epilogue: match record.operand(5) {
                operand if GRADIENT && !operand.is_none() => Some((
                    Binary::from_bits(record.words[14] as u8)?,
                    operands.slice(operand, batch.wrapping_mul(area))?,
                )),
                _ => None,
            },
        };
        p.join_batch();
        K::matmul(&p, out);
        Some(())
    })
}

fn matmul_row<K: KernelSet>(record: &Record, table: &mut Table<'_>, k: usize, n: usize) -> Option<()> {
    with_output(table, record.operand(1), n, |operands, out| {
        let bias = record.operand(4);
        let product = Product {
            a: operands.slice(record.operand(2), k)?,
            a_row: k,
            w: operands.slice(record.operand(3), k.wrapping_mul(n))?,
            w_row: n,
            n,
            depth: k,
            start: if !bias.is_none() {
                Start::Bias(operands.slice(bias, n)?)
            } else if record.has(flags::ACCUMULATE) {
                Start::Output
            } else {
                Start::Zero
            },
        };
        K::matmul_row(&product, Unary::from_bits(record.function())?, out);
        Some(())
    })
}

/// Elementwise records of one, two or three operands, in little code.
#[inline(never)]
fn elementwise(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [code, _, _, count] = words(record, 0);
    // Unary, Binary, Ternary.
    let count_of_operands = (code & 0xFF).wrapping_sub(1);
    // The dimensions stand in front of word 7, from there on as many strides for each operand; both are right-aligned.
    let mut dims = [1, 1, count];
    let axes = match count_of_operands {
        1 => 0,
        2 => 3,
        _ => 2,
    };
    for axis in 0..axes {
        let [dim] = words(record, 7_usize.wrapping_sub(axes).wrapping_add(axis));
        *dims.get_mut(3_usize.wrapping_sub(axes).wrapping_add(axis))? = dim;
    }
    let [d0, d1, d2] = dims;
    let parameters = words::<2>(record, 4).map(|bits| f32::from_bits(bits as u32));
    let function = record.function();
    with_output(
        table,
        record.operand(1),
        d0.wrapping_mul(d1).wrapping_mul(d2),
        |operands, out| {
            let mut all = [compact::contiguous(Source::Output); 3];
            let mut strides_at = 7_usize;
            for (index, operand) in all.iter_mut().enumerate().take(count_of_operands) {
                let mut strides = [0, 0, 1];
                for stride in strides.iter_mut().skip(3_usize.wrapping_sub(axes)) {
                    [*stride] = words(record, strides_at);
                    strides_at = strides_at.wrapping_add(1);
                }
                let [word] = words(record, index.wrapping_add(2));
                *operand = operands.strided(Operand(word as u32), dims, strides)?;
            }
            compact::elementwise(function, parameters, dims, all.get(..count_of_operands)?, out);
            Some(())
        },
    )
}

fn unary<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [count] = words(record, 3);
    let parameters = [f32::from_bits(record.words[4]), f32::from_bits(record.words[5])];
    let function = UnaryFunction {
        function: Unary::from_bits(record.function())?,
        parameters,
    };
    with_output(table, record.operand(1), count, |operands, out| {
        K::unary(function, operands.source(record.operand(2), count)?, out);
        Some(())
    })
}

fn binary<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let dims: [usize; 3] = words(record, 4);
    let function = Binary::from_bits(record.function())?;
    let len = dims[0].wrapping_mul(dims[1]).wrapping_mul(dims[2]);
    with_output(table, record.operand(1), len, |operands, out| {
        let a = operands.strided(record.operand(2), dims, words(record, 7))?;
        let b = operands.strided(record.operand(3), dims, words(record, 10))?;
        K::binary(function, dims, [a, b], out);
        Some(())
    })
}

fn ternary<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [d0, d1] = words(record, 5);
    let dims = [1, d0, d1];
    let function = Ternary::from_bits(record.function())?;
    with_output(table, record.operand(1), d0.wrapping_mul(d1), |operands, out| {
        let operand = |word: usize, stride_word: usize| {
            let [s0, s1] = words(record, stride_word);
            operands.strided(record.operand(word), dims, [0, s0, s1])
        };
        K::ternary(function, dims, [operand(2, 7)?, operand(3, 9)?, operand(4, 11)?], out);
        Some(())
    })
}

fn reduce<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [outer, reduced, inner, scale] = words(record, 3);
    let function = ReduceFunction::from_bits(record.function())?;
    let len = outer.wrapping_mul(inner);
    with_output(table, record.operand(1), len, |operands, out| {
        let p = Reduce {
            a: operands.slice(record.operand(2), len.wrapping_mul(reduced))?,
            reduced,
            inner,
            scale: f32::from_bits(scale as u32),
            function,
            accumulate: record.has(flags::ACCUMULATE),
        };
        K::reduce(&p, out);
        Some(())
    })
}

fn copy<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let (dims, out_strides, a_strides) = (words(record, 3), words(record, 7), words(record, 11));
    with_output(
        table,
        record.operand(1),
        extent(&dims, &out_strides),
        |operands, out| {
            K::copy(
                dims,
                out_strides,
                a_strides,
                operands.slice(record.operand(2), extent(&dims, &a_strides))?,
                out,
            );
            Some(())
        },
    )
}

fn gather<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [outer, axis, indices, inner] = words(record, 4);
    let (whole, picked) = (
        outer.wrapping_mul(axis).wrapping_mul(inner),
        outer.wrapping_mul(indices).wrapping_mul(inner),
    );
    with_output(table, record.operand(1), picked, |operands, out| {
        let index = operands.slice(record.operand(3), indices)?;
        K::gather(
            &Picked { index, axis, inner },
            operands.slice(record.operand(2), whole)?,
            out,
        );
        Some(())
    })
}

fn scatter_add<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [outer, axis, indices, inner] = words(record, 4);
    let (whole, picked) = (
        outer.wrapping_mul(axis).wrapping_mul(inner),
        outer.wrapping_mul(indices).wrapping_mul(inner),
    );
    with_output(table, record.operand(1), whole, |operands, out| {
        let index = operands.slice(record.operand(3), indices)?;
        K::scatter_add(
            &Picked { index, axis, inner },
            operands.slice(record.operand(2), picked)?,
            out,
        );
        Some(())
    })
}

fn gru<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [outer, count] = words(record, 5);
    let len = outer.wrapping_mul(count);
    with_output(table, record.operand(1), len, |operands, out| {
        let p = Gru {
            input: operands.slice(record.operand(2), len.wrapping_mul(3))?,
            recurrent: operands.slice(record.operand(3), len.wrapping_mul(3))?,
            state: operands.source(record.operand(4), len)?,
            count,
        };
        K::gru(&p, out);
        Some(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::arch;
    use super::*;
    use crate::image::record::Space;
    use crate::plan::{Plan, SpaceSizes, Spaces};
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    /// Records of one, two and three operands: broadcast, strided, in place.
    fn draw(random: &mut Xoshiro128PlusPlus) -> Record {
        let mut pick = |limit: u32| random.next_u32() % limit;
        let mut record = Record { words: [0; 16] };
        let operands = 1 + pick(3);
        let (axes, functions) = match operands {
            1 => (1, Unary::ALL.len()),
            2 => (3, Binary::ALL.len()),
            _ => (2, Ternary::ALL.len()),
        };
        record.words[0] = (1 + operands) | pick(functions as u32) << 8;
        record.words[1] = Operand::new(Space::Output, 3).unwrap().0;
        let dims: [u32; 3] = core::array::from_fn(|axis| if axis < axes { 1 + pick(5) } else { 1 });
        let dense: [u32; 3] = core::array::from_fn(|axis| dims[axis + 1..].iter().product());
        for operand in 0..operands as usize {
            let in_place = pick(4) == 0;
            let (space, offset) = if in_place {
                (Space::Output, 3)
            } else {
                (Space::Input, pick(9))
            };
            record.words[2 + operand] = Operand::new(space, offset).unwrap().0;
            if operands > 1 {
                for axis in 0..axes {
                    record.words[7 + operand * axes + axis] = dense[axis] * if in_place { 1 } else { pick(2) };
                }
            }
        }
        match operands {
            1 => record.words[3] = dims[0],
            _ => record.words[7 - axes..7].copy_from_slice(&dims[..axes]),
        }
        if operands == 1 && matches!(record.function(), 13 | 16) {
            (record.words[4], record.words[5]) = ((-0.5f32).to_bits(), 1.5f32.to_bits());
        }
        record
    }

    #[test]
    fn little_code_decodes_elementwise_records_to_the_same_bits() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(5);
        for _ in 0..if cfg!(miri) { 20 } else { 3000 } {
            let records = [draw(&mut random)];
            let input: [f32; 256] = core::array::from_fn(|_| random.next_u32() as f32 / 4e8 - 5.0);
            let sizes = SpaceSizes::default().with(Space::Input, 256).with(Space::Output, 140);
            let plan = Plan::new_checked(&records, sizes).unwrap();
            let start: [f32; 140] = core::array::from_fn(|_| random.next_u32() as f32 / 4e8 - 5.0);
            let (mut one, mut other) = (start, start);
            let mut spaces = Spaces {
                input: &input,
                output: &mut one,
                ..Spaces::default()
            };
            plan.run_on(arch::Level::BASELINE, false, &mut spaces).unwrap();
            let mut spaces = Spaces {
                input: &input,
                output: &mut other,
                ..Spaces::default()
            };
            elementwise(&records[0], &mut Table::new(&mut spaces)).unwrap();
            for (one, other) in one.iter().zip(&other) {
                assert!(
                    one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan(),
                    "{records:?}"
                );
            }
        }
    }
}
