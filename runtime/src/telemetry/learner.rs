//! A learner whose every call is recorded.

use heapless::Vec;

use super::record::parameters_crc;
use super::{Adapted, Example, Record, Recorder, Reset, Revert, Sink, Start, StepRecord, Watched};
use crate::adapt::{AdaptReport, Progress};
use crate::experience::End;
use crate::health::{Bounds, Verdict};
use crate::image::Image;
use crate::policy::{Learner, ObserveError, ResetKind, Reverted, Step};

/// A [`Learner`] that writes a [`Record`] of every call that a replay needs. Each method does what the learner's does.
pub struct RecordedLearner<'p, 'm, S> {
    learner: Learner<'p, 'm>,
    recorder: Recorder<S>,
    frozen: bool,
    /// Of the adaptation under way.
    slices: u32,
}

impl<'p, 'm, S: Sink> RecordedLearner<'p, 'm, S> {
    /// Writes the [`Start`]. `image` is what the policy was loaded from, and `seed` what
    /// [`Actor::seed`](crate::policy::Actor::seed) was given (0 if nothing).
    ///
    /// The support set must be empty: what is already there is not in the log.
    pub fn start(learner: Learner<'p, 'm>, image: &Image<'_>, seed: u64, sink: S) -> Self {
        let mut recorded = Self {
            learner,
            recorder: Recorder::new(sink),
            frozen: false,
            slices: 0,
        };
        let learner = &recorded.learner;
        let start = Start::new(image, seed, learner.parameters(), learner.steps(), learner.version());
        recorded.recorder.record(&Record::Start(start));
        recorded
    }

    /// As [`Learner::observe`].
    ///
    /// # Errors
    /// As there.
    pub fn observe(&mut self, step: &Step, reward: f32, end: End) -> Result<(), ObserveError> {
        self.note_frozen();
        let version = self.learner.version();
        let taken = self.learner.observe(step, reward, end);
        self.recorder
            .record(&Record::Step(StepRecord::new(step, reward, end, taken)));
        self.taken_back(version);
        taken
    }

    /// As [`Learner::observe_example`].
    ///
    /// # Errors
    /// As there.
    pub fn observe_example(&mut self, input: &[f32], target: &[f32]) -> Result<(), ObserveError> {
        self.note_frozen();
        let version = self.learner.version();
        let taken = self.learner.observe_example(input, target);
        self.recorder.record(&Record::Example(Example {
            input: shorten(input),
            target: shorten(target),
            refused: taken.err(),
        }));
        self.taken_back(version);
        taken
    }

    /// As [`Learner::adapt`].
    pub fn adapt(&mut self) -> AdaptReport {
        self.note_frozen();
        let report = self.learner.adapt();
        self.slices = self.slices.saturating_add(1);
        self.adapted(&report);
        report
    }

    /// As [`Learner::adapt_some`].
    pub fn adapt_some(&mut self, max_macs: u64) -> Progress {
        self.note_frozen();
        let progress = self.learner.adapt_some(max_macs);
        self.slices = self.slices.saturating_add(1);
        if let Progress::Done(report) = &progress {
            self.adapted(report);
        }
        progress
    }

    /// As [`Learner::cancel`].
    pub fn cancel(&mut self) {
        let claimed = self.learner.has_claimed();
        if self.learner.is_adapting() {
            self.slices = 0;
            self.recorder.record(&Record::Cancelled { claimed });
        }
        self.learner.cancel();
    }

    /// As [`Learner::revert`].
    pub fn revert(&mut self) -> Reverted {
        let claimed = self.learner.has_claimed();
        let to = self.learner.revert();
        self.reverted(to, false, claimed);
        to
    }

    /// As [`Learner::revert_to_base`].
    pub fn revert_to_base(&mut self) {
        let claimed = self.learner.has_claimed();
        self.learner.revert_to_base();
        self.reverted(Reverted::Base, true, claimed);
    }

    /// As [`Learner::watch`], with a record taken earlier where there is one.
    pub fn watch(&mut self, bounds: Bounds, record: Option<f32>) {
        let watched = Watched { bounds, record };
        self.learner.watch_with(watched.monitor());
        self.recorder.record(&Record::Watched(watched));
    }

    /// As [`Learner::note`].
    pub fn note(&mut self, score: f32) -> Verdict {
        let (version, adapting) = (self.learner.version(), self.learner.is_adapting());
        self.note_frozen();
        let verdict = self.learner.note(score);
        self.recorder.record(&Record::Noted { score, adapting });
        self.taken_back(version);
        verdict
    }

    /// As [`Learner::new_task`].
    pub fn new_task(&mut self) {
        let claimed = self.learner.has_claimed();
        self.learner.new_task();
        self.slices = 0;
        let version = self.learner.version();
        self.recorder.record(&Record::NewTask { claimed, version });
    }

    /// As [`Learner::clear`].
    pub fn clear(&mut self) {
        let claimed = self.learner.has_claimed();
        self.learner.clear();
        self.slices = 0;
        self.recorder.record(&Record::Cleared { claimed });
    }

    /// To be called when the actor's noise was seeded anew.
    pub fn seeded(&mut self, seed: u64) {
        self.recorder.record(&Record::Seed(seed));
    }

    /// To be called when the actor was reset; an episode's reset need not be told. Only a replay of the *actions* of a
    /// recurrent policy needs it.
    pub fn reset(&mut self, kind: ResetKind) {
        if kind != ResetKind::Episode {
            self.recorder.record(&Record::Reset(Reset { kind }));
        }
    }

    /// The learner, to ask it.
    pub fn learner(&self) -> &Learner<'p, 'm> {
        &self.learner
    }

    /// The recorder: to tell it the time, to add records, to ask what was dropped.
    pub fn recorder(&mut self) -> &mut Recorder<S> {
        &mut self.recorder
    }

    /// Ends the recording and gives both back.
    pub fn into_parts(self) -> (Learner<'p, 'm>, Recorder<S>) {
        (self.learner, self.recorder)
    }

    fn note_frozen(&mut self) {
        let frozen = self.learner.is_frozen();
        if frozen != self.frozen {
            self.frozen = frozen;
            self.recorder.record(&Record::Frozen(frozen));
        }
    }

    /// Records that the monitor went back, where the version is no longer this one.
    fn taken_back(&mut self, version: u32) {
        if self.learner.version() != version {
            self.slices = 0;
            self.recorder.record(&Record::TakenBack {
                parameters: parameters_crc(self.learner.parameters()),
                version: self.learner.version(),
            });
        }
    }

    fn adapted(&mut self, report: &AdaptReport) {
        let adapted = Adapted {
            report: *report,
            slices: core::mem::take(&mut self.slices),
            parameters: parameters_crc(self.learner.parameters()),
            version: self.learner.version(),
        };
        self.recorder.record(&Record::Adapted(adapted));
    }

    fn reverted(&mut self, to: Reverted, base_asked: bool, claimed: bool) {
        self.slices = 0;
        let revert = Revert {
            to,
            base_asked,
            claimed,
            parameters: parameters_crc(self.learner.parameters()),
            version: self.learner.version(),
        };
        self.recorder.record(&Record::Reverted(revert));
    }
}

/// As many values as fit: what is longer than any contract was refused.
fn shorten<const N: usize>(values: &[f32]) -> Vec<f32, N> {
    values.iter().copied().take(N).collect()
}
