//! What came of an adaptation.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Whether an adaptation in slices is done.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Progress {
    /// There is more to do: call again. (Or the actor is reading the buffer that is to be written: call again later.)
    Working,
    /// It is done.
    Done(AdaptReport),
}

/// What came of an adaptation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum AdaptReport {
    /// The new parameters are published: the actor's next call uses them.
    Accepted(Figures),
    /// The parameters are what they were.
    Rejected {
        /// Why.
        reason: Reason,
        /// What was measured until then.
        figures: Figures,
    },
}

impl AdaptReport {
    /// Whether the new parameters are published.
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// What was measured, accepted or not.
    pub const fn figures(&self) -> &Figures {
        match self {
            Self::Accepted(figures) | Self::Rejected { figures, .. } => figures,
        }
    }

    /// Why it was rejected.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Accepted(_) => None,
            Self::Rejected { reason, .. } => Some(*reason),
        }
    }
}

/// What was measured during an adaptation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Figures {
    /// Rows of the support set that counted, the held-out ones included.
    pub rows: u32,
    /// Rows that scored instead of training.
    pub held_out: u32,
    /// Gradient steps from the image's parameters to these.
    pub steps: u32,
    /// L2 distance from the image's parameters; 0 when it was not reached.
    pub change: f32,
    /// Supervised: mean loss of the parameters in use on the held-out rows, where there are any.
    pub score_before: Option<f32>,
    /// Supervised: the same for the new parameters. Policy gradient: mean approximate KL divergence, where there is a
    /// limit.
    pub score_after: Option<f32>,
    /// Work done, in multiply-accumulates (and elements of other kernels), see
    /// [`Record::macs`](crate::image::record::Record::macs).
    pub macs: u64,
}

/// Why an adaptation was rejected.
// The order of the variants is that of the telemetry's wire format: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// The image has no adaptation, or the policy was loaded without a learner.
    NotAdaptive,
    /// The policy is frozen.
    Frozen,
    /// No row to train on: no example, or no complete trajectory.
    EmptySupport,
    /// As many steps as were trained have been taken.
    StepLimit,
    /// The actor is reading the buffer that is to be written: try again.
    Busy,
    /// A new parameter is NaN or infinite.
    NotFinite,
    /// The new parameters are too far from the image's.
    TrustRegion,
    /// The loss on held-out examples rose, or is not a number.
    LossRose,
    /// The new policy diverges too far from the one that gathered the support set.
    Divergence,
    /// The last adaptation is still on trial, see [`health`](crate::health).
    OnTrial,
    /// An adaptation was taken back by itself not long ago, see [`health`](crate::health).
    Resting,
    /// The policy of the image has not been scored often enough to tell whether an adaptation is worth keeping, see
    /// [`health`](crate::health).
    NoRecord,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAdaptive => "this policy does not adapt",
            Self::Frozen => "frozen",
            Self::EmptySupport => "no example or complete trajectory in the support set",
            Self::StepLimit => "as many steps as were trained have been taken",
            Self::Busy => "the actor is still using the buffer",
            Self::NotFinite => "a new parameter is not finite",
            Self::TrustRegion => "the change is outside the trust region",
            Self::LossRose => "the loss on held-out examples rose",
            Self::Divergence => "the divergence from the old policy is above its limit",
            Self::OnTrial => "the last adaptation is still on trial",
            Self::Resting => "an adaptation was taken back not long ago",
            Self::NoRecord => "the policy of the image has not been scored often enough",
        })
    }
}
