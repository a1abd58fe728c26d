//! Adaptation on the device: a fold over the support set, run as a transaction.
//!
//! The rule is in the image as plans: `begin` clears the accumulator, `accumulate` adds a chunk of rows to it, `apply`
//! turns it into new parameters, `score` adds a chunk's loss (or divergence). The driver here runs them on a shadow
//! copy of the parameters, in units of one record or a few rows of bookkeeping, so that work can be cut anywhere
//! without changing a bit of the result. What it does, in order:
//!
//! | phase | supervised | policy gradient |
//! |---|---|---|
//! | claim | the buffer that is not published; when the actor still reads it, try again later | same |
//! | estimate | | returns, baseline fit, advantages, standardised, over the complete trajectories |
//! | score | published parameters on the held-out examples | |
//! | copy | the image's parameters | the published parameters |
//! | step | `begin`, `accumulate` over the other examples, `apply`; as many times as trained | once, over all rows |
//! | guard | every value finite, L2 distance from the image's parameters inside the trust region | same |
//! | score | new parameters on the held-out examples: not worse than before | approximate KL divergence within its limit |
//! | publish | one atomic store | same; then the support set is cleared, for it was gathered by the old policy |
//!
//! A supervised adaptation starts from the image's parameters and its support set stays, so it can be repeated as
//! examples come in and never takes more steps than were trained. A policy gradient takes its `j`-th step from the
//! `j`-th support set, and after as many accepted steps as were trained it is refused until
//! [`revert_to_base`](crate::policy::Learner::revert_to_base). Anything rejected is dropped by not publishing it: O(1).
//!
//! [`in_flight`] adapts eight numbers around a policy every control period, through the same exchange of parameters.

mod driver;
mod estimate;
mod fold;
pub mod in_flight;
mod report;

pub(crate) use driver::{Driver, Likelihood, Parts};
pub(crate) use fold::{Stage, Workshop};
pub use report::{AdaptReport, Figures, Progress, Reason};
