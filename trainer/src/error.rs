//! Errors of training.

/// Why a training run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A saved state does not fit the recipe.
    #[error(
        "the checkpoint does not fit this recipe: {0}; start afresh without --resume, or resume with the recipe it was made by"
    )]
    StateMismatch(String),
    /// The loss or a parameter is no longer finite.
    #[error(
        "training diverged at iteration {iteration}: {what} is not finite; lower the learning rate or clip the gradient"
    )]
    Diverged {
        /// The iteration.
        iteration: u64,
        /// What is not finite.
        what: String,
    },
}
