//! Task families of supervised learning: a task is labelled rows.

use super::Split;

/// What counts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The mean squared error, in the square of the target's unit; lower is better.
    MeanSquaredError,
    /// The share of the rows whose sign is the target's; higher is better.
    ShareRight,
}

impl Metric {
    /// As reports say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean squared error",
            Self::ShareRight => "share right",
        }
    }

    /// Whether less is better.
    pub const fn lower_is_better(self) -> bool {
        matches!(self, Self::MeanSquaredError)
    }

    /// Of answers to these targets, element by element. NaN for an answer that is no number.
    pub fn of(self, answers: &[f32], targets: &[f32]) -> f64 {
        let score = |(answer, target): (&f32, &f32)| match self {
            Self::MeanSquaredError => f64::from(answer - target).powi(2),
            Self::ShareRight if answer.is_nan() => f64::NAN,
            Self::ShareRight => f64::from(u8::from((*answer > 0.0) == (*target > 0.0))),
        };
        answers.iter().zip(targets).map(score).sum::<f64>() / targets.len().max(1) as f64
    }
}

/// Rows of one task: inputs `[rows, input width]` and targets `[rows, target width]`, row-major, to be filled.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Inputs.
    pub inputs: &'a mut [f32],
    /// Targets.
    pub targets: &'a mut [f32],
}

/// A family of supervised tasks, each known by its split and index.
///
/// Everything about a task, its data included, is drawn from streams named after the family and the split, at the task's
/// index: it does not depend on which other tasks were drawn, or on which thread.
pub trait SupervisedFamily: Send + Sync {
    /// Numbers in one input.
    fn input_width(&self) -> usize;

    /// Numbers in one target.
    fn target_width(&self) -> usize;

    /// Labelled rows to adapt to.
    fn support_rows(&self) -> usize;

    /// Rows that score the adapted policy in meta-training.
    fn query_rows(&self) -> usize;

    /// Rows on which an adapted policy is scored in evaluation.
    fn evaluation_rows(&self) -> usize;

    /// Fills the support and the query rows of task `index`.
    fn sample(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, query: Rows<'_>);

    /// Fills the support rows of task `index`, the same as [`sample`](Self::sample) would, and the rows that score it.
    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, scored: Rows<'_>);

    /// How many tasks a split has, whose indices then count on through them; none where every index is another task.
    fn task_count(&self, split: Split) -> Option<u64> {
        let _ = split;
        None
    }

    /// What counts of an answer in evaluation. Default: the mean squared error.
    fn metric(&self) -> Metric {
        Metric::MeanSquaredError
    }

    /// The score of who knows task `index`: for the squared error 0 without noise. None where it is not known.
    fn oracle_score(&self, seed: u64, split: Split, index: u64) -> Option<f64> {
        let _ = (seed, split, index);
        None
    }
}

/// The data of a training task: support inputs, support targets, query inputs, query targets, each `[rows, width]`.
pub fn training_task(family: &dyn SupervisedFamily, seed: u64, index: u64) -> [Vec<f32>; 4] {
    let (support, query) = (family.support_rows(), family.query_rows());
    let (inputs, targets) = (family.input_width(), family.target_width());
    let mut data = [support * inputs, support * targets, query * inputs, query * targets].map(|size| vec![0.0; size]);
    let [support_x, support_y, query_x, query_y] = &mut data;
    let support = Rows {
        inputs: support_x,
        targets: support_y,
    };
    let query = Rows {
        inputs: query_x,
        targets: query_y,
    };
    family.sample(seed, Split::Train, index, support, query);
    data
}
