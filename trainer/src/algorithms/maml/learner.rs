//! MAML on batches of labelled rows that the caller has: no task family, no recipe.

use core::ops::Range;

use pliant_compiler::adaptation::Subset;
use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::policy::PolicyDescription;
use pliant_runtime::image::Objective;
use rayon::prelude::*;

use super::graph::{self, Problem, fused_graph, gradient_graph, optimiser_graph};
use super::settings::{Inner, MetaSettings};
use crate::algorithms::{Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine, PlanEngine, Program};
use crate::error::TrainError;
use crate::nn;
use crate::optim::adam_step_size;
use crate::recipe;

/// Labelled rows of a number of tasks, each with as many rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskBatch<'a> {
    /// Inputs, `[tasks, rows, input width]`, row-major.
    pub inputs: &'a [f32],
    /// Targets, `[tasks, rows, target width]`, row-major.
    pub targets: &'a [f32],
}

/// Losses of one meta-iteration, means over tasks and rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetaLosses {
    /// Of the support sets, before adapting.
    pub before: f32,
    /// Of the query sets, after adapting to the support sets.
    pub after: f32,
}

/// Sizes of what a [`MetaLearner`] learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskShape {
    /// Labelled rows to adapt to.
    pub support_rows: usize,
    /// Labelled rows that score the adapted policy in training.
    pub query_rows: usize,
}

/// Meta-learns, from batches of tasks that the caller brings, a start from which a few gradient steps on a new task's
/// support set give a good predictor: MAML of first or second order, with fixed or learned step sizes.
///
/// ```
/// use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
/// use pliant_trainer::algorithms::{MetaLearner, TaskBatch, TaskShape};
/// use pliant_trainer::engine::PlanEngine;
/// use pliant_trainer::recipe::{Adam, Adapts, Initialiser, Maml, Order};
///
/// // Lines through the origin: a task is a slope. 4 tasks, 3 rows each to adapt to, 3 to score.
/// let settings = Maml {
///     iterations: 300, tasks: 4, inner_steps: 1, inner_rate: 0.1, order: Order::Second,
///     adapts: Adapts::All, gradient_clip: None, learn_inner_rate: true, chunks: 1, optimizer: Adam::new(0.01),
/// };
/// let policy = PolicyDescription::deterministic(Mlp::new(&[1, 8, 1], Activation::Tanh));
/// let shape = TaskShape { support_rows: 3, query_rows: 3 };
/// let mut learner = MetaLearner::new(&policy, shape, &settings, Initialiser::Glorot, 0, &PlanEngine::fast(), 1)?;
///
/// let rows = |x: [f32; 3]| -> (Vec<f32>, Vec<f32>) {
///     [-1.0, -0.4, 0.5, 1.0].iter().flat_map(|slope| x.map(|x| (x, slope * x))).unzip()
/// };
/// let (support, query) = (rows([-0.9, 0.2, 0.7]), rows([-0.5, 0.4, 0.9]));
/// let support = TaskBatch { inputs: &support.0, targets: &support.1 };
/// let query = TaskBatch { inputs: &query.0, targets: &query.1 };
/// let first = learner.train_on_batch(support, query)?;
/// let mut last = first;
/// for _ in 1..300 {
///     last = learner.train_on_batch(support, query)?;
/// }
/// assert!(last.after < 0.1 * first.after, "{first:?} {last:?}");
///
/// // A slope never seen: adapt to three rows, predict at another.
/// let new_task = TaskBatch { inputs: &[-0.9, 0.2, 0.7], targets: &[-0.63, 0.14, 0.49] };
/// let prediction = learner.predict_after(new_task, &[0.5])?;
/// assert!((prediction[0] - 0.35).abs() < 0.1, "{prediction:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MetaLearner {
    pub(super) settings: MetaSettings,
    pub(super) problem: Problem,
    /// Names and shapes of what the outer loop trains.
    pub(super) meta: Vec<(String, Vec<usize>)>,
    pub(super) engine: &'static str,
    pub(super) completed: u64,
    runner: Runner,
    /// Adapts and predicts at this number of rows.
    predict: Option<(usize, Box<dyn Program>)>,
}

/// How a meta-iteration is laid out over programs.
enum Runner {
    /// One program does it all.
    Fused(Chunk),
    /// One program a chunk, and one for the optimiser.
    Parallel {
        pool: rayon::ThreadPool,
        chunks: Vec<Chunk>,
        optimiser: Box<dyn Program>,
        /// The meta-parameters, one vector each.
        parameters: Vec<Vec<f32>>,
    },
}

/// Consecutive tasks of the meta-batch, with the program that takes their gradient.
pub(super) struct Chunk {
    first_task: usize,
    tasks: usize,
    pub(super) program: Box<dyn Program>,
    /// Support inputs, support targets, query inputs, query targets, `[tasks, rows, width]`.
    pub(super) data: [Vec<f32>; 4],
    /// Gradients of the meta-parameters; empty where the program is fused.
    pub(super) gradients: Vec<Vec<f32>>,
    /// Loss before and after the inner loop.
    pub(super) losses: [f32; 2],
}

/// Fills the data of some tasks of a meta-batch: support inputs, support targets, query inputs, query targets.
pub(super) type Load<'a> = &'a (dyn Fn(Range<usize>, &mut [Vec<f32>; 4]) + Sync);

impl MetaLearner {
    /// A learner of `policy`, which predicts (its actions are the targets), at its start.
    ///
    /// `settings` say how it is trained; a cosine schedule ends after their `iterations` batches. `threads` share
    /// `settings.chunks` parts of the batch and change nothing but the time.
    ///
    /// # Errors
    /// What the policy, its derivatives or the engine refuse.
    pub fn new(
        policy: &PolicyDescription,
        shape: TaskShape,
        settings: &recipe::Maml,
        initialiser: recipe::Initialiser,
        seed: u64,
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let mut rule =
            GradientRule::for_policy(policy, Objective::Supervised).with_gradient_clip(settings.gradient_clip);
        rule.adapts = Subset::from(settings.adapts).of(policy);
        let initial = nn::initialise(&rule.parameters, initialiser, seed);
        let problem = Problem {
            rule: rule.into(),
            input_width: policy.network.observations(),
            target_width: policy.network.outputs(),
            support_rows: shape.support_rows,
            query_rows: shape.query_rows,
            policy: Some(policy.clone()),
        };
        Self::of_problem(problem, settings.into(), &initial, engine, threads)
    }

    /// A learner of any rule, with its initial parameters in the rule's order.
    pub(crate) fn of_problem(
        problem: Problem,
        settings: MetaSettings,
        initial: &[NamedTensor],
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let settings = match engine.prefers_whole_batches() {
            true => MetaSettings { chunks: 1, ..settings },
            false => settings,
        };
        let meta = graph::meta_parameters(&problem, &settings);
        let mut values: Vec<Vec<f32>> = initial.iter().map(|tensor| tensor.values.clone()).collect();
        for (_, shape) in &meta[initial.len()..] {
            values.push(vec![graph::initial_of_others(&settings); shape.iter().product()]);
        }
        let options = CompileOptions {
            resident: graph::resident(&meta),
            ..CompileOptions::default()
        };
        let runner = if settings.chunks == 1 {
            let graph = fused_graph(&problem, &settings)?;
            let program = engine.compile(&graph, &options)?;
            Runner::Fused(Chunk::new(0, settings.tasks, program, &problem, &[]))
        } else {
            let optimiser = engine.compile(&optimiser_graph(&problem, &settings)?, &options)?;
            let mut chunks = Vec::with_capacity(settings.chunks);
            let mut first_task = 0;
            for index in 0..settings.chunks {
                let larger = usize::from(index < settings.tasks % settings.chunks);
                let tasks = settings.tasks / settings.chunks + larger;
                let graph = gradient_graph(&problem, &settings, tasks, settings.tasks)?;
                let program = engine.compile(&graph, &CompileOptions::default())?;
                chunks.push(Chunk::new(first_task, tasks, program, &problem, &meta));
                first_task += tasks;
            }
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads.clamp(1, settings.chunks))
                .thread_name(|index| format!("maml-{index}"))
                .build()?;
            Runner::Parallel {
                pool,
                chunks,
                optimiser,
                parameters: values.clone(),
            }
        };
        let mut learner = Self {
            settings,
            problem,
            meta,
            engine: engine.name(),
            completed: 0,
            runner,
            predict: None,
        };
        learner.set_parameters(&values)?;
        Ok(learner)
    }

    pub(super) fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainError> {
        let program = self.runner.variables();
        for (input, values) in values.iter().enumerate() {
            program.set(input, values)?;
        }
        if let Runner::Parallel { parameters, .. } = &mut self.runner {
            parameters.clone_from_slice(values);
        }
        Ok(())
    }

    /// Inputs of the program that holds the variables: the position of variable `index` of meta-parameters, first
    /// moments, second moments. Between parameters and moments stand the data (fused) or the gradients (parallel).
    fn variable_input(&self, index: usize) -> usize {
        let count = self.meta.len();
        let between = match self.runner {
            Runner::Fused(_) => 4,
            Runner::Parallel { .. } => count,
        };
        if index < count { index } else { index + between }
    }

    /// Does one meta-iteration on these tasks, as many as the settings have: adapts to `support`, scores on `query`, and
    /// moves the start.
    ///
    /// # Errors
    /// [`TrainError::BatchShape`] for a batch of another size, [`TrainError::Diverged`], or the engine's own failure.
    pub fn train_on_batch(&mut self, support: TaskBatch<'_>, query: TaskBatch<'_>) -> Result<MetaLosses, TrainError> {
        let tasks = self.settings.tasks;
        let (inputs, targets) = (self.problem.input_width, self.problem.target_width);
        let data = [
            ("support inputs", support.inputs, self.problem.support_rows * inputs),
            ("support targets", support.targets, self.problem.support_rows * targets),
            ("query inputs", query.inputs, self.problem.query_rows * inputs),
            ("query targets", query.targets, self.problem.query_rows * targets),
        ];
        for (what, values, width) in data {
            check_length(what, tasks * width, values.len())?;
        }
        let [before, after] = self.iterate(&|range, buffers| {
            for (buffer, (_, values, width)) in buffers.iter_mut().zip(data) {
                buffer.copy_from_slice(&values[range.start * width..range.end * width]);
            }
        })?;
        Ok(MetaLosses { before, after })
    }

    /// One meta-iteration on the data that `load` fills in; losses before and after adapting.
    pub(super) fn iterate(&mut self, load: Load<'_>) -> Result<[f32; 2], TrainError> {
        let count = self.meta.len();
        let step_size = adam_step_size(&self.settings.optimizer, self.completed, self.settings.iterations);
        let [before, after] = match &mut self.runner {
            Runner::Fused(chunk) => {
                chunk.load(load, count)?;
                // Parameters, data, both moments, step size.
                chunk.program.set(count + 4 + 2 * count, &[step_size])?;
                chunk.program.run()?;
                chunk.read_losses(3 * count)?;
                chunk.losses
            }
            Runner::Parallel {
                pool,
                chunks,
                optimiser,
                parameters,
            } => {
                pool.install(|| {
                    chunks.par_iter_mut().try_for_each(|chunk| -> Result<(), TrainError> {
                        for (input, values) in parameters.iter().enumerate() {
                            chunk.program.set(input, values)?;
                        }
                        chunk.load(load, count)?;
                        chunk.program.run()?;
                        for (output, gradient) in chunk.gradients.iter_mut().enumerate() {
                            chunk.program.get(output, gradient)?;
                        }
                        chunk.read_losses(count)
                    })
                })?;
                let mut losses = [0.0; 2];
                let (first, rest) = chunks.split_first_mut().expect("a recipe has at least one chunk");
                for chunk in &*rest {
                    for (sum, gradient) in first.gradients.iter_mut().zip(&chunk.gradients) {
                        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
                    }
                }
                for chunk in core::iter::once(&*first).chain(&*rest) {
                    losses.iter_mut().zip(chunk.losses).for_each(|(sum, loss)| *sum += loss);
                }
                for (index, gradient) in first.gradients.iter().enumerate() {
                    optimiser.set(count + index, gradient)?;
                }
                // Parameters, gradients, both moments, step size.
                optimiser.set(4 * count, &[step_size])?;
                optimiser.run()?;
                for (output, values) in parameters.iter_mut().enumerate() {
                    optimiser.get(output, values)?;
                }
                losses
            }
        };
        if !after.is_finite() {
            let what = "the query loss".to_owned();
            return Err(TrainError::Diverged {
                iteration: self.completed + 1,
                what,
            });
        }
        self.completed += 1;
        Ok([before, after])
    }

    /// Adapts to one task's support set with as many steps as in training, and predicts at `inputs`
    /// (`[rows, input width]`): `[rows, target width]`. What is learned stays as it is.
    ///
    /// # Errors
    /// [`TrainError::BatchShape`] for another number of rows, or the engine's own failure.
    pub fn predict_after(&mut self, support: TaskBatch<'_>, inputs: &[f32]) -> Result<Vec<f32>, TrainError> {
        let (rows, width) = (self.problem.support_rows, self.problem.input_width);
        check_length("support inputs", rows * width, support.inputs.len())?;
        check_length(
            "support targets",
            rows * self.problem.target_width,
            support.targets.len(),
        )?;
        let rows = (inputs.len() / width.max(1)).max(1);
        check_length("inputs", rows * width, inputs.len())?;
        let state = self.state()?;
        let mut program = match self.predict.take() {
            Some((compiled, program)) if compiled == rows => program,
            _ => {
                let graph = graph::adapted_prediction(&self.problem, &self.settings, rows)?;
                PlanEngine::fast().compile(&graph, &CompileOptions::default())?
            }
        };
        let meta = state
            .tensors
            .iter()
            .take(self.meta.len())
            .map(|tensor| &tensor.values[..]);
        for (input, values) in meta.chain([support.inputs, support.targets, inputs]).enumerate() {
            program.set(input, values)?;
        }
        program.run()?;
        let mut predictions = vec![0.0; rows * self.problem.target_width];
        program.get(0, &mut predictions)?;
        self.predict = Some((rows, program));
        Ok(predictions)
    }

    /// What has been learned so far.
    ///
    /// # Errors
    /// The engine's.
    pub fn learned(&mut self) -> Result<Learned, TrainError> {
        let mut parameters = self.state()?.tensors;
        parameters.truncate(self.meta.len());
        let rows = self.problem.rule.rows();
        let others = parameters.split_off(rows.parameters.len());
        let inner = &self.settings.inner;
        if let Inner::Ridge { .. } = inner {
            let logarithm = others.first().and_then(|tensor| tensor.values.first());
            return Ok(Learned::with_ridge(
                parameters,
                logarithm.map_or(f32::NAN, |value| value.exp()),
            ));
        }
        let step_sizes = if inner.learns_rates() {
            others
        } else {
            let fixed = |name: &str| NamedTensor {
                name: format!("rate/{name}"),
                shape: vec![],
                values: vec![inner.rate()],
            };
            rows.adapted()
                .iter()
                .map(|(parameter, _)| fixed(&parameter.name))
                .collect()
        };
        Ok(Learned {
            parameters,
            step_sizes,
            step_scales: vec![1.0; inner.steps().max(1)],
            observations: None,
        })
    }

    /// The state as it stands between two batches.
    ///
    /// # Errors
    /// The engine's.
    pub fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = Vec::new();
        for (index, (name, _)) in graph::resident(&self.meta).into_iter().enumerate() {
            let shape = self.meta[index % self.meta.len()].1.clone();
            let mut values = vec![0.0; shape.iter().product()];
            self.runner.variables().get(index, &mut values)?;
            tensors.push(NamedTensor { name, shape, values });
        }
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: 0,
            tensors,
        })
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// [`TrainError::StateMismatch`] for the state of another policy, or the engine's own failure.
    pub fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let names = graph::resident(&self.meta);
        let shapes = self.meta.iter().map(|(_, shape)| shape.as_slice()).cycle();
        state.check(names.iter().map(|(name, _)| name.as_str()).zip(shapes))?;
        for (index, tensor) in state.tensors.iter().enumerate() {
            let input = self.variable_input(index);
            self.runner.variables().set(input, &tensor.values)?;
        }
        if let Runner::Parallel { parameters, .. } = &mut self.runner {
            for (values, tensor) in parameters.iter_mut().zip(&state.tensors) {
                values.clone_from(&tensor.values);
            }
        }
        self.completed = state.completed;
        Ok(())
    }
}

pub(in crate::algorithms) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), TrainError> {
    if expected == found {
        Ok(())
    } else {
        Err(TrainError::BatchShape { what, expected, found })
    }
}

impl Runner {
    /// The program in which parameters and moments live.
    fn variables(&mut self) -> &mut dyn Program {
        match self {
            Self::Fused(chunk) => chunk.program.as_mut(),
            Self::Parallel { optimiser, .. } => optimiser.as_mut(),
        }
    }
}

impl Chunk {
    pub(super) fn new(
        first_task: usize,
        tasks: usize,
        program: Box<dyn Program>,
        problem: &Problem,
        gradients: &[(String, Vec<usize>)],
    ) -> Self {
        let Problem {
            input_width,
            target_width,
            support_rows,
            query_rows,
            ..
        } = problem;
        let widths = [
            support_rows * input_width,
            support_rows * target_width,
            query_rows * input_width,
            query_rows * target_width,
        ];
        Self {
            first_task,
            tasks,
            program,
            data: widths.map(|width| vec![0.0; tasks * width]),
            gradients: gradients
                .iter()
                .map(|(_, shape)| vec![0.0; shape.iter().product()])
                .collect(),
            losses: [f32::NAN; 2],
        }
    }

    /// Fills this chunk's data in and hands it to the program, whose data inputs start at `first_input`.
    pub(super) fn load(&mut self, load: Load<'_>, first_input: usize) -> Result<(), TrainError> {
        load(self.first_task..self.first_task + self.tasks, &mut self.data);
        for (offset, data) in self.data.iter().enumerate() {
            self.program.set(first_input + offset, data)?;
        }
        Ok(())
    }

    pub(super) fn read_losses(&mut self, first_output: usize) -> Result<(), TrainError> {
        for (offset, loss) in self.losses.iter_mut().enumerate() {
            self.program.get(first_output + offset, core::slice::from_mut(loss))?;
        }
        Ok(())
    }
}
