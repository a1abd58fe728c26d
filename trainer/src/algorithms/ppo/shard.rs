//! A part of the instances, with the programs that step them and take their gradients.

use rand_core::Rng;

use super::graph::{Problem, SUM_COUNT, act_graph, advance_graph, loss_graph, loss_options, memory_options};
use super::normaliser::Normaliser;
use super::program::Compiled;
use super::window::{Chance, Group, Tally};
use crate::algorithms::analytic_policy_gradient::turn;
use crate::engine::Engine;
use crate::envs::VectorEnvironment;
use crate::error::TrainError;
use crate::random::stream;
use crate::recipe::Ppo;
use crate::tasks::{Split, task_stream};

/// Steps of a recurrent policy in one graph, at most; what more would gain is timed by a test, `unrolling_is_timed`.
const UNROLL: usize = 1;

/// Which update of which iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) iteration: u64,
    pub(super) epoch: usize,
    pub(super) minibatch: usize,
    pub(super) entropy_weight: f32,
}

/// What a minibatch of a shard adds to an update.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    /// Gradient of the summed loss, one tensor a parameter.
    pub(super) gradients: Vec<Vec<f32>>,
    /// Summed measurements, see [`SUM_COUNT`].
    pub(super) sums: [f32; SUM_COUNT],
}

pub(super) struct Shard {
    index: u64,
    seed: u64,
    act: Compiled,
    /// Moves the memory on under new parameters; none for a feed-forward policy.
    advance: Option<Compiled>,
    loss: Compiled,
    unroll: usize,
    pub(super) groups: Vec<Group>,
    /// Groups, or steps, in the order of this epoch.
    order: Vec<u32>,
    /// Fields of a minibatch.
    fields: [Vec<f32>; 5],
}

impl Shard {
    pub(super) fn new(
        problem: &Problem,
        engine: &dyn Engine,
        settings: &Ppo,
        environment: &dyn Fn(usize) -> Box<dyn VectorEnvironment>,
        seed: u64,
        index: u64,
    ) -> Result<Self, TrainError> {
        let instances = settings.environments / settings.shards;
        let recurrent = problem.memory() > 0;
        // With memory a minibatch is a group with all its steps; without, steps of any instance.
        let (groups, unroll, columns) = if recurrent {
            let batch = instances / settings.minibatches;
            (settings.minibatches, unroll(settings), batch)
        } else {
            (1, 1, instances * settings.steps / settings.minibatches)
        };
        let batch = instances / groups;
        let compile =
            |graph, options| -> Result<Compiled, TrainError> { Ok(Compiled::new(engine.compile(&graph, &options)?)) };
        let memory = || memory_options(problem);
        let advance = if recurrent {
            Some(compile(advance_graph(problem, unroll, batch)?, memory())?)
        } else {
            None
        };
        Ok(Self {
            index,
            seed,
            act: compile(act_graph(problem, batch)?, memory())?,
            advance,
            loss: compile(loss_graph(problem, settings, unroll, columns)?, loss_options(problem))?,
            unroll,
            groups: (0..groups)
                .map(|_| {
                    let mut environment = environment(batch);
                    if settings.discount_lost {
                        environment.discount_at(settings.discount);
                    }
                    Group::new(environment, problem, settings.steps, settings.regret_weight > 0.0)
                })
                .collect(),
            order: Vec::new(),
            fields: Default::default(),
        })
    }

    /// Gathers a window of every group with these parameters.
    pub(super) fn collect(
        &mut self,
        parameters: &[Vec<f32>],
        settings: &Ppo,
        normaliser: Option<&Normaliser>,
        iteration: u64,
    ) -> Result<Vec<Tally>, TrainError> {
        self.act.set_parameters(parameters)?;
        let (seed, shard) = (self.seed, self.index);
        let extremes = settings.extremes_at(iteration);
        let count = self.groups.len();
        let mut tallies = Vec::with_capacity(count);
        for (number, group) in self.groups.iter_mut().enumerate() {
            let key = number as u64;
            let tasks = |draw| {
                let random = task_stream(seed, Split::Train, &[iteration, shard, key, draw]);
                let (_, extreme) = turn(draw, extremes);
                if extreme { random.extreme() } else { random }
            };
            let mut chance = Chance {
                exploration: stream(seed, "exploration, train", &[iteration, shard, key]),
                tasks: &tasks,
                first_instance: (shard as usize * count + number) * group.window.batch,
                iteration,
            };
            tallies.push(group.collect(&mut self.act, settings, normaliser, &mut chance)?);
        }
        Ok(tallies)
    }

    /// The gradient of a minibatch. `fresh`: the parameters are those that gathered the window.
    pub(super) fn gradient(
        &mut self,
        parameters: &[Vec<f32>],
        settings: &Ppo,
        at: Position,
        fresh: bool,
    ) -> Result<Share, TrainError> {
        if at.minibatch == 0 {
            self.shuffle(settings, at);
        }
        self.loss.set_parameters(parameters)?;
        self.loss.set(self.loss.entropy_weight, &[at.entropy_weight])?;
        if self.advance.is_some() {
            let group = self.order[at.minibatch] as usize;
            if !fresh {
                self.remember(parameters, settings, group)?;
            }
            self.through_time(parameters, settings, group)?;
        } else {
            self.gather(settings, at.minibatch)?;
            self.loss.program.run()?;
        }
        let mut share = Share {
            gradients: parameters.iter().map(|values| vec![0.0; values.len()]).collect(),
            ..Share::default()
        };
        for (output, gradient) in share.gradients.iter_mut().enumerate() {
            self.loss.program.get(output, gradient)?;
        }
        self.loss.program.get(self.loss.next_sums, &mut share.sums)?;
        Ok(share)
    }

    /// Draws the order of an epoch (Fisher and Yates).
    fn shuffle(&mut self, settings: &Ppo, at: Position) {
        let length = match self.advance {
            Some(_) => self.groups.len(),
            None => self.groups[0].window.batch * settings.steps,
        };
        self.order.clear();
        self.order.extend(0..length as u32);
        let mut random = stream(self.seed, "minibatches", &[at.iteration, at.epoch as u64, self.index]);
        for last in (1..length).rev() {
            let other = (u64::from(random.next_u32()) * (last as u64 + 1)) >> 32;
            self.order.swap(last, other as usize);
        }
    }

    /// Computes the memory before each call's steps again, under the parameters as they are.
    fn remember(&mut self, parameters: &[Vec<f32>], settings: &Ppo, group: usize) -> Result<(), TrainError> {
        let Some(advance) = &mut self.advance else {
            return Ok(());
        };
        let window = &mut self.groups[group].window;
        let unroll = self.unroll;
        let memory = window.memories.len() / (settings.steps + 1);
        let width = window.observations.len() / settings.steps;
        advance.set_parameters(parameters)?;
        advance.set(advance.memory, &window.memories[..memory])?;
        for step in (0..settings.steps - unroll).step_by(unroll) {
            let span = |width: usize| step * width..(step + unroll) * width;
            advance.set(advance.observation, &window.observations[span(width)])?;
            advance.set(advance.keep, &window.keep[span(window.batch)])?;
            advance.program.run()?;
            let after = (step + unroll) * memory;
            advance.program.get(0, &mut window.memories[after..after + memory])?;
        }
        Ok(())
    }

    /// Back-propagation through the steps of a group.
    fn through_time(&mut self, parameters: &[Vec<f32>], settings: &Ppo, group: usize) -> Result<(), TrainError> {
        let Self { loss, unroll, .. } = self;
        let (window, unroll) = (&self.groups[group].window, *unroll);
        let memory = window.memories.len() / (settings.steps + 1);
        let observation = window.observations.len() / settings.steps;
        let action = window.actions.len() / settings.steps;
        let nothing = vec![0.0; memory];
        if let Some(first) = loss.gradients {
            for (index, values) in parameters.iter().enumerate() {
                loss.program.set(first + index, &vec![0.0; values.len()])?;
            }
        }
        loss.set(loss.sums, &[0.0; SUM_COUNT])?;
        loss.set(loss.cotangent, &nothing)?;
        for step in (0..settings.steps).step_by(unroll).rev() {
            let after = step + unroll;
            if settings.truncation > 0 && after.is_multiple_of(settings.truncation) {
                loss.set(loss.cotangent, &nothing)?;
            }
            let span = |width: usize| step * width..after * width;
            loss.set(loss.observation, &window.observations[span(observation)])?;
            loss.set(loss.keep, &window.keep[span(window.batch)])?;
            loss.set(loss.memory, &window.memories[step * memory..(step + 1) * memory])?;
            loss.set(loss.action, &window.actions[span(action)])?;
            if !window.regrets.is_empty() {
                loss.set(loss.regret, &window.regrets[span(action)])?;
            }
            for (input, values) in [
                (loss.log_probability, &window.log_probabilities),
                (loss.advantage, &window.advantages),
                (loss.target, &window.returns),
            ] {
                loss.set(input, &values[span(window.batch)])?;
            }
            loss.program.run()?;
        }
        Ok(())
    }

    /// Hands the steps of a minibatch to the program, in columns.
    fn gather(&mut self, settings: &Ppo, minibatch: usize) -> Result<(), TrainError> {
        let Self {
            loss, fields, order, ..
        } = self;
        let window = &self.groups[0].window;
        let (batch, count) = (window.batch, order.len() / settings.minibatches);
        let chosen = &order[minibatch * count..(minibatch + 1) * count];
        for (field, (input, values)) in fields.iter_mut().zip([
            (loss.observation, &window.observations),
            (loss.action, &window.actions),
            (loss.log_probability, &window.log_probabilities),
            (loss.advantage, &window.advantages),
            (loss.target, &window.returns),
        ]) {
            let width = values.len() / (settings.steps * batch);
            field.clear();
            for number in 0..width {
                field.extend(chosen.iter().map(|&at| {
                    let (step, instance) = (at as usize / batch, at as usize % batch);
                    values[(step * width + number) * batch + instance]
                }));
            }
            loss.set(input, field)?;
        }
        Ok(())
    }
}

/// The most steps in one graph that divide the window, and the truncation where there is one.
fn unroll(settings: &Ppo) -> usize {
    let fits = |steps: &usize| settings.steps.is_multiple_of(*steps) && settings.truncation.is_multiple_of(*steps);
    (1..=UNROLL.min(settings.steps)).rev().find(fits).unwrap_or(1)
}
