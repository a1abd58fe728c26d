//! The health monitor: is what was adapted at least about as good as the policy of the image?
//!
//! Every guard inside an adaptation judges by the support set, and a support set can lie: rewards with the wrong sign, labels
//! of another robot. Only what happens afterwards tells. So an accepted adaptation is *on trial*: the monitor takes one
//! score at a time (the return of an episode, or a negated tracking error), holds it against the record of the image's
//! policy, and says when to go back. The [`Learner`](crate::policy::Learner) that it [watches
//! over](crate::policy::Learner::watch) then does so by itself.
//!
//! ```text
//!             adaptation accepted                 mean not below record - confirm * bound
//!   Base ----------------------------> Trial ------------------------------------------> Confirmed
//!    ^                                 |  ^ |                                              |   |
//!    |   mean below record - bound,    |  | | neither: the trial goes on, at most          |   |
//!    |   or still undecided at the end |  +-+ four times as long                           |   |
//!    +<--------------------------------+  ^                                                |   |
//!    |   (back to what was confirmed,     +------------------------------------------------+   |
//!    |    where the trial began there)                 adaptation accepted                     |
//!    +<----------------------------------------------------------------------------------------+
//!                              running mean below record - bound
//! ```
//!
//! **It cannot flap.** The bound that confirms is tighter than the one that reverts. While on trial nothing else may be
//! adopted. After the `k`-th automatic return no adaptation is adopted for `rest * 2^(k-1)` scores ([`Reason::OnTrial`],
//! [`Reason::Resting`]), so that in `n` scores there are at most `log2(n / rest + 1) + 3` automatic returns (for up to a
//! million rests), whatever the scores are; only a person (or a new task, [`Monitor::forget`]) clears the count.
//!
//! [`Reason::OnTrial`]: crate::adapt::Reason::OnTrial
//! [`Reason::Resting`]: crate::adapt::Reason::Resting
//!
//! ```
//! use pliant_runtime::health::{Bounds, Monitor, Standing, Verdict};
//!
//! let mut monitor = Monitor::new(Bounds { trial: 3, ..Bounds::default() });
//! for score in [-40.0, -41.0, -39.0] {
//!     assert_eq!(monitor.score(score), Verdict::Steady);
//! }
//! monitor.adapted();
//! assert_eq!(monitor.standing(), Standing::Trial);
//! assert_eq!((monitor.score(-60.0), monitor.score(-70.0)), (Verdict::Steady, Verdict::Steady));
//! assert_eq!(monitor.score(-65.0), Verdict::Revert);
//! ```

use serde::{Deserialize, Serialize};

/// Greatest magnitude of a score, so that sums of them stay finite.
const GREATEST: f32 = 1e30;

/// Scores that a record remembers at most.
const MEMORY: usize = 32;

/// A trial that is neither confirmed nor reverted is reverted after this many times its length.
const LONGEST_TRIAL: u32 = 4;

/// Doublings of the rest after an automatic return.
const MOST_DOUBLINGS: u32 = 20;

/// When a fall is a fall. All numbers of scores are in scores: episodes, or tracking errors.
// The order of the fields is that of the telemetry's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bounds {
    /// Scores of a trial, and the least that make a record; 1 to 32. Default 5.
    pub trial: u32,
    /// Scores that a running mean (and the record) remembers; `trial` to 32. Default 20.
    pub window: u32,
    /// The fall that reverts, as a share of the magnitude of the record; at least 0. Default 0.1.
    pub relative: f32,
    /// The fall that reverts, in the unit of the scores, added to the relative one; at least 0. Default 0.
    pub absolute: f32,
    /// Share of the fall within which a trial is confirmed: the hysteresis. 0 to 1, default 0.5.
    pub confirm: f32,
    /// Scores after an automatic return until the next adaptation may be adopted; at least 1, doubled each time. Default
    /// 10.
    pub rest: u32,
    /// Least and greatest score that a sound task can give. One outside, or that is no number, does not enter the record,
    /// and counts as the least for what is on trial or confirmed. Default any number to 1e30 either way.
    pub range: [f32; 2],
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            trial: 5,
            window: 20,
            relative: 0.1,
            absolute: 0.0,
            confirm: 0.5,
            rest: 10,
            range: [-GREATEST, GREATEST],
        }
    }
}

impl Bounds {
    /// Every field moved into its range; what is not a number becomes the strictest value.
    fn corrected(self) -> Self {
        let fall = |value: f32| if value > 0.0 { value.min(GREATEST) } else { 0.0 };
        let number = |value: f32, otherwise: f32| match value.is_nan() {
            true => otherwise,
            false => value.clamp(-GREATEST, GREATEST),
        };
        let trial = self.trial.clamp(1, MEMORY as u32);
        let [low, high] = self.range;
        Self {
            trial,
            window: self.window.max(trial).min(MEMORY as u32),
            relative: fall(self.relative).min(1e6),
            absolute: fall(self.absolute),
            confirm: fall(self.confirm).min(1.0),
            rest: self.rest.max(1),
            range: [number(low, -GREATEST), number(high, GREATEST)],
        }
    }
}

/// What is in use, as far as the monitor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Standing {
    /// The policy of the image: its scores make the record.
    Base,
    /// An adaptation that has not shown yet what it is worth.
    Trial,
    /// An adaptation that passed its trial.
    Confirmed,
}

/// What follows from a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Verdict {
    /// Nothing.
    Steady,
    /// The trial is over and passed.
    Confirm,
    /// Go back to what was in use before the trial: the last confirmed parameters, or the image's.
    Revert,
    /// Go back to the image's parameters: what was confirmed has fallen below the bound.
    RevertToBase,
}

/// Why an adaptation may not be adopted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoRecord,
    OnTrial,
    Resting,
}

/// A mean that forgets: exact over the first `window` values, exponential after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    count: u32,
    value: f32,
}

impl Mean {
    fn add(&mut self, value: f32, window: u32) {
        self.count = self.count.saturating_add(1);
        let share = 1.0 / self.count.min(window) as f32;
        self.value += (value - self.value) * share;
    }
}

/// The last scores of the image's policy. What counts is their median: a few that lie, however far, do not move it far.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    scores: [f32; MEMORY],
    /// How many there are, and where the next goes.
    len: usize,
    next: usize,
}

impl Record {
    const EMPTY: Self = Self {
        scores: [0.0; MEMORY],
        len: 0,
        next: 0,
    };

    fn add(&mut self, score: f32, window: u32) {
        let window = (window as usize).clamp(1, MEMORY);
        self.next = if self.next >= window { 0 } else { self.next };
        if let Some(place) = self.scores.get_mut(self.next) {
            *place = score;
        }
        self.next += 1;
        self.len = (self.len + 1).min(window);
    }

    /// The mean of the middle two for an even number; 0 when empty.
    fn median(&self) -> f32 {
        let scores = self.scores.get(..self.len).unwrap_or(&[]);
        // By counting, without sorting a copy: the element with at most half below it and at most half above.
        let rank = |wanted: usize| {
            scores.iter().copied().find(|candidate| {
                let below = scores.iter().filter(|score| *score < candidate).count();
                let equal = scores.iter().filter(|score| *score == candidate).count();
                (below..below + equal).contains(&wanted)
            })
        };
        let (low, high) = (rank(self.len.saturating_sub(1) / 2), rank(self.len / 2));
        0.5 * low.unwrap_or(0.0) + 0.5 * high.unwrap_or(0.0)
    }
}

/// Watches scores, and says when to go back. Plain data, about 250 bytes; see the [module](self).
///
/// Scores are better when higher: returns as they are, errors negated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monitor {
    bounds: Bounds,
    /// Of the image's policy.
    record: Record,
    /// Of what is confirmed.
    running: Mean,
    /// Of what is on trial.
    trial: Mean,
    standing: Standing,
    /// Whether what preceded the trial was confirmed; otherwise the image's.
    confirmed_before: bool,
    /// Scores left to rest.
    rest: u32,
    reverts: u32,
    confirmations: u32,
    /// Automatic returns since the count was last cleared.
    strikes: u32,
}

impl Monitor {
    /// Watches from the image's policy on, with an empty record.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds: bounds.corrected(),
            record: Record::EMPTY,
            running: Mean::default(),
            trial: Mean::default(),
            standing: Standing::Base,
            confirmed_before: false,
            rest: 0,
            reverts: 0,
            confirmations: 0,
            strikes: 0,
        }
    }

    /// With a record taken earlier: of the same task, by the image's policy, over at least as many scores as a trial.
    pub fn with_record(mut self, score: f32) -> Self {
        self.record = Record::EMPTY;
        for _ in 0..self.bounds.trial {
            self.keep(score);
        }
        self
    }

    /// The bounds in force: those given, each moved into its range.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What is in use.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Median score of the image's policy, once there are enough.
    pub fn record(&self) -> Option<f32> {
        (self.record.len >= self.bounds.trial as usize).then(|| self.record.median())
    }

    /// Mean score of what is on trial or confirmed; `None` before the first, and for the image's policy.
    pub fn mean(&self) -> Option<f32> {
        let mean = match self.standing {
            Standing::Base => Mean::default(),
            Standing::Trial => self.trial,
            Standing::Confirmed => self.running,
        };
        (mean.count > 0).then_some(mean.value)
    }

    /// Automatic returns so far.
    pub fn reverts(&self) -> u32 {
        self.reverts
    }

    /// Trials passed so far.
    pub fn confirmations(&self) -> u32 {
        self.confirmations
    }

    /// Scores until the next adaptation may be adopted; 0 when it may, or could but for a trial.
    pub fn rest(&self) -> u32 {
        self.rest
    }

    /// Whether an adaptation may be adopted now: nothing is on trial, and no rest is left.
    pub fn may_adopt(&self) -> bool {
        self.refusal().is_none()
    }

    /// Why an adaptation may not be adopted now.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if self.standing == Standing::Trial {
            Some(Refusal::OnTrial)
        } else if self.rest > 0 {
            Some(Refusal::Resting)
        } else {
            None
        }
    }

    /// As [`refusal`](Self::refusal), where the record is not renewed during the trial.
    pub(crate) fn refusal_without_pairs(&self) -> Option<Refusal> {
        self.refusal().or(self.record().is_none().then_some(Refusal::NoRecord))
    }

    /// What is in use when the watch begins: the image's policy, or something confirmed.
    pub(crate) fn loaded(&mut self, confirmed: bool) {
        self.standing = if confirmed { Standing::Confirmed } else { Standing::Base };
    }

    /// An adaptation was adopted: its trial begins.
    pub fn adapted(&mut self) {
        self.confirmed_before = match self.standing {
            Standing::Base => false,
            Standing::Trial => self.confirmed_before,
            Standing::Confirmed => true,
        };
        self.trial = Mean::default();
        self.standing = Standing::Trial;
    }

    /// Somebody else went back: to what preceded the last adoption, or, with `to_base`, to the image's policy.
    pub fn went_back(&mut self, to_base: bool) {
        let confirmed = !to_base && self.standing == Standing::Trial && self.confirmed_before;
        self.standing = if confirmed { Standing::Confirmed } else { Standing::Base };
    }

    /// A new task: the record no longer holds. Also clears the count that lengthens the rests.
    pub fn forget(&mut self) {
        let (reverts, confirmations) = (self.reverts, self.confirmations);
        *self = Self {
            reverts,
            confirmations,
            standing: self.standing,
            confirmed_before: self.confirmed_before,
            ..Self::new(self.bounds)
        };
    }

    /// Takes the score of what is in use. The caller must do what the verdict says; the monitor takes it as done.
    pub fn score(&mut self, score: f32) -> Verdict {
        self.take(score, None)
    }

    /// As [`score`](Self::score), with what the image's policy scores on the same occasion: a fairer comparison where it
    /// can be had, which needs no record from before.
    pub fn score_beside(&mut self, score: f32, base: f32) -> Verdict {
        self.take(score, Some(base))
    }

    fn take(&mut self, raw: f32, base: Option<f32>) -> Verdict {
        let Bounds { trial, window, .. } = self.bounds;
        self.rest = self.rest.saturating_sub(1);
        if let Some(base) = base {
            if self.standing == Standing::Trial && self.trial.count == 0 {
                // Pairs alone decide: whatever the record was made of, it was not this.
                self.record = Record::EMPTY;
            }
            self.keep(base);
        }
        let score = if self.is_sound(raw) { raw } else { self.bounds.range[0] };
        match self.standing {
            Standing::Base => {
                if base.is_none() {
                    self.keep(raw);
                }
                Verdict::Steady
            }
            Standing::Trial => {
                // Exact over the whole trial, however long.
                self.trial.add(score, u32::MAX);
                if !self.trial.count.is_multiple_of(trial) {
                    return Verdict::Steady;
                }
                if self.falls(self.trial.value, 1.0) || self.trial.count >= trial.saturating_mul(LONGEST_TRIAL) {
                    self.struck();
                    self.standing = if self.confirmed_before {
                        Standing::Confirmed
                    } else {
                        Standing::Base
                    };
                    return Verdict::Revert;
                }
                if self.falls(self.trial.value, self.bounds.confirm) {
                    return Verdict::Steady;
                }
                self.running = Mean {
                    count: self.trial.count.min(window),
                    value: self.trial.value,
                };
                self.standing = Standing::Confirmed;
                self.confirmations = self.confirmations.saturating_add(1);
                Verdict::Confirm
            }
            Standing::Confirmed => {
                self.running.add(score, window);
                if self.running.count < trial || !self.falls(self.running.value, 1.0) {
                    return Verdict::Steady;
                }
                self.struck();
                self.standing = Standing::Base;
                Verdict::RevertToBase
            }
        }
    }

    /// Whether a score is one that a sound task can give.
    fn is_sound(&self, score: f32) -> bool {
        let [low, high] = self.bounds.range;
        low <= score && score <= high
    }

    /// Enters a score of the image's policy into the record.
    fn keep(&mut self, score: f32) {
        if self.is_sound(score) {
            self.record.add(score, self.bounds.window);
        }
    }

    /// Whether a mean lies below the record by more than this share of the bound. Without a record everything does.
    fn falls(&self, mean: f32, share: f32) -> bool {
        let Some(record) = self.record() else { return true };
        let bound = self.bounds.relative * record.abs() + self.bounds.absolute;
        // What is no number falls.
        mean < record - share * bound || mean.is_nan()
    }

    fn struck(&mut self) {
        self.reverts = self.reverts.saturating_add(1);
        let doublings = self.strikes.min(MOST_DOUBLINGS);
        self.rest = self.bounds.rest.saturating_mul(1 << doublings);
        self.strikes = self.strikes.saturating_add(1);
    }
}
