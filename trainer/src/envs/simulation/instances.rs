//! Instances of a simulated system side by side, each with its own task and age.

use std::sync::Arc;

use super::Simulator;
use crate::random::Stream;

/// Instances of a simulator in columns: number `n` of instance `i` stands at `n * batch + i`.
#[derive(Clone)]
pub struct Instances {
    /// What they are instances of.
    pub simulator: Arc<dyn Simulator>,
    /// How many there are.
    pub batch: usize,
    /// `[state, batch]`
    pub state: Vec<f32>,
    /// Parameters of task and episode, `[parameters, batch]`.
    pub drawn: Vec<f32>,
    /// Steps since each one's episode began.
    pub ages: Vec<usize>,
    // One instance.
    own_state: Vec<f32>,
    own_drawn: Vec<f32>,
}

impl Instances {
    /// Instances without task: [`renew`](Self::renew) or [`share`](Self::share) gives them one.
    pub fn new(simulator: Arc<dyn Simulator>, batch: usize) -> Self {
        let widths = simulator.widths();
        Self {
            batch,
            state: vec![0.0; widths.state * batch],
            drawn: vec![0.0; widths.parameters * batch],
            ages: vec![0; batch],
            own_state: vec![0.0; widths.state],
            own_drawn: vec![0.0; widths.parameters],
            simulator,
        }
    }

    /// One task, which `random` draws, for all.
    pub fn share(&mut self, random: &mut Stream) {
        self.simulator.draw(random, &mut self.own_drawn);
        for instance in 0..self.batch {
            write_column(&mut self.drawn, &self.own_drawn, self.batch, instance);
        }
    }

    /// A new task at the start of an episode in place of an instance.
    pub fn renew(&mut self, instance: usize, random: &mut Stream) {
        self.simulator.draw(random, &mut self.own_drawn);
        self.begin(instance, random);
    }

    /// A new task in place of an instance, which has no episode before [`restart`](Self::restart).
    pub fn draw(&mut self, instance: usize, random: &mut Stream) {
        self.simulator.draw(random, &mut self.own_drawn);
        write_column(&mut self.drawn, &self.own_drawn, self.batch, instance);
    }

    /// A new episode of the task that an instance has.
    pub fn restart(&mut self, instance: usize, random: &mut Stream) {
        read_column(&self.drawn, &mut self.own_drawn, self.batch, instance);
        self.begin(instance, random);
    }

    fn begin(&mut self, instance: usize, random: &mut Stream) {
        self.simulator.start(random, &mut self.own_drawn, &mut self.own_state);
        write_column(&mut self.state, &self.own_state, self.batch, instance);
        write_column(&mut self.drawn, &self.own_drawn, self.batch, instance);
        self.ages[instance] = 0;
    }

    /// Whether an instance is inside the system's limits.
    pub fn is_alive(&mut self, instance: usize) -> bool {
        read_column(&self.state, &mut self.own_state, self.batch, instance);
        read_column(&self.drawn, &mut self.own_drawn, self.batch, instance);
        self.simulator.alive_one(&self.own_state, &self.own_drawn)
    }

    /// What the parameters do with age; whether any changed.
    pub fn evolve(&mut self) -> bool {
        let mut changed = false;
        if !self.simulator.evolves() {
            return changed;
        }
        for instance in 0..self.batch {
            read_column(&self.drawn, &mut self.own_drawn, self.batch, instance);
            if self.simulator.evolve(self.ages[instance], &mut self.own_drawn) {
                write_column(&mut self.drawn, &self.own_drawn, self.batch, instance);
                changed = true;
            }
        }
        changed
    }
}

/// Reads one instance out of columns.
pub(super) fn read_column(columns: &[f32], values: &mut [f32], batch: usize, instance: usize) {
    for (value, from) in values.iter_mut().zip(columns.iter().skip(instance).step_by(batch)) {
        *value = *from;
    }
}

/// Writes one instance into columns.
pub(super) fn write_column(columns: &mut [f32], values: &[f32], batch: usize, instance: usize) {
    for (to, value) in columns.iter_mut().skip(instance).step_by(batch).zip(values) {
        *to = *value;
    }
}
