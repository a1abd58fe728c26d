//! Instances that go on from window to window.

use std::sync::Arc;

use crate::envs::Simulator;
use crate::random::stream;
use crate::tasks::Split;

/// Persistent instances of a simulator in columns, each with its own task, memory and age.
pub(super) struct Worlds {
    pub(super) simulator: Arc<dyn Simulator>,
    pub(super) batch: usize,
    /// `[state, batch]`
    pub(super) state: Vec<f32>,
    /// `[memory, batch]`
    pub(super) memory: Vec<f32>,
    /// `[parameters, batch]`
    pub(super) drawn: Vec<f32>,
    pub(super) ages: Vec<usize>,
    /// Steps after which an instance is renewed.
    pub(super) episode: usize,
    /// Tasks drawn so far.
    pub(super) draws: u64,
    seed: u64,
    shard: u64,
    split: Split,
    // One instance.
    own_state: Vec<f32>,
    own_drawn: Vec<f32>,
}

impl Worlds {
    /// Fresh instances, as old as if they had been running for ever: their ages are spread over an episode.
    pub(super) fn new(
        simulator: Arc<dyn Simulator>,
        memory: usize,
        batch: usize,
        seed: u64,
        shard: u64,
        split: Split,
        episode: usize,
    ) -> Self {
        let widths = simulator.widths();
        let mut worlds = Self {
            batch,
            state: vec![0.0; widths.state * batch],
            memory: vec![0.0; memory * batch],
            drawn: vec![0.0; widths.parameters * batch],
            ages: vec![0; batch],
            episode: if episode == 0 { simulator.horizon() } else { episode },
            draws: 0,
            seed,
            shard,
            split,
            own_state: vec![0.0; widths.state],
            own_drawn: vec![0.0; widths.parameters],
            simulator,
        };
        for instance in 0..batch {
            worlds.renew(instance);
            worlds.ages[instance] = instance * worlds.episode / batch;
        }
        worlds
    }

    /// A new task at the start of an episode, with an empty memory, in place of an instance.
    pub(super) fn renew(&mut self, instance: usize) {
        let name = match self.split {
            Split::Train => "simulated tasks, train",
            Split::Validation => "simulated tasks, validation",
            Split::Test => "simulated tasks, test",
        };
        let mut random = stream(self.seed, name, &[self.shard, self.draws]);
        self.draws += 1;
        self.simulator.draw(&mut random, &mut self.own_drawn);
        self.simulator
            .start(&mut random, &mut self.own_drawn, &mut self.own_state);
        write_column(&mut self.state, &self.own_state, self.batch, instance);
        write_column(&mut self.drawn, &self.own_drawn, self.batch, instance);
        zero_column(&mut self.memory, self.batch, instance);
        self.ages[instance] = 0;
    }

    /// What the parameters do with age; whether any changed.
    pub(super) fn evolve(&mut self) -> bool {
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

pub(super) fn read_column(columns: &[f32], values: &mut [f32], batch: usize, instance: usize) {
    for (value, from) in values.iter_mut().zip(columns.iter().skip(instance).step_by(batch)) {
        *value = *from;
    }
}

pub(super) fn write_column(columns: &mut [f32], values: &[f32], batch: usize, instance: usize) {
    for (to, value) in columns.iter_mut().skip(instance).step_by(batch).zip(values) {
        *to = *value;
    }
}

pub(super) fn zero_column(columns: &mut [f32], batch: usize, instance: usize) {
    columns
        .iter_mut()
        .skip(instance)
        .step_by(batch)
        .for_each(|value| *value = 0.0);
}
