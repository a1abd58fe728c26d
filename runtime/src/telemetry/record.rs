//! What is recorded. The order of variants and fields *is* the wire format (postcard): append only, and raise [`FORMAT`] for
//! anything else.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::adapt::AdaptReport;
use crate::contract::{MAX_ACTIONS, MAX_OBSERVATIONS};
use crate::experience::End;
use crate::health::{Bounds, Monitor};
use crate::image::{Image, crc32};
use crate::policy::{Counts, ObserveError, ResetKind, Reverted, Step};

/// Version of the records.
pub const FORMAT: u8 = 0;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A learner starts: everything before belongs to another.
    Start(Start),
    /// The exploration noise begins anew from this seed.
    Seed(u64),
    /// A reset of recurrent states other than that of a new episode.
    Reset(Reset),
    /// The learner was given a step.
    Step(StepRecord),
    /// The learner was given an example.
    Example(Example),
    /// An adaptation ended.
    Adapted(Adapted),
    /// The learner went back.
    Reverted(Revert),
    /// The support set was emptied.
    Cleared {
        /// An adaptation that had claimed its buffer was dropped.
        claimed: bool,
    },
    /// An adaptation under way was dropped.
    Cancelled {
        /// It had claimed its buffer.
        claimed: bool,
    },
    /// The policy was frozen, or no longer is.
    Frozen(bool),
    /// What the actor counted since loading.
    Health(Counts),
    /// Records that the sink refused since the start, in all.
    Dropped(u32),
    /// The health monitor began to watch.
    Watched(Watched),
    /// The health monitor was given a score.
    Noted {
        /// The score.
        score: f32,
        /// An adaptation was under way.
        adapting: bool,
    },
    /// The health monitor took an adaptation back, because of the step, example or score before.
    TakenBack {
        /// [`crc32`] of the parameters in use afterwards.
        parameters: u32,
        /// Which publication of the parameters these are.
        version: u32,
    },
    /// A new task began: the image's parameters, an empty support set, a monitor without a record.
    NewTask {
        /// An adaptation that had claimed its buffer was dropped.
        claimed: bool,
        /// Which publication of the parameters is in use afterwards.
        version: u32,
    },
}

/// Which policy this is, and what a replay starts from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// [`FORMAT`].
    pub format: u8,
    /// [`Image::hash`].
    pub image: u64,
    /// [`crc32`] of the parameters in use: the image's, unless others were restored.
    pub parameters: u32,
    /// Gradient steps between the image's parameters and these.
    pub steps: u32,
    /// Which publication of the parameters this is.
    pub version: u32,
    /// Of the exploration noise.
    pub seed: u64,
    /// How often the policy is called, Hz.
    pub control_rate_hz: f32,
}

/// The start of a watch by [`Learner::watch`](crate::policy::Learner::watch).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// When a fall is a fall.
    pub bounds: Bounds,
    /// The record that it began with, see [`Monitor::with_record`](crate::health::Monitor::with_record).
    pub record: Option<f32>,
}

impl Watched {
    /// The monitor that begins so.
    pub fn monitor(&self) -> Monitor {
        let monitor = Monitor::new(self.bounds);
        match self.record {
            Some(score) => monitor.with_record(score),
            None => monitor,
        }
    }
}

/// A reset by [`Actor::reset`](crate::policy::Actor::reset).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// What began.
    pub kind: ResetKind,
}

/// A step given to [`Learner::observe`](crate::policy::Learner::observe).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which publication of the parameters acted.
    pub version: u32,
    /// Resets of the actor before it. Wraps.
    pub episode: u32,
    /// Calls of the actor in this episode before it.
    pub index: u32,
    /// Standard normal numbers drawn since the seed before it: the state of the exploration noise. Wraps.
    pub noise: u32,
    /// Normalised observation, one value a channel.
    pub observation: Vec<f32, MAX_OBSERVATIONS>,
    /// The sampled action as the policy gave it: no unit, no clip, no range.
    pub action: Vec<f32, MAX_ACTIONS>,
    /// Natural logarithm of the action's probability density.
    pub log_probability: f32,
    /// Reward for it.
    pub reward: f32,
    /// Whether the episode goes on.
    pub end: End,
    /// Why the learner did not take it.
    pub refused: Option<ObserveError>,
}

impl StepRecord {
    /// What `observe` was called with, and what it said.
    pub fn new(step: &Step, reward: f32, end: End, taken: Result<(), ObserveError>) -> Self {
        Self {
            version: step.version(),
            episode: step.episode(),
            index: step.index(),
            noise: step.noise(),
            observation: step.observation.clone(),
            action: step.action.clone(),
            log_probability: step.log_probability(),
            reward,
            end,
            refused: taken.err(),
        }
    }

    /// The step, as if it had been taken with this publication of the parameters.
    pub fn to_step(&self, version: u32) -> Step {
        Step {
            observation: self.observation.clone(),
            action: self.action.clone(),
            log_probability: self.log_probability,
            version,
            episode: self.episode,
            index: self.index,
            noise: self.noise,
        }
    }
}

/// An example given to [`Learner::observe_example`](crate::policy::Learner::observe_example).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Raw observation; as many values of it as a contract can have.
    pub input: Vec<f32, MAX_OBSERVATIONS>,
    /// Physical target; as many values of it as a contract can have.
    pub target: Vec<f32, MAX_ACTIONS>,
    /// Why the learner did not take it.
    pub refused: Option<ObserveError>,
}

/// The end of an adaptation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapted {
    /// What came of it.
    pub report: AdaptReport,
    /// Calls of [`Learner::adapt_some`](crate::policy::Learner::adapt_some) that it took.
    pub slices: u32,
    /// [`crc32`] of the parameters in use afterwards.
    pub parameters: u32,
    /// Which publication of the parameters these are.
    pub version: u32,
}

/// The learner went back to earlier parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revert {
    /// To which.
    pub to: Reverted,
    /// Whether [`revert_to_base`](crate::policy::Learner::revert_to_base) was called.
    pub base_asked: bool,
    /// An adaptation that had claimed its buffer was dropped.
    pub claimed: bool,
    /// [`crc32`] of the parameters in use afterwards.
    pub parameters: u32,
    /// Which publication of the parameters these are.
    pub version: u32,
}

/// [`crc32`] of the little-endian bytes of parameters.
pub(crate) fn parameters_crc(parameters: &[f32]) -> u32 {
    crc32(bytemuck::cast_slice(parameters))
}

impl Start {
    /// Of a learner that uses these parameters.
    pub(crate) fn new(image: &Image<'_>, seed: u64, parameters: &[f32], steps: u32, version: u32) -> Self {
        let control_rate_hz = crate::contract::ContractView::new_checked(image.contract_bytes())
            .map_or(0.0, |contract| contract.control_rate_hz());
        Self {
            format: FORMAT,
            image: image.hash(),
            parameters: parameters_crc(parameters),
            steps,
            version,
            seed,
            control_rate_hz,
        }
    }
}
