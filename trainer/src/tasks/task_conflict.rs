//! Tasks that conflict: `y_t = 10^((t - 3.5) / 3.5) w_t . tanh(A x)` with noise, where each second direction is nearly the
//! opposite of the one before it.
//!
//! With eight tasks: x in R^32 normal; A in R^(16 x 32) with entries of variance 1/32; `w_0, w_2, ...` random unit
//! vectors, `w_(2i+1) = -0.8 w_(2i) + 0.6 n_i` with `n_i` a random unit vector orthogonal to `w_(2i)`; noise of 5 % of the
//! target's standard deviation, in the test rows too. With another number of tasks the exponent still runs from -1 to 1.

use pliant_compiler::policy::TargetLoss;

use super::{Split, TaskRows, TaskTable};
use crate::random::{fill_standard_normal, stream};
use crate::recipe;

/// Features that all tasks share.
const LATENT: usize = 16;
/// Standard deviation of the noise relative to the target's.
const NOISE: f64 = 0.05;
/// Share of a direction that its opponent takes back, and the rest.
const OPPOSED: [f64; 2] = [-0.8, 0.6];

/// The tasks of one seed.
#[derive(Debug, Clone)]
pub struct TaskConflictFamily {
    settings: recipe::TaskConflict,
    seed: u64,
    /// A, `[LATENT][INPUTS]`.
    mixing: Vec<f64>,
    /// Of each task.
    directions: Vec<Vec<f64>>,
}

impl TaskConflictFamily {
    /// Numbers in one input.
    pub const INPUTS: usize = 32;

    /// Draws mixing and directions.
    pub fn new(settings: &recipe::TaskConflict, seed: u64) -> Self {
        let tasks = settings.rows.len();
        let normal = |name: &str, index: usize, count: usize| {
            let mut values = vec![0.0f32; count];
            let name = format!("task conflict, {name}");
            fill_standard_normal(&mut stream(seed, &name, &[index as u64]), &mut values);
            values.into_iter().map(f64::from).collect::<Vec<f64>>()
        };
        let deviation = (Self::INPUTS as f64).sqrt().recip();
        let mixing = normal("mixing", 0, LATENT * Self::INPUTS);
        let mut directions: Vec<Vec<f64>> = Vec::new();
        for task in 0..tasks {
            let random = normal("direction", task, LATENT);
            directions.push(match (task % 2, directions.last()) {
                (1, Some(before)) => {
                    let along = dot(&random, before);
                    let across: Vec<f64> = random.iter().zip(before).map(|(r, b)| r - along * b).collect();
                    let across = unit(&across);
                    let pairs = before.iter().zip(&across);
                    pairs.map(|(b, a)| OPPOSED[0] * b + OPPOSED[1] * a).collect()
                }
                _ => unit(&random),
            });
        }
        Self {
            settings: settings.clone(),
            seed,
            mixing: mixing.into_iter().map(|value| value * deviation).collect(),
            directions,
        }
    }

    /// The direction of a task in the shared features, of length 1.
    pub fn direction(&self, task: usize) -> &[f64] {
        &self.directions[task]
    }

    /// Targets of a task run over this factor.
    pub fn scale(&self, task: usize) -> f64 {
        let half = (self.directions.len() - 1) as f64 / 2.0;
        10f64.powf((task as f64 - half) / half)
    }

    /// The rows of a task, drawn from a stream of the split's own.
    fn rows(&self, task: usize, split: Split, count: usize) -> TaskRows {
        let open = |what: &str| {
            let name = format!("task conflict, {what}, {}", split.name());
            stream(self.seed, &name, &[task as u64])
        };
        let mut inputs = vec![0.0; count * Self::INPUTS];
        fill_standard_normal(&mut open("inputs"), &mut inputs);
        let mut noise = vec![0.0; count];
        fill_standard_normal(&mut open("noise"), &mut noise);
        let clean: Vec<f64> = inputs
            .chunks_exact(Self::INPUTS)
            .map(|x| {
                let feature = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * f64::from(*x)).sum::<f64>().tanh();
                let features: Vec<f64> = self.mixing.chunks_exact(Self::INPUTS).map(feature).collect();
                self.scale(task) * dot(&self.directions[task], &features)
            })
            .collect();
        let deviation = deviation(&clean);
        let noisy = clean
            .iter()
            .zip(&noise)
            .map(|(y, noise)| (y + NOISE * deviation * f64::from(*noise)) as f32);
        TaskRows {
            targets: noisy.collect(),
            inputs,
        }
    }

    /// The tasks with all their rows.
    pub fn tables(&self) -> Vec<TaskTable> {
        let features: Vec<String> = (0..Self::INPUTS).map(|index| format!("x{index}")).collect();
        let table = |(task, &count): (usize, &usize)| TaskTable {
            name: format!("task {task}"),
            features: features.clone(),
            outputs: 1,
            loss: TargetLoss::SquaredError,
            target: vec![(1.0, 0.0)],
            logarithm: false,
            prepared: None,
            train: self.rows(task, Split::Train, count),
            validation: self.rows(task, Split::Validation, self.settings.validation_rows),
            test: self.rows(task, Split::Test, self.settings.test_rows),
        };
        self.settings.rows.iter().enumerate().map(table).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(values: &[f64]) -> Vec<f64> {
    let norm = dot(values, values).sqrt();
    values.iter().map(|value| value / norm).collect()
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
