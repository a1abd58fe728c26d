//! Multi-task training of a recipe: which tasks and rows make a step, when it stops, which parameters count.

use pliant_compiler::policy::{Activation, MultiTask, TargetLoss};

use super::mixup::mix;
use super::sampling::{chances, draw, open};
use super::{Lookahead, MultiTaskLearner, MultiTaskSettings, predict};
use crate::algorithms::{Algorithm, Iteration, Learned, NamedTensor, TaskBatch, TrainingState};
use crate::engine::Engine;
use crate::error::TrainError;
use crate::random::{fill_standard_normal, stream};
use crate::recipe;
use crate::tasks::{Split, TaskRows, TaskTable};

/// Names of the tensors that hold the best parameters so far.
const BEST: &str = "best/";

/// The network of these tasks.
pub(crate) fn network(settings: &recipe::MultiTask, policy: &recipe::Policy, tables: &[TaskTable]) -> MultiTask {
    MultiTask {
        encoder: (settings.encoder > 0).then_some(settings.encoder),
        hidden: policy.hidden.clone(),
        activation: match policy.activation {
            recipe::Activation::Relu => Activation::Relu,
            recipe::Activation::Tanh => Activation::Tanh,
        },
        conditioning: settings.told(),
        shared_head: settings.shared_head,
        tasks: tables.iter().map(TaskTable::head).collect(),
    }
}

/// What the learner of these tasks is made from.
pub(super) fn learner_settings(
    recipe: &recipe::MultiTask,
    policy: &recipe::Policy,
    seed: u64,
    tables: &[TaskTable],
) -> MultiTaskSettings {
    let all = tables.iter().map(|table| table.count(Split::Train));
    let most = if recipe.batch_rows == 0 {
        usize::MAX
    } else {
        recipe.batch_rows
    };
    MultiTaskSettings {
        network: network(recipe, policy, tables),
        rows: all.map(|rows| rows.min(most)).collect(),
        initialiser: policy.initialiser,
        head_start: recipe.head_start,
        optimizer: recipe.optimizer.clone(),
        iterations: recipe.iterations,
        balance: recipe.balance.clone(),
        weight_decay: recipe.weight_decay,
        dropout: recipe.dropout,
        class_weights: match recipe.balanced_classes {
            true => tables.iter().map(class_weights).collect(),
            false => Vec::new(),
        },
        conflict_every: recipe.conflict_every,
        seed,
    }
}

/// Trains the tasks of a recipe together.
pub struct MultiTaskTraining {
    recipe: recipe::MultiTask,
    tables: Vec<TaskTable>,
    learner: MultiTaskLearner,
    seed: u64,
    engine: String,
    /// Losses at each task's first step and at its last, 0 before.
    first: Vec<f32>,
    last: Vec<f32>,
    /// The best score on the validation rows, how many validations ago, and whether training has stopped.
    best: Option<(f32, Vec<NamedTensor>)>,
    since: u64,
    stopped: bool,
}

impl MultiTaskTraining {
    /// Training at its start.
    ///
    /// # Errors
    /// What the graphs or the engine refuse; tasks with unlike inputs where there are no encoders.
    pub fn new(
        recipe: &recipe::MultiTask,
        policy: &recipe::Policy,
        seed: u64,
        tables: Vec<TaskTable>,
        engine: &dyn Engine,
    ) -> Result<Self, TrainError> {
        let settings = learner_settings(recipe, policy, seed, &tables);
        Ok(Self {
            recipe: recipe.clone(),
            learner: MultiTaskLearner::new(&settings, engine)?,
            seed,
            engine: engine.name().to_owned(),
            first: vec![0.0; tables.len()],
            last: vec![0.0; tables.len()],
            tables,
            best: None,
            since: 0,
            stopped: false,
        })
    }

    /// The learner at work.
    pub fn learner(&mut self) -> &mut MultiTaskLearner {
        &mut self.learner
    }

    /// The tasks, with their rows.
    pub fn tables(&self) -> &[TaskTable] {
        &self.tables
    }

    /// The parameters that count: the best on the validation rows where these choose, otherwise the last.
    ///
    /// # Errors
    /// The engine's.
    pub fn parameters(&mut self) -> Result<Vec<NamedTensor>, TrainError> {
        match &self.best {
            Some((_, parameters)) => Ok(parameters.clone()),
            None => self.learner.parameters(),
        }
    }

    /// The rows of a task in a step; `None` where all are taken as they are.
    fn rows(&self, task: usize, iteration: u64) -> Option<TaskRows> {
        let table = &self.tables[task];
        let (count, most) = (table.count(Split::Train), self.learner.settings().rows[task]);
        if most >= count && self.recipe.input_noise == 0.0 && self.recipe.mixup == 0.0 {
            return None;
        }
        let (inputs, outputs) = (table.inputs(), table.outputs);
        let mut random = stream(self.seed, "rows of a step", &[iteration, task as u64]);
        let chosen = draw_rows(count, most, &mut random);
        let mut rows = TaskRows::default();
        for row in chosen {
            rows.inputs.extend(&table.train.inputs[row * inputs..][..inputs]);
            rows.targets.extend(&table.train.targets[row * outputs..][..outputs]);
        }
        if self.recipe.mixup > 0.0 {
            let mut random = stream(self.seed, "mixup", &[iteration, task as u64]);
            mix(&mut rows, (inputs, outputs), self.recipe.mixup, &mut random);
        }
        if self.recipe.input_noise > 0.0 {
            let mut noise = vec![0.0; rows.inputs.len()];
            fill_standard_normal(
                &mut stream(self.seed, "input noise", &[iteration, task as u64]),
                &mut noise,
            );
            for (input, noise) in rows.inputs.iter_mut().zip(noise) {
                *input += self.recipe.input_noise * noise;
            }
        }
        Some(rows)
    }

    /// The affinities of the tasks as they stand, on rows of all of them as the next step would draw.
    ///
    /// # Errors
    /// As [`Lookahead::affinities`].
    pub fn affinities(&mut self, lookahead: &mut Lookahead, reach: f32) -> Result<Vec<f64>, TrainError> {
        let iteration = self.learner.completed();
        let rows: Vec<Option<TaskRows>> = (0..self.tables.len()).map(|task| self.rows(task, iteration)).collect();
        lookahead.affinities(&self.learner.parameters()?, &batches(&rows, &self.tables), reach)
    }

    /// The mean over tasks of the loss on the validation rows; of numbers relative to their variance.
    fn validate(&mut self) -> Result<f32, TrainError> {
        let losses = self.validation_losses()?;
        Ok((losses.iter().sum::<f64>() / self.tables.len() as f64) as f32)
    }

    /// Each task's loss on its validation rows; of numbers relative to their variance.
    fn validation_losses(&mut self) -> Result<Vec<f64>, TrainError> {
        let parameters = self.learner.parameters()?;
        let tables = self.tables.iter().enumerate();
        tables
            .map(|(task, table)| {
                let (_, outputs) = predict(self.learner.settings(), &parameters, task, &table.validation.inputs)?;
                Ok(validation_loss(table, &outputs))
            })
            .collect()
    }

    /// What has been learned of each task: its loss relative to that at the start, 1 where it is not known.
    fn difficulty(&self) -> Vec<f32> {
        let relative = |(last, first): (&f32, &f32)| if *first > 0.0 { last / first } else { 1.0 };
        self.last.iter().zip(&self.first).map(relative).collect()
    }

    /// The tasks that a curriculum has open, of which it measures now and then how difficult they are.
    fn open_tasks(&mut self, iteration: u64) -> Result<Vec<usize>, TrainError> {
        let schedule = self.recipe.curriculum;
        if iteration.is_multiple_of(schedule.every) {
            self.last = self.validation_losses()?.into_iter().map(|loss| loss as f32).collect();
            if iteration == 0 {
                self.first.clone_from(&self.last);
            }
        }
        Ok(open(
            &self.difficulty(),
            schedule.open(iteration, self.recipe.iterations),
        ))
    }
}

/// These rows of each task; its training rows where there are none.
fn batches<'a>(rows: &'a [Option<TaskRows>], tables: &'a [TaskTable]) -> Vec<TaskBatch<'a>> {
    let batch = |(rows, table): (&'a Option<TaskRows>, &'a TaskTable)| {
        let rows = rows.as_ref().unwrap_or(table.rows(Split::Train));
        TaskBatch {
            inputs: &rows.inputs,
            targets: &rows.targets,
        }
    };
    rows.iter().zip(tables).map(batch).collect()
}

/// The mean loss of outputs on a task's validation rows, computed in double precision: squared errors relative to the
/// variance of the targets, cross-entropies in nats.
fn validation_loss(table: &TaskTable, outputs: &[f32]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    let targets = &table.validation.targets;
    let width = table.outputs.max(1);
    for (targets, outputs) in targets.chunks_exact(width).zip(outputs.chunks_exact(width)) {
        let greatest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let normaliser = f64::from(greatest)
            + outputs
                .iter()
                .map(|output| f64::from(output - greatest).exp())
                .sum::<f64>()
                .ln();
        for (&target, &output) in targets.iter().zip(outputs).filter(|(target, _)| !target.is_nan()) {
            let (target, output) = (f64::from(target), f64::from(output));
            match table.loss {
                TargetLoss::SquaredError => sum += (target - output).powi(2),
                TargetLoss::BinaryCrossEntropy => {
                    sum += output.max(0.0) + (-output.abs()).exp().ln_1p() - target * output
                }
                TargetLoss::CrossEntropy => sum -= target * (output - normaliser),
            }
            count += if table.loss == TargetLoss::CrossEntropy {
                target
            } else {
                1.0
            };
        }
    }
    let mean = sum / f64::max(count, 1.0);
    if table.loss == TargetLoss::SquaredError {
        mean / variance(targets)
    } else {
        mean
    }
}

/// The variance of numbers, missing ones left out.
fn variance(values: &[f32]) -> f64 {
    let known = || {
        values
            .iter()
            .filter(|value| !value.is_nan())
            .map(|value| f64::from(*value))
    };
    let count = known().count().max(1) as f64;
    let mean = known().sum::<f64>() / count;
    known().map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

/// Inverse shares of the labels or classes of a task, so that each counts alike; none for numbers.
fn class_weights(table: &TaskTable) -> Vec<[f32; 2]> {
    if table.loss == TargetLoss::SquaredError {
        return Vec::new();
    }
    let total = table.count(Split::Train) as f32;
    (0..table.outputs)
        .map(|output| {
            let labels = table.train.targets.iter().skip(output).step_by(table.outputs);
            let with = labels.filter(|label| **label > 0.5).count() as f32;
            [total / (total - with).max(1.0), total / with.max(1.0)]
        })
        .collect()
}

/// Draws `most` of `count` rows without repetition (all, in order, where there are no more), by a partial shuffle.
fn draw_rows(count: usize, most: usize, random: &mut impl rand_core::Rng) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..count).collect();
    if most >= count {
        return rows;
    }
    for index in 0..most {
        let other = index + ((u128::from(random.next_u64()) * (count - index) as u128) >> 64) as usize;
        rows.swap(index, other);
    }
    rows.truncate(most);
    rows
}

impl Algorithm for MultiTaskTraining {
    fn iterations(&self) -> u64 {
        self.recipe.iterations
    }

    fn completed(&self) -> u64 {
        // Stopped early, there is nothing left to do.
        if self.stopped {
            self.recipe.iterations
        } else {
            self.learner.completed()
        }
    }

    fn engine(&self) -> String {
        self.engine.clone()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let iteration = self.learner.completed();
        let tasks = self.tables.len();
        let curriculum = self.recipe.sampling == recipe::Sampling::Curriculum;
        let there: Vec<usize> = match curriculum {
            true => self.open_tasks(iteration)?,
            false => (0..tasks).collect(),
        };
        let drawn: Vec<usize> = match self.recipe.tasks {
            0 => there,
            count => {
                let rows: Vec<usize> = there
                    .iter()
                    .map(|&task| self.tables[task].count(Split::Train))
                    .collect();
                let all = self.difficulty();
                let difficulty: Vec<f32> = there.iter().map(|&task| all[task]).collect();
                let chances = chances(
                    self.recipe.sampling,
                    self.recipe.sampling_temperature,
                    &rows,
                    &difficulty,
                );
                let drawn = draw(&chances, count, &mut stream(self.seed, "tasks of a step", &[iteration]));
                drawn.into_iter().map(|place| there[place]).collect()
            }
        };
        let rows: Vec<Option<TaskRows>> = (0..tasks)
            .map(|task| {
                if drawn.contains(&task) {
                    self.rows(task, iteration)
                } else {
                    Some(TaskRows::default())
                }
            })
            .collect();
        let losses = self.learner.train_on_batch(&batches(&rows, &self.tables))?;
        // A curriculum goes by the validation rows.
        let seen = losses
            .iter()
            .enumerate()
            .filter(|(_, loss)| !loss.is_nan() && !curriculum);
        for (task, loss) in seen {
            self.last[task] = *loss;
            if self.first[task] == 0.0 {
                self.first[task] = *loss;
            }
        }
        let every = self.recipe.validate_every;
        if every > 0 && (iteration + 1).is_multiple_of(every) {
            let score = self.validate()?;
            if self.best.as_ref().is_none_or(|(best, _)| score < *best) {
                self.best = Some((score, self.learner.parameters()?));
                self.since = 0;
            } else {
                self.since += 1;
                self.stopped = self.recipe.patience > 0 && self.since >= self.recipe.patience;
            }
        }
        let there = losses.iter().filter(|loss| !loss.is_nan());
        let mean = there.clone().sum::<f32>() / there.count().max(1) as f32;
        Ok(Iteration {
            metrics: vec![
                ("loss", mean),
                ("conflict rate", self.learner.conflict_rate() as f32),
                ("tasks in a step", drawn.len() as f32),
                ("time in balancing", self.learner.balancing_share() as f32),
                (
                    "best validation loss",
                    self.best.as_ref().map_or(f32::NAN, |(best, _)| *best),
                ),
            ],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut state = self.learner.state()?;
        let named = |name: &str, values: Vec<f32>| NamedTensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values,
        };
        state.tensors.push(named("first losses", self.first.clone()));
        state.tensors.push(named("last losses", self.last.clone()));
        let score = self.best.as_ref().map_or(f32::NAN, |(score, _)| *score);
        let stopping = vec![score, self.since as f32, f32::from(u8::from(self.stopped))];
        state.tensors.push(named("early stopping", stopping));
        // Always there, so that the list of tensors does not depend on what has happened.
        for tensor in self.parameters()? {
            let name = format!("{BEST}{}", tensor.name);
            state.tensors.push(NamedTensor { name, ..tensor });
        }
        Ok(state)
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let own = self.state()?;
        let wanted = own
            .tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        state.check(wanted)?;
        let parameters = self.learner.parameters()?.len();
        let learner = state.tensors.len() - parameters - 3;
        let (learned, rest) = state.tensors.split_at(learner);
        self.learner
            .restore(&TrainingState::new(state.completed, learned.to_vec()))?;
        let [first, last, stopping, best @ ..] = rest else {
            return Ok(());
        };
        self.first.clone_from(&first.values);
        self.last.clone_from(&last.values);
        if let [score, since, stopped] = stopping.values[..] {
            let own_name = |tensor: &NamedTensor| NamedTensor {
                name: tensor.name.trim_start_matches(BEST).to_owned(),
                ..tensor.clone()
            };
            self.best = (!score.is_nan()).then(|| (score, best.iter().map(own_name).collect()));
            (self.since, self.stopped) = (since as u64, stopped > 0.5);
        }
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        let adaptation = &self.recipe.adaptation;
        let rate = |name: &str, value: f32| NamedTensor {
            name: format!("rate/{name}"),
            shape: vec![],
            values: vec![value],
        };
        let mut step_sizes = Vec::new();
        if adaptation.adapts_input() {
            step_sizes.push(rate("input.scale", adaptation.input_rate));
            step_sizes.push(rate("input.offset", adaptation.input_rate));
        }
        step_sizes.push(rate("change.weight", adaptation.rate));
        step_sizes.push(rate("change.bias", adaptation.rate));
        Ok(Learned {
            step_scales: vec![1.0; adaptation.steps],
            step_sizes,
            parameters: self.parameters()?,
            observations: None,
        })
    }
}
