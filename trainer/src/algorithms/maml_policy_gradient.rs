//! Policy-gradient model-agnostic meta-learning (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast
//! Adaptation of Deep Networks", algorithm 3), with learned step sizes (Meta-SGD; Li, Zhou, Chen and Li 2017).
//!
//! A meta-iteration gathers trajectories of each task before the first adaptation step and after each, by the current
//! parameters; then it takes a few steps of Adam on the clipped surrogate (Schulman et al. 2017, "Proximal Policy
//! Optimization") of the trajectories gathered after adapting, differentiating through the adaptation steps, second
//! order. The adaptation steps descend the probability-ratio form of the policy gradient, whose gradient is the policy
//! gradient where the trajectories were gathered and stays one as the outer steps move the parameters (Rothfuss et al.
//! 2018, "ProMP").
//!
//! Deviations from the paper: its outer optimiser is TRPO with one adaptation step and a fixed step size; here a clipped
//! surrogate with Adam, learned step sizes, and a curriculum of one, then two adaptation steps.
//!
//! Tasks are simulated on, and outer gradients taken by, any number of threads; shares are summed in the order of the
//! tasks, so the number of threads changes nothing.

mod graph;
mod worker;

use std::sync::Arc;

use pliant_compiler::graph::Graph;
use pliant_compiler::policy::{Parameter, PolicyDescription};
use pliant_runtime::experience::Estimator;

pub use graph::{Problem, act_graph, adapt_graph, optimiser_graph, outer_graph};
pub use worker::{Adapter, Batch, Share, outer_gradient, share_out};

use super::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine, Program};
use crate::error::TrainError;
use crate::nn::initialise;
use crate::optim::adam_step_size;
use crate::random::stream;
use crate::recipe;
use crate::tasks::{ControlFamily, Split};

/// The parameter that holds the logarithm of the standard deviation.
pub const LOG_STD: &str = "log_std";

/// Policy-gradient MAML in progress.
pub struct MamlPolicyGradient {
    settings: recipe::MamlPolicyGradient,
    seed: u64,
    family: Box<dyn ControlFamily>,
    problem: Problem,
    engine: Arc<dyn Engine>,
    /// Names and shapes of what the outer loop trains: parameters, then step sizes.
    shapes: Vec<Parameter>,
    /// Their values.
    meta: Vec<Vec<f32>>,
    optimiser: Box<dyn Program>,
    workers: Vec<Worker>,
    /// The phase whose outer programs the workers hold.
    compiled_phase: Option<usize>,
    completed: u64,
    environment_steps: u64,
}

/// What one thread works with.
struct Worker {
    adapter: Adapter,
    outer: Option<Box<dyn Program>>,
}

/// Where an iteration stands in the curriculum.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Position {
    phase: usize,
    /// Iterations of the phase done.
    iteration: u64,
    /// Training tasks drawn before this iteration.
    first_task: u64,
}

impl MamlPolicyGradient {
    /// Compiles the graphs that every phase needs and sets the initial parameters.
    ///
    /// `policy` samples its actions; its parameters start as `initialiser` says, the one called [`LOG_STD`] as the recipe
    /// says. `trajectories` are simulated for each adaptation step.
    ///
    /// # Errors
    /// What the policy, its derivatives or the engine refuse.
    pub fn new(
        settings: &recipe::MamlPolicyGradient,
        seed: u64,
        family: Box<dyn ControlFamily>,
        trajectories: usize,
        policy: &PolicyDescription,
        initialiser: recipe::Initialiser,
        engine: Arc<dyn Engine>,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let problem =
            Problem::new(policy.clone(), family.as_ref(), trajectories).with_gradient_clip(settings.gradient_clip);
        let initial = initialise(&policy.parameters(), initialiser, seed);
        let shapes = problem.meta_parameters();
        let value = |tensor: &NamedTensor| match tensor.name.as_str() {
            LOG_STD => vec![settings.log_std; tensor.values.len()],
            _ => tensor.values.clone(),
        };
        let rate = |tensor: &NamedTensor| match tensor.name.as_str() {
            LOG_STD => vec![settings.inner_rate_log_std; tensor.values.len()],
            _ => vec![settings.inner_rate; tensor.values.len()],
        };
        let meta: Vec<Vec<f32>> = initial.iter().map(value).chain(initial.iter().map(rate)).collect();
        let estimator = Estimator {
            gamma: settings.discount,
            lambda: settings.gae_lambda,
            ridge: settings.baseline_ridge,
        };
        let most_tasks = settings.phases.iter().map(|phase| phase.tasks).max().unwrap_or(1);
        let workers = (0..threads.clamp(1, most_tasks))
            .map(|_| {
                let adapter = Adapter::new(&problem, engine.as_ref(), &family.action_scale(), estimator)?;
                Ok(Worker { adapter, outer: None })
            })
            .collect::<Result<_, TrainError>>()?;
        let options = CompileOptions {
            resident: resident(&shapes),
            ..CompileOptions::default()
        };
        let optimiser = engine.compile(&optimiser_graph(&problem, &settings.optimizer)?, &options)?;
        let mut learner = Self {
            settings: settings.clone(),
            seed,
            family,
            problem,
            engine,
            shapes,
            meta,
            optimiser,
            workers,
            compiled_phase: None,
            completed: 0,
            environment_steps: 0,
        };
        learner.upload()?;
        Ok(learner)
    }

    /// Hands the meta-parameters to the optimiser, whose variables they are.
    fn upload(&mut self) -> Result<(), TrainError> {
        for (input, values) in self.meta.iter().enumerate() {
            self.optimiser.set(input, values)?;
        }
        Ok(())
    }

    fn position(&self) -> Position {
        let mut position = Position {
            phase: 0,
            iteration: self.completed,
            first_task: 0,
        };
        for phase in &self.settings.phases[..self.settings.phases.len() - 1] {
            if position.iteration < phase.iterations {
                break;
            }
            position.phase += 1;
            position.iteration -= phase.iterations;
            position.first_task += phase.iterations * phase.tasks as u64;
        }
        position.first_task += position.iteration * self.settings.phases[position.phase].tasks as u64;
        position
    }

    /// Scales the step sizes of the logarithm of the standard deviation as the phase asks.
    fn begin_phase(&mut self, phase: usize) -> Result<(), TrainError> {
        let scale = self.settings.phases[phase].scale_log_std_step;
        let rate = format!("rate/{LOG_STD}");
        for (parameter, values) in self.shapes.iter().zip(&mut self.meta) {
            if parameter.name == rate {
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        self.upload()
    }

    /// Simulates the tasks of this iteration: `[task][adaptation step]`.
    fn gather(&mut self, position: Position) -> Result<Vec<Vec<Batch>>, TrainError> {
        let phase = &self.settings.phases[position.phase];
        let (parameters, step_sizes) = self.meta.split_at(self.meta.len() / 2);
        let mut tasks = vec![vec![Batch::default(); phase.loss_weights.len() + 1]; phase.tasks];
        let (seed, iteration, family) = (self.seed, self.completed, self.family.as_ref());
        let (trajectories, scales) = (self.problem.trajectories, &self.settings.step_scales);
        share_out(&mut self.workers, &mut tasks, |worker, task, batches| {
            let index = position.first_task + task as u64;
            let mut environment = family.environment(seed, Split::Train, index, trajectories);
            let mut adapted = parameters.to_vec();
            let last = batches.len() - 1;
            for (step, batch) in batches.iter_mut().enumerate() {
                let mut random = stream(seed, "exploration, train", &[iteration, task as u64, step as u64]);
                worker
                    .adapter
                    .gather(&adapted, environment.as_mut(), &mut random, batch)?;
                if step < last {
                    worker.adapter.adapt(&mut adapted, step_sizes, scales[step], batch)?;
                }
            }
            Ok(())
        })?;
        Ok(tasks)
    }

    /// Compiles the outer program of a phase, one a thread.
    fn compile_phase(&mut self, phase: usize) -> Result<(), TrainError> {
        if self.compiled_phase == Some(phase) {
            return Ok(());
        }
        let weights = &self.settings.phases[phase].loss_weights;
        let (scales, clip) = (&self.settings.step_scales, self.settings.clip);
        let graph = outer_graph(&self.problem, 1, scales, weights, clip)?;
        for worker in &mut self.workers {
            // The old program goes first: both together would need twice the memory.
            worker.outer = None;
            worker.outer = Some(self.engine.compile(&graph, &CompileOptions::default())?);
        }
        self.compiled_phase = Some(phase);
        Ok(())
    }

    /// One outer step on the trajectories gathered; gives the outer loss after the last adaptation step.
    fn outer_step(&mut self, tasks: &[Vec<Batch>], step_size: f32) -> Result<f32, TrainError> {
        let meta = &self.meta;
        let mut shares = vec![Share::default(); tasks.len()];
        share_out(&mut self.workers, &mut shares, |worker, task, share| {
            let program = worker.outer.as_deref_mut().expect("compiled when the phase began");
            outer_gradient(program, meta, &tasks[task..=task], share)
        })?;
        let mean = 1.0 / tasks.len() as f32;
        let count = self.meta.len();
        for index in 0..count {
            let mut sum = vec![0.0; self.meta[index].len()];
            for share in &shares {
                sum.iter_mut()
                    .zip(&share.gradients[index])
                    .for_each(|(sum, value)| *sum += value);
            }
            sum.iter_mut().for_each(|value| *value *= mean);
            self.optimiser.set(count + index, &sum)?;
        }
        self.optimiser.set(4 * count, &[step_size])?;
        self.optimiser.run()?;
        for (output, values) in self.meta.iter_mut().enumerate() {
            self.optimiser.get(output, values)?;
        }
        Ok(mean * shares.iter().filter_map(|share| share.losses.last()).sum::<f32>())
    }

    /// What the phase multiplies the optimiser's rate by.
    fn rate_factor(&self, position: Position) -> f32 {
        let phase = &self.settings.phases[position.phase];
        let share = position.iteration as f32 / phase.iterations as f32;
        phase.rate + (phase.final_rate.unwrap_or(phase.rate) - phase.rate) * share
    }
}

/// The outer graph of the longest phase, in which training spends its time: for choosing an engine by measuring.
///
/// # Errors
/// What the policy or its derivatives refuse.
pub fn probe(problem: &Problem, settings: &recipe::MamlPolicyGradient) -> Result<(Graph, CompileOptions), TrainError> {
    let longest = settings
        .phases
        .iter()
        .max_by_key(|phase| phase.iterations * phase.tasks as u64);
    let weights = longest.map_or(&[1.0][..], |phase| &phase.loss_weights);
    let graph = outer_graph(problem, 1, &settings.step_scales, weights, settings.clip)?;
    Ok((graph, CompileOptions::default()))
}

/// Pairs of inputs and outputs of the optimiser that are one variable, in the order in which they are saved.
fn resident(shapes: &[Parameter]) -> Vec<(String, String)> {
    ["", "adam.first/", "adam.second/"]
        .iter()
        .flat_map(|kind| {
            shapes
                .iter()
                .map(move |shape| (format!("{kind}{}", shape.name), format!("new/{kind}{}", shape.name)))
        })
        .collect()
}

/// Mean return of the tasks, each by the trajectories of one adaptation step.
fn mean_return<'a>(batches: impl ExactSizeIterator<Item = &'a Batch>) -> f32 {
    let count = batches.len() as f64;
    (batches.map(|batch| batch.experience.mean_return()).sum::<f64>() / count) as f32
}

impl Algorithm for MamlPolicyGradient {
    fn iterations(&self) -> u64 {
        self.settings.phases.iter().map(|phase| phase.iterations).sum()
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn environment_steps(&self) -> u64 {
        self.environment_steps
    }

    fn engine(&self) -> String {
        self.engine.name().to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let position = self.position();
        if position.iteration == 0 {
            self.begin_phase(position.phase)?;
        }
        self.compile_phase(position.phase)?;
        let tasks = self.gather(position)?;
        self.environment_steps += tasks
            .iter()
            .flatten()
            .map(|batch| batch.experience.transitions() as u64)
            .sum::<u64>();

        let epochs = self.settings.epochs as u64;
        let total = self.iterations() * epochs;
        for epoch in 0..epochs {
            let step_size = adam_step_size(&self.settings.optimizer, self.completed * epochs + epoch, total)
                * self.rate_factor(position);
            let loss = self.outer_step(&tasks, step_size)?;
            if !loss.is_finite() {
                let what = "the outer loss".to_owned();
                return Err(TrainError::Diverged {
                    iteration: self.completed + 1,
                    what,
                });
            }
        }
        self.completed += 1;
        let last = tasks[0].len() - 1;
        Ok(Iteration {
            metrics: vec![
                (
                    "return after adapting",
                    mean_return(tasks.iter().map(|task| &task[last])),
                ),
                ("return after one step", mean_return(tasks.iter().map(|task| &task[1]))),
                ("return before", mean_return(tasks.iter().map(|task| &task[0]))),
            ],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = Vec::new();
        for (index, (name, _)) in resident(&self.shapes).into_iter().enumerate() {
            let shape = self.shapes[index % self.shapes.len()].shape.clone();
            let mut values = vec![0.0; shape.iter().product()];
            self.optimiser.get(index, &mut values)?;
            tensors.push(NamedTensor { name, shape, values });
        }
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: self.environment_steps,
            tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let names = resident(&self.shapes);
        let count = self.shapes.len();
        let shapes = self.shapes.iter().map(|parameter| parameter.shape.as_slice()).cycle();
        state.check(names.iter().map(|(name, _)| name.as_str()).zip(shapes))?;
        for (index, tensor) in state.tensors.iter().enumerate() {
            // Between the meta-parameters and their moments stand the gradients.
            let input = if index < count { index } else { index + count };
            self.optimiser.set(input, &tensor.values)?;
        }
        for (values, tensor) in self.meta.iter_mut().zip(&state.tensors) {
            values.clone_from(&tensor.values);
        }
        self.completed = state.completed;
        self.environment_steps = state.environment_steps;
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        let mut tensors = self
            .shapes
            .iter()
            .zip(&self.meta)
            .map(|(parameter, values)| NamedTensor {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                values: values.clone(),
            });
        let parameters = tensors.by_ref().take(self.meta.len() / 2).collect();
        Ok(Learned {
            parameters,
            step_sizes: tensors.collect(),
            step_scales: self.settings.step_scales.clone(),
            observations: None,
        })
    }
}
