//! One thread's share of a meta-iteration: simulating tasks, and taking the outer gradient of tasks.

use std::sync::Mutex;

use pliant_runtime::experience::{Estimator, Trajectories, advantages, baseline_scratch};

use super::graph::{self, Problem};
use crate::engine::{CompileOptions, Engine, EngineError, Program};
use crate::envs::Environment;
use crate::error::TrainError;
use crate::random::Stream;
use crate::rollout::{BatchPolicy, Collector, Experience};

/// The rows gathered between two adaptation steps of one task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// What happened.
    pub experience: Experience,
    /// Standardised advantages, `[rows]`, zero where unused.
    pub advantages: Vec<f32>,
}

impl Batch {
    /// The fields of the rows in the order of the adaptation rule, then the row weights.
    pub fn fields(&self) -> [&[f32]; 5] {
        let Experience {
            observations,
            actions,
            log_probs,
            weights,
            ..
        } = &self.experience;
        [observations, actions, log_probs, &self.advantages, weights]
    }
}

/// The programs that simulate a task and adapt to it, with their buffers: one set a thread.
pub struct Adapter {
    act: Box<dyn Program>,
    adapt: Box<dyn Program>,
    collector: Collector,
    estimator: Estimator,
    observation_width: usize,
    /// Input number of the first field, after meta-parameters and `step_scale`.
    first_field: usize,
    baseline: Vec<f32>,
}

impl Adapter {
    /// Compiles the programs.
    ///
    /// # Errors
    /// What the policy, its derivative or the engine refuse.
    pub fn new(
        problem: &Problem,
        engine: &dyn Engine,
        action_scale: &[f32],
        estimator: Estimator,
    ) -> Result<Self, TrainError> {
        let options = CompileOptions::default();
        let observation_width = problem.policy.network.observations();
        Ok(Self {
            act: engine.compile(&graph::act_graph(problem)?, &options)?,
            adapt: engine.compile(&graph::adapt_graph(problem)?, &options)?,
            collector: Collector::new(action_scale),
            estimator,
            observation_width,
            first_field: problem.meta_parameters().len() + 1,
            baseline: vec![0.0; baseline_scratch(observation_width)],
        })
    }

    /// Runs one episode in every instance of `environment` under these parameters and estimates advantages.
    ///
    /// # Errors
    /// The engine's.
    pub fn gather(
        &mut self,
        parameters: &[Vec<f32>],
        environment: &mut dyn Environment,
        random: &mut Stream,
        batch: &mut Batch,
    ) -> Result<(), TrainError> {
        for (input, values) in parameters.iter().enumerate() {
            self.act.set(input, values)?;
        }
        let mut policy = ActProgram {
            program: self.act.as_mut(),
            observations: parameters.len(),
        };
        let experience = &mut batch.experience;
        self.collector
            .collect(environment, &mut policy, random, true, experience)?;
        let steps = experience.transitions();
        batch.advantages.clear();
        batch.advantages.resize(experience.weights.len(), 0.0);
        let trajectories = Trajectories {
            observations: &experience.observations[..steps * self.observation_width],
            width: self.observation_width,
            rewards: &experience.rewards[..steps],
            ends: &experience.ends,
        };
        advantages(
            &trajectories,
            &self.estimator,
            &mut self.baseline,
            &mut batch.advantages[..steps],
        );
        Ok(())
    }

    /// One adaptation step: replaces `parameters` by what they become on these rows.
    ///
    /// # Errors
    /// The engine's.
    pub fn adapt(
        &mut self,
        parameters: &mut [Vec<f32>],
        step_sizes: &[Vec<f32>],
        step_scale: f32,
        batch: &Batch,
    ) -> Result<(), TrainError> {
        for (input, values) in parameters.iter().chain(step_sizes).enumerate() {
            self.adapt.set(input, values)?;
        }
        self.adapt.set(self.first_field - 1, &[step_scale])?;
        for (offset, field) in batch.fields().into_iter().enumerate() {
            self.adapt.set(self.first_field + offset, field)?;
        }
        self.adapt.run()?;
        for (output, values) in parameters.iter_mut().enumerate() {
            self.adapt.get(output, values)?;
        }
        Ok(())
    }
}

/// The compiled policy as rollouts use it.
struct ActProgram<'a> {
    program: &'a mut dyn Program,
    /// Input number of the observations, after the parameters.
    observations: usize,
}

impl BatchPolicy for ActProgram<'_> {
    type Error = EngineError;

    fn evaluate(&mut self, observations: &[f32], means: &mut [f32], log_std: &mut [f32]) -> Result<(), EngineError> {
        self.program.set(self.observations, observations)?;
        self.program.run()?;
        self.program.get(0, means)?;
        self.program.get(1, log_std)
    }
}

/// What one chunk of tasks adds to the outer gradient.
#[derive(Debug, Clone, Default)]
pub struct Share {
    /// Gradients of the meta-parameters, summed over the chunk's tasks.
    pub gradients: Vec<Vec<f32>>,
    /// Outer losses after the first, second, ... adaptation step, summed over the chunk's tasks.
    pub losses: Vec<f32>,
}

/// Takes the outer gradient of the tasks in `batches` (`[task][adaptation step]`) with the program of
/// [`graph::outer_graph`].
///
/// # Errors
/// The engine's.
pub fn outer_gradient(
    program: &mut dyn Program,
    meta: &[Vec<f32>],
    batches: &[Vec<Batch>],
    share: &mut Share,
) -> Result<(), TrainError> {
    for (input, values) in meta.iter().enumerate() {
        program.set(input, values)?;
    }
    let mut input = meta.len();
    let mut joined = Vec::new();
    for step in 0..batches[0].len() {
        for field in 0..5 {
            if let [task] = batches {
                program.set(input, task[step].fields()[field])?;
            } else {
                joined.clear();
                batches
                    .iter()
                    .for_each(|task| joined.extend_from_slice(task[step].fields()[field]));
                program.set(input, &joined)?;
            }
            input += 1;
        }
    }
    program.run()?;
    share.gradients.resize_with(meta.len(), Vec::new);
    for (output, (gradient, values)) in share.gradients.iter_mut().zip(meta).enumerate() {
        gradient.resize(values.len(), 0.0);
        program.get(output, gradient)?;
    }
    share.losses.resize(batches[0].len() - 1, 0.0);
    for (index, loss) in share.losses.iter_mut().enumerate() {
        program.get(meta.len() + index, core::slice::from_mut(loss))?;
    }
    Ok(())
}

/// Gives every item to the next free worker, each worker on its own thread. Which worker takes an item must not change
/// its result; then the number of workers changes nothing.
///
/// # Errors
/// The first error met; items after it may be left undone.
pub fn share_out<W: Send, I: Send>(
    workers: &mut [W],
    items: &mut [I],
    work: impl Fn(&mut W, usize, &mut I) -> Result<(), TrainError> + Sync,
) -> Result<(), TrainError> {
    let Some((here, others)) = workers.split_first_mut() else {
        return Ok(());
    };
    let queue = Mutex::new(items.iter_mut().enumerate());
    let drain = |worker: &mut W| -> Result<(), TrainError> {
        loop {
            // The queue is only ever advanced under the lock, so a panic elsewhere cannot leave it half done.
            let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            let Some((index, item)) = next else { return Ok(()) };
            work(worker, index, item)?;
        }
    };
    std::thread::scope(|scope| {
        let drain = &drain;
        let threads: Vec<_> = others
            .iter_mut()
            .map(|worker| scope.spawn(move || drain(worker)))
            .collect();
        let own = drain(here);
        let rest = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(rest).collect()
    })
}
