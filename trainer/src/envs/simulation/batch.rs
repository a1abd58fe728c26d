//! Instances of a simulated system, as an environment.

use std::sync::Arc;

use pliant_runtime::experience::End;

use super::instances::{read_column, write_column};
use super::{Instances, Simulator};
use crate::envs::Environment;
use crate::random::{Stream, fill_standard_normal, stream};

/// A batch of instances of one task or of as many tasks, each episode with its own start.
///
/// The reward is minus the cost; where an episode is terminated, the steps it loses are paid at once, each at
/// [`lost_cost`](super::Plant::lost_cost), so that no policy gains by ending one. Actions are clipped to -1..1.
///
/// ```
/// use std::sync::Arc;
/// use pliant_runtime::experience::End;
/// use pliant_trainer::envs::{Environment, Pendulum, Simulation};
/// use pliant_trainer::random::stream;
///
/// let mut random = stream(0, "example", &[]);
/// let mut batch = Simulation::new(Arc::new(Pendulum::default()), &mut random, 2);
/// batch.reset(&mut random);
/// let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
/// batch.step(&[0.5, -0.5], &mut rewards, &mut ends);
/// assert!(rewards[0] < 0.0);
/// assert_eq!(batch.observation_width(), 5);
/// ```
#[derive(Clone)]
pub struct Simulation {
    instances: Instances,
    /// Of the current observation, `[noise, batch]`.
    noise: Vec<f32>,
    random: Stream,
    ends: Vec<End>,
}

impl Simulation {
    /// `batch` instances of one task that `random` draws.
    pub fn new(simulator: Arc<dyn Simulator>, random: &mut Stream, batch: usize) -> Self {
        let mut simulation = Self::across(simulator, batch);
        simulation.instances.share(random);
        simulation
    }

    /// `batch` instances; [`renew`](Self::renew) gives each one a task of its own.
    pub fn across(simulator: Arc<dyn Simulator>, batch: usize) -> Self {
        Self {
            noise: vec![0.0; batch * simulator.widths().noise],
            random: stream(0, "sensor noise", &[]),
            ends: vec![End::Continue; batch],
            instances: Instances::new(simulator, batch),
        }
    }

    /// A new task, at the start of an episode, in place of one instance; `random` draws both.
    pub fn renew(&mut self, instance: usize, random: &mut Stream) {
        self.instances.renew(instance, random);
        self.begun(instance);
    }

    /// A new episode of one instance's task.
    pub fn restart(&mut self, instance: usize, random: &mut Stream) {
        self.instances.restart(instance, random);
        self.begun(instance);
    }

    fn begun(&mut self, instance: usize) {
        self.ends[instance] = if self.instances.is_alive(instance) {
            End::Continue
        } else {
            End::Terminated
        };
    }
}

impl Environment for Simulation {
    fn batch(&self) -> usize {
        self.ends.len()
    }

    fn observation_width(&self) -> usize {
        self.instances.simulator.widths().observation
    }

    fn action_width(&self) -> usize {
        self.instances.simulator.widths().action
    }

    fn horizon(&self) -> usize {
        self.instances.simulator.horizon()
    }

    fn reset(&mut self, random: &mut Stream) {
        for instance in 0..self.batch() {
            self.restart(instance, random);
        }
        self.random = random.clone();
        fill_standard_normal(&mut self.random, &mut self.noise);
    }

    fn observe(&self, observations: &mut [f32]) {
        let Instances {
            simulator,
            batch,
            state,
            drawn,
            ..
        } = &self.instances;
        let mut columns = vec![0.0; observations.len()];
        simulator.observe_columns(*batch, state, drawn, &self.noise, &mut columns);
        let width = self.observation_width();
        for (instance, observation) in observations.chunks_exact_mut(width).enumerate() {
            read_column(&columns, observation, *batch, instance);
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.instances.evolve();
        let (batch, width) = (self.batch(), self.action_width());
        let Instances {
            simulator,
            state,
            drawn,
            ages,
            ..
        } = &mut self.instances;
        let (horizon, lost) = (simulator.horizon(), simulator.lost_cost());
        let mut columns = vec![0.0; actions.len()];
        let mut action = vec![0.0; width];
        for (instance, given) in actions.chunks_exact(width).enumerate() {
            for (action, given) in action.iter_mut().zip(given) {
                *action = given.clamp(-1.0, 1.0);
            }
            write_column(&mut columns, &action, batch, instance);
        }
        let before = self.ends.iter().any(|end| end.is_last()).then(|| state.clone());
        let (mut cost, mut alive) = (vec![0.0; batch], vec![0.0; batch]);
        simulator.step_columns(state, drawn, &columns, &mut cost, &mut alive);
        let mut own = vec![0.0; simulator.widths().state];
        for instance in 0..batch {
            let end = &mut self.ends[instance];
            if let (true, Some(before)) = (end.is_last(), &before) {
                read_column(before, &mut own, batch, instance);
                write_column(state, &own, batch, instance);
                rewards[instance] = 0.0;
                continue;
            }
            ages[instance] += 1;
            rewards[instance] = -cost[instance];
            *end = if alive[instance] < 0.5 {
                rewards[instance] -= lost * horizon.saturating_sub(ages[instance]) as f32;
                End::Terminated
            } else if ages[instance] >= horizon {
                End::Truncated
            } else {
                End::Continue
            };
        }
        fill_standard_normal(&mut self.random, &mut self.noise);
        ends.copy_from_slice(&self.ends);
    }

    fn simulator(&self) -> Option<&dyn Simulator> {
        Some(self.instances.simulator.as_ref())
    }
}
