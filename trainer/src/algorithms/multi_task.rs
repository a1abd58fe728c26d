//! Multi-task learning of supervised losses (Caruana 1997, "Multitask Learning"): a trunk that all tasks share and a head
//! for each, trained together by Adam; how the tasks' gradients become one step is a [balancing](crate::balancing) method.
//!
//! [`MultiTaskLearner`] learns from batches that the caller brings, [`MultiTaskTraining`] trains a recipe's tasks.

mod affinity;
mod batch;
mod graph;
mod mixup;
mod sampling;
mod training;

use std::time::{Duration, Instant};

use pliant_compiler::graph::Graph;
use pliant_compiler::policy::{MultiTask, Parameter};

pub use affinity::{Lookahead, group_tasks, grouping_score};
pub use training::MultiTaskTraining;
pub(crate) use training::network;

use super::maml::check_length;
use super::{NamedTensor, TaskBatch, TrainingState};
use crate::balancing::{Balancer, Gram, Needs, Step, Weights, balancer};
use crate::engine::{CompileOptions, Engine, PlanEngine, Program};
use crate::error::TrainError;
use crate::nn;
use crate::optim::{adam_step_size, rate};
use crate::recipe::{self, Adam, Balance, Initialiser};
use crate::tasks::TaskTable;
use batch::Batch;

/// What a [`MultiTaskLearner`] learns, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiTaskSettings {
    /// Trunk and heads.
    pub network: MultiTask,
    /// Rows of each task in a batch at most.
    pub rows: Vec<usize>,
    /// How weights and biases start.
    pub initialiser: Initialiser,
    /// What the initial weights of the heads are multiplied by.
    pub head_start: f32,
    /// The optimiser. A cosine schedule ends after `iterations` batches.
    pub optimizer: Adam,
    /// Batches that the schedule is over.
    pub iterations: u64,
    /// How the tasks' gradients become one step.
    pub balance: Balance,
    /// Matrices shrink by this times the learning rate in each step. 0: not.
    pub weight_decay: f32,
    /// Share of the hidden units that a row leaves out in training.
    pub dropout: f32,
    /// For each task and each of its labels or classes, how much a row without and with it counts; empty: all alike.
    pub class_weights: Vec<Vec<[f32; 2]>>,
    /// Batches between measurements of the conflict rate by a method that does without gradients; 0: never.
    pub conflict_every: u64,
    /// Governs the initial parameters, dropout, and what else is random.
    pub seed: u64,
}

impl MultiTaskSettings {
    /// Plain averaging without decay or dropout; `rows` is for all tasks alike.
    pub fn new(network: MultiTask, rows: usize, optimizer: Adam, iterations: u64) -> Self {
        Self {
            rows: vec![rows; network.tasks.len()],
            network,
            initialiser: Initialiser::Glorot,
            head_start: 1.0,
            optimizer,
            iterations,
            balance: Balance::default(),
            weight_decay: 0.0,
            dropout: 0.0,
            class_weights: Vec::new(),
            conflict_every: 0,
            seed: 0,
        }
    }
}

/// The programs that make a step.
enum Steps {
    /// A weighted sum of losses: all in one.
    Weighted(Box<dyn Program>),
    /// Gradients kept apart, and the update by what the method made of them.
    Combined {
        gradients: Box<dyn Program>,
        update: Box<dyn Program>,
    },
}

/// Learns several tasks at once from batches that the caller brings.
///
/// ```
/// use pliant_compiler::policy::{Activation, Conditioning, MultiTask, TargetLoss, TaskHead};
/// use pliant_trainer::algorithms::{MultiTaskLearner, MultiTaskSettings, TaskBatch};
/// use pliant_trainer::engine::PlanEngine;
/// use pliant_trainer::recipe::Adam;
///
/// // Two tasks over one input: x squared, and from fewer rows whether it is below a quarter.
/// let head = |loss| TaskHead { inputs: 1, outputs: 1, loss };
/// let network = MultiTask {
///     encoder: None, hidden: vec![16], activation: Activation::Tanh,
///     conditioning: Conditioning::None, shared_head: false,
///     tasks: vec![head(TargetLoss::SquaredError), head(TargetLoss::BinaryCrossEntropy)],
/// };
/// let settings = MultiTaskSettings::new(network, 5, Adam::new(0.02), 500);
/// let mut learner = MultiTaskLearner::new(&settings, &PlanEngine::fast())?;
/// let squares = TaskBatch { inputs: &[-1.0, -0.5, 0.0, 0.5, 1.0], targets: &[1.0, 0.25, 0.0, 0.25, 1.0] };
/// let below = TaskBatch { inputs: &[-1.0, 0.1, 1.0], targets: &[0.0, 1.0, 0.0] };
/// let mut losses = vec![];
/// for _ in 0..500 {
///     losses = learner.train_on_batch(&[squares, below])?;
/// }
/// assert!(losses.iter().all(|loss| *loss < 0.05), "{losses:?}");
/// // A logit above zero: likely below a quarter.
/// assert!(learner.predict(1, &[0.0])?[0] > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MultiTaskLearner {
    settings: MultiTaskSettings,
    shapes: Vec<Parameter>,
    balancer: Box<dyn Balancer>,
    steps: Steps,
    /// The losses after a step, for a method that asks.
    change: Option<Box<dyn Program>>,
    /// The gradients, for the conflict rate of a method that does without.
    conflict: Option<Box<dyn Program>>,
    completed: u64,
    batch: Batch,
    conflict_rate: f64,
    balancing: Duration,
    total: Duration,
}

impl MultiTaskLearner {
    /// A learner at its start.
    ///
    /// # Errors
    /// Tasks with unlike outputs that share a head; what the graphs or the engine refuse.
    pub fn new(settings: &MultiTaskSettings, engine: &dyn Engine) -> Result<Self, TrainError> {
        let network = &settings.network;
        check_length("rows", network.tasks.len(), settings.rows.len())?;
        if let (true, [first, others @ ..]) = (network.shared_head, &network.tasks[..]) {
            for task in others {
                check_length("outputs of tasks that share a head", first.outputs, task.outputs)?;
            }
        }
        let losses: Vec<_> = network.tasks.iter().map(|task| task.loss).collect();
        let balancer = balancer(&settings.balance, &losses, settings.optimizer.rate, settings.seed);
        let resident = CompileOptions::resident(graph::resident(settings));
        let steps = match balancer.needs() {
            Needs::Losses => {
                let relative = matches!(balancer.weights(), Weights::Relative(_));
                Steps::Weighted(engine.compile(&graph::weighted_graph(settings, relative)?, &resident)?)
            }
            Needs::Gradients => Steps::Combined {
                gradients: engine.compile(&graph::gradient_graph(settings)?, &CompileOptions::default())?,
                update: engine.compile(&graph::update_graph(settings)?, &resident)?,
            },
        };
        let compile = |graph| engine.compile(&graph, &CompileOptions::default());
        let change = balancer
            .needs_change()
            .then(|| graph::loss_graph(settings))
            .transpose()?;
        let measures = settings.conflict_every > 0 && balancer.needs() == Needs::Losses && network.tasks.len() > 1;
        let conflict = measures.then(|| graph::gradient_graph(settings)).transpose()?;
        let mut learner = Self {
            settings: settings.clone(),
            shapes: network.parameters(),
            balancer,
            steps,
            change: change.map(compile).transpose()?,
            conflict: conflict.map(compile).transpose()?,
            completed: 0,
            batch: Batch::new(settings),
            conflict_rate: f64::NAN,
            balancing: Duration::ZERO,
            total: Duration::ZERO,
        };
        let mut initial = nn::initialise(&learner.shapes, settings.initialiser, settings.seed);
        let heads = initial.iter_mut().filter(|tensor| tensor.name.contains("head."));
        heads
            .flat_map(|tensor| &mut tensor.values)
            .for_each(|value| *value *= settings.head_start);
        for (input, tensor) in initial.iter().enumerate() {
            learner.updating().set(input, &tensor.values)?;
        }
        Ok(learner)
    }

    /// What it learns, and how.
    pub fn settings(&self) -> &MultiTaskSettings {
        &self.settings
    }

    /// Batches learned from.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Share of the pairs of tasks whose gradients of the shared parameters had a negative cosine when it was measured
    /// last; NaN before.
    pub fn conflict_rate(&self) -> f64 {
        self.conflict_rate
    }

    /// Share of the time in [`train_on_batch`](Self::train_on_batch) that the balancing method took beyond gradients and
    /// update; 0 before the first batch.
    pub fn balancing_share(&self) -> f64 {
        self.balancing.as_secs_f64() / self.total.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Where parameters and moments live, and their first input, one kind after the other.
    fn updating(&mut self) -> &mut Box<dyn Program> {
        match &mut self.steps {
            Steps::Weighted(program) => program,
            Steps::Combined { update, .. } => update,
        }
    }

    /// Moves trunk and heads by one step. `batches` are one a task, in order, each with up to as many rows as the settings
    /// say; a task without rows takes no part, and neither does a target that is NaN. Gives each task's mean loss before
    /// the step, NaN for one without rows.
    ///
    /// # Errors
    /// [`TrainError::BatchShape`], [`TrainError::Diverged`], or the engine's own failure.
    pub fn train_on_batch(&mut self, batches: &[TaskBatch<'_>]) -> Result<Vec<f32>, TrainError> {
        let start = Instant::now();
        let tasks = self.settings.network.tasks.len();
        check_length("batches", tasks, batches.len())?;
        self.batch.fill(&self.settings, batches, self.completed)?;
        let present: Vec<bool> = batches.iter().map(|batch| !batch.inputs.is_empty()).collect();
        let (schedule, total) = (&self.settings.optimizer, self.settings.iterations);
        let step_size = adam_step_size(schedule, self.completed, total);
        let decay = self.settings.weight_decay * rate(schedule.schedule, schedule.rate, self.completed, total);
        let sizes: &[f32] = if self.settings.weight_decay > 0.0 {
            &[step_size, decay]
        } else {
            &[step_size]
        };
        let losses = match &self.steps {
            Steps::Weighted(_) => self.weighted_step(&present, sizes)?,
            Steps::Combined { .. } => self.combined_step(&present, sizes)?,
        };
        let wrong = |(loss, present): (&f64, &bool)| *present && !loss.is_finite();
        if losses.iter().zip(&present).any(wrong) {
            return Err(TrainError::Diverged {
                iteration: self.completed + 1,
                what: "a task's loss".to_owned(),
            });
        }
        self.completed += 1;
        self.total += start.elapsed();
        Ok(losses.iter().map(|&loss| loss as f32).collect())
    }

    /// A step whose weights stand before it.
    fn weighted_step(&mut self, present: &[bool], sizes: &[f32]) -> Result<Vec<f64>, TrainError> {
        let (count, inputs) = (self.shapes.len(), self.batch.inputs());
        let every = self.settings.conflict_every;
        if self.conflict.is_some() && self.completed.is_multiple_of(every.max(1)) {
            let parameters = self.parameters()?;
            if let Some(conflict) = &mut self.conflict {
                set_parameters(conflict, &parameters)?;
                self.batch.set(conflict, count)?;
                conflict.run()?;
                self.conflict_rate = products(conflict, present.len())?.conflict_rate();
            }
        }
        let watch = Instant::now();
        let (Weights::Absolute(mut weights) | Weights::Relative(mut weights)) = self.balancer.weights();
        // A mean over the tasks that are there.
        let there = present.iter().filter(|present| **present).count().max(1);
        weights
            .iter_mut()
            .zip(present)
            .filter(|(_, present)| !**present)
            .for_each(|(weight, _)| *weight = 0.0);
        let scale = present.len() as f64 / there as f64;
        let weights: Vec<f32> = weights.iter().map(|weight| (weight * scale) as f32).collect();
        self.balancing += watch.elapsed();
        let Steps::Weighted(program) = &mut self.steps else {
            return Ok(Vec::new());
        };
        self.batch.set(program, count)?;
        program.set(count + inputs, &weights)?;
        for (offset, &size) in sizes.iter().enumerate() {
            program.set(3 * count + inputs + 1 + offset, &[size])?;
        }
        program.run()?;
        let mut losses = vec![0.0; present.len()];
        program.get(3 * count, &mut losses)?;
        let losses = seen(&losses, present);
        let watch = Instant::now();
        self.balancer.observe(&losses);
        if self.change.is_some() {
            let parameters = self.parameters()?;
            if let Some(change) = &mut self.change {
                set_parameters(change, &parameters)?;
                self.batch.set(change, count)?;
                change.run()?;
                let mut after = vec![0.0; present.len()];
                change.get(0, &mut after)?;
                self.balancer.observe_change(&losses, &seen(&after, present));
            }
        }
        self.balancing += watch.elapsed();
        Ok(losses)
    }

    /// A step whose coefficients come between the gradients and the update.
    fn combined_step(&mut self, present: &[bool], sizes: &[f32]) -> Result<Vec<f64>, TrainError> {
        let count = self.shapes.len();
        let shared_count = self.settings.network.shared().len();
        let Steps::Combined { gradients, update } = &mut self.steps else {
            return Ok(Vec::new());
        };
        let mut values: Vec<Vec<f32>> = self.shapes.iter().map(|shape| vec![0.0; shape.elements()]).collect();
        for (index, values) in values.iter_mut().enumerate() {
            update.get(index, values)?;
            gradients.set(index, values)?;
        }
        self.batch.set(gradients, count)?;
        gradients.run()?;
        let mut losses = vec![0.0; present.len()];
        gradients.get(0, &mut losses)?;
        let losses = seen(&losses, present);

        let watch = Instant::now();
        let gram = products(gradients, present.len())?;
        self.conflict_rate = gram.conflict_rate();
        let coefficients = self.balancer.combine(&Step {
            iteration: self.completed,
            losses: &losses,
            gram: &gram,
        });
        let elements: usize = self.shapes[..shared_count].iter().map(Parameter::elements).sum();
        let mut rows = vec![0.0; present.len() * elements];
        gradients.get(2, &mut rows)?;
        let mut direction = vec![0.0f32; elements];
        for (row, &coefficient) in rows.chunks_exact(elements.max(1)).zip(&coefficients.shared) {
            let coefficient = coefficient as f32;
            for (sum, value) in direction.iter_mut().zip(row) {
                *sum += coefficient * value;
            }
        }
        self.balancing += watch.elapsed();

        let mut direction = direction.as_slice();
        for (index, values) in values.iter().enumerate().take(shared_count) {
            let (own, rest) = direction.split_at(values.len());
            direction = rest;
            update.set(count + index, own)?;
        }
        let mut index = shared_count;
        for (task, &weight) in coefficients.private.iter().enumerate() {
            for _ in self.settings.network.private(task) {
                gradients.get(3 + index - shared_count, &mut values[index])?;
                values[index].iter_mut().for_each(|value| *value *= weight as f32);
                update.set(count + index, &values[index])?;
                index += 1;
            }
        }
        for (offset, &size) in sizes.iter().enumerate() {
            update.set(4 * count + offset, &[size])?;
        }
        update.run()?;
        Ok(losses)
    }

    /// What the head of `task` says of `inputs` (`[rows, input width]`): `[rows, outputs]`, logits where targets are labels
    /// or classes.
    ///
    /// # Errors
    /// [`TrainError::NoSuchTask`], [`TrainError::BatchShape`], or the engine's own failure.
    pub fn predict(&mut self, task: usize, inputs: &[f32]) -> Result<Vec<f32>, TrainError> {
        let parameters = self.parameters()?;
        Ok(predict(&self.settings, &parameters, task, inputs)?.1)
    }

    /// Trunk and heads, in the order of [`MultiTask::parameters`].
    ///
    /// # Errors
    /// The engine's.
    pub fn parameters(&mut self) -> Result<Vec<NamedTensor>, TrainError> {
        self.tensors(0)
    }

    /// Parameters, or one of their moments.
    fn tensors(&mut self, kind: usize) -> Result<Vec<NamedTensor>, TrainError> {
        let shapes = self.shapes.clone();
        let count = shapes.len();
        let program = self.updating();
        let tensor = |(index, shape): (usize, Parameter)| {
            let mut values = vec![0.0; shape.elements()];
            program.get(kind * count + index, &mut values)?;
            Ok(NamedTensor {
                name: format!("{}{}", graph::KINDS[kind], shape.name),
                shape: shape.shape,
                values,
            })
        };
        shapes.into_iter().enumerate().map(tensor).collect()
    }

    /// The state as it stands between two batches.
    ///
    /// # Errors
    /// The engine's.
    pub fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = Vec::new();
        for kind in 0..graph::KINDS.len() {
            tensors.extend(self.tensors(kind)?);
        }
        let values = self.balancer.state();
        if !values.is_empty() {
            tensors.push(NamedTensor {
                name: "balancing".to_owned(),
                shape: vec![values.len()],
                values,
            });
        }
        Ok(TrainingState::new(self.completed, tensors))
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// [`TrainError::StateMismatch`] for the state of another learner, or the engine's own failure.
    pub fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let own = self.state()?;
        let shape = |tensor: &'_ NamedTensor| (tensor.name.clone(), tensor.shape.clone());
        let wanted: Vec<(String, Vec<usize>)> = own.tensors.iter().map(shape).collect();
        state.check(wanted.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())))?;
        let count = self.shapes.len();
        let between = match &self.steps {
            // Between the parameters and their moments stand the data and the weights of the tasks, or the gradients.
            Steps::Weighted(_) => self.batch.inputs() + 1,
            Steps::Combined { .. } => count,
        };
        for (index, tensor) in state.tensors.iter().enumerate().take(3 * count) {
            let input = if index < count { index } else { index + between };
            self.updating().set(input, &tensor.values)?;
        }
        if let Some(balancing) = state.tensors.get(3 * count) {
            self.balancer.restore(&balancing.values);
        }
        self.completed = state.completed;
        Ok(())
    }
}

/// The graph that training spends its time in, with its options: for choosing an engine by measuring.
pub(super) fn probe(
    recipe: &recipe::MultiTask,
    policy: &recipe::Policy,
    seed: u64,
    tables: &[TaskTable],
) -> Result<(Graph, CompileOptions), TrainError> {
    let settings = training::learner_settings(recipe, policy, seed, tables);
    let options = CompileOptions::resident(graph::resident(&settings));
    Ok((graph::weighted_graph(&settings, false)?, options))
}

/// Losses, NaN for tasks without rows.
fn seen(losses: &[f32], present: &[bool]) -> Vec<f64> {
    let loss = |(&loss, &present): (&f32, &bool)| if present { f64::from(loss) } else { f64::NAN };
    losses.iter().zip(present).map(loss).collect()
}

/// The products of the gradients that a program of [`graph::gradient_graph`] found.
fn products(program: &mut Box<dyn Program>, tasks: usize) -> Result<Gram, TrainError> {
    let mut products = vec![0.0; tasks * tasks];
    program.get(1, &mut products)?;
    Ok(Gram::new(tasks, products.into_iter().map(f64::from)))
}

fn set_parameters(program: &mut Box<dyn Program>, parameters: &[NamedTensor]) -> Result<(), TrainError> {
    for (index, tensor) in parameters.iter().enumerate() {
        program.set(index, &tensor.values)?;
    }
    Ok(())
}

/// Features and outputs of a task's rows under these parameters.
pub(crate) fn predict(
    settings: &MultiTaskSettings,
    parameters: &[NamedTensor],
    task: usize,
    inputs: &[f32],
) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
    let network = &settings.network;
    let tasks = network.tasks.len();
    if task >= tasks {
        return Err(TrainError::NoSuchTask { task, tasks });
    }
    let head = &network.tasks[task];
    let rows = (inputs.len() / head.inputs.max(1)).max(1);
    check_length("inputs", rows * head.inputs, inputs.len())?;
    let graph = graph::prediction_graph(settings, task, rows)?;
    let mut program = PlanEngine::fast().compile(&graph, &CompileOptions::default())?;
    let shared = network.shared().len();
    let before: usize = (0..task).map(|task| network.private(task).len()).sum();
    let own = &parameters[shared + before..][..network.private(task).len()];
    for (input, tensor) in parameters[..shared].iter().chain(own).enumerate() {
        program.set(input, &tensor.values)?;
    }
    program.set(shared + own.len(), inputs)?;
    program.run()?;
    let mut features = vec![0.0; rows * network.features()];
    program.get(0, &mut features)?;
    let mut outputs = vec![0.0; rows * head.outputs];
    program.get(1, &mut outputs)?;
    Ok((features, outputs))
}
