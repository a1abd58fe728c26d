//! Acting: raw observation in, physical action out, and a status that says what happened.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::Scales;
use crate::contract::{MAX_ACTIONS, MAX_OBSERVATIONS};
use crate::image::{Bank, ResetRule, StateEntry};
use crate::kernels::functions;
use crate::noise::Noise;
use crate::plan::{AdaptedRef, Exact, Plan, Spaces};
use crate::publish::Reader;

/// Half the logarithm of two pi.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// What came of a call. Unless it is [`Acted`](Self::Acted) or [`NotExploring`](Self::NotExploring), the contract's
/// safe action was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Status {
    /// The policy's action was written.
    Acted,
    /// Only from [`Actor::explore`]: the mean action was written, because the policy has no Gaussian head or is frozen.
    NotExploring,
    /// The observation (or its ages) has not as many values as the contract has channels.
    ObservationLength {
        /// Channels of the contract.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// The action has not as many places as the contract has channels. Those there are hold the safe action, any more
    /// 0.
    ActionLength {
        /// Channels of the contract.
        expected: usize,
        /// Places given.
        given: usize,
    },
    /// A value of the observation is NaN or infinite.
    ObservationNotFinite {
        /// The first such channel.
        channel: usize,
    },
    /// A value of the observation is older than the contract allows.
    ObservationStale {
        /// The first such channel.
        channel: usize,
    },
    /// An output or a recurrent state came out NaN or infinite. All states were reset.
    PolicyNotFinite,
}

impl Status {
    /// Whether the contract's safe action was written in place of the policy's.
    pub const fn is_safe_action(self) -> bool {
        !matches!(self, Self::Acted | Self::NotExploring)
    }
}

/// What begins, and so which recurrent states go back to their initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ResetKind {
    /// A new episode of the same task.
    Episode,
    /// A new task, and with it a new episode.
    Task,
    /// Everything, as after loading: also the states that are otherwise never reset.
    All,
}

/// How often what happened, since loading; each stays at its greatest value when it gets there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Calls that wrote the policy's action.
    pub acted: u32,
    /// Calls that wrote the safe action.
    pub safe: u32,
    /// Calls in which the contract's clip changed an observation: a sign that the world is not what the policy was
    /// trained in.
    pub clipped: u32,
    /// Deadlines missed, as told by [`Actor::note_deadline`].
    pub missed_deadlines: u32,
    /// Calls that acted with a declared substitute in place of a dropped channel.
    pub masked: u32,
}

/// A step taken with an exploring action: what a [`Learner`](super::Learner) needs to know of it.
///
/// About 230 bytes (360 with the feature `wide`), with room for the greatest contract, so that it can go through a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub(crate) observation: Vec<f32, MAX_OBSERVATIONS>,
    pub(crate) action: Vec<f32, MAX_ACTIONS>,
    pub(crate) log_probability: f32,
    pub(crate) version: u32,
    pub(crate) episode: u32,
    pub(crate) index: u32,
    pub(crate) noise: u32,
}

impl Step {
    /// The normalised observation, one value a channel.
    pub fn observation(&self) -> &[f32] {
        &self.observation
    }

    /// The sampled action as the policy gave it: no unit, no clip, no range.
    pub fn action(&self) -> &[f32] {
        &self.action
    }

    /// Natural logarithm of the action's probability density.
    pub fn log_probability(&self) -> f32 {
        self.log_probability
    }

    /// Calls of the actor in this episode before this one.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Resets of the actor before this step; wraps.
    pub fn episode(&self) -> u32 {
        self.episode
    }

    /// Which publication of the parameters acted, see [`Learner::version`](super::Learner::version).
    pub fn version(&self) -> u32 {
        self.version
    }

    /// [`Noise::drawn`] before the action was sampled.
    pub fn noise(&self) -> u32 {
        self.noise
    }
}

/// What computes the policy's output: a plan of the image, or a model.
pub(crate) enum Forward<'m> {
    Plan(Plan<'m>),
    #[cfg(feature = "onnx")]
    Model(&'m mut crate::edge::Network),
}

/// What an actor works with; outlives the handle.
pub(super) struct ActorCore<'m> {
    pub(super) forward: Forward<'m>,
    pub(super) scales: Scales<'m>,
    pub(super) stochastic: bool,
    pub(super) constants: &'m [f32],
    pub(super) states: &'m [StateEntry],
    /// Every task's slice, and the selected one's.
    pub(super) tasks: Bank<'m>,
    pub(super) bank: &'m [f32],
    pub(super) input: &'m mut [f32],
    pub(super) arena: &'m mut [f32],
    pub(super) state: &'m mut [f32],
    pub(super) output: &'m mut [f32],
    pub(super) noise: Noise,
    pub(super) counts: Counts,
    pub(super) episode: u32,
    /// Calls in this episode.
    pub(super) index: u32,
}

impl ActorCore<'_> {
    pub(super) fn reset(&mut self, kind: ResetKind) {
        self.episode = self.episode.wrapping_add(1);
        self.index = 0;
        for entry in self.states {
            let resets = match entry.reset_rule() {
                Some(ResetRule::Episode) => true,
                Some(ResetRule::Task) => kind != ResetKind::Episode,
                Some(ResetRule::Never) | None => kind == ResetKind::All,
            };
            let length = entry.elements().unwrap_or(0) as usize;
            let Some(values) = self
                .state
                .get_mut(entry.offset as usize..)
                .and_then(|rest| rest.get_mut(..length))
            else {
                continue;
            };
            if resets {
                // The image checked that the initial value lies inside the constants; past them stands for zero.
                let initial = self.constants.get(entry.initial as usize..).unwrap_or(&[]);
                values.fill(0.0);
                values
                    .iter_mut()
                    .zip(initial)
                    .for_each(|(value, initial)| *value = *initial);
            }
        }
    }

    /// Normalises the observation into the plan's input.
    fn normalise(&mut self, observation: &[f32], ages_ms: Option<&[u32]>) -> Result<(), Status> {
        let scales = self.scales.observations;
        let expected = scales.len();
        for given in [Some(observation.len()), ages_ms.map(<[u32]>::len)]
            .into_iter()
            .flatten()
        {
            if given != expected {
                return Err(Status::ObservationLength { expected, given });
            }
        }
        let mut ages = ages_ms.unwrap_or(&[]).iter().zip(scales.iter());
        if !all_finite(observation) || ages.any(|(age, scale)| scale.is_stale(*age)) {
            return self.normalise_masked(observation, ages_ms);
        }
        if scales.normalise(observation, self.input) {
            self.counts.clipped = self.counts.clipped.saturating_add(1);
        }
        Ok(())
    }

    /// As [`normalise`](Self::normalise), where some channel is dropped: too old, NaN or infinite.
    #[cold]
    fn normalise_masked(&mut self, observation: &[f32], ages_ms: Option<&[u32]>) -> Result<(), Status> {
        let mut ages = ages_ms.unwrap_or(&[]).iter();
        let channels = self
            .input
            .iter_mut()
            .zip(observation)
            .zip(self.scales.observations.iter());
        let mut clipped = false;
        for (channel, ((value, raw), scale)) in channels.enumerate() {
            let stale = ages.next().is_some_and(|age| scale.is_stale(*age));
            if raw.is_finite() && !stale {
                let (normalised, limited) = scale.normalise(*raw);
                *value = normalised;
                clipped |= limited;
                continue;
            }
            *value = scale.substitute().ok_or(if stale {
                Status::ObservationStale { channel }
            } else {
                Status::ObservationNotFinite { channel }
            })?;
        }
        self.counts.clipped = self.counts.clipped.saturating_add(u32::from(clipped));
        self.counts.masked = self.counts.masked.saturating_add(1);
        Ok(())
    }

    /// Runs the policy; the output is finite when there is no error.
    fn infer(&mut self, parameters: &[f32]) -> Result<(), Status> {
        let ran = match &mut self.forward {
            Forward::Plan(plan) => {
                let mut spaces = Spaces {
                    constants: self.constants,
                    input: self.input,
                    bank: self.bank,
                    adapted: AdaptedRef::Shared(parameters),
                    arena: self.arena,
                    state: self.state,
                    output: self.output,
                    accumulator: &mut [],
                };
                plan.run::<Exact>(&mut spaces).is_ok()
            }
            #[cfg(feature = "onnx")]
            Forward::Model(model) => model.run(self.input, parameters, 1.0, self.output).is_some(),
        };
        if ran && all_finite(self.output) && all_finite(self.state) {
            return Ok(());
        }
        let (episode, index) = (self.episode, self.index);
        self.reset(ResetKind::All);
        (self.episode, self.index) = (episode, index);
        Err(Status::PolicyNotFinite)
    }

    /// Means, and log standard deviations (none when the policy is deterministic).
    fn head(&self) -> (&[f32], &[f32]) {
        self.output
            .split_at_checked(self.scales.actions.len())
            .unwrap_or((&[], &[]))
    }

    fn write_mean(&self, action: &mut [f32]) {
        let (means, _) = self.head();
        for ((action, mean), scale) in action.iter_mut().zip(means).zip(self.scales.actions) {
            *action = scale.denormalise(*mean);
        }
    }

    fn write_safe(&self, action: &mut [f32]) {
        action.fill(0.0);
        action
            .iter_mut()
            .zip(self.scales.actions)
            .for_each(|(action, scale)| *action = scale.safe);
    }

    /// Samples from the Gaussian head and gives the action and its log-probability.
    fn sample(&mut self) -> Result<(Vec<f32, MAX_ACTIONS>, f32), Status> {
        let mut action = Vec::new();
        let mut log_probability = 0.0;
        let (means, log_deviations) = self
            .output
            .split_at_checked(self.scales.actions.len())
            .unwrap_or((&[], &[]));
        for (mean, log_deviation) in means.iter().zip(log_deviations) {
            let noise = self.noise.gaussian();
            let value = mean + functions::exp(*log_deviation) * noise;
            log_probability += -0.5 * noise * noise - log_deviation - HALF_LOG_TAU;
            if !value.is_finite() || action.push(value).is_err() {
                return Err(Status::PolicyNotFinite);
            }
        }
        if log_probability.is_finite() {
            Ok((action, log_probability))
        } else {
            Err(Status::PolicyNotFinite)
        }
    }
}

/// Looks at every value whatever the first ones are: takes the same time always, and vectorises.
fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |finite, value| finite & value.is_finite())
}

/// Acts. Every call takes the same time and never waits; see [`Policy::split`](super::Policy::split).
pub struct Actor<'p, 'm> {
    pub(super) core: &'p mut ActorCore<'m>,
    reader: Reader<'p, 'm>,
}

impl<'p, 'm> Actor<'p, 'm> {
    pub(super) fn new(core: &'p mut ActorCore<'m>, reader: Reader<'p, 'm>) -> Self {
        Self { core, reader }
    }

    /// The mean action for an observation.
    ///
    /// `observation` holds one raw value a channel, in the contract's order and units; so does `action` afterwards.
    /// Observation values are normalised and clipped, actions scaled and clamped to their range, as the contract says.
    /// Where the policy must be refused, `action` holds the contract's safe action and the status says why.
    pub fn act(&mut self, observation: &[f32], action: &mut [f32]) -> Status {
        self.act_checked(observation, None, action)
    }

    /// As [`act`](Self::act), with the age of each value of the observation in milliseconds (`u32::MAX` for one that never
    /// came): a value older than its channel allows gives the safe action, or is replaced by the substitute that the
    /// contract declares for the channel ([`Counts::masked`]). A value that is not finite is dropped in the same way.
    pub fn act_aged(&mut self, observation: &[f32], ages_ms: &[u32], action: &mut [f32]) -> Status {
        self.act_checked(observation, Some(ages_ms), action)
    }

    /// An action sampled from the policy's Gaussian, with the seeded noise, and the [`Step`] to hand to the learner.
    ///
    /// # Errors
    /// Nothing to learn from: [`Status::NotExploring`] and the mean action, or another status and the safe action.
    pub fn explore(&mut self, observation: &[f32], action: &mut [f32]) -> Result<Step, Status> {
        self.explore_checked(observation, None, action)
    }

    /// As [`explore`](Self::explore), with ages as in [`act_aged`](Self::act_aged).
    ///
    /// # Errors
    /// As [`explore`](Self::explore).
    pub fn explore_aged(&mut self, observation: &[f32], ages_ms: &[u32], action: &mut [f32]) -> Result<Step, Status> {
        self.explore_checked(observation, Some(ages_ms), action)
    }

    /// Takes a step again, on the workstation: runs the policy on the step's normalised observation and samples with this
    /// noise. With the parameters, the recurrent states and the noise that it was taken with, the result is the same to
    /// the last bit. Resets, drives and counts nothing.
    ///
    /// # Errors
    /// As [`explore`](Self::explore).
    pub fn replay(&mut self, step: &Step, noise: Noise) -> Result<Step, Status> {
        let (expected, given) = (self.core.input.len(), step.observation.len());
        if expected != given {
            return Err(Status::ObservationLength { expected, given });
        }
        for (value, observation) in self.core.input.iter_mut().zip(&step.observation) {
            *value = *observation;
        }
        let parameters = self.reader.lease();
        self.core.infer(&parameters)?;
        if !self.core.stochastic {
            return Err(Status::NotExploring);
        }
        self.core.noise = noise;
        let noise = self.core.noise.drawn();
        let (action, log_probability) = self.core.sample()?;
        Ok(Step {
            action,
            log_probability,
            noise,
            ..step.clone()
        })
    }

    /// Begins an episode, a task, or everything anew: resets the recurrent states that the image says. Call it before
    /// every episode: the learner takes the first step after it as the start of a trajectory.
    pub fn reset(&mut self, kind: ResetKind) {
        self.core.reset(kind);
    }

    /// Starts the exploration noise anew from a seed. Without it the seed is 0.
    pub fn seed(&mut self, seed: u64) {
        self.core.noise = Noise::seeded(seed);
    }

    /// Lends the parameters that a call now would act with: for a checksum, say. Never half-written ones.
    pub fn with_parameters<T>(&mut self, read: impl FnOnce(&[f32]) -> T) -> T {
        read(&self.reader.lease())
    }

    /// Frozen, the actor uses the parameters of the image and does not explore, and the learner refuses to adapt.
    /// Adapted parameters are kept for when it is lifted.
    pub fn freeze(&mut self, frozen: bool) {
        self.reader.freeze(frozen);
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.reader.is_frozen()
    }

    /// Tells whether the action of this step came too late, for [`Counts::missed_deadlines`].
    pub fn note_deadline(&mut self, missed: bool) {
        let count = &mut self.core.counts.missed_deadlines;
        *count = count.saturating_add(u32::from(missed));
    }

    /// What happened since loading.
    pub fn counts(&self) -> Counts {
        self.core.counts
    }

    fn act_checked(&mut self, observation: &[f32], ages_ms: Option<&[u32]>, action: &mut [f32]) -> Status {
        let status = match self.infer(observation, ages_ms, action) {
            Ok(_) => {
                self.core.write_mean(action);
                Status::Acted
            }
            Err(status) => status,
        };
        self.finish(status, action)
    }

    fn explore_checked(
        &mut self,
        observation: &[f32],
        ages_ms: Option<&[u32]>,
        action: &mut [f32],
    ) -> Result<Step, Status> {
        let index = self.core.index;
        let step = self.infer(observation, ages_ms, action).and_then(|version| {
            if !self.core.stochastic || self.reader.is_frozen() {
                self.core.write_mean(action);
                return Err(Status::NotExploring);
            }
            let noise = self.core.noise.drawn();
            let (sampled, log_probability) = self.core.sample()?;
            for ((action, sampled), scale) in action.iter_mut().zip(&sampled).zip(self.core.scales.actions) {
                *action = scale.denormalise(*sampled);
            }
            let observation = self.core.input.iter().copied().take(MAX_OBSERVATIONS).collect();
            let episode = self.core.episode;
            Ok(Step {
                observation,
                action: sampled,
                log_probability,
                version,
                episode,
                index,
                noise,
            })
        });
        let status = step.as_ref().map_or_else(|status| *status, |_| Status::Acted);
        let _status = self.finish(status, action);
        step
    }

    /// Runs the policy, and gives which publication of the parameters it ran with.
    fn infer(&mut self, observation: &[f32], ages_ms: Option<&[u32]>, action: &[f32]) -> Result<u32, Status> {
        self.core.index = self.core.index.saturating_add(1);
        let expected = self.core.scales.actions.len();
        if action.len() != expected {
            return Err(Status::ActionLength {
                expected,
                given: action.len(),
            });
        }
        self.core.normalise(observation, ages_ms)?;
        let parameters = self.reader.lease();
        self.core.infer(&parameters)?;
        Ok(parameters.version())
    }

    fn finish(&mut self, status: Status, action: &mut [f32]) -> Status {
        if status.is_safe_action() {
            self.core.write_safe(action);
        }
        let counts = &mut self.core.counts;
        let count = if status.is_safe_action() {
            &mut counts.safe
        } else {
            &mut counts.acted
        };
        *count = count.saturating_add(1);
        status
    }
}
