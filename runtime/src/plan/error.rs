//! Why a plan is refused, or cannot run.

use core::fmt;

use crate::image::record::{Opcode, Space};

/// Why a plan is refused, or cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PlanError {
    /// A record breaks a rule.
    Record {
        /// Which, from 0.
        index: u32,
        /// The rule.
        problem: RecordProblem,
    },
    /// A slice is too short for the plan.
    Space {
        /// Which space.
        space: Space,
        /// Elements the plan needs.
        needed: u32,
        /// Elements it was given.
        given: usize,
    },
    /// The plan writes the adapted space, which was given to read only.
    AdaptedShared,
    /// A range of records that the plan does not have.
    Range,
}

/// The rule that a record breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RecordProblem {
    /// An opcode this reader does not know.
    Opcode(u8),
    /// The opcode is known, but this build lacks its kernel: enable the cargo feature of that name.
    KernelMissing(Opcode),
    /// The record is known, but this build lacks a part of its kernel: enable the cargo feature of this name.
    FeatureMissing(&'static str),
    /// A function the opcode does not have.
    Function(u8),
    /// A flag the opcode does not have, or flags that exclude each other.
    Flags,
    /// A word the record does not use is not zero.
    UnusedWord(u8),
    /// A dimension or count is zero.
    Empty,
    /// The operand in this word names no space, or is absent where one is needed.
    Operand(u8),
    /// The operand in this word reaches past the end of its space.
    Bounds(u8),
    /// The output lies in a space that may not be written.
    ReadOnly,
    /// The operand in this word overlaps the output in a way that is not allowed.
    Overlap(u8),
    /// Two positions of a copy's output may coincide.
    OutputStrides,
    /// A reduction that starts from the old output has a scale other than 1.
    Scale,
}

impl Opcode {
    /// The cargo feature that brings the kernel.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::MatMul => "kernel-matmul",
            Self::Unary => "kernel-unary",
            Self::Binary => "kernel-binary",
            Self::Ternary => "kernel-ternary",
            Self::Reduce => "kernel-reduce",
            Self::Copy => "kernel-copy",
            Self::Gather => "kernel-gather",
            Self::ScatterAdd => "kernel-scatter-add",
            Self::Fill => "kernel-fill",
            Self::Chain => "kernel-chain",
            Self::Gru => "kernel-gru",
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { index, problem } => write!(f, "record {index}: {problem}"),
            Self::Space { space, needed, given } => {
                write!(f, "the plan needs {needed} elements of {space:?}, it was given {given}")
            }
            Self::AdaptedShared => f.write_str("the plan writes the adapted parameters, which were given to read only"),
            Self::Range => f.write_str("the plan has no such range of records"),
        }
    }
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opcode(bits) => write!(f, "unknown opcode {bits}"),
            Self::KernelMissing(opcode) => {
                write!(
                    f,
                    "needs {opcode:?}: build pliant-runtime with feature `{}`",
                    opcode.feature()
                )
            }
            Self::FeatureMissing(feature) => write!(f, "build pliant-runtime with feature `{feature}`"),
            Self::Function(bits) => write!(f, "unknown function {bits}"),
            Self::Flags => f.write_str("flags that do not belong here"),
            Self::UnusedWord(word) => write!(f, "unused word {word} is not zero"),
            Self::Empty => f.write_str("a dimension is zero"),
            Self::Operand(word) => write!(f, "no valid operand in word {word}"),
            Self::Bounds(word) => write!(f, "the operand in word {word} leaves its space"),
            Self::ReadOnly => f.write_str("the output lies in a read-only space"),
            Self::Overlap(word) => write!(f, "the operand in word {word} overlaps the output"),
            Self::OutputStrides => f.write_str("positions of the output coincide"),
            Self::Scale => f.write_str("an accumulating reduction has a scale other than 1"),
        }
    }
}

impl core::error::Error for PlanError {}
impl core::error::Error for RecordProblem {}
