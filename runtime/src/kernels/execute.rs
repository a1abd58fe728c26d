//! From a checked record to a kernel call: decodes the words and borrows the operands.

use super::KernelSet;
use super::elementwise::{Source, Strided, UnaryFunction};
use super::gather::Picked;
use super::matmul::{MatMul, Product, Start};
use super::reduce::Reduce;
use crate::image::record::{Binary, Opcode, Operand, Record, Reduce as ReduceFunction, Ternary, Unary, flags};
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
    #[inline(always)]
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
fn run<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    match record.opcode()? {
        #[cfg(feature = "kernel-matmul")]
        Opcode::MatMul => matmul::<K>(record, table),
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
        // Chains, and what this build lacks.
        _ => None,
    }
}

fn matmul<K: KernelSet>(record: &Record, table: &mut Table<'_>) -> Option<()> {
    let [batch, m, k, n] = words(record, 6);
    let plain = record.operand(5).is_none() && !record.has(flags::TRANSPOSE_A);
    if plain && batch == 1 && m == 1 {
        return matmul_row::<K>(record, table, k, n);
    }
    let [a_batch, w_batch, bias_batch, a_row] = words(record, 10);
    let batches = |stride: usize| batch.wrapping_sub(1).wrapping_mul(stride);
    let area = m.wrapping_mul(n);
    let transposed = record.has(flags::TRANSPOSE_A);
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
            epilogue: match optional(record.operand(5), batch.wrapping_mul(area))? {
                Some(operand) => Some((Binary::from_bits(record.words[14] as u8)?, operand)),
                None => None,
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
