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
        let rows = table.rows(split);
        let (scale, offset) = table.target;
        let pad = |values: &[f32], from: usize, to: usize, map: &dyn Fn(f32) -> f32| {
            let rows = values.chunks_exact(from.max(1));
            rows.flat_map(|row| {
                let own = row.iter().map(|&value| map(value)).collect::<Vec<_>>();
                own.into_iter().chain(std::iter::repeat_n(0.0, to - from))
            })
            .collect()
        };
        Self {
            widths,
            inputs: pad(&rows.inputs, table.inputs(), widths.0, &|value| value),
            targets: pad(&rows.targets, table.outputs, widths.1, &|value| value * scale + offset),
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
/// side of a half.
///
/// # Errors
/// Where the runtime refuses to act.
pub fn test_error(
    policy: &mut Policy<'_>,
    table: &TaskTable,
    task: u64,
    widths: (usize, usize),
) -> Result<f64, EvalError> {
    let rows = DeviceRows::new(table, Split::Test, widths);
    let (mut actor, _) = policy.split();
    let mut answer = vec![0.0; widths.1];
    let (mut wrong, mut count) = (0.0, 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for row in 0..rows.len() {
        let (input, target) = rows.row(row);
        let status = actor.act(input, &mut answer);
        if status.is_safe_action() {
            return Err(EvalError::Refused { task, status });
        }
        let pairs = || {
            answer
                .iter()
                .zip(target)
                .take(table.outputs)
                .filter(|(_, target)| !target.is_nan())
        };
        match table.loss {
            TargetLoss::SquaredError => {
                for (answer, target) in pairs() {
                    wrong += f64::from(answer - target).powi(2);
                    sum += f64::from(*target);
                    squares += f64::from(*target).powi(2);
                    count += 1.0;
                }
            }
            TargetLoss::BinaryCrossEntropy => {
                wrong += pairs()
                    .filter(|(answer, target)| (**answer > 0.5) != (**target > 0.5))
                    .count() as f64;
                count += pairs().count() as f64;
            }
            TargetLoss::CrossEntropy => {
                let likeliest = |values: &[f32]| {
                    let classes = values.iter().take(table.outputs).enumerate();
                    classes.max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)
                };
                wrong += f64::from(u8::from(likeliest(&answer) != likeliest(target)));
                count += 1.0;
            }
        }
    }
    let mean = wrong / count;
    Ok(match table.loss {
        TargetLoss::SquaredError => mean / (squares / count - (sum / count).powi(2)),
        _ => mean,
    })
}

/// Channels of an image: observations and actions.
pub(super) fn widths(tables: &[TaskTable]) -> (usize, usize) {
    let widest = |width: fn(&TaskTable) -> usize| tables.iter().map(width).max().unwrap_or(0);
    (widest(TaskTable::inputs), widest(|table| table.outputs))
}

/// Scores every task, and identifies tasks from a few validation rows.
pub(super) fn evaluate(
    image: &Image<'_>,
    family: &str,
    metric: &str,
    tables: &[TaskTable],
    options: EvalOptions,
) -> Result<Evaluation, EvalError> {
    let widths = widths(tables);
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(image, None, &mut memory)?;
    let mut errors = Vec::new();
    let mut right = Vec::new();
    for (task, table) in tables.iter().enumerate() {
        policy.select(task as u32)?;
        errors.push(test_error(&mut policy, table, task as u64, widths)?);
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
