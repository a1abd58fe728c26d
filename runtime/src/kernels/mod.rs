//! The kernels a plan runs: one for each opcode, generic safe Rust, the same bits on every core.
//!
//! `execute` decodes records and borrows operands; the kernels only see slices. `arch` compiles the kernels for each
//! instruction set and chooses one at run time. What the elementwise functions compute is in `functions`.

// A firmware may leave kernels out; what only they use goes with them.
#![cfg_attr(not(feature = "kernels"), allow(dead_code))]

mod arch;
mod arithmetic;
mod chain;
mod copy;
mod elementwise;
mod execute;
pub(crate) mod functions;
mod gather;
mod gru;
mod matmul;
mod reduce;

#[doc(hidden)]
pub use arch::Level;
#[cfg(feature = "std")]
pub(crate) use {chain::prepared::Chain, execute::Part};

use crate::image::record::{Binary, Record, Ternary, Unary};
use crate::plan::Table;
use elementwise::{Source, Strided, UnaryFunction};

/// Whether little code serves better than vectors: plain loops in place of one for every case. The same bits.
const COMPACT: bool = cfg!(not(target_pointer_width = "64"));

/// Whether this build has the products of backward passes.
pub(crate) const GRADIENT: bool = cfg!(feature = "kernel-gradient");

/// How sums are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Multiply, round, add, round, in index order.
    Exact,
    /// May fuse and reassociate.
    Fast,
}

/// Plain loops that gain from wider vectors than the target always has.
#[doc(hidden)]
pub trait Vectorised {
    /// What they give.
    type Output;

    /// Runs them; to be marked `#[inline(always)]`, as what it calls, so that it is compiled for each instruction set.
    fn compute(self) -> Self::Output;
}

/// Runs loops compiled for the best instruction set this machine has. The same bits: nothing is fused or reordered.
#[doc(hidden)]
#[inline]
pub fn vectorised<W: Vectorised>(work: W) -> W::Output {
    arch::vectorised(Level::best(), work)
}

/// The kernels, compiled for one instruction set.
trait KernelSet {
    fn matmul(p: &matmul::MatMul<'_>, out: &mut [f32]);
    fn matmul_row(product: &matmul::Product<'_>, activation: Unary, out: &mut [f32]);
    fn unary(function: UnaryFunction, a: Source<'_>, out: &mut [f32]);
    fn epilogue(function: Binary, operand: &[f32], out: &mut [f32]);
    fn binary(function: Binary, dims: [usize; 3], operands: [Strided<'_>; 2], out: &mut [f32]);
    fn ternary(function: Ternary, dims: [usize; 3], operands: [Strided<'_>; 3], out: &mut [f32]);
    fn reduce(p: &reduce::Reduce<'_>, out: &mut [f32]);
    fn copy(dims: [usize; 4], out_strides: [usize; 4], a_strides: [usize; 4], a: &[f32], out: &mut [f32]);
    fn gather(p: &gather::Picked<'_>, data: &[f32], out: &mut [f32]);
    fn scatter_add(p: &gather::Picked<'_>, a: &[f32], out: &mut [f32]);
    fn gru(p: &gru::Gru<'_>, out: &mut [f32]);
    /// Records that are all chains.
    fn chain(records: &[Record], table: &mut Table<'_>);
    #[cfg(feature = "std")]
    fn prepared_chain(chain: &Chain, table: &mut Table<'_>);
}

/// The cargo feature that this build lacks for the function.
pub(crate) const fn unary_lacks(function: Unary) -> Option<Lacking> {
    use Unary::{Cos, Exp, Log, Sin, Softplus};
    match function {
        Exp | Log | Sin | Cos | Softplus if !cfg!(feature = "kernel-transcendental") => Some(Lacking::Transcendental),
        _ => None,
    }
}

/// The cargo feature that this build lacks for the function.
pub(crate) const fn binary_lacks(function: Binary) -> Option<Lacking> {
    use Binary::{ReluGradient, SigmoidGradient, TanhGradient};
    match function {
        Binary::Pow if !cfg!(feature = "kernel-transcendental") => Some(Lacking::Transcendental),
        TanhGradient | ReluGradient | SigmoidGradient if !cfg!(feature = "kernel-gradient") => Some(Lacking::Gradient),
        _ => None,
    }
}

/// A cargo feature that brings a part of a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    Gradient,
    Transcendental,
}

impl Lacking {
    /// The name of the feature.
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::Gradient => "kernel-gradient",
            Self::Transcendental => "kernel-transcendental",
        }
    }
}

/// Runs checked records on the best instruction set this machine has.
pub(crate) fn run(mode: Mode, records: &[Record], table: &mut Table<'_>) {
    arch::run(Level::best(), mode, records, table);
}

/// Runs prepared records on an instruction set.
#[cfg(feature = "std")]
pub(crate) fn run_prepared(level: Level, mode: Mode, parts: &[Part], table: &mut Table<'_>) {
    arch::run_prepared(level, mode, parts, table);
}

/// Runs checked records on a given instruction set.
pub(crate) fn run_on(level: Level, mode: Mode, records: &[Record], table: &mut Table<'_>) {
    arch::run(level, mode, records, table);
}
