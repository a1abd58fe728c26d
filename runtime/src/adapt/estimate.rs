//! The passes of a policy gradient before its gradient, row by row: what [`advantages`](crate::experience::advantages)
//! does at once.

use crate::experience::support::{RowLayout, Support, read_clock, set, value};
use crate::experience::{AdvantageSweep, Baseline, ReturnSweep, Standardiser};
use crate::image::AdaptationSpec;

/// What a unit costs beside its products, in multiply-accumulates: finding the row in the ring, reading its clock, keeping count.
/// (Measured on a Cortex-M4F: without it a slice took eight times the instructions that its budget meant.)
const HANDLING: usize = 64;

/// How far the estimation has come. Passes from the last row to the first count `left` down.
#[derive(Clone, Copy, Debug)]
enum Pass {
    Returns { left: usize },
    Fit { row: usize },
    Factor { column: usize },
    Substitute,
    Advantages { left: usize },
    Mean { row: usize },
    Deviation { row: usize },
    Apply { row: usize },
}

/// Fills the advantage field of the first `rows` rows of the support set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pass: Pass,
    rows: usize,
    returns: ReturnSweep,
    advantages: AdvantageSweep,
    standardiser: Standardiser,
}

impl Estimate {
    pub(crate) fn new(spec: &AdaptationSpec, rows: usize) -> Self {
        Self {
            pass: Pass::Returns { left: rows },
            rows,
            returns: ReturnSweep::new(spec.gamma),
            advantages: AdvantageSweep::new(spec.gamma, spec.lambda),
            standardiser: Standardiser::default(),
        }
    }

    /// One row, or one column of the factors. Gives the cost, or `None` when all passes are through.
    pub(crate) fn unit(
        &mut self,
        spec: &AdaptationSpec,
        layout: &RowLayout,
        support: &mut Support<'_>,
        scratch: &mut [f32],
    ) -> Option<u64> {
        let mut baseline = match spec.baseline_features {
            0 => None,
            _ => Baseline::new(layout.observation.width, scratch),
        };
        let width = baseline.as_ref().map_or(0, Baseline::width);
        let next =
            |row: usize, then: Pass, pass: fn(usize) -> Pass| if row + 1 < self.rows { pass(row + 1) } else { then };
        let (after, cost) = match self.pass {
            Pass::Returns { left } => {
                let row = support.row_mut(left.saturating_sub(1));
                let (_, end) = read_clock(value(row, layout.clock));
                let target = self.returns.step(value(row, layout.reward), end);
                set(row, layout.advantage, target);
                let after = match (left, &mut baseline) {
                    (2.., _) => Pass::Returns { left: left - 1 },
                    (_, Some(baseline)) => {
                        baseline.clear();
                        Pass::Fit { row: 0 }
                    }
                    (_, None) => Pass::Advantages { left: self.rows },
                };
                (after, 1)
            }
            Pass::Fit { row } => {
                let values = support.row(row);
                let (step, _) = read_clock(value(values, layout.clock));
                if let Some(baseline) = &mut baseline {
                    baseline.add(layout.observation.of(values), step, value(values, layout.advantage));
                    if row + 1 >= self.rows {
                        baseline.prepare(spec.baseline_ridge);
                    }
                }
                (
                    next(row, Pass::Factor { column: 0 }, |row| Pass::Fit { row }),
                    width * width / 2 + 2 * width,
                )
            }
            Pass::Factor { column } => {
                if let Some(baseline) = &mut baseline {
                    baseline.factor(column);
                }
                let after = if column + 1 < width {
                    Pass::Factor { column: column + 1 }
                } else {
                    Pass::Substitute
                };
                (after, column * width.saturating_sub(column))
            }
            Pass::Substitute => {
                if let Some(baseline) = &mut baseline {
                    baseline.finish();
                }
                (Pass::Advantages { left: self.rows }, width * width)
            }
            Pass::Advantages { left } => {
                let row = support.row_mut(left.saturating_sub(1));
                let (step, end) = read_clock(value(row, layout.clock));
                let state_value = baseline.map_or(0.0, |mut fit| fit.predict(layout.observation.of(row), step));
                let advantage = self.advantages.step(value(row, layout.reward), state_value, end);
                set(row, layout.advantage, advantage);
                let after = if left >= 2 {
                    Pass::Advantages { left: left - 1 }
                } else {
                    Pass::Mean { row: 0 }
                };
                (after, 2 * width + 4)
            }
            Pass::Mean { row } => {
                self.standardiser.add(value(support.row(row), layout.advantage));
                if row + 1 >= self.rows {
                    self.standardiser.finish_mean();
                }
                (next(row, Pass::Deviation { row: 0 }, |row| Pass::Mean { row }), 1)
            }
            Pass::Deviation { row } => {
                self.standardiser.add_square(value(support.row(row), layout.advantage));
                if row + 1 >= self.rows {
                    self.standardiser.finish_deviation();
                }
                (next(row, Pass::Apply { row: 0 }, |row| Pass::Deviation { row }), 1)
            }
            Pass::Apply { row } => {
                if row >= self.rows {
                    return None;
                }
                let values = support.row_mut(row);
                let advantage = self.standardiser.apply(value(values, layout.advantage));
                set(values, layout.advantage, advantage);
                (Pass::Apply { row: row + 1 }, 1)
            }
        };
        self.pass = after;
        Some((HANDLING + cost) as u64)
    }
}
