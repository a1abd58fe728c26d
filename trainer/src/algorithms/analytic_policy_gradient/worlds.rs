//! Instances that go on from window to window.

use std::sync::Arc;

use crate::envs::{Instances, Simulator};
use crate::random::stream;
use crate::tasks::Split;

/// Lost episodes that a shard remembers.
pub(super) const LOST: usize = 32;

/// Persistent instances of a simulator, each with its own task, memory and age.
pub(super) struct Worlds {
    pub(super) instances: Instances,
    /// `[memory, batch]`
    pub(super) memory: Vec<f32>,
    /// Steps after which each instance is renewed.
    episodes: Vec<usize>,
    /// Tasks drawn so far.
    pub(super) draws: u64,
    /// What each instance has its task and start from: twice the number of the draw, and 1 more where it is an extreme one.
    pub(super) origins: Vec<u64>,
    /// Times that each instance has begun its episode again.
    pub(super) retries: Vec<usize>,
    /// Share of the episodes that are taken from the lost ones.
    pub(super) replay: f32,
    /// Share of the new draws that crowd at the ends of their ranges.
    pub(super) extremes: f32,
    /// Origins of the last episodes that were lost, the oldest overwritten first.
    pub(super) lost: [u64; LOST],
    /// How many have been written there.
    pub(super) losses: u64,
    /// Episodes begun after the first of each instance, retries apart.
    pub(super) renewals: u64,
    seed: u64,
    shard: u64,
    split: Split,
}

impl Worlds {
    /// Fresh instances, as old as if they had been running for ever: their ages are spread over an episode. Of the instances
    /// the share `whole` has whole episodes, the last ones; those of the others end after `episode` steps, where that is
    /// not 0.
    pub(super) fn new(
        simulator: Arc<dyn Simulator>,
        memory: usize,
        batch: usize,
        seed: u64,
        shard: u64,
        split: Split,
        (episode, whole): (usize, f32),
    ) -> Self {
        let short = match episode {
            0 => 0,
            _ => batch - (whole * batch as f32).round() as usize,
        };
        let horizon = simulator.horizon();
        let mut worlds = Self {
            memory: vec![0.0; memory * batch],
            episodes: (0..batch)
                .map(|instance| if instance < short { episode } else { horizon })
                .collect(),
            instances: Instances::new(simulator, batch),
            draws: 0,
            origins: vec![0; batch],
            retries: vec![0; batch],
            replay: 0.0,
            extremes: 0.0,
            lost: [0; LOST],
            losses: 0,
            renewals: 0,
            seed,
            shard,
            split,
        };
        for instance in 0..batch {
            worlds.renew(instance);
            let (place, among) = if instance < short {
                (instance, short)
            } else {
                (instance - short, batch - short)
            };
            worlds.instances.ages[instance] = place * worlds.episodes[instance] / among;
        }
        worlds
    }

    /// Whether an instance is at the end of its episode.
    pub(super) fn ended(&self, instance: usize) -> bool {
        self.instances.ages[instance] >= self.episodes[instance]
    }

    /// A new task at the start of an episode, with an empty memory, in place of an instance.
    pub(super) fn renew(&mut self, instance: usize) {
        let (_, extreme) = turn(self.draws, self.extremes);
        self.origins[instance] = 2 * self.draws + u64::from(extreme);
        self.retries[instance] = 0;
        self.draws += 1;
        self.begin(instance);
    }

    /// What follows an episode that was not lost, or was lost for the last time: a new task, or one of those that were lost.
    pub(super) fn follow(&mut self, instance: usize) {
        let (replays, due) = turn(self.renewals, self.replay);
        self.renewals += 1;
        let remembered = self.losses.min(LOST as u64);
        if !due || remembered == 0 {
            return self.renew(instance);
        }
        self.origins[instance] = self.lost[(replays % remembered) as usize];
        self.retries[instance] = 0;
        self.begin(instance);
    }

    /// The same task from the same start, so many times at most; then what follows. It is remembered that it was lost.
    pub(super) fn retry(&mut self, instance: usize, most: usize) {
        let origin = self.origins[instance];
        let remembered = self.losses.min(LOST as u64) as usize;
        if self.replay > 0.0 && !self.lost[..remembered].contains(&origin) {
            self.lost[(self.losses % LOST as u64) as usize] = origin;
            self.losses += 1;
        }
        if self.retries[instance] < most {
            self.retries[instance] += 1;
            self.begin(instance);
        } else {
            self.follow(instance);
        }
    }

    fn begin(&mut self, instance: usize) {
        let origin = self.origins[instance];
        let mut random = stream(self.seed, self.split.simulated_tasks(), &[self.shard, origin / 2]);
        if origin % 2 == 1 {
            random = random.extreme();
        }
        self.instances.renew(instance, &mut random);
        zero_column(&mut self.memory, self.instances.batch, instance);
    }
}

/// How many of the first `count` it befalls, where it befalls a share of all, and whether it befalls the next one.
pub(in crate::algorithms) fn turn(count: u64, share: f32) -> (u64, bool) {
    let befallen = |count: u64| (count as f64 * f64::from(share)) as u64;
    (befallen(count), befallen(count + 1) > befallen(count))
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
        let mut worlds = Worlds::new(system, 0, 3, 0, 0, Split::Train, (0, 0.0));
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

    #[test]
    fn a_share_of_the_episodes_is_whole() {
        let worlds = Worlds::new(Arc::new(CartPole::default()), 0, 8, 0, 0, Split::Train, (100, 0.25));
        assert_eq!(worlds.episodes, [100, 100, 100, 100, 100, 100, 500, 500]);
        assert_eq!(worlds.instances.ages, [0, 16, 33, 50, 66, 83, 0, 250]);
    }

    #[test]
    fn a_share_of_the_draws_is_extreme_and_replayed_as_it_was() {
        let system = Arc::new(CartPole::default());
        let mut worlds = Worlds::new(system, 0, 1, 0, 0, Split::Train, (0, 0.0));
        worlds.extremes = 0.25;
        let extreme: Vec<bool> = (0..8)
            .map(|_| {
                worlds.renew(0);
                worlds.origins[0] % 2 == 1
            })
            .collect();
        // The draw made before the share was set counts.
        assert_eq!(extreme, [false, false, true, false, false, false, true, false]);
        worlds.renew(0);
        let origin = worlds.origins[0];
        worlds.renew(0);
        assert_eq!((origin % 2, worlds.origins[0] % 2), (0, 0));
        worlds.renew(0);
        let drawn = worlds.instances.drawn.clone();
        assert_eq!(worlds.origins[0] % 2, 1);
        let mut plain = Worlds::new(Arc::new(CartPole::default()), 0, 1, 0, 0, Split::Train, (0, 0.0));
        plain.origins[0] = worlds.origins[0] - 1;
        plain.begin(0);
        assert_ne!(plain.instances.drawn, drawn, "the same draw, but not at the ends");
        plain.origins[0] += 1;
        plain.begin(0);
        assert_eq!(plain.instances.drawn, drawn);
    }

    #[test]
    fn lost_episodes_come_back_among_new_ones() {
        let system = Arc::new(CartPole::default());
        let mut worlds = Worlds::new(system, 0, 2, 0, 0, Split::Train, (0, 0.0));
        worlds.replay = 0.5;
        let lost = worlds.instances.drawn[0];
        worlds.retry(0, 0);
        assert_eq!((worlds.losses, worlds.draws), (1, 3), "the first to follow is new");
        worlds.follow(0);
        assert_eq!((worlds.instances.drawn[0], worlds.draws), (lost, 3));
        // Lost again, it is not remembered twice.
        worlds.retry(0, 0);
        assert_eq!((worlds.losses, worlds.draws), (1, 4));
        worlds.replay = 0.0;
        for _ in 0..4 {
            worlds.follow(0);
            assert_ne!(worlds.instances.drawn[0], lost);
        }
    }
}
