//! Proximal policy optimisation (Schulman, Wolski, Dhariwal, Radford and Klimov 2017), feed-forward and recurrent.
//!
//! An iteration gathers a window of steps of every instance, each of which begins with a new task, an episode and an empty
//! memory; then it goes through the window a few times and descends the clipped surrogate with Adam. Advantages are
//! generalised advantage estimates (Schulman et al. 2016), standardised over the window. A feed-forward policy learns from
//! shuffled steps; one with memory from whole windows of some instances, by back-propagation through time: one step of
//! policy and loss and its vector-Jacobian product are compiled once and called in a loop, as the analytic policy gradient
//! does. All gradients come from the compiler.
//!
//! The value function is a network of its own on the observation, or on the memory; it is not deployed. What brings observations to mean 0
//! and deviation 1 goes into the contract, so that the device does the same.
//!
//! Shards gather and differentiate on any number of threads; their gradients are summed in order, so the number of threads
//! changes nothing; what is not worth several is done on one. `docs/algorithms/ppo.md` has equations, deviations and figures.

mod graph;
mod multi_task;
mod normaliser;
mod program;
mod return_scale;
mod shard;
mod window;

use pliant_compiler::graph::Graph;
use pliant_compiler::policy::Parameter;

pub use multi_task::{MultiTaskPpo, multi_task_probe};

pub use graph::{Problem, act_graph, advance_graph, loss_graph, loss_options, memory_options};

use super::analytic_policy_gradient::{optimiser_graph, optimiser_options, optimiser_tensors, restore_optimiser};
use super::maml_policy_gradient::LOG_STD;
use super::sharing::Sharing;
use super::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine, Program};
use crate::envs::VectorEnvironment;
use crate::error::TrainError;
use crate::nn::{initialise, prepare};
use crate::optim::adam_step_size;
use crate::recipe;
use normaliser::Normaliser;
use shard::{Position, Shard, Share};
use window::Tally;

/// Proximal policy optimisation in progress.
pub struct Ppo {
    settings: recipe::Ppo,
    problem: Problem,
    shapes: Vec<Parameter>,
    engine: &'static str,
    parameters: Vec<Vec<f32>>,
    normaliser: Normaliser,
    shards: Vec<Shard>,
    gathering: Sharing,
    updating: Sharing,
    optimiser: Box<dyn Program>,
    completed: u64,
    environment_steps: u64,
    /// Mean return of the episodes that ended in the last window in which any did.
    last_return: f32,
}

impl Ppo {
    /// Compiles the graphs and draws the initial parameters. `environment` makes a batch of so many instances.
    ///
    /// # Errors
    /// A policy that does not fit the environment, a window shorter than an episode, or what the policy, its derivatives or
    /// the engine refuse.
    pub fn new(
        settings: &recipe::Ppo,
        seed: u64,
        problem: Problem,
        initialiser: recipe::Initialiser,
        environment: &dyn Fn(usize) -> Box<dyn VectorEnvironment>,
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let sample = environment(1);
        if settings.steps < sample.horizon() {
            return Err(TrainError::ShortWindow {
                steps: settings.steps,
                horizon: sample.horizon(),
            });
        }
        let shapes = problem.parameters();
        let policy = problem.policy_parameters();
        let mut initial = initialise(&shapes, initialiser, seed);
        prepare(
            &mut initial[..policy],
            &problem.policy.network,
            settings.output_scale,
            settings.update_gate_bias,
        );
        for tensor in initial.iter_mut().filter(|tensor| tensor.name == LOG_STD) {
            tensor.values.fill(settings.log_std);
        }
        let shards = (0..settings.shards as u64)
            .map(|index| Shard::new(&problem, engine, settings, environment, seed, index))
            .collect::<Result<_, _>>()?;
        let optimiser = engine.compile(
            &optimiser_graph(&shapes, &settings.optimizer)?,
            &optimiser_options(&shapes),
        )?;
        let mut learner = Self {
            settings: settings.clone(),
            normaliser: Normaliser::identity(problem.observations()),
            problem,
            shapes,
            engine: engine.name(),
            parameters: initial.into_iter().map(|tensor| tensor.values).collect(),
            shards,
            gathering: Sharing::new(threads),
            updating: Sharing::new(threads),
            optimiser,
            completed: 0,
            environment_steps: 0,
            last_return: 0.0,
        };
        for (input, values) in learner.parameters.iter().enumerate() {
            learner.optimiser.set(input, values)?;
        }
        Ok(learner)
    }

    /// Gathers a window in every shard; gives the mean return of the episodes that ended.
    fn collect(&mut self) -> Result<(), TrainError> {
        let (parameters, settings, iteration) = (&self.parameters, &self.settings, self.completed);
        let normaliser = settings.normalise_observations.then_some(&self.normaliser);
        let mut items: Vec<(&mut Shard, Vec<Tally>)> =
            self.shards.iter_mut().map(|shard| (shard, Vec::new())).collect();
        self.gathering.run(&mut items, |(shard, tallies)| {
            *tallies = shard.collect(parameters, settings, normaliser, iteration)?;
            Ok(())
        })?;
        let tallies: Vec<Tally> = items.into_iter().flat_map(|(_, tallies)| tallies).collect();
        // All moments are relative to the same mean: added up before they are merged.
        if settings.normalise_observations {
            let mut all = normaliser::Moments::new(self.problem.observations());
            for Tally { moments, .. } in &tallies {
                all.count += moments.count;
                let sums = all.sum.iter_mut().zip(&moments.sum);
                let squares = all.squares.iter_mut().zip(&moments.squares);
                sums.chain(squares).for_each(|(sum, value)| *sum += value);
            }
            self.normaliser.merge(&all);
        }
        let returns: f64 = tallies.iter().map(|tally| tally.returns).sum();
        let episodes: u64 = tallies.iter().map(|tally| tally.episodes).sum();
        if episodes > 0 {
            self.last_return = (returns / episodes as f64) as f32;
        }
        self.environment_steps += (self.settings.environments * self.settings.steps) as u64;
        self.standardise();
        Ok(())
    }

    /// Brings the advantages of the whole window to mean 0 and deviation 1.
    fn standardise(&mut self) {
        let windows = || {
            self.shards
                .iter()
                .flat_map(|shard| &shard.groups)
                .map(|group| &group.window)
        };
        let count = (self.settings.environments * self.settings.steps) as f64;
        let sum: f64 = windows()
            .flat_map(|window| &window.advantages)
            .map(|&a| f64::from(a))
            .sum();
        let mean = sum / count;
        let squares: f64 = windows()
            .flat_map(|window| &window.advantages)
            .map(|&advantage| (f64::from(advantage) - mean).powi(2))
            .sum();
        let (mean, factor) = (mean as f32, (1.0 / ((squares / count).sqrt() + 1e-8)) as f32);
        for group in self.shards.iter_mut().flat_map(|shard| &mut shard.groups) {
            let advantages = group.window.advantages.iter_mut();
            advantages.for_each(|advantage| *advantage = factor * (*advantage - mean));
        }
    }

    /// One update of the parameters; adds its measurements to `sums`.
    fn update(&mut self, at: Position, fresh: bool, sums: &mut [f32; graph::SUM_COUNT]) -> Result<(), TrainError> {
        let (parameters, settings) = (&self.parameters, &self.settings);
        let mut items: Vec<(&mut Shard, Share)> =
            self.shards.iter_mut().map(|shard| (shard, Share::default())).collect();
        self.updating.run(&mut items, |(shard, share)| {
            *share = shard.gradient(parameters, settings, at, fresh)?;
            Ok(())
        })?;
        // Summed in the order of the shards, whichever thread was first.
        let steps = settings.environments * settings.steps / settings.minibatches;
        let scale = 1.0 / steps as f32;
        let count = self.shapes.len();
        let mut norm = 0.0;
        for index in 0..count {
            let mut sum = vec![0.0; self.parameters[index].len()];
            for (_, share) in &items {
                sum.iter_mut()
                    .zip(&share.gradients[index])
                    .for_each(|(sum, value)| *sum += value * scale);
            }
            norm += sum.iter().map(|value| value * value).sum::<f32>();
            self.optimiser.set(count + index, &sum)?;
        }
        for (_, share) in &items {
            sums.iter_mut()
                .zip(share.sums)
                .for_each(|(sum, value)| *sum += value * scale);
        }
        if !norm.is_finite() {
            return Err(TrainError::Diverged {
                iteration: at.iteration + 1,
                what: "the gradient".to_owned(),
            });
        }
        let updates = (settings.epochs * settings.minibatches) as u64;
        let completed = at.iteration * updates + (at.epoch * settings.minibatches + at.minibatch) as u64;
        let total = settings.iterations * updates;
        let step_size = adam_step_size(&settings.optimizer, completed, total);
        self.optimiser.set(4 * count, &[step_size])?;
        self.optimiser.run()?;
        for (output, values) in self.parameters.iter_mut().enumerate() {
            self.optimiser.get(output, values)?;
        }
        Ok(())
    }
}

/// The graph in which training spends its time: for choosing an engine by measuring.
///
/// # Errors
/// What the policy or its derivatives refuse.
pub fn probe(problem: &Problem, settings: &recipe::Ppo) -> Result<(Graph, CompileOptions), TrainError> {
    let shard = settings.environments / settings.shards;
    let steps = if problem.memory() > 0 { 1 } else { settings.steps };
    let columns = shard * steps / settings.minibatches;
    Ok((loss_graph(problem, settings, 1, columns)?, loss_options(problem)))
}

impl Algorithm for Ppo {
    fn iterations(&self) -> u64 {
        self.settings.iterations
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn environment_steps(&self) -> u64 {
        self.environment_steps
    }

    fn engine(&self) -> String {
        self.engine.to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        self.collect()?;
        let mut sums = [0.0; graph::SUM_COUNT];
        let entropy_weight = self.settings.entropy_weight_at(self.completed);
        let (epochs, minibatches) = (self.settings.epochs, self.settings.minibatches);
        for epoch in 0..epochs {
            for minibatch in 0..minibatches {
                let at = Position {
                    iteration: self.completed,
                    epoch,
                    minibatch,
                    entropy_weight,
                };
                self.update(at, epoch + minibatch == 0, &mut sums)?;
            }
        }
        self.completed += 1;
        let [value, entropy, divergence] = sums.map(|sum| sum / (epochs * minibatches) as f32);
        Ok(Iteration {
            metrics: vec![
                ("return", self.last_return),
                ("entropy", entropy),
                ("divergence", divergence),
                ("value error", value),
            ],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = optimiser_tensors(self.optimiser.as_mut(), &self.shapes)?;
        let Normaliser { count, mean, variance } = &self.normaliser;
        for (name, values) in [
            ("observation/mean", mean.clone()),
            ("observation/variance", variance.clone()),
            ("observation/count", vec![*count]),
            ("last_return", vec![self.last_return]),
        ] {
            tensors.push(NamedTensor {
                name: name.to_owned(),
                shape: vec![values.len()],
                values,
            });
        }
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: self.environment_steps,
            tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let wanted = self.state()?;
        let names = wanted.tensors.iter();
        state.check(names.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())))?;
        let rest = restore_optimiser(self.optimiser.as_mut(), &mut self.parameters, &state.tensors)?;
        if let [mean, variance, seen, last_return] = rest {
            self.normaliser = Normaliser {
                count: seen.values[0],
                mean: mean.values.clone(),
                variance: variance.values.clone(),
            };
            self.last_return = last_return.values[0];
        }
        self.completed = state.completed;
        self.environment_steps = state.environment_steps;
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        let parameters = self
            .shapes
            .iter()
            .zip(&self.parameters)
            .take(self.problem.policy_parameters())
            .map(|(parameter, values)| NamedTensor {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                values: values.clone(),
            })
            .collect();
        Ok(Learned {
            observations: self.settings.normalise_observations.then(|| self.normaliser.scale()),
            ..Learned::fixed(parameters)
        })
    }
}
