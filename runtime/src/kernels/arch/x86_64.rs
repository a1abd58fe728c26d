//! The kernels compiled for AVX2 and AVX-512.
//!
//! The functions are safe Rust with `#[target_feature]`; only calling them from code without the feature is `unsafe`.
#![allow(unsafe_code)]

mod chain;
#[cfg(feature = "gemm")]
mod gemm;
mod tiles;

use super::kernel_set;
use crate::kernels::Vectorised;
use crate::kernels::arithmetic::{Fused, Rounded};
use crate::kernels::chain::apply;
use tiles::{Wide8, Wide16};

/// Whether this machine has what the AVX2 kernels are compiled for.
#[inline]
pub(super) fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

/// Whether this machine has what the AVX-512 kernels are compiled for.
#[inline]
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl")
}

macro_rules! detected_call {
    ($call:expr) => {
        // SAFETY: the set is only run for a `Level` that says the same, and a `Level` is only made once detection
        // (`has_avx2`, `has_avx512`) has found every feature the function is compiled for.
        unsafe { $call }
    };
}

#[target_feature(enable = "avx2,fma")]
fn avx2<W: Vectorised>(work: W) -> W::Output {
    work.compute()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<W: Vectorised>(work: W) -> W::Output {
    work.compute()
}

/// Runs loops compiled for AVX2.
#[inline]
pub(super) fn with_avx2<W: Vectorised>(work: W) -> W::Output {
    detected_call!(avx2(work))
}

/// Runs loops compiled for AVX-512.
#[inline]
pub(super) fn with_avx512<W: Vectorised>(work: W) -> W::Output {
    detected_call!(avx512(work))
}

#[cfg(not(feature = "gemm"))]
use crate::kernels::matmul::no_library as library;
#[cfg(feature = "gemm")]
use gemm::run as library;

macro_rules! blocks {
    ($set:ident, $features:literal) => {
        impl chain::Blocks for $set {
            #[inline(always)]
            fn block<const FUNCTION: u8, const N: usize>(
                out: &mut [f32; N],
                operands: [&[f32; N]; 3],
                parameters: [f32; 2],
            ) {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn compiled<const FUNCTION: u8, const N: usize>(
                    out: &mut [f32; N],
                    [a, b, c]: [&[f32; N]; 3],
                    [p, q]: [f32; 2],
                ) {
                    let _ = apply::<$set>(FUNCTION, [a, b, c], [p, q], out);
                }
                detected_call!(compiled::<FUNCTION, N>(out, operands, parameters))
            }

            #[inline(always)]
            fn rest(function: u8, operands: [&[f32]; 3], parameters: [f32; 2], out: &mut [f32]) {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn compiled(function: u8, operands: [&[f32]; 3], parameters: [f32; 2], out: &mut [f32]) {
                    let _ = apply::<$set>(function, operands, parameters, out);
                }
                detected_call!(compiled(function, operands, parameters, out))
            }
        }
    };
}

blocks!(Avx2, "avx2,fma");
blocks!(Avx2Fused, "avx2,fma");
blocks!(Avx512, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
blocks!(Avx512Fused, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");

kernel_set!(
    /// AVX2, every rounding in place.
    Avx2<Rounded, Wide8, super::x86_64::chain::run, crate::kernels::matmul::no_library>, [#[target_feature(enable = "avx2,fma")]], detected_call
);

kernel_set!(
    /// AVX2, fused.
    Avx2Fused<Fused, Wide8, super::x86_64::chain::run, super::x86_64::library>, [#[target_feature(enable = "avx2,fma")]], detected_call
);

kernel_set!(
    /// AVX-512, every rounding in place.
    Avx512<Rounded, Wide16, super::x86_64::chain::run, crate::kernels::matmul::no_library>,
    [#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]],
    detected_call
);

kernel_set!(
    /// AVX-512, fused.
    Avx512Fused<Fused, Wide16, super::x86_64::chain::run, crate::kernels::matmul::no_library>,
    [#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]],
    detected_call
);
