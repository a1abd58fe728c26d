//! Shared pieces of the benchmarks.

pub mod hand_kernels;
