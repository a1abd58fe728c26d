//! Which instruction set the kernels are compiled for, chosen at run time.
//!
//! The kernels are `#[inline(always)]` generics; `kernel_set!` compiles them into one function each, here for what the
//! target always has, in `x86_64` for AVX2 and AVX-512.

#[cfg(all(target_arch = "arm", target_abi = "eabihf"))]
mod arm;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86_64;

use super::arithmetic::Rounded;
#[cfg(not(all(target_arch = "arm", target_abi = "eabihf")))]
use super::matmul::Portable as BaselineTiles;
use super::{Mode, Vectorised, execute};
use crate::image::record::Record;
use crate::plan::Table;
#[cfg(all(target_arch = "arm", target_abi = "eabihf"))]
use arm::Scalars as BaselineTiles;
#[cfg(all(not(feature = "std"), target_arch = "arm", target_abi = "eabihf"))]
pub(super) use arm::sqrt;

/// An instruction set the kernels are compiled for. Only those this machine has can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Baseline,
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx2,
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512,
}

impl Level {
    /// What the target always has.
    pub const BASELINE: Self = Self(Set::Baseline);

    /// AVX2 and FMA, if this machine has them.
    pub fn avx2() -> Option<Self> {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if x86_64::has_avx2() {
            return Some(Self(Set::Avx2));
        }
        None
    }

    /// AVX-512, if this machine has it.
    pub fn avx512() -> Option<Self> {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if x86_64::has_avx512() {
            return Some(Self(Set::Avx512));
        }
        None
    }

    /// The best this machine has.
    #[inline]
    pub(crate) fn best() -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            // One load and one test a run; the detection is many.
            static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
            *BEST.get_or_init(|| Self::avx512().or_else(Self::avx2).unwrap_or(Self::BASELINE))
        }
        #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
        Self::BASELINE
    }
}

/// Defines a kernel set: each kernel becomes one function with the given attributes, called through `$call`.
macro_rules! kernel_set {
    ($(#[$doc:meta])* $set:ident<$ops:ty, $tiles:ty, $chain:path>, [$(#[$attribute:meta])*], $call:ident) => {
        $(#[$doc])*
        pub(super) struct $set;

        const _: () = {
            use crate::image::record::{Binary, Record, Ternary, Unary};
            use crate::kernels::elementwise::{self, Source, Strided, UnaryFunction};
            use crate::kernels::{copy, gather, gru as recurrent, matmul, reduce};
            use crate::plan::Table;

            $(#[$attribute])*
            fn matmul_row(product: &matmul::Product<'_>, activation: Unary, out: &mut [f32]) {
                matmul::run_row::<$ops, $tiles, $set>(product, activation, out);
            }
            $(#[$attribute])*
            fn matmul_rows(p: &matmul::MatMul<'_>, out: &mut [f32]) {
                matmul::run_rows::<$ops, $tiles, $set>(p, out);
            }
            $(#[$attribute])*
            fn matmul_transposed(p: &matmul::MatMul<'_>, out: &mut [f32]) {
                matmul::run_transposed::<$ops, $tiles, $set>(p, out);
            }
            $(#[$attribute])*
            fn unary(function: UnaryFunction, a: Source<'_>, out: &mut [f32]) {
                elementwise::unary(function, a, out);
            }
            $(#[$attribute])*
            fn epilogue(function: Binary, operand: &[f32], out: &mut [f32]) {
                elementwise::epilogue(function, operand, out);
            }
            $(#[$attribute])*
            fn binary(function: Binary, dims: [usize; 3], operands: [Strided<'_>; 2], out: &mut [f32]) {
                elementwise::binary(function, dims, operands, out);
            }
            $(#[$attribute])*
            fn ternary(function: Ternary, dims: [usize; 3], operands: [Strided<'_>; 3], out: &mut [f32]) {
                elementwise::ternary(function, dims, operands, out);
            }
            $(#[$attribute])*
            fn reduce(p: &reduce::Reduce<'_>, out: &mut [f32]) {
                reduce::run::<$ops>(p, out);
            }
            $(#[$attribute])*
            fn copy(dims: [usize; 4], out_strides: [usize; 4], a_strides: [usize; 4], a: &[f32], out: &mut [f32]) {
                copy::run::<$tiles>(dims, out_strides, a_strides, a, out);
            }
            $(#[$attribute])*
            fn gather(p: &gather::Picked<'_>, data: &[f32], out: &mut [f32]) {
                gather::gather(p, data, out);
            }
            $(#[$attribute])*
            fn scatter_add(p: &gather::Picked<'_>, a: &[f32], out: &mut [f32]) {
                gather::scatter_add(p, a, out);
            }
            $(#[$attribute])*
            fn gru(p: &recurrent::Gru<'_>, out: &mut [f32]) {
                recurrent::run(p, out);
            }
            $(#[$attribute])*
            fn chain(records: &[Record], table: &mut Table<'_>) {
                use $chain as run;
                run::<$set>(records, table);
            }

            impl crate::kernels::KernelSet for $set {
                #[inline]
                fn matmul(p: &matmul::MatMul<'_>, out: &mut [f32]) {
                    if p.transposed && crate::kernels::GRADIENT && !crate::kernels::COMPACT {
                        $call!(matmul_transposed(p, out))
                    } else {
                        $call!(matmul_rows(p, out))
                    }
                }
                #[inline]
                fn matmul_row(product: &matmul::Product<'_>, activation: Unary, out: &mut [f32]) {
                    $call!(matmul_row(product, activation, out))
                }
                #[inline]
                fn unary(function: UnaryFunction, a: Source<'_>, out: &mut [f32]) {
                    $call!(unary(function, a, out))
                }
                #[inline]
                fn epilogue(function: Binary, operand: &[f32], out: &mut [f32]) {
                    $call!(epilogue(function, operand, out))
                }
                #[inline]
                fn binary(function: Binary, dims: [usize; 3], operands: [Strided<'_>; 2], out: &mut [f32]) {
                    $call!(binary(function, dims, operands, out))
                }
                #[inline]
                fn ternary(function: Ternary, dims: [usize; 3], operands: [Strided<'_>; 3], out: &mut [f32]) {
                    $call!(ternary(function, dims, operands, out))
                }
                #[inline]
                fn reduce(p: &reduce::Reduce<'_>, out: &mut [f32]) {
                    $call!(reduce(p, out))
                }
                #[inline]
                fn copy(
                    dims: [usize; 4],
                    out_strides: [usize; 4],
                    a_strides: [usize; 4],
                    a: &[f32],
                    out: &mut [f32],
                ) {
                    $call!(copy(dims, out_strides, a_strides, a, out))
                }
                #[inline]
                fn gather(p: &gather::Picked<'_>, data: &[f32], out: &mut [f32]) {
                    $call!(gather(p, data, out))
                }
                #[inline]
                fn scatter_add(p: &gather::Picked<'_>, a: &[f32], out: &mut [f32]) {
                    $call!(scatter_add(p, a, out))
                }
                #[inline]
                fn gru(p: &recurrent::Gru<'_>, out: &mut [f32]) {
                    $call!(gru(p, out))
                }
                #[inline]
                fn chain(records: &[Record], table: &mut Table<'_>) {
                    $call!(chain(records, table))
                }
            }
        };
    };
}
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use kernel_set;

impl crate::kernels::copy::Blocks for BaselineTiles {}

macro_rules! plain_call {
    ($call:expr) => {
        $call
    };
}

kernel_set!(
    /// What the target always has, every rounding in place.
    Baseline<Rounded, BaselineTiles, crate::kernels::chain::run>, [], plain_call
);

#[cfg(all(feature = "std", target_arch = "aarch64"))]
kernel_set!(
    /// Every aarch64 core fuses.
    BaselineFused<crate::kernels::arithmetic::Fused, BaselineTiles, crate::kernels::chain::run>, [], plain_call
);

/// Runs checked records on an instruction set.
#[inline]
pub(super) fn run(level: Level, mode: Mode, records: &[Record], table: &mut Table<'_>) {
    match (level.0, mode) {
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        (Set::Baseline, Mode::Fast) => execute::records::<BaselineFused>(records, table),
        (Set::Baseline, _) => execute::records::<Baseline>(records, table),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        (Set::Avx2, Mode::Exact) => execute::records::<x86_64::Avx2>(records, table),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        (Set::Avx2, Mode::Fast) => execute::records::<x86_64::Avx2Fused>(records, table),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        (Set::Avx512, Mode::Exact) => execute::records::<x86_64::Avx512>(records, table),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        (Set::Avx512, Mode::Fast) => execute::records::<x86_64::Avx512Fused>(records, table),
    }
}

/// Runs plain loops compiled for an instruction set.
#[inline]
pub(super) fn vectorised<W: Vectorised>(level: Level, work: W) -> W::Output {
    match level.0 {
        Set::Baseline => work.compute(),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Set::Avx2 => x86_64::with_avx2(work),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Set::Avx512 => x86_64::with_avx512(work),
    }
}
