//! Tasks that were learned together: each selected on the deployed image and scored on its test rows.

use pliant_compiler::policy::TargetLoss;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};

use super::{AdaptationStep, AlsoScored, DEVICE_RUNTIME, EvalError, EvalOptions, Evaluation};
use crate::random::stream;
use crate::tasks::{Split, TaskTable};
use rand_core::Rng;

/// Rows from which the task at hand is identified.
pub const IDENTIFICATION_ROWS: usize = 10;
/// Support sets of each task that are identified.
const IDENTIFICATIONS: u64 = 50;

/// A task's inputs and targets as a device meets them: padded to the image's channels, numbers in their unit.
pub struct DeviceRows {
    widths: (usize, usize),
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

impl DeviceRows {
    /// The rows of a split for an image with so many observation and action channels.
    pub fn new(table: &TaskTable, split: Split, widths: (usize, usize)) -> Self {
        let rows = table.device_rows(split);
        let pad = |values: &[f32], from: usize, to: usize| {
            let rows = values.chunks_exact(from.max(1));
            let padded = |row: &[f32]| {
                row.iter()
                    .copied()
                    .chain(std::iter::repeat_n(0.0, to - from))
                    .collect::<Vec<_>>()
            };
            rows.flat_map(padded).collect()
        };
        Self {
            widths,
            inputs: pad(&rows.inputs, table.channels().len(), widths.0),
            targets: pad(&rows.targets, table.outputs, widths.1),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.inputs.len() / self.widths.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// One row: input and target.
    pub fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let (inputs, targets) = self.widths;
        (
            &self.inputs[row * inputs..][..inputs],
            &self.targets[row * targets..][..targets],
        )
    }
}

/// How wrong a policy is about the test rows of its selected task: for numbers the squared error over the targets'
/// variance, for classes the share of rows whose likeliest class is not theirs, for labels the share of labels on the wrong
/// side of a half. Mean over the outputs where there are several; missing targets take no part.
///
/// # Errors
/// Where the runtime refuses to act.
pub fn test_error(
    policy: &mut Policy<'_>,
    table: &TaskTable,
    task: u64,
    widths: (usize, usize),
) -> Result<f64, EvalError> {
    split_error(policy, table, Split::Test, task, widths)
}

/// As [`test_error`], about the rows of any split.
pub(super) fn split_error(
    policy: &mut Policy<'_>,
    table: &TaskTable,
    split: Split,
    task: u64,
    widths: (usize, usize),
) -> Result<f64, EvalError> {
    let errors = errors(policy, table, split, task, widths)?;
    let width = elements(table);
    let column = |output: usize| {
        errors
            .iter()
            .skip(output)
            .step_by(width)
            .copied()
            .filter(|error| !error.is_nan())
    };
    if table.loss != TargetLoss::SquaredError {
        return Ok(mean(&(0..width).flat_map(column).collect::<Vec<_>>()));
    }
    let targets = table.device_rows(split).targets;
    let relative = |output: usize| {
        let own = targets
            .iter()
            .skip(output)
            .step_by(width)
            .filter(|target| !target.is_nan());
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for target in own {
            sum += f64::from(*target);
            squares += f64::from(*target).powi(2);
            count += 1.0;
        }
        mean(&column(output).collect::<Vec<_>>()) / (squares / count - (sum / count).powi(2))
    };
    Ok(mean(&(0..width).map(relative).collect::<Vec<_>>()))
}

/// How wrong a policy is about each row of a split of its selected task: the squared error of numbers, 1 or 0 for a class,
/// the share of labels on the wrong side of a half. Mean over outputs; NaN for a row whose targets are all missing.
///
/// # Errors
/// Where the runtime refuses to act.
pub fn row_errors(
    policy: &mut Policy<'_>,
    table: &TaskTable,
    split: Split,
    task: u64,
    widths: (usize, usize),
) -> Result<Vec<f64>, EvalError> {
    let errors = errors(policy, table, split, task, widths)?;
    let known = |row: &[f64]| mean(&row.iter().copied().filter(|error| !error.is_nan()).collect::<Vec<_>>());
    Ok(errors.chunks_exact(elements(table)).map(known).collect())
}

/// Errors that one row has: one a class.
fn elements(table: &TaskTable) -> usize {
    table.loss.elements(table.outputs).max(1)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `[rows, elements]`, NaN where a target is missing.
fn errors(
    policy: &mut Policy<'_>,
    table: &TaskTable,
    split: Split,
    task: u64,
    widths: (usize, usize),
) -> Result<Vec<f64>, EvalError> {
    let rows = DeviceRows::new(table, split, widths);
    let (mut actor, _) = policy.split();
    let mut answer = vec![0.0; widths.1];
    let mut errors = Vec::new();
    for row in 0..rows.len() {
        let (input, target) = rows.row(row);
        let status = actor.act(input, &mut answer);
        if status.is_safe_action() {
            return Err(EvalError::Refused { task, status });
        }
        let pairs = answer.iter().zip(target).take(table.outputs);
        match table.loss {
            TargetLoss::SquaredError => {
                errors.extend(pairs.map(|(answer, target)| f64::from(answer - target).powi(2)));
            }
            TargetLoss::BinaryCrossEntropy => errors.extend(pairs.map(|(answer, target)| match target.is_nan() {
                true => f64::NAN,
                false => f64::from(u8::from((*answer > 0.5) != (*target > 0.5))),
            })),
            TargetLoss::CrossEntropy => {
                let likeliest = |values: &[f32]| {
                    let classes = values.iter().take(table.outputs).enumerate();
                    classes.max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)
                };
                let known = target.iter().take(table.outputs).any(|target| *target > 0.5);
                let wrong = f64::from(u8::from(likeliest(&answer) != likeliest(target)));
                errors.push(if known { wrong } else { f64::NAN });
            }
        }
    }
    Ok(errors)
}

/// Channels of an image: observations and actions.
pub(super) fn widths(tables: &[TaskTable]) -> (usize, usize) {
    let widest = |width: fn(&TaskTable) -> usize| tables.iter().map(width).max().unwrap_or(0);
    (widest(|table| table.channels().len()), widest(|table| table.outputs))
}

/// Scores every task, and identifies tasks from a few validation rows.
pub(super) fn evaluate(
    image: &Image<'_>,
    family: &str,
    metric: &str,
    tables: &[TaskTable],
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let widths = widths(tables);
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(image, None, &mut memory)?;
    let mut errors = Vec::new();
    let mut right = Vec::new();
    for (task, table) in tables.iter().enumerate() {
        policy.select(task as u32)?;
        errors.push(split_error(&mut policy, table, split, task as u64, widths)?);
        let rows = DeviceRows::new(table, Split::Validation, widths);
        let mut found = 0.0;
        for index in 0..IDENTIFICATIONS {
            let mut random = stream(options.seed, "rows to identify a task by", &[task as u64, index]);
            let (_, mut learner) = policy.split();
            learner.clear();
            for _ in 0..IDENTIFICATION_ROWS {
                let row = ((u128::from(random.next_u64()) * rows.len() as u128) >> 64) as usize;
                let (input, target) = rows.row(row);
                learner.observe_example(input, target)?;
            }
            found += f64::from(u8::from(learner.identify()?.task as usize == task));
        }
        right.push(found / IDENTIFICATIONS as f64);
    }
    let step = |scores: &[f64]| AdaptationStep::over_tasks(0, scores, options.seed);
    let one = |(table, error): (&TaskTable, &f64)| AlsoScored {
        name: table.name.clone(),
        adaptation: vec![step(&[*error])],
        part: true,
    };
    let mut also: Vec<AlsoScored> = tables.iter().zip(&errors).map(one).collect();
    also.push(AlsoScored {
        name: format!("task identified from {IDENTIFICATION_ROWS} rows, share right"),
        adaptation: vec![step(&right)],
        part: false,
    });
    Ok(Evaluation {
        family: family.to_owned(),
        engine: DEVICE_RUNTIME.to_owned(),
        tasks: tables.len() as u64,
        seed: options.seed,
        metric: metric.to_owned(),
        lower_is_better: true,
        adaptation: vec![step(&errors)],
        also,
        refused: 0,
        env_steps: 0,
    })
}
