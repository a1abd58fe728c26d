//! Learning: gathers the support set, adapts, goes back.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::Scales;
use super::actor::Step;
use crate::adapt::{AdaptReport, Driver, Figures, Progress, Reason};
use crate::experience::End;
use crate::experience::support::{clock, read_clock, set, value};
use crate::health::Monitor;
use crate::image::{Bank, Objective};
use crate::publish::Writer;

/// What a learner works with; outlives the handle.
pub(super) struct LearnerCore<'m> {
    pub(super) driver: Driver<'m>,
    scales: Scales<'m>,
    /// Every task's slice of the bank.
    pub(super) tasks: Bank<'m>,
    /// The trajectory that has not ended, if there is one.
    open: Option<Open>,
    /// Complete trajectories in the support set.
    trajectories: u32,
    /// Set by [`Learner::watch`].
    pub(super) health: Option<Monitor>,
    /// Scores an example for the monitor. A pointer, so that a firmware that never watches need not have the code.
    pub(super) watch_example: Option<fn(&mut Learner<'_, '_>)>,
    /// The return of the episode under way, for the monitor.
    pub(super) tally: Option<Tally>,
}

#[derive(Clone, Copy)]
struct Open {
    episode: u32,
    next_index: u32,
    rows: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Tally {
    episode: u32,
    version: u32,
    next_index: u32,
    pub(super) sum: f32,
}

impl Tally {
    /// The tally with one step more, if the step follows; otherwise a new one, if the step is the first of its episode.
    pub(super) fn with(tally: Option<Self>, step: &Step, reward: f32) -> Option<Self> {
        let follows =
            |tally: &Self| (tally.episode, tally.version, tally.next_index) == (step.episode, step.version, step.index);
        let before = match tally.filter(follows) {
            Some(tally) => tally.sum,
            None if step.index == 0 => 0.0,
            None => return None,
        };
        Some(Self {
            episode: step.episode,
            version: step.version,
            next_index: step.index.saturating_add(1),
            sum: before + reward,
        })
    }
}

impl<'m> LearnerCore<'m> {
    pub(super) fn new(driver: Driver<'m>, scales: Scales<'m>, tasks: Bank<'m>) -> Self {
        Self {
            driver,
            scales,
            tasks,
            open: None,
            trajectories: 0,
            health: None,
            watch_example: None,
            tally: None,
        }
    }

    /// Rows of the support set that count.
    pub(super) fn complete_rows(&self) -> usize {
        let open = self.open.map_or(0, |open| open.rows);
        self.driver.parts.support.len().saturating_sub(open)
    }

    pub(super) fn objective(&self) -> Objective {
        self.driver.parts.objective()
    }

    fn clear(&mut self) {
        self.driver.parts.support.clear();
        (self.open, self.trajectories) = (None, 0);
    }

    /// Drops the trajectory that has not ended.
    fn drop_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.driver.parts.support.drop_newest(open.rows);
        }
    }

    fn push_step(&mut self, step: &Step, reward: f32, end: End) {
        let parts = &mut self.driver.parts;
        if parts.support.is_full() {
            let (_, oldest) = read_clock(value(parts.support.row(0), parts.layout.clock));
            self.trajectories = self.trajectories.saturating_sub(u32::from(oldest.is_last()));
        }
        let layout = parts.layout;
        let row = parts.support.push();
        copy(&step.observation, layout.observation.of_mut(row));
        copy(&step.action, layout.action.of_mut(row));
        set(row, layout.log_probability, step.log_probability);
        set(row, layout.advantage, 0.0);
        set(row, layout.reward, reward);
        set(row, layout.clock, clock(step.index, end));
        if end.is_last() {
            self.open = None;
            self.trajectories = self.trajectories.saturating_add(1);
        } else {
            // An open trajectory longer than the ring has lost its first rows.
            let rows = (self.open.map_or(0, |open| open.rows) + 1).min(parts.support.len());
            self.open = Some(Open {
                episode: step.episode,
                next_index: step.index.saturating_add(1),
                rows,
            });
        }
    }
}

fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// What a reverted policy goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reverted {
    /// The parameters before the last accepted adaptation.
    Previous,
    /// The parameters of the image: there was nothing before, or it has been overwritten.
    Base,
}

/// Gathers experience and adapts; see [`Policy::split`](super::Policy::split) and [`adapt`](crate::adapt).
pub struct Learner<'p, 'm> {
    /// None when the policy does not adapt.
    pub(super) core: Option<&'p mut LearnerCore<'m>>,
    pub(super) writer: Writer<'p, 'm>,
}

impl<'p, 'm> Learner<'p, 'm> {
    pub(super) fn new(core: Option<&'p mut LearnerCore<'m>>, writer: Writer<'p, 'm>) -> Self {
        Self { core, writer }
    }

    /// Adds a step of the policy's own experience: what the actor did, the reward for it, and whether the episode goes
    /// on.
    ///
    /// Only whole trajectories count: steps are taken in order from the first of an episode (after
    /// [`Actor::reset`](super::Actor::reset)) to one that is the last. When the support set is full its oldest step
    /// goes.
    ///
    /// # Errors
    /// The step is not taken. After [`ObserveError::Gap`], [`ObserveError::Stale`] or [`ObserveError::NotFinite`] the
    /// rest of its episode is refused too, and what there was of the trajectory is dropped.
    pub fn observe(&mut self, step: &Step, reward: f32, end: End) -> Result<(), ObserveError> {
        let core = self.core.as_deref_mut().ok_or(ObserveError::NotAdaptive)?;
        if core.objective() != Objective::PolicyGradient {
            return Err(ObserveError::Objective);
        }
        self.watch_step(step, reward, end);
        let core = self.core.as_deref_mut().ok_or(ObserveError::NotAdaptive)?;
        if core.driver.is_working() {
            return Err(ObserveError::Adapting);
        }
        let problem = if step.version != self.writer.version() {
            Some(ObserveError::Stale)
        } else if !reward.is_finite() {
            Some(ObserveError::NotFinite)
        } else {
            match core.open {
                Some(open) if open.episode == step.episode => {
                    (open.next_index != step.index).then_some(ObserveError::Gap)
                }
                _ => (step.index != 0).then_some(ObserveError::Gap),
            }
        };
        let another = core.open.is_some_and(|open| open.episode != step.episode);
        if another || problem.is_some() {
            core.drop_open();
        }
        match problem {
            Some(problem) => Err(problem),
            None => {
                core.push_step(step, reward, end);
                Ok(())
            }
        }
    }

    /// Adds an example: a raw observation and the physical action (or other target) that is right for it, in the
    /// contract's order and units. When the support set is full its oldest example goes.
    ///
    /// # Errors
    /// The example is not taken.
    pub fn observe_example(&mut self, input: &[f32], target: &[f32]) -> Result<(), ObserveError> {
        let core = self.core.as_deref_mut().ok_or(ObserveError::NotAdaptive)?;
        if core.objective() != Objective::Supervised {
            return Err(ObserveError::Objective);
        }
        if core.driver.is_working() {
            return Err(ObserveError::Adapting);
        }
        let scales = core.scales;
        if input.len() != scales.observations.len() || target.len() != scales.actions.len() {
            return Err(ObserveError::Length);
        }
        let unitless = || {
            target
                .iter()
                .zip(scales.actions)
                .map(|(target, scale)| scale.unitless(*target))
        };
        if !input.iter().all(|value| value.is_finite()) || !unitless().all(f32::is_finite) {
            return Err(ObserveError::NotFinite);
        }
        let layout = core.driver.parts.layout;
        let row = core.driver.parts.support.push();
        for ((value, raw), scale) in layout
            .observation
            .of_mut(row)
            .iter_mut()
            .zip(input)
            .zip(scales.observations.iter())
        {
            (*value, _) = scale.normalise(*raw);
        }
        layout
            .action
            .of_mut(row)
            .iter_mut()
            .zip(unitless())
            .for_each(|(value, target)| *value = target);
        if let Some(watch) = core.watch_example {
            watch(self);
        }
        Ok(())
    }

    /// Adapts to the support set, start to end; continues an adaptation that [`adapt_some`](Self::adapt_some) began.
    pub fn adapt(&mut self) -> AdaptReport {
        match self.adapt_some(u64::MAX) {
            Progress::Done(report) => report,
            // With no limit on the work it can only have stopped at the claim.
            Progress::Working => {
                self.cancel();
                AdaptReport::Rejected {
                    reason: Reason::Busy,
                    figures: Figures::default(),
                }
            }
        }
    }

    /// Begins or continues an adaptation and returns as soon as at least `max_macs` multiply-accumulates (see
    /// [`Figures::macs`]) are done: the excess is less than one record or row, never a whole pass. However it is cut,
    /// the result has the same bits.
    ///
    /// The support set is closed in between ([`ObserveError::Adapting`]).
    pub fn adapt_some(&mut self, max_macs: u64) -> Progress {
        let Some(core) = self.core.as_deref_mut() else {
            return Progress::Done(AdaptReport::Rejected {
                reason: Reason::NotAdaptive,
                figures: Figures::default(),
            });
        };
        if !core.driver.is_working()
            && let Some(reason) = core.refusal()
        {
            let figures = Figures {
                steps: core.driver.steps(),
                ..Figures::default()
            };
            return Progress::Done(AdaptReport::Rejected { reason, figures });
        }
        let rows = core.complete_rows();
        let progress = core.driver.work(&mut self.writer, rows, max_macs);
        if matches!(progress, Progress::Done(AdaptReport::Accepted(_))) {
            core.forget_old_policy();
            if let Some(monitor) = &mut core.health {
                monitor.adapted();
            }
        }
        progress
    }

    /// Whether an adaptation is under way.
    pub fn is_adapting(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.driver.is_working())
    }

    /// Drops the adaptation under way, if there is one; the support set stays.
    pub fn cancel(&mut self) {
        if let Some(core) = self.core.as_deref_mut() {
            core.driver.cancel(&mut self.writer);
        }
    }

    /// Goes back to the parameters before the last accepted adaptation, or to those of the image where these are
    /// overwritten (a later adaptation, even a rejected one, used their buffer). One atomic store; drops an adaptation
    /// under way.
    pub fn revert(&mut self) -> Reverted {
        let reverted = self.restore_previous();
        self.tell_monitor(reverted);
        reverted
    }

    /// Goes back to the parameters of the image: when in doubt. One atomic store; drops an adaptation under way.
    pub fn revert_to_base(&mut self) {
        self.restore_base();
        self.tell_monitor(Reverted::Base);
    }

    /// Begins a new task: the parameters of the image, an empty support set, and a monitor without a record.
    pub fn new_task(&mut self) {
        self.revert_to_base();
        self.clear();
        if let Some(core) = self.core.as_deref_mut() {
            core.tally = None;
            if let Some(monitor) = &mut core.health {
                monitor.forget();
            }
        }
    }

    pub(super) fn restore_previous(&mut self) -> Reverted {
        if !self.writer.restore_previous() {
            self.restore_base();
            return Reverted::Base;
        }
        if let Some(core) = self.core.as_deref_mut() {
            core.driver.cancel(&mut self.writer);
            core.driver.reverted();
            core.forget_old_policy();
        }
        Reverted::Previous
    }

    pub(super) fn restore_base(&mut self) {
        self.writer.restore_base();
        if let Some(core) = self.core.as_deref_mut() {
            core.driver.cancel(&mut self.writer);
            core.driver.reverted_to_base();
            core.forget_old_policy();
        }
    }

    /// Empties the support set; drops an adaptation under way.
    pub fn clear(&mut self) {
        self.cancel();
        if let Some(core) = self.core.as_deref_mut() {
            core.clear();
        }
    }

    /// Rows in the support set, those of a trajectory that has not ended included.
    pub fn support_len(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.driver.parts.support.len())
    }

    /// Complete trajectories in the support set (0 when the objective is supervised).
    pub fn trajectories(&self) -> u32 {
        self.core.as_ref().map_or(0, |core| core.trajectories)
    }

    /// Gradient steps between the image's parameters and those in use.
    pub fn steps(&self) -> u32 {
        self.core.as_ref().map_or(0, |core| core.driver.steps())
    }

    /// The parameters in use, unless frozen.
    pub fn parameters(&self) -> &[f32] {
        self.writer.current()
    }

    /// Which publication of the parameters is in use: a number that changes with every adaptation that is accepted and
    /// every way back. [`Step`]s carry it, so that none of an old policy is learned from.
    pub fn version(&self) -> u32 {
        self.writer.version()
    }

    /// Whether an adaptation under way has begun to overwrite the previous parameters.
    pub(crate) fn has_claimed(&self) -> bool {
        self.writer.has_claimed()
    }

    /// Whether the policy is frozen, see [`Actor::freeze`](super::Actor::freeze).
    pub fn is_frozen(&self) -> bool {
        self.writer.is_frozen()
    }
}

impl LearnerCore<'_> {
    /// Empties the support set if it is only worth something for the policy that gathered it.
    pub(super) fn forget_old_policy(&mut self) {
        if self.objective() == Objective::PolicyGradient {
            self.clear();
        }
    }
}

/// Why experience was not taken.
// The order of the variants is that of the telemetry's wire format: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ObserveError {
    /// The image has no adaptation, or the policy was loaded to act only.
    NotAdaptive,
    /// Steps for a supervised adaptation, or examples for a policy gradient.
    Objective,
    /// An adaptation is under way: keep it and try again.
    Adapting,
    /// Not as many values as the contract has channels.
    Length,
    /// A value is NaN or infinite.
    NotFinite,
    /// The step was taken with other parameters than those in use.
    Stale,
    /// Steps of this episode are missing before this one: one was refused, or lost on the way.
    Gap,
}

impl fmt::Display for ObserveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAdaptive => "this policy does not adapt",
            Self::Objective => "steps are for policy gradients, examples for supervised adaptation",
            Self::Adapting => "an adaptation is under way",
            Self::Length => "not as many values as channels",
            Self::NotFinite => "a value is not finite",
            Self::Stale => "the step was taken with other parameters",
            Self::Gap => "steps of this episode are missing before this one",
        })
    }
}

impl core::error::Error for ObserveError {}
