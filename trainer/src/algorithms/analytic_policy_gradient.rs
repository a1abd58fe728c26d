//! Analytic policy gradient: the policy is trained by back-propagation through the simulator, over truncated windows.
//!
//! A step of policy and simulator is one graph, its vector-Jacobian product another; both are compiled once and called in
//! a loop. Forwards, instances move through a window and their states are kept; backwards, cotangents move through the
//! kept states and the gradient of the parameters adds up. Instances persist: the next window goes on where the last one
//! ended, from states and memories that count as constants (truncated back-propagation through time; Williams and Peng
//! 1990). An instance that is terminated or at the end of its episode is replaced by a fresh one of a task never seen, in
//! the middle of a window, and no cotangent passes there.
//!
//! Four guards against the gradients' heavy tails: the cotangent of the physical state decays from step to step (Xu et
//! al. 2022, "Accelerated policy learning with parallel differentiable simulation", cut horizons for the same reason);
//! each instance's cotangent is clipped; a shard's gradient may be, before the shards are averaged; an update whose
//! gradient is far above the running norm is skipped. Validation picks the result, and a run whose validation fails goes
//! back to its best parameters.
//!
//! `docs/algorithms/analytic-policy-gradient.md` has the equations, the bias and where the method fails.

mod average;
mod graph;
mod rollout;
mod shard;
mod worlds;

use pliant_compiler::graph::Graph;
use pliant_compiler::policy::Parameter;

pub use graph::{
    Problem, backward_graph, backward_options, optimiser_graph, optimiser_options, step_graph, step_options,
};
pub(super) use graph::{optimiser_tensors, restore_optimiser};
pub use rollout::{RolloutFamily, rollout_rule};
pub(super) use worlds::turn;

use super::maml_policy_gradient::share_out;
use super::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine, Program};
use crate::error::TrainError;
use crate::nn::{initialise, prepare};
use crate::recipe;
use average::{average, norm};
use shard::{Shard, Validation, Window};

/// Weight of the newest gradient norm in the running mean.
const NORM_WEIGHT: f32 = 0.02;
/// What a skipped update raises the running norm by: a gradient that has really grown is let through in the end.
const NORM_GROWTH: f32 = 1.05;

/// Analytic policy gradient in progress.
pub struct AnalyticPolicyGradient {
    settings: recipe::AnalyticPolicyGradient,
    shapes: Vec<Parameter>,
    engine: String,
    parameters: Vec<Vec<f32>>,
    /// Their running average.
    average: Vec<Vec<f32>>,
    /// The average that did best.
    best: Vec<Vec<f32>>,
    shards: Vec<Shard>,
    threads: usize,
    optimiser: Box<dyn Program>,
    counters: Counters,
}

/// What else changes between updates, saved exactly as `f32`s.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counters {
    completed: u64,
    environment_steps: u64,
    /// Updates since the moments were last zero.
    applied: u64,
    skipped: u64,
    running_norm: f32,
    validation: f32,
    best: f32,
    terminated: f32,
}

impl AnalyticPolicyGradient {
    /// Compiles the graphs, draws the first instances and the initial parameters.
    ///
    /// # Errors
    /// What the policy, its derivatives or the engine refuse.
    pub fn new(
        settings: &recipe::AnalyticPolicyGradient,
        seed: u64,
        problem: &Problem,
        initialiser: recipe::Initialiser,
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let shapes = problem.parameters();
        let mut initial = initialise(&shapes, initialiser, seed);
        prepare(
            &mut initial,
            &problem.policy.network,
            settings.output_scale,
            settings.update_gate_bias,
        );
        let parameters: Vec<Vec<f32>> = initial.into_iter().map(|tensor| tensor.values).collect();
        let batch = settings.environments / settings.shards;
        let shards = (0..settings.shards as u64)
            .map(|index| Shard::new(problem, engine, batch, seed, index, settings))
            .collect::<Result<_, _>>()?;
        let optimiser = engine.compile(
            &optimiser_graph(&shapes, &settings.optimizer)?,
            &optimiser_options(&shapes),
        )?;
        let mut learner = Self {
            settings: settings.clone(),
            shapes,
            engine: engine.name().to_owned(),
            best: parameters.clone(),
            average: parameters.clone(),
            parameters,
            shards,
            threads,
            optimiser,
            counters: Counters {
                completed: 0,
                environment_steps: 0,
                applied: 0,
                skipped: 0,
                running_norm: 0.0,
                validation: 0.0,
                best: f32::MAX,
                terminated: 0.0,
            },
        };
        learner.upload()?;
        Ok(learner)
    }

    /// Hands the parameters to the optimiser, with moments of zero.
    fn upload(&mut self) -> Result<(), TrainError> {
        let count = self.shapes.len();
        for (input, values) in self.parameters.iter().enumerate() {
            self.optimiser.set(input, values)?;
            let zeros = vec![0.0; values.len()];
            self.optimiser.set(2 * count + input, &zeros)?;
            self.optimiser.set(3 * count + input, &zeros)?;
        }
        self.counters.applied = 0;
        Ok(())
    }

    /// Starts from these parameters, in the policy's order, instead of random ones.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn begin_from(&mut self, parameters: &[NamedTensor]) -> Result<(), TrainError> {
        self.parameters = parameters.iter().map(|tensor| tensor.values.clone()).collect();
        self.average.clone_from(&self.parameters);
        self.best.clone_from(&self.parameters);
        self.upload()
    }

    /// The learning rate of the next update.
    fn rate(&self) -> f32 {
        let mut position = self.counters.completed;
        let mut cycles = self.settings.cycles.iter();
        let mut cycle = cycles.next().expect("a recipe has a cycle");
        for next in cycles {
            if position < cycle.updates {
                break;
            }
            position -= cycle.updates;
            cycle = next;
        }
        let share = position as f64 / cycle.updates as f64;
        let cosine = (0.5 + 0.5 * libm::cos(core::f64::consts::PI * share)) as f32;
        let factor = cycle.final_rate + (cycle.rate - cycle.final_rate) * cosine;
        let warm_up = ((self.counters.completed + 1) as f32 / (self.settings.warm_up + 1) as f32).min(1.0);
        self.settings.optimizer.rate * factor * warm_up
    }

    /// The mean gradient of a window of every shard, and the mean cost of a step.
    fn gradient(&mut self) -> Result<(Vec<Vec<f32>>, f32), TrainError> {
        let extremes = if self.counters.completed < self.settings.extremes_after {
            0.0
        } else {
            self.settings.extremes
        };
        let (parameters, steps, update) = (&self.parameters, self.settings.window, self.counters.completed);
        let mut items: Vec<(&mut Shard, Window)> =
            self.shards.iter_mut().map(|shard| (shard, Window::default())).collect();
        share_out(&mut vec![(); self.threads], &mut items, |(), _, (shard, window)| {
            *window = shard.window(parameters, steps, update, extremes)?;
            Ok(())
        })?;
        let cost: f64 = items.iter().map(|(_, window)| window.cost).sum();
        let instances = self.settings.environments / self.settings.shards;
        let mean = average(
            items.iter().map(|(_, window)| window.gradients.as_slice()),
            1.0 / (instances * steps) as f32,
            self.settings.clip_shard,
        );
        self.counters.environment_steps += (self.settings.environments * steps) as u64;
        Ok((mean, (cost / (self.settings.environments * steps) as f64) as f32))
    }

    /// Whether a gradient of this norm is used.
    fn accept(&mut self, norm: f32) -> bool {
        let counters = &mut self.counters;
        let running = counters.running_norm;
        if running == 0.0 && norm.is_finite() {
            counters.running_norm = norm;
            return true;
        }
        if !norm.is_finite() || norm > self.settings.skip_above * running {
            counters.running_norm *= NORM_GROWTH;
            counters.skipped += 1;
            return false;
        }
        counters.running_norm += NORM_WEIGHT * (norm - running);
        true
    }

    fn apply(&mut self, gradient: &[Vec<f32>]) -> Result<(), TrainError> {
        let count = self.shapes.len();
        for (index, values) in gradient.iter().enumerate() {
            self.optimiser.set(count + index, values)?;
        }
        let t = i32::try_from(self.counters.applied + 1).unwrap_or(i32::MAX);
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(t);
        let (first, second) = (
            correction(self.settings.optimizer.beta1),
            correction(self.settings.optimizer.beta2),
        );
        let step_size = (f64::from(self.rate()) * second.sqrt() / first) as f32;
        self.optimiser.set(4 * count, &[step_size])?;
        self.optimiser.run()?;
        for (output, values) in self.parameters.iter_mut().enumerate() {
            self.optimiser.get(output, values)?;
        }
        let decay = self.settings.averaging;
        for (average, value) in self.average.iter_mut().flatten().zip(self.parameters.iter().flatten()) {
            *average = decay * *average + (1.0 - decay) * value;
        }
        self.counters.applied += 1;
        Ok(())
    }

    /// Scores the parameters on validation tasks, keeps them if they are the best, and goes back to the best if they fail.
    fn validate(&mut self) -> Result<(), TrainError> {
        let episodes = self.settings.validation_episodes;
        let batch = self.settings.environments / self.settings.shards;
        let chunks = episodes.div_ceil(batch);
        let mut results = vec![Validation::default(); chunks];
        let parameters = &self.average;
        // Chunks go round the shards: which shard computes a chunk changes nothing.
        let shards = self.shards.len();
        let mut items: Vec<(usize, &mut Shard, Vec<Validation>)> = self
            .shards
            .iter_mut()
            .enumerate()
            .map(|(index, shard)| (index, shard, Vec::new()))
            .collect();
        share_out(&mut vec![(); self.threads], &mut items, |(), _, (index, shard, own)| {
            for chunk in (*index..chunks).step_by(shards) {
                let count = batch.min(episodes - chunk * batch);
                own.push(shard.validate(parameters, chunk as u64, count)?);
            }
            Ok(())
        })?;
        for (index, _, own) in items {
            for (chunk, result) in (index..chunks).step_by(shards).zip(own) {
                results[chunk] = result;
            }
        }
        let horizon = self.shards[0].worlds.instances.simulator.horizon();
        let cost = results.iter().map(|result| result.cost).sum::<f64>() / (episodes * horizon) as f64;
        let terminated: usize = results.iter().map(|result| result.terminated).sum();
        self.counters.validation = cost as f32;
        self.counters.terminated = terminated as f32 / episodes as f32;
        if cost < f64::from(self.counters.best) {
            self.counters.best = cost as f32;
            self.best.clone_from(&self.average);
        } else if cost > f64::from(self.settings.go_back_above) * f64::from(self.counters.best) {
            self.parameters.clone_from(&self.best);
            self.average.clone_from(&self.best);
            self.upload()?;
        }
        Ok(())
    }
}

/// The graph in which training spends its time: for choosing an engine by measuring.
///
/// # Errors
/// What the policy or its derivatives refuse.
pub fn probe(
    problem: &Problem,
    settings: &recipe::AnalyticPolicyGradient,
) -> Result<(Graph, CompileOptions), TrainError> {
    let batch = settings.environments / settings.shards;
    let graph = backward_graph(problem, batch, settings.state_decay, settings.clip_cotangent)?;
    Ok((graph, backward_options(problem)))
}

/// 48 bits in two numbers that `f32` holds exactly.
fn split(count: u64) -> [f32; 2] {
    [(count >> 24) as f32, (count & 0xff_ffff) as f32]
}

fn join([high, low]: [f32; 2]) -> u64 {
    ((high as u64) << 24) | low as u64
}

impl Algorithm for AnalyticPolicyGradient {
    fn iterations(&self) -> u64 {
        self.settings.cycles.iter().map(|cycle| cycle.updates).sum()
    }

    fn completed(&self) -> u64 {
        self.counters.completed
    }

    fn environment_steps(&self) -> u64 {
        self.counters.environment_steps
    }

    fn engine(&self) -> String {
        self.engine.clone()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let (gradient, cost) = self.gradient()?;
        if self.accept(norm(&gradient)) {
            self.apply(&gradient)?;
        }
        self.counters.completed += 1;
        let completed = self.counters.completed;
        if completed.is_multiple_of(self.settings.validate_every) || completed == self.iterations() {
            self.validate()?;
        }
        Ok(Iteration {
            metrics: vec![("cost", cost), ("validation cost", self.counters.validation)],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = optimiser_tensors(self.optimiser.as_mut(), &self.shapes)?;
        for (kind, all) in [("average", &self.average), ("best", &self.best)] {
            for (shape, values) in self.shapes.iter().zip(all) {
                tensors.push(NamedTensor {
                    name: format!("{kind}/{}", shape.name),
                    shape: shape.shape.clone(),
                    values: values.clone(),
                });
            }
        }
        for (index, Shard { worlds, .. }) in self.shards.iter().enumerate() {
            let ages = worlds.instances.ages.iter().map(|&age| age as f32).collect();
            for (kind, values) in [
                ("state", worlds.instances.state.clone()),
                ("memory", worlds.memory.clone()),
                ("drawn", worlds.instances.drawn.clone()),
                ("ages", ages),
                ("draws", split(worlds.draws).to_vec()),
                ("origins", worlds.origins.iter().flat_map(|&draw| split(draw)).collect()),
                (
                    "retries",
                    worlds.retries.iter().map(|&retries| retries as f32).collect(),
                ),
                ("lost", worlds.lost.iter().flat_map(|&draw| split(draw)).collect()),
                ("losses", [split(worlds.losses), split(worlds.renewals)].concat()),
            ] {
                tensors.push(NamedTensor {
                    name: format!("shard{index}/{kind}"),
                    shape: vec![values.len()],
                    values,
                });
            }
        }
        let Counters {
            applied,
            skipped,
            running_norm,
            validation,
            best,
            terminated,
            ..
        } = self.counters;
        let values = [split(applied), split(skipped)]
            .concat()
            .into_iter()
            .chain([running_norm, validation, best, terminated])
            .collect::<Vec<_>>();
        tensors.push(NamedTensor {
            name: "counters".to_owned(),
            shape: vec![values.len()],
            values,
        });
        Ok(TrainingState {
            completed: self.counters.completed,
            environment_steps: self.counters.environment_steps,
            tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let wanted = self.state()?;
        let names = wanted.tensors.iter();
        state.check(names.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())))?;
        let rest = restore_optimiser(self.optimiser.as_mut(), &mut self.parameters, &state.tensors)?;
        let mut tensors = rest.iter().map(|tensor| &tensor.values);
        for values in self.average.iter_mut().chain(&mut self.best) {
            values.clone_from(tensors.next().expect("checked"));
        }
        for Shard { worlds, .. } in &mut self.shards {
            worlds.instances.state.clone_from(tensors.next().expect("checked"));
            worlds.memory.clone_from(tensors.next().expect("checked"));
            worlds.instances.drawn.clone_from(tensors.next().expect("checked"));
            worlds.instances.ages = tensors
                .next()
                .expect("checked")
                .iter()
                .map(|&age| age as usize)
                .collect();
            let draws = tensors.next().expect("checked");
            worlds.draws = join([draws[0], draws[1]]);
            let origins = tensors.next().expect("checked").chunks_exact(2);
            worlds.origins = origins.map(|pair| join([pair[0], pair[1]])).collect();
            let retries = tensors.next().expect("checked").iter();
            worlds.retries = retries.map(|&retries| retries as usize).collect();
            let lost = tensors.next().expect("checked").chunks_exact(2);
            for (draw, pair) in worlds.lost.iter_mut().zip(lost) {
                *draw = join([pair[0], pair[1]]);
            }
            let losses = tensors.next().expect("checked");
            worlds.losses = join([losses[0], losses[1]]);
            worlds.renewals = join([losses[2], losses[3]]);
        }
        let counters = tensors.next().expect("checked");
        self.counters = Counters {
            completed: state.completed,
            environment_steps: state.environment_steps,
            applied: join([counters[0], counters[1]]),
            skipped: join([counters[2], counters[3]]),
            running_norm: counters[4],
            validation: counters[5],
            best: counters[6],
            terminated: counters[7],
        };
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        let parameters = self
            .shapes
            .iter()
            .zip(&self.best)
            .map(|(parameter, values)| NamedTensor {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                values: values.clone(),
            })
            .collect();
        Ok(Learned::fixed(parameters))
    }
}
