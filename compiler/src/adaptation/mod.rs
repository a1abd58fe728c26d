//! Adaptation rules as graphs.
//!
//! A rule is written once, as a loss over rows, and becomes every graph that adapts: the fold a device runs in chunks
//! (`begin`, `accumulate`, `apply`, `score`), the whole-support step that meta-training differentiates through, and the
//! `adapt` and `score` graphs that are exported to ONNX.
//!
//! [`loss`]: the losses. [`gradient`]: a few steps of gradient descent with learned step sizes, on all parameters (MAML,
//! Meta-SGD) or a [`Subset`] (ANIL, CAVIA). [`ridge`]: the head in closed form. [`Rule`]: either of them.

mod clip;
pub mod gradient;
pub mod loss;
pub mod ridge;
mod rule;
mod solve;
pub mod standardise;
mod subset;

pub use rule::{Rule, Update};
pub use solve::solve_positive_definite;
pub use subset::Subset;

use thiserror::Error;

use crate::autodiff::AutodiffError;
use crate::graph::GraphError;

/// Why an adaptation graph cannot be built.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AdaptationError {
    /// An operator refuses its inputs: usually a loss that does not fit the fields.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The loss has no gradient.
    #[error(transparent)]
    Autodiff(#[from] AutodiffError),
    /// Not as many values as the rule has.
    #[error("{what}: the rule has {expected}, got {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many the rule has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// No parameter adapts.
    #[error("no parameter adapts")]
    NothingAdapts,
    /// A ridge regression of a policy that has nothing for it.
    #[error(
        "a ridge head needs a feed-forward policy with a hidden layer, whose output is the answer itself, and a supervised loss"
    )]
    NoLinearHead,
    /// The numbers of one rule for another.
    #[error("the numbers to adapt by are those of another rule")]
    OtherRule,
    /// A loss of another shape than one number a row.
    #[error("the loss of {rows:?} rows has shape {found:?}, expected one number a row (last axis 1)")]
    LossShape {
        /// Shape of the row weights.
        rows: Vec<usize>,
        /// Shape of the loss.
        found: Vec<usize>,
    },
}
