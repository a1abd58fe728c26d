//! Errors of training.

use pliant_compiler::adaptation::AdaptationError;
use pliant_compiler::autodiff::AutodiffError;
use pliant_compiler::graph::GraphError;

use crate::engine::EngineError;
use crate::tasks::DataError;

/// Why a training run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A saved state does not fit the recipe.
    #[error(
        "the checkpoint does not fit this recipe: {0}; start afresh without --resume, or resume with the recipe it was made by"
    )]
    StateMismatch(String),
    /// A training is to start from another's parameters and has none of them.
    #[error(
        "there is nothing to start from: no parameter has both name and shape in common\n  here: {own}\n  there: {other}\n  give both recipes the same hidden layers"
    )]
    NothingInCommon {
        /// Parameters of the training that is to start.
        own: String,
        /// Parameters that it was given.
        other: String,
    },
    /// The algorithm does not train this family.
    #[error("the algorithm `{algorithm}` does not train the family `{family}`")]
    Mismatch {
        /// The family.
        family: &'static str,
        /// The algorithm.
        algorithm: &'static str,
    },
    /// Logged data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A graph refused an operator: a network and a loss that do not fit each other.
    #[error("cannot build the training graph: {0}")]
    Graph(#[from] GraphError),
    /// An adaptation rule does not fit its policy or data.
    #[error("cannot build the adaptation: {0}")]
    Adaptation(#[from] AdaptationError),
    /// A loss cannot be differentiated.
    #[error("cannot differentiate the training graph: {0}")]
    Autodiff(#[from] AutodiffError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Worker threads could not be started.
    #[error("cannot start the worker threads: {0}; try fewer with --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
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
    /// A batch of another size than the learner was made for.
    #[error("{what}: {expected} numbers are needed for this learner's tasks and rows, got {found}")]
    BatchShape {
        /// Which part of the batch.
        what: &'static str,
        /// Numbers it must have.
        expected: usize,
        /// Numbers it has.
        found: usize,
    },
    /// A batch with rows of a task that the learner does not know.
    #[error("task {task} is not one of this learner's {tasks}")]
    NoSuchTask {
        /// The task asked for.
        task: usize,
        /// How many there are.
        tasks: usize,
    },
    /// Predicting needs a policy, and this learner knows a loss only.
    #[error("this learner was made from a loss, not from a policy: it has nothing to predict with")]
    NoPolicy,
    /// An environment gave something that is no number.
    #[error(
        "environment `{environment}`, instance {instance}, step {step} of iteration {iteration}: {what} is not finite; look at the parameters it draws and at its step"
    )]
    NotFinite {
        /// Its name.
        environment: String,
        /// The instance, counted over all shards.
        instance: usize,
        /// The step of the iteration's window, from 0.
        step: usize,
        /// The iteration, from 1.
        iteration: u64,
        /// The reward, or a number of the observation.
        what: String,
    },
    /// A window does not reach to the end of an episode.
    #[error(
        "`steps` is {steps}, but an episode (of a trial: all its episodes together) has up to {horizon}; its end would never be seen: raise `steps`"
    )]
    ShortWindow {
        /// Steps of a window.
        steps: usize,
        /// Steps of an episode.
        horizon: usize,
    },
    /// RL2 without memory.
    #[error("learning in context needs a policy with memory: set `memory` under [policy]")]
    NoMemory,
    /// Gradient steps on a policy that remembers.
    #[error("this adapts a feed-forward policy by gradient steps: leave out `memory` under [policy]")]
    NeedsNoMemory,
    /// The algorithm samples actions and the policy has none to sample.
    #[error("the policy has no standard deviation to sample actions with, which this algorithm needs")]
    Deterministic,
}
