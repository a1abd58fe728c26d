//! Which instruction set the kernels are compiled for, chosen at run time.

/// An instruction set the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the target always has.
    Baseline,
}

impl Level {
    /// The best this machine has.
    pub(crate) fn best() -> Self {
        Self::Baseline
    }
}
