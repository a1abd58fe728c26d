//! What one thread simulates: a window forwards, keeping the states, then backwards with the cotangents.

use super::graph::{
    DRAWN, MEMORY, MEMORY_COTANGENT, NOISE, Problem, STATE, STATE_COTANGENT, backward_graph, backward_options,
    step_graph, step_options,
};
use super::worlds::{Worlds, zero_column};
use crate::engine::{Engine, EngineError, Program};
use crate::error::TrainError;
use crate::random::{fill_standard_normal, stream};
use crate::recipe::AnalyticPolicyGradient;
use crate::tasks::Split;

/// A compiled step or its vector-Jacobian product, and where its inputs are.
struct Compiled {
    program: Box<dyn Program>,
    state: usize,
    memory: Option<usize>,
    drawn: usize,
    noise: Option<usize>,
    state_cotangent: Option<usize>,
    memory_cotangent: Option<usize>,
}

impl Compiled {
    fn new(program: Box<dyn Program>) -> Self {
        let find = |name: &str| program.inputs().iter().position(|port| port.name == name);
        Self {
            state: find(STATE).expect("every step has a state"),
            memory: find(MEMORY),
            drawn: find(DRAWN).expect("every step has parameters"),
            noise: find(NOISE),
            state_cotangent: find(STATE_COTANGENT),
            memory_cotangent: find(MEMORY_COTANGENT),
            program,
        }
    }

    fn set_optional(&mut self, input: Option<usize>, values: &[f32]) -> Result<(), EngineError> {
        input.map_or(Ok(()), |input| self.program.set(input, values))
    }
}

/// The state before a step.
#[derive(Default)]
struct Kept {
    state: Vec<f32>,
    memory: Vec<f32>,
    noise: Vec<f32>,
    /// The parameters, where they are not those of the step before.
    drawn: Option<Vec<f32>>,
    /// Instances that are fresh after the step: no cotangent comes back to them.
    renewed: Vec<usize>,
}

/// What a window came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Gradient of the summed cost, one tensor a parameter.
    pub(super) gradients: Vec<Vec<f32>>,
    /// Summed cost.
    pub(super) cost: f64,
}

/// What a validation came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Validation {
    /// Summed cost of all steps, none above the cost of a lost one.
    pub(super) cost: f64,
    /// Episodes terminated.
    pub(super) terminated: usize,
}

/// A part of the instances, with the programs that step them.
pub(super) struct Shard {
    index: u64,
    seed: u64,
    forward: Compiled,
    backward: Compiled,
    pub(super) worlds: Worlds,
    /// Times that a terminated episode is begun again at most.
    retries: usize,
    kept: Vec<Kept>,
    cost: Vec<f32>,
    alive: Vec<f32>,
}

impl Shard {
    pub(super) fn new(
        problem: &Problem,
        engine: &dyn Engine,
        batch: usize,
        seed: u64,
        index: u64,
        settings: &AnalyticPolicyGradient,
    ) -> Result<Self, TrainError> {
        let (decay, clip) = (settings.state_decay, settings.clip_cotangent);
        let forward = engine.compile(&step_graph(problem, batch)?, &step_options(problem))?;
        let backward = engine.compile(
            &backward_graph(problem, batch, decay, clip)?,
            &backward_options(problem),
        )?;
        let simulator = problem.simulator.clone();
        let memory = problem.memory();
        let episodes = (settings.episode, settings.whole);
        let mut worlds = Worlds::new(simulator, memory, batch, seed, index, Split::Train, episodes);
        worlds.replay = settings.replay;
        Ok(Self {
            index,
            seed,
            forward: Compiled::new(forward),
            backward: Compiled::new(backward),
            worlds,
            kept: Vec::new(),
            retries: settings.retries,
            cost: vec![0.0; batch],
            alive: vec![0.0; batch],
        })
    }

    /// Simulates `steps` steps with these parameters and gives the gradient of the summed cost. `update` numbers the
    /// windows, for the noise; of the episodes that begin, the share `extremes` does so at the ends of its ranges.
    pub(super) fn window(
        &mut self,
        parameters: &[Vec<f32>],
        steps: usize,
        update: u64,
        extremes: f32,
    ) -> Result<Window, TrainError> {
        self.worlds.extremes = extremes;
        for (input, values) in parameters.iter().enumerate() {
            self.forward.program.set(input, values)?;
            self.backward.program.set(input, values)?;
        }
        self.kept.resize_with(steps, Kept::default);
        let cost = self.forwards(update)?;
        let gradients = self.backwards(parameters)?;
        Ok(Window { gradients, cost })
    }

    fn forwards(&mut self, update: u64) -> Result<f64, TrainError> {
        let Self {
            forward, worlds, kept, ..
        } = self;
        let mut noise = stream(self.seed, "sensor noise, train", &[self.index, update]);
        let widths = worlds.instances.simulator.widths();
        forward.program.set(forward.state, &worlds.instances.state)?;
        forward.set_optional(forward.memory, &worlds.memory)?;
        let (mut total, mut changed) = (0.0, true);
        for kept in kept {
            changed |= worlds.instances.evolve();
            kept.drawn = changed.then(|| worlds.instances.drawn.clone());
            if changed {
                forward.program.set(forward.drawn, &worlds.instances.drawn)?;
            }
            kept.noise.resize(widths.noise * worlds.instances.batch, 0.0);
            fill_standard_normal(&mut noise, &mut kept.noise);
            forward.set_optional(forward.noise, &kept.noise)?;
            kept.state.clone_from(&worlds.instances.state);
            kept.memory.clone_from(&worlds.memory);
            forward.program.run()?;
            read_step(forward, worlds, &mut self.cost, &mut self.alive)?;
            kept.renewed.clear();
            for instance in 0..worlds.instances.batch {
                let cost = self.cost[instance];
                total += f64::from(cost);
                worlds.instances.ages[instance] += 1;
                // A state that is no number is no longer inside any limits.
                let lost = self.alive[instance] < 0.5 || !cost.is_finite();
                if lost {
                    worlds.retry(instance, self.retries);
                    kept.renewed.push(instance);
                } else if worlds.ended(instance) {
                    worlds.follow(instance);
                    kept.renewed.push(instance);
                }
            }
            changed = !kept.renewed.is_empty();
            if changed {
                forward.program.set(forward.state, &worlds.instances.state)?;
                forward.set_optional(forward.memory, &worlds.memory)?;
            }
        }
        Ok(total)
    }

    fn backwards(&mut self, parameters: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, TrainError> {
        let Self {
            backward, worlds, kept, ..
        } = self;
        let batch = worlds.instances.batch;
        let mut state = vec![0.0; worlds.instances.state.len()];
        let mut memory = vec![0.0; worlds.memory.len()];
        backward.set_optional(backward.state_cotangent, &state)?;
        backward.set_optional(backward.memory_cotangent, &memory)?;
        let inputs = backward.program.inputs();
        let first_gradient = inputs.len() - parameters.len();
        for (index, values) in parameters.iter().enumerate() {
            backward.program.set(first_gradient + index, &vec![0.0; values.len()])?;
        }
        let cotangents = parameters.len();
        let mut shown = None;
        for step in (0..kept.len()).rev() {
            // The parameters of a step are the newest at or before it.
            let drawn = (0..=step).rev().find(|&at| kept[at].drawn.is_some());
            if drawn != shown {
                shown = drawn;
                if let Some(values) = drawn.and_then(|at| kept[at].drawn.as_ref()) {
                    backward.program.set(backward.drawn, values)?;
                }
            }
            let kept = &kept[step];
            if !kept.renewed.is_empty() {
                backward.program.get(cotangents, &mut state)?;
                kept.renewed
                    .iter()
                    .for_each(|&instance| zero_column(&mut state, batch, instance));
                backward.set_optional(backward.state_cotangent, &state)?;
                if backward.memory_cotangent.is_some() {
                    backward.program.get(cotangents + 1, &mut memory)?;
                    kept.renewed
                        .iter()
                        .for_each(|&instance| zero_column(&mut memory, batch, instance));
                    backward.set_optional(backward.memory_cotangent, &memory)?;
                }
            }
            backward.program.set(backward.state, &kept.state)?;
            backward.set_optional(backward.memory, &kept.memory)?;
            backward.set_optional(backward.noise, &kept.noise)?;
            backward.program.run()?;
        }
        let mut gradients: Vec<Vec<f32>> = parameters.iter().map(|values| vec![0.0; values.len()]).collect();
        for (output, values) in gradients.iter_mut().enumerate() {
            backward.program.get(output, values)?;
        }
        Ok(gradients)
    }

    /// Flies whole episodes of validation tasks `first..first + count` (at most as many as there are instances) with the
    /// parameters given. The training instances stay as they are.
    pub(super) fn validate(
        &mut self,
        parameters: &[Vec<f32>],
        chunk: u64,
        count: usize,
    ) -> Result<Validation, TrainError> {
        let forward = &mut self.forward;
        for (input, values) in parameters.iter().enumerate() {
            forward.program.set(input, values)?;
        }
        let simulator = self.worlds.instances.simulator.clone();
        let memory = self.worlds.memory.len() / self.worlds.instances.batch;
        let (horizon, widths, lost) = (
            simulator.horizon(),
            simulator.widths(),
            f64::from(simulator.lost_cost()),
        );
        let mut worlds = Worlds::new(
            simulator,
            memory,
            self.worlds.instances.batch,
            self.seed,
            chunk,
            Split::Validation,
            (0, 0.0),
        );
        let count = count.min(worlds.instances.batch);
        let mut random = stream(self.seed, "sensor noise, validation", &[chunk]);
        let mut noise = vec![0.0; widths.noise * worlds.instances.batch];
        let mut flying = vec![true; worlds.instances.batch];
        let mut validation = Validation::default();
        worlds.instances.ages.fill(0);
        forward.program.set(forward.state, &worlds.instances.state)?;
        forward.set_optional(forward.memory, &worlds.memory)?;
        forward.program.set(forward.drawn, &worlds.instances.drawn)?;
        for step in 0..horizon {
            if worlds.instances.evolve() {
                forward.program.set(forward.drawn, &worlds.instances.drawn)?;
            }
            fill_standard_normal(&mut random, &mut noise);
            forward.set_optional(forward.noise, &noise)?;
            forward.program.run()?;
            read_step(forward, &mut worlds, &mut self.cost, &mut self.alive)?;
            worlds.instances.ages.iter_mut().for_each(|age| *age += 1);
            for instance in 0..count {
                if !flying[instance] {
                    continue;
                }
                if self.alive[instance] < 0.5 || !self.cost[instance].is_finite() {
                    flying[instance] = false;
                    validation.terminated += 1;
                    validation.cost += lost * (horizon - step) as f64;
                } else {
                    validation.cost += f64::from(self.cost[instance]).min(lost);
                }
            }
        }
        Ok(validation)
    }
}

/// Reads what a step came to.
fn read_step(
    forward: &mut Compiled,
    worlds: &mut Worlds,
    cost: &mut [f32],
    alive: &mut [f32],
) -> Result<(), EngineError> {
    let program = &mut forward.program;
    program.get(0, &mut worlds.instances.state)?;
    let mut output = 1;
    if forward.memory.is_some() {
        program.get(output, &mut worlds.memory)?;
        output += 1;
    }
    program.get(output, cost)?;
    program.get(output + 1, alive)
}
