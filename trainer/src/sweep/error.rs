//! Why a sweep cannot be done.

use std::path::PathBuf;

use crate::bundle::BundleError;
use crate::error::TrainError;
use crate::eval::EvalError;
use crate::recipe::RecipeError;
use crate::run::{RunError, SessionError};

/// Why a sweep cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// `--vary` was not of the form `FIELD=VALUES`.
    #[error("cannot vary `{0}`: {1}")]
    Vary(String, String),
    /// A field is varied twice.
    #[error("`{0}` is varied twice; give all its values at once")]
    Twice(String),
    /// Ranges have no end of values.
    #[error("`{0}` is a range: say how many configurations to draw with --trials")]
    Range(String),
    /// More or fewer trials than can be.
    #[error("{0}")]
    Trials(String),
    /// A value of the sweep makes a recipe that is refused.
    #[error("with {values}: {source}")]
    Recipe {
        /// What it sets.
        values: String,
        /// Why.
        source: RecipeError,
    },
    /// The folder holds another sweep.
    #[error(
        "{path} holds a sweep of another recipe or with other settings; give the same ones, choose another folder with \
         --out, or start afresh without --resume"
    )]
    Other {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to go on with.
    #[error("{path} holds no sweep to go on with; start one without --resume")]
    NoSweep {
        /// The folder.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot read or write {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A run cannot be kept.
    #[error(transparent)]
    Run(#[from] RunError),
    /// As above.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A trial cannot begin.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An image cannot be made.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An image cannot be scored.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A worker thread panicked.
    #[error("a worker thread of the sweep failed")]
    Worker,
}
