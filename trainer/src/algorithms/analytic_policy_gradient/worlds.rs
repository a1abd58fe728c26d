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
    /// The number of the draw that each instance has its task and start from.
    pub(super) origins: Vec<u64>,
    /// Times that each instance has begun its episode again.
    pub(super) retries: Vec<usize>,
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
            origins: vec![0; batch],
            retries: vec![0; batch],
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
        self.origins[instance] = self.draws;
        self.retries[instance] = 0;
        self.draws += 1;
        self.begin(instance);
    }

    /// The same task from the same start, so many times at most; then a new one.
    pub(super) fn retry(&mut self, instance: usize, most: usize) {
        if self.retries[instance] < most {
            self.retries[instance] += 1;
            self.begin(instance);
        } else {
            self.renew(instance);
        }
    }

    fn begin(&mut self, instance: usize) {
        let indices = [self.shard, self.origins[instance]];
        let mut random = stream(self.seed, self.split.simulated_tasks(), &indices);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envs::CartPole;

    #[test]
    fn a_lost_episode_begins_again_and_then_makes_way() {
        let system = Arc::new(CartPole::default());
        let mut worlds = Worlds::new(system, 0, 3, 0, 0, Split::Train, 0);
        let begun = worlds.instances.clone();
        for tries in 0..2 {
            worlds.instances.state.fill(9.0);
            worlds.retry(1, 2);
            assert_eq!(worlds.instances.drawn, begun.drawn, "retry {tries}");
            assert_eq!(worlds.instances.state[1], begun.state[1]);
            assert_eq!(worlds.instances.ages[1], 0);
        }
        worlds.retry(1, 2);
        assert_ne!(worlds.instances.drawn, begun.drawn);
        assert_eq!(worlds.instances.drawn[0], begun.drawn[0], "its neighbour stays");
        assert_eq!(worlds.draws, 4);
    }
}
