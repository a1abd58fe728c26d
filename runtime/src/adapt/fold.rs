//! One pass of a plan over the support set, chunk by chunk, record by record.

use crate::experience::support::{Support, set};
use crate::image::AdaptationSpec;
use crate::plan::{AdaptedRef, Exact, Plan, Spaces};

/// One of the learner's steps: the records of a plan, or a model that runs in one go.
pub(crate) enum Stage<'m> {
    Plan(Plan<'m>),
    #[cfg(feature = "onnx")]
    Model(crate::edge::Stage<'m>),
}

/// The records did not fit the memory. Cannot happen: the policy checked it when it was loaded. Says no more than that, so
/// that nothing is carried along for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DoesNotFit;

/// The memory the learner's plans work in.
pub(crate) struct Workshop<'m> {
    pub(crate) constants: &'m [f32],
    pub(crate) bank: &'m [f32],
    pub(crate) arena: &'m mut [f32],
    pub(crate) input: &'m mut [f32],
    pub(crate) output: &'m mut [f32],
    pub(crate) accumulator: &'m mut [f32],
    /// Factor on the learned step sizes in the current step. A plan finds it in its input; a model takes it from here.
    pub(crate) step_scale: f32,
}

impl Workshop<'_> {
    /// Runs records from number `*record` on, which it moves, until at least `budget` is spent or there are no more, and
    /// gives their cost. Past the last record nothing runs and there is no cost.
    pub(crate) fn run_records(
        &mut self,
        stage: &mut Stage<'_>,
        record: &mut usize,
        budget: u64,
        adapted: AdaptedRef<'_>,
    ) -> Result<Option<u64>, DoesNotFit> {
        #[cfg_attr(not(feature = "onnx"), allow(clippy::infallible_destructuring_match))]
        let plan = match stage {
            Stage::Plan(plan) => plan,
            #[cfg(feature = "onnx")]
            Stage::Model(model) => {
                let first = core::mem::replace(record, 1) == 0;
                return Ok(match first {
                    true => model.run(self.input, adapted, self.step_scale, self.accumulator),
                    false => None,
                });
            }
        };
        let first = *record;
        let mut cost = 0u64;
        for next in plan.records().get(first..).unwrap_or(&[]) {
            cost = cost.saturating_add(next.macs());
            *record = record.saturating_add(1);
            if cost >= budget {
                break;
            }
        }
        if *record == first {
            return Ok(None);
        }
        let mut spaces = Spaces {
            constants: self.constants,
            input: self.input,
            bank: self.bank,
            adapted,
            arena: self.arena,
            state: &mut [],
            output: self.output,
            accumulator: self.accumulator,
        };
        match plan.run_range::<Exact>(first..*record, &mut spaces) {
            Ok(()) => Ok(Some(cost)),
            Err(_) => Err(DoesNotFit),
        }
    }

    /// The mean that `score` has summed up: sum over weights.
    pub(crate) fn score(&self) -> f32 {
        match *self.accumulator {
            [sum, weight, ..] => sum / weight,
            _ => f32::NAN,
        }
    }
}

/// Which rows of the support set take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All.
    All,
    /// All that are not held out.
    Training,
    /// The held-out ones.
    HeldOut,
}

impl Selection {
    /// Whether a row takes part. Which rows are held out follows from their arrival, not from their place in the ring,
    /// so that a row that was held out once never trains.
    fn contains(self, arrival: u32, holdout_every: u32) -> bool {
        let held_out = holdout_every != 0 && arrival % holdout_every == holdout_every - 1;
        match self {
            Self::All => true,
            Self::Training => !held_out,
            Self::HeldOut => held_out,
        }
    }

    /// How many of the first `rows` rows take part.
    pub(crate) fn count(self, support: &Support<'_>, rows: usize, holdout_every: u32) -> usize {
        (0..rows)
            .filter(|row| self.contains(support.arrival(*row), holdout_every))
            .count()
    }
}

/// How far a pass has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold {
    selection: Selection,
    /// Rows of the support set that count; later ones are of a trajectory that has not ended.
    rows: usize,
    next_row: usize,
    /// The next record; `None` before a chunk is gathered.
    record: Option<usize>,
}

impl Fold {
    pub(crate) const fn new(selection: Selection, rows: usize) -> Self {
        Self {
            selection,
            rows,
            next_row: 0,
            record: None,
        }
    }

    /// A pass over one row.
    pub(crate) const fn of_row(row: usize) -> Self {
        Self {
            next_row: row,
            ..Self::new(Selection::All, row + 1)
        }
    }

    /// Gathers a chunk, or runs records until `budget` is spent. Gives the cost, or `None` when all chunks are through.
    pub(crate) fn unit(
        &mut self,
        stage: &mut Stage<'_>,
        spec: &AdaptationSpec,
        support: &Support<'_>,
        workshop: &mut Workshop<'_>,
        parameters: &[f32],
        budget: u64,
    ) -> Result<Option<u64>, DoesNotFit> {
        if let Some(record) = &mut self.record {
            if let Some(cost) = workshop.run_records(stage, record, budget, AdaptedRef::Shared(parameters))? {
                return Ok(Some(cost));
            }
            self.record = None;
        }
        if self.gather(spec, support, workshop.input) == 0 {
            return Ok(None);
        }
        self.record = Some(0);
        Ok(Some(u64::from(spec.chunk_len())))
    }

    /// Writes the next rows into `chunk`, each field `[chunk_rows, width]`, then the row weights, and gives how many
    /// there were. Rows that are not there are all zero.
    fn gather(&mut self, spec: &AdaptationSpec, support: &Support<'_>, chunk: &mut [f32]) -> usize {
        let (chunk_rows, weights) = (spec.chunk_rows as usize, (spec.chunk_rows * spec.row_width()) as usize);
        chunk.fill(0.0);
        let mut gathered = 0;
        while gathered < chunk_rows && self.next_row < self.rows {
            let index = self.next_row;
            self.next_row += 1;
            if !self.selection.contains(support.arrival(index), spec.holdout_every) {
                continue;
            }
            let mut row = support.row(index);
            let mut field_start = 0;
            for field in spec.fields() {
                let width = field.width as usize;
                let Some((values, rest)) = row.split_at_checked(width) else {
                    break;
                };
                let place = chunk
                    .get_mut(field_start + gathered * width..)
                    .and_then(|rest| rest.get_mut(..width));
                if let Some(place) = place {
                    place.copy_from_slice(values);
                }
                field_start += chunk_rows * width;
                row = rest;
            }
            set(chunk, weights + gathered, 1.0);
            gathered += 1;
        }
        gathered
    }
}
