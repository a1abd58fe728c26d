//! The health monitor of a learner: where its scores come from, and going back by itself.

use super::actor::Step;
use super::learner::{Learner, LearnerCore, Reverted, Tally};
use crate::adapt::Reason;
use crate::experience::End;
use crate::health::{Bounds, Monitor, Refusal, Standing, Verdict};
use crate::image::Objective;

impl Learner<'_, '_> {
    /// Watches over what is adapted from now on, and goes back by itself; see [`health`](crate::health).
    ///
    /// Scores come by themselves. Policy gradient: the undiscounted return of every episode whose steps are all
    /// [observed](Self::observe), in order, from the first to the last, with the parameters in use. Supervised: the negated
    /// loss of every [example](Self::observe_example), beside that of the image's parameters (which costs two runs of the
    /// `score` plan a call). Others, of a tracking error say, go to [`note`](Self::note).
    ///
    /// While an adaptation is on trial, and for some time after an automatic return, adapting is refused
    /// ([`Reason::OnTrial`], [`Reason::Resting`]); for a policy gradient also before there is a record
    /// ([`Reason::NoRecord`]).
    ///
    /// What is in use now is taken to be confirmed, or the image's. Nothing happens for a policy that does not adapt.
    ///
    /// ```no_run
    /// # fn example(learner: &mut pliant_runtime::policy::Learner<'_, '_>) {
    /// use pliant_runtime::health::Bounds;
    ///
    /// // Ten episodes on trial; a fall by a fifth of the image's policy's return is too much.
    /// learner.watch(Bounds { trial: 10, relative: 0.2, ..Bounds::default() });
    /// # }
    /// ```
    pub fn watch(&mut self, bounds: Bounds) {
        self.watch_with(Monitor::new(bounds));
    }

    /// As [`watch`](Self::watch), with a monitor that has a [record](Monitor::with_record) already.
    pub fn watch_with(&mut self, mut monitor: Monitor) {
        monitor.loaded(!self.writer.is_base());
        if let Some(core) = self.core.as_deref_mut() {
            (core.health, core.tally) = (Some(monitor), None);
            core.watch_example = Some(watch_example);
        }
    }

    /// The monitor, if there is one: standing, record, counts.
    pub fn health(&self) -> Option<&Monitor> {
        self.core.as_ref().and_then(|core| core.health.as_ref())
    }

    /// Notes a score of what is in use (higher is better: negate an error), and goes back where the monitor says so. The
    /// verdict has been carried out. Nothing happens without a monitor, or frozen.
    pub fn note(&mut self, score: f32) -> Verdict {
        self.judge(|monitor| monitor.score(score))
    }

    fn judge(&mut self, judge: impl FnOnce(&mut Monitor) -> Verdict) -> Verdict {
        if self.writer.is_frozen() {
            return Verdict::Steady;
        }
        let monitor = self.core.as_deref_mut().and_then(|core| core.health.as_mut());
        let verdict = monitor.map_or(Verdict::Steady, judge);
        match verdict {
            Verdict::Steady | Verdict::Confirm => {}
            // During a trial nothing is claimed, so what preceded it is whole; if not, the monitor learns of it.
            Verdict::Revert => {
                if self.restore_previous() == Reverted::Base {
                    self.tell_monitor(Reverted::Base);
                }
            }
            Verdict::RevertToBase => self.restore_base(),
        }
        verdict
    }

    /// The monitor learns that somebody went back.
    pub(super) fn tell_monitor(&mut self, reverted: Reverted) {
        let monitor = self.core.as_deref_mut().and_then(|core| core.health.as_mut());
        if let Some(monitor) = monitor {
            monitor.went_back(reverted == Reverted::Base);
        }
    }

    /// Adds a step's reward to the return of its episode, and scores the episode at its end.
    pub(super) fn watch_step(&mut self, step: &Step, reward: f32, end: End) {
        let in_use = step.version == self.writer.version();
        let Some(core) = self.core.as_deref_mut().filter(|core| core.health.is_some()) else {
            return;
        };
        core.tally = Tally::with(core.tally, step, reward).filter(|_| in_use);
        if end.is_last()
            && let Some(tally) = core.tally.take()
        {
            let _carried_out = self.note(tally.sum);
        }
    }
}

/// Scores the newest example, beside the image's parameters.
fn watch_example(learner: &mut Learner<'_, '_>) {
    let Some(core) = learner.core.as_deref_mut() else {
        return;
    };
    let Some(monitor) = &core.health else { return };
    let Some(base) = core.driver.score_newest(learner.writer.base()) else {
        return;
    };
    let verdict = if monitor.standing() == Standing::Base {
        learner.judge(|monitor| monitor.score(-base))
    } else {
        let Some(loss) = core.driver.score_newest(learner.writer.current()) else {
            return;
        };
        learner.judge(|monitor| monitor.score_beside(-loss, -base))
    };
    let _carried_out = verdict;
}

impl LearnerCore<'_> {
    /// Why the monitor lets nothing be adopted now.
    pub(super) fn refusal(&self) -> Option<Reason> {
        let monitor = self.health.as_ref()?;
        let refusal = match self.objective() {
            Objective::Supervised => monitor.refusal(),
            Objective::PolicyGradient => monitor.refusal_without_pairs(),
        };
        Some(match refusal? {
            Refusal::NoRecord => Reason::NoRecord,
            Refusal::OnTrial => Reason::OnTrial,
            Refusal::Resting => Reason::Resting,
        })
    }
}
