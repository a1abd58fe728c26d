//! Instances that go on from window to window.

use std::sync::Arc;

use crate::envs::{Instances, Simulator};
use crate::random::stream;
use crate::tasks::Split;

/// Persistent instances of a simulator, each with its own task, memory and age.
pub(super) struct Worlds {
    pub(super) instances: Instances,
    /// `[memory, batch]`
    pub(super) memory: Vec<f32>,
    /// Steps after which an instance is renewed.
    pub(super) episode: usize,
    /// Tasks drawn so far.
    pub(super) draws: u64,
    seed: u64,
    shard: u64,
    split: Split,
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
        let mut worlds = Self {
            memory: vec![0.0; memory * batch],
            episode: if episode == 0 { simulator.horizon() } else { episode },
            instances: Instances::new(simulator, batch),
            draws: 0,
            seed,
            shard,
            split,
        };
        for instance in 0..batch {
            worlds.renew(instance);
            worlds.instances.ages[instance] = instance * worlds.episode / batch;
        }
        worlds
    }

    /// A new task at the start of an episode, with an empty memory, in place of an instance.
    pub(super) fn renew(&mut self, instance: usize) {
        let mut random = stream(self.seed, self.split.simulated_tasks(), &[self.shard, self.draws]);
        self.draws += 1;
        self.instances.renew(instance, &mut random);
        zero_column(&mut self.memory, self.instances.batch, instance);
    }
}

/// Sets one instance of columns to 0.
pub(super) fn zero_column(columns: &mut [f32], batch: usize, instance: usize) {
    columns
        .iter_mut()
        .skip(instance)
        .step_by(batch)
        .for_each(|value| *value = 0.0);
}
