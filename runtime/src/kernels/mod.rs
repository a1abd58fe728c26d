//! The kernels a plan runs: one for each opcode, generic safe Rust, the same bits on every core.

mod arch;

#[doc(hidden)]
pub use arch::Level;

use crate::image::record::{Opcode, Record};
use crate::plan::Spaces;

/// How sums are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Multiply, round, add, round, in index order.
    Exact,
    /// May fuse and reassociate.
    Fast,
}

/// Whether this build has the kernel.
pub(crate) const fn has(opcode: Opcode) -> bool {
    match opcode {
        Opcode::MatMul => cfg!(feature = "kernel-matmul"),
        Opcode::Unary => cfg!(feature = "kernel-unary"),
        Opcode::Binary => cfg!(feature = "kernel-binary"),
        Opcode::Ternary => cfg!(feature = "kernel-ternary"),
        Opcode::Reduce => cfg!(feature = "kernel-reduce"),
        Opcode::Copy => cfg!(feature = "kernel-copy"),
        Opcode::Gather => cfg!(feature = "kernel-gather"),
        Opcode::ScatterAdd => cfg!(feature = "kernel-scatter-add"),
        Opcode::Fill => cfg!(feature = "kernel-fill"),
    }
}

/// Runs checked records on the best instruction set this machine has.
pub(crate) fn run(mode: Mode, records: &[Record], spaces: &mut Spaces<'_>) {
    run_on(Level::best(), mode, records, spaces);
}

/// Runs checked records on a given instruction set.
pub(crate) fn run_on(_level: Level, _mode: Mode, _records: &[Record], _spaces: &mut Spaces<'_>) {}
