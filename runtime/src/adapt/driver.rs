//! The transaction: which phase follows which, and when the result is published.

use super::estimate::Estimate;
use super::fold::{DoesNotFit, Fold, Selection, Stage, Workshop};
use super::report::{AdaptReport, Figures, Progress, Reason};
use crate::experience::support::{RowLayout, Span, Support};
use crate::image::{AdaptationSpec, Choice, Choices, Objective, SupportStatistics};
use crate::kernels::functions;
use crate::plan::{AdaptedRef, Words};
use crate::publish::Writer;

/// Values that the copy and the guard handle at a time.
const BLOCK: usize = 64;

/// Sums in which the guard adds up squares, of every eighth value each and then one after the other: one sum would wait for
/// each addition in turn. The same on every core.
const LANES: usize = 8;

/// What the driver is made of, checked by the policy.
pub(crate) struct Parts<'m> {
    pub(crate) spec: &'m AdaptationSpec,
    pub(crate) objective: Objective,
    pub(crate) layout: RowLayout,
    /// What chooses how to adapt; without it every adaptation is the spec's.
    pub(crate) choices: Option<Choices<'m>>,
    pub(crate) begin: Stage<'m>,
    pub(crate) accumulate: Stage<'m>,
    pub(crate) apply: Stage<'m>,
    pub(crate) score: Stage<'m>,
    pub(crate) workshop: Workshop<'m>,
    pub(crate) support: Support<'m>,
    /// For the baseline.
    pub(crate) scratch: &'m mut [f32],
}

/// Runs adaptations and keeps what outlives one.
pub(crate) struct Driver<'m> {
    pub(crate) parts: Parts<'m>,
    job: Option<Job>,
    /// Gradient steps between the image's parameters and the published ones, and the ones before these.
    steps: u32,
    previous_steps: u32,
}

/// An adaptation under way.
#[derive(Clone, Copy, Debug)]
struct Job {
    phase: Phase,
    rows: usize,
    /// Supervised: steps to take, and the factor on their size.
    choice: Choice,
    /// Gradient steps done in this job.
    done: u32,
    figures: Words<Figures>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Claim,
    Estimate(Estimate),
    Copy {
        at: usize,
    },
    Begin {
        record: usize,
    },
    /// Over the rows.
    Fold(Pass, Fold),
    Apply {
        record: usize,
    },
    Guard {
        at: usize,
        squares: [f32; LANES],
    },
}

/// What a pass over the rows is for.
#[derive(Clone, Copy, Debug)]
enum Pass {
    ScoreBefore,
    Accumulate,
    ScoreAfter,
}

/// What became of scoring a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Likelihood {
    /// The mean score.
    Of(f32),
    /// An adaptation is under way, whose sums it would overwrite.
    Adapting,
    /// There is nothing to score.
    NoRows,
}

/// What a unit of work came to.
enum Unit {
    /// More to do; the cost.
    Spent(u64),
    /// Nothing can be done until the actor moves on.
    Wait,
    Accept,
    Reject(Reason),
}

impl From<DoesNotFit> for Unit {
    /// Nothing of such a run may be published.
    fn from(_: DoesNotFit) -> Self {
        Self::Reject(Reason::NotFinite)
    }
}

/// Values that the copy and the guard handle within a budget: whole blocks, at least one, and not many more than are left.
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn blocks(budget: u64, left: usize) -> usize {
    let most = left.div_ceil(BLOCK).max(1);
    let wanted = budget.div_ceil(BLOCK as u64).max(1);
    usize::try_from(wanted).unwrap_or(usize::MAX).min(most) * BLOCK
}

/// Adds the squares of the differences, of which the first belongs to the first sum.
#[inline(never)]
fn add_squares(sums: &mut [f32; LANES], new: &[f32], old: &[f32]) {
    let square = |new: f32, old: f32| (new - old) * (new - old);
    let ((new, new_rest), (old, old_rest)) = (new.as_chunks::<LANES>(), old.as_chunks::<LANES>());
    let mut lanes = *sums;
    for (new, old) in new.iter().zip(old) {
        for ((sum, new), old) in lanes.iter_mut().zip(new).zip(old) {
            *sum += square(*new, *old);
        }
    }
    for ((sum, new), old) in lanes.iter_mut().zip(new_rest).zip(old_rest) {
        *sum += square(*new, *old);
    }
    *sums = lanes;
}

impl<'m> Driver<'m> {
    pub(crate) fn new(parts: Parts<'m>) -> Self {
        Self {
            parts,
            job: None,
            steps: 0,
            previous_steps: 0,
        }
    }

    /// Whether an adaptation is under way, so that the support set must stay as it is.
    pub(crate) fn is_working(&self) -> bool {
        self.job.is_some()
    }

    /// Gradient steps between the image's parameters and the published ones.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// The loss (or divergence) of these parameters on the newest row. `None` during an adaptation, whose sums it would
    /// overwrite, and without a row.
    pub(crate) fn score_newest(&mut self, parameters: &[f32]) -> Option<f32> {
        let Parts {
            spec,
            score,
            support,
            workshop,
            ..
        } = &mut self.parts;
        let newest = support.len().checked_sub(1).filter(|_| self.job.is_none())?;
        workshop.accumulator.fill(0.0);
        let mut fold = Fold::of_row(newest);
        while fold
            .unit(score, spec, support, workshop, parameters, u64::MAX)
            .ok()?
            .is_some()
        {}
        Some(workshop.score())
    }

    /// The mean score of the first `rows` rows with these parameters and this slice of the bank.
    pub(crate) fn likelihood(&mut self, parameters: &[f32], bank: &'m [f32], rows: usize) -> Likelihood {
        if self.job.is_some() {
            return Likelihood::Adapting;
        }
        if rows == 0 {
            return Likelihood::NoRows;
        }
        let Parts {
            spec,
            score,
            support,
            workshop,
            ..
        } = &mut self.parts;
        workshop.accumulator.fill(0.0);
        let selected = core::mem::replace(&mut workshop.bank, bank);
        let mut fold = Fold::new(Selection::All, rows);
        // An error cannot happen: the policy checked the memory when it was loaded.
        let mut failed = false;
        loop {
            match fold.unit(score, spec, support, workshop, parameters, u64::MAX) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        workshop.bank = selected;
        Likelihood::Of(if failed { f32::NAN } else { workshop.score() })
    }

    /// Drops the adaptation under way.
    pub(crate) fn cancel(&mut self, writer: &mut Writer<'_, '_>) {
        self.job = None;
        writer.discard();
    }

    /// The previous parameters are published again.
    pub(crate) fn reverted(&mut self) {
        self.steps = self.previous_steps;
    }

    /// Parameters from elsewhere are published.
    pub(crate) fn restored(&mut self, steps: u32) {
        (self.previous_steps, self.steps) = (self.steps, steps);
    }

    /// The image's parameters are published again.
    pub(crate) fn reverted_to_base(&mut self) {
        (self.steps, self.previous_steps) = (0, 0);
    }

    /// Works until done, or until `max_macs` are spent. `complete_rows` is how many rows of the support set count.
    pub(crate) fn work(&mut self, writer: &mut Writer<'_, '_>, complete_rows: usize, max_macs: u64) -> Progress {
        let mut job = match self.job {
            Some(job) => job,
            None => match self.start(complete_rows, writer) {
                Ok(job) => job,
                Err(reason) => {
                    let figures = Figures {
                        steps: self.steps,
                        ..Figures::default()
                    };
                    return Progress::Done(AdaptReport::Rejected { reason, figures });
                }
            },
        };
        let mut spent = 0u64;
        loop {
            match self.unit(&mut job, writer, max_macs.saturating_sub(spent)) {
                Unit::Spent(cost) => {
                    job.figures.0.macs = job.figures.0.macs.saturating_add(cost);
                    spent = spent.saturating_add(cost);
                    if spent >= max_macs {
                        break;
                    }
                }
                Unit::Wait => break,
                Unit::Accept => return Progress::Done(self.accept(&job, writer)),
                Unit::Reject(reason) => {
                    self.cancel(writer);
                    return Progress::Done(AdaptReport::Rejected {
                        reason,
                        figures: job.figures.0,
                    });
                }
            }
        }
        self.job = Some(job);
        Progress::Working
    }

    fn start(&self, rows: usize, writer: &Writer<'_, '_>) -> Result<Job, Reason> {
        let (parts, spec) = (&self.parts, self.parts.spec);
        if writer.is_frozen() {
            return Err(Reason::Frozen);
        }
        let on_policy = parts.objective() == Objective::PolicyGradient;
        if on_policy && self.steps >= spec.steps {
            return Err(Reason::StepLimit);
        }
        let training = self.training().count(&parts.support, rows, spec.holdout_every);
        if training == 0 {
            return Err(Reason::EmptySupport);
        }
        let choice = parts.choose(rows);
        let steps = if on_policy { self.steps + 1 } else { choice.steps };
        let figures = Figures {
            rows: rows as u32,
            held_out: (rows - training) as u32,
            steps,
            ..Figures::default()
        };
        Ok(Job {
            phase: Phase::Claim,
            rows,
            choice,
            done: 0,
            figures: Words(figures),
        })
    }

    /// The rows that train.
    fn training(&self) -> Selection {
        match self.parts.objective() {
            Objective::Supervised => Selection::Training,
            Objective::PolicyGradient => Selection::All,
        }
    }

    fn unit(&mut self, job: &mut Job, writer: &mut Writer<'_, '_>, budget: u64) -> Unit {
        match self.try_unit(job, writer, budget) {
            Ok(unit) => unit,
            Err(error) => error.into(),
        }
    }

    /// Records, a few rows, or blocks of values: of one phase, and as few as spend the budget.
    fn try_unit(&mut self, job: &mut Job, writer: &mut Writer<'_, '_>, budget: u64) -> Result<Unit, DoesNotFit> {
        if let Phase::Claim = job.phase {
            if writer.claim().is_err() {
                return Ok(Unit::Wait);
            }
            job.phase = self.after_claim(job);
        }
        let base = writer.base();
        let training = self.training();
        let parts = &mut self.parts;
        let spec = parts.spec;
        // The claim holds until this job ends.
        let Some((shadow, current)) = writer.shadow() else {
            return Ok(Unit::Reject(Reason::Busy));
        };
        let step = match parts.objective() {
            Objective::Supervised => job.done,
            Objective::PolicyGradient => self.steps,
        };
        parts.workshop.step_scale = spec.step_scales.get(step as usize).copied().unwrap_or(0.0) * job.choice.scale;
        let cost = match &mut job.phase {
            Phase::Claim => 0,
            // Never entered, and no code.
            Phase::Estimate(_) if !cfg!(feature = "policy-gradient") => 0,
            Phase::Estimate(estimate) => match estimate.unit(spec, &parts.layout, &mut parts.support, parts.scratch) {
                Some(cost) => cost,
                None => {
                    job.phase = Phase::Copy { at: 0 };
                    0
                }
            },
            Phase::Copy { at } => {
                let source = if parts.objective() == Objective::Supervised {
                    base
                } else {
                    current
                };
                let from = source.get(*at..).unwrap_or(&[]);
                let to = shadow.get_mut(*at..).unwrap_or(&mut []);
                let values = blocks(budget, from.len());
                to.iter_mut().zip(from).take(values).for_each(|(to, from)| *to = *from);
                *at = at.saturating_add(values);
                if *at >= source.len() {
                    job.phase = Phase::Begin { record: 0 };
                }
                values as u64
            }
            Phase::Begin { record } => {
                match parts
                    .workshop
                    .run_records(&mut parts.begin, record, budget, AdaptedRef::Shared(shadow))?
                {
                    Some(cost) => cost,
                    None => {
                        job.phase = Phase::Fold(Pass::Accumulate, Fold::new(training, job.rows));
                        0
                    }
                }
            }
            Phase::Fold(pass, fold) => {
                let (stage, parameters) = match pass {
                    Pass::ScoreBefore => (&mut parts.score, current),
                    Pass::Accumulate => (&mut parts.accumulate, &*shadow),
                    Pass::ScoreAfter => (&mut parts.score, &*shadow),
                };
                let workshop = &mut parts.workshop;
                match (
                    fold.unit(stage, spec, &parts.support, workshop, parameters, budget)?,
                    pass,
                ) {
                    (Some(cost), _) => cost,
                    (None, Pass::ScoreBefore) => {
                        job.figures.0.score_before = Some(workshop.score());
                        job.phase = Phase::Copy { at: 0 };
                        0
                    }
                    (None, Pass::Accumulate) => {
                        job.phase = Phase::Apply { record: 0 };
                        0
                    }
                    (None, Pass::ScoreAfter) => {
                        job.figures.0.score_after = Some(workshop.score());
                        return Ok(parts.judge(job.figures.0));
                    }
                }
            }
            Phase::Apply { record } => {
                if let Some(input) = parts.workshop.input.first_mut() {
                    *input = parts.workshop.step_scale;
                }
                match parts
                    .workshop
                    .run_records(&mut parts.apply, record, budget, AdaptedRef::Exclusive(shadow))?
                {
                    Some(cost) => cost,
                    None => {
                        job.done += 1;
                        let again = parts.objective() == Objective::Supervised && job.done < job.choice.steps;
                        job.phase = if again {
                            Phase::Begin { record: 0 }
                        } else {
                            Phase::Guard {
                                at: 0,
                                squares: [0.0; LANES],
                            }
                        };
                        0
                    }
                }
            }
            Phase::Guard { at, squares } => {
                let (new, old) = (shadow.get(*at..).unwrap_or(&[]), base.get(*at..).unwrap_or(&[]));
                let values = blocks(budget, new.len());
                let pairs = || new.iter().zip(old).take(values);
                // Looks at all of them: takes the same time always, and vectorises.
                if !pairs().fold(true, |finite, (new, _)| finite & new.is_finite()) {
                    // The blocks before count as done, however the work is cut.
                    let first = pairs().position(|(new, _)| !new.is_finite()).unwrap_or(0);
                    let done = (first / BLOCK * BLOCK) as u64;
                    job.figures.0.macs = job.figures.0.macs.saturating_add(done);
                    return Ok(Unit::Reject(Reason::NotFinite));
                }
                let (new, old) = (new.get(..values).unwrap_or(new), old.get(..values).unwrap_or(old));
                add_squares(squares, new, old);
                *at = at.saturating_add(values);
                if *at >= base.len() {
                    job.figures.0.change = functions::sqrt(squares.iter().fold(0.0, |total, sum| total + sum));
                    // Without a limit (infinity) the change must still be a number.
                    let change = job.figures.0.change;
                    if change > spec.trust_region || !change.is_finite() {
                        return Ok(Unit::Reject(Reason::TrustRegion));
                    }
                    let Some(selection) = parts.scored(job.figures.0) else {
                        return Ok(Unit::Accept);
                    };
                    job.phase = parts.start_score(selection, job.rows, Pass::ScoreAfter);
                }
                values as u64
            }
        };
        Ok(Unit::Spent(cost))
    }

    fn after_claim(&mut self, job: &Job) -> Phase {
        let parts = &mut self.parts;
        match (parts.objective(), parts.scored(job.figures.0)) {
            (Objective::PolicyGradient, _) => Phase::Estimate(Estimate::new(parts.spec, job.rows)),
            (_, Some(selection)) => parts.start_score(selection, job.rows, Pass::ScoreBefore),
            (_, None) => Phase::Copy { at: 0 },
        }
    }

    fn accept(&mut self, job: &Job, writer: &mut Writer<'_, '_>) -> AdaptReport {
        self.job = None;
        let figures = job.figures.0;
        if writer.is_frozen() {
            writer.discard();
            return AdaptReport::Rejected {
                reason: Reason::Frozen,
                figures,
            };
        }
        writer.publish();
        (self.previous_steps, self.steps) = (self.steps, figures.steps);
        AdaptReport::Accepted(figures)
    }
}

impl Parts<'_> {
    /// What is learned from; of a build without rewards there is but one, and the code for the other goes.
    #[inline(always)]
    pub(crate) fn objective(&self) -> Objective {
        if cfg!(feature = "policy-gradient") {
            self.objective
        } else {
            Objective::Supervised
        }
    }

    /// How to adapt to the first `rows` rows of the support set. Reads each value twice, which no limit on the work counts:
    /// only supervised support sets have a tree, and they are small.
    fn choose(&self, rows: usize) -> Choice {
        let always = Choice {
            steps: self.spec.steps,
            scale: 1.0,
        };
        let choices = self.choices.filter(|_| cfg!(feature = "choices"));
        choices.map_or(always, |choices| {
            let values = |span: Span| (0..rows).flat_map(move |row| span.of(self.support.row(row)).iter().copied());
            let (inputs, targets) = (values(self.layout.observation), values(self.layout.action));
            choices.choose(&SupportStatistics::of(rows, inputs, targets))
        })
    }

    /// Which rows score the result, if any do.
    fn scored(&self, figures: Figures) -> Option<Selection> {
        match self.objective() {
            Objective::Supervised => (figures.held_out > 0).then_some(Selection::HeldOut),
            Objective::PolicyGradient => self.spec.kl_limit.is_finite().then_some(Selection::All),
        }
    }

    fn start_score(&mut self, selection: Selection, rows: usize, pass: Pass) -> Phase {
        self.workshop.accumulator.fill(0.0);
        Phase::Fold(pass, Fold::new(selection, rows))
    }

    fn judge(&self, figures: Figures) -> Unit {
        let after = figures.score_after.unwrap_or(f32::NAN);
        let (limit, reason) = match self.objective() {
            // A policy in use whose loss is not a number is worse than any.
            Objective::Supervised => (
                figures
                    .score_before
                    .filter(|loss| !loss.is_nan())
                    .unwrap_or(f32::INFINITY),
                Reason::LossRose,
            ),
            Objective::PolicyGradient => (self.spec.kl_limit, Reason::Divergence),
        };
        // False for NaN.
        if after <= limit && after.is_finite() {
            Unit::Accept
        } else {
            Unit::Reject(reason)
        }
    }
}
