//! Instances of one task of a simulated system, as an environment.

use std::sync::Arc;

use pliant_runtime::experience::End;

use super::Simulator;
use crate::envs::Environment;
use crate::random::{Stream, fill_standard_normal, stream};

/// A batch of instances of one task: parameters drawn once, each episode with its own start.
///
/// The reward is minus the cost. Actions are clipped to -1..1.
///
/// ```
/// use std::sync::Arc;
/// use pliant_runtime::experience::End;
/// use pliant_trainer::envs::{Environment, Quadrotor, Simulation, quadrotor::Variation};
/// use pliant_trainer::random::stream;
///
/// let mut random = stream(0, "example", &[]);
/// let mut batch = Simulation::new(Arc::new(Quadrotor::new(Variation::NONE)), &mut random, 2);
/// batch.reset(&mut random);
/// let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
/// batch.step(&[0.0; 8], &mut rewards, &mut ends);
/// assert!(rewards[0] < 0.0);
/// assert_eq!(batch.observation_width(), 22);
/// ```
#[derive(Clone)]
pub struct Simulation {
    simulator: Arc<dyn Simulator>,
    /// One task's parameters an instance: episodes have parameters of their own. `[batch][parameters]`
    parameters: Vec<f32>,
    /// `[batch][state]`
    state: Vec<f32>,
    /// Of the current observation, `[batch][noise]`.
    noise: Vec<f32>,
    random: Stream,
    ends: Vec<End>,
    steps: usize,
}

impl Simulation {
    /// `batch` instances of a task that `random` draws.
    pub fn new(simulator: Arc<dyn Simulator>, random: &mut Stream, batch: usize) -> Self {
        let widths = simulator.widths();
        let mut parameters = vec![0.0; widths.parameters];
        simulator.draw(random, &mut parameters);
        Self {
            simulator,
            parameters: parameters.repeat(batch),
            state: vec![0.0; batch * widths.state],
            noise: vec![0.0; batch * widths.noise],
            random: stream(0, "sensor noise", &[]),
            ends: vec![End::Continue; batch],
            steps: 0,
        }
    }

    fn instances(&mut self) -> impl Iterator<Item = (&mut [f32], &mut [f32], &mut End)> {
        let widths = self.simulator.widths();
        self.parameters
            .chunks_exact_mut(widths.parameters)
            .zip(self.state.chunks_exact_mut(widths.state))
            .zip(&mut self.ends)
            .map(|((parameters, state), end)| (parameters, state, end))
    }
}

impl Environment for Simulation {
    fn batch(&self) -> usize {
        self.ends.len()
    }

    fn observation_width(&self) -> usize {
        self.simulator.widths().observation
    }

    fn action_width(&self) -> usize {
        self.simulator.widths().action
    }

    fn horizon(&self) -> usize {
        self.simulator.horizon()
    }

    fn reset(&mut self, random: &mut Stream) {
        let simulator = Arc::clone(&self.simulator);
        for (parameters, state, end) in self.instances() {
            simulator.start(random, parameters, state);
            *end = if simulator.alive_one(state, parameters) {
                End::Continue
            } else {
                End::Terminated
            };
        }
        self.steps = 0;
        self.random = random.clone();
        fill_standard_normal(&mut self.random, &mut self.noise);
    }

    fn observe(&self, observations: &mut [f32]) {
        let widths = self.simulator.widths();
        for (instance, observation) in observations.chunks_exact_mut(widths.observation).enumerate() {
            let own = |width: usize| instance * width..(instance + 1) * width;
            self.simulator.observe_one(
                &self.state[own(widths.state)],
                &self.parameters[own(widths.parameters)],
                &self.noise[own(widths.noise)],
                observation,
            );
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        let simulator = Arc::clone(&self.simulator);
        let (width, steps) = (simulator.widths().action, self.steps);
        let last = steps + 1 >= simulator.horizon();
        let mut action = vec![0.0; width];
        for (((parameters, state, end), given), reward) in self
            .instances()
            .zip(actions.chunks_exact(width))
            .zip(rewards.iter_mut())
        {
            if end.is_last() {
                *reward = 0.0;
                continue;
            }
            for (action, given) in action.iter_mut().zip(given) {
                *action = given.clamp(-1.0, 1.0);
            }
            simulator.evolve(steps, parameters);
            let outcome = simulator.step_one(state, parameters, &action);
            *reward = -outcome.cost;
            *end = if outcome.alive < 0.5 {
                End::Terminated
            } else if last {
                End::Truncated
            } else {
                End::Continue
            };
        }
        self.steps += 1;
        fill_standard_normal(&mut self.random, &mut self.noise);
        ends.copy_from_slice(&self.ends);
    }

    fn simulator(&self) -> Option<&dyn Simulator> {
        Some(self.simulator.as_ref())
    }
}
