//! Bernoulli bandits (Duan et al. 2016, "RL2: Fast Reinforcement Learning via Slow Reinforcement Learning", section 3.1).

use pliant_runtime::experience::End;
use rand_core::{Rng, SeedableRng};

use super::{ActionSpace, VectorEnvironment};
use crate::random::{Stream, uniform};

/// Bandits whose arms pay 1 with a probability that is uniform in 0..1, one draw a task, and otherwise 0.
///
/// There is nothing to observe. An episode is so many pulls.
#[derive(Clone, Debug)]
pub struct Bandits {
    arms: usize,
    pulls: usize,
    /// `[batch][arms]`
    probabilities: Vec<f32>,
    chance: Vec<Stream>,
    ages: Vec<usize>,
}

impl Bandits {
    /// `batch` instances with so many arms, whose episodes are so many pulls.
    pub fn new(arms: usize, pulls: usize, batch: usize) -> Self {
        Self {
            arms,
            pulls,
            probabilities: vec![0.0; arms * batch],
            chance: vec![Stream::seed_from_u64(0); batch],
            ages: vec![0; batch],
        }
    }

    /// The probability of each arm of an instance: what an oracle knows and a policy does not.
    pub fn probabilities(&self, instance: usize) -> &[f32] {
        &self.probabilities[instance * self.arms..(instance + 1) * self.arms]
    }
}

impl VectorEnvironment for Bandits {
    fn name(&self) -> &str {
        "bandit"
    }

    fn batch(&self) -> usize {
        self.ages.len()
    }

    fn observation_width(&self) -> usize {
        0
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Discrete(self.arms)
    }

    fn horizon(&self) -> usize {
        self.pulls
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        self.probabilities[instance * self.arms..][..self.arms].fill_with(|| uniform(random, 0.0, 1.0));
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        self.chance[instance] = Stream::seed_from_u64(random.next_u64());
        self.ages[instance] = 0;
    }

    fn observe(&self, _observations: &mut [f32]) {}

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        for (instance, chance) in self.chance.iter_mut().enumerate() {
            let arm = (actions[instance] as usize).min(self.arms - 1);
            let probability = self.probabilities[instance * self.arms + arm];
            rewards[instance] = f32::from(uniform(chance, 0.0, 1.0) < probability);
            self.ages[instance] += 1;
            ends[instance] = if self.ages[instance] >= self.pulls {
                End::Terminated
            } else {
                End::Continue
            };
        }
    }

    fn regrets(&self, regrets: &mut [f32]) -> bool {
        let batch = self.batch();
        for (instance, own) in self.probabilities.chunks_exact(self.arms).enumerate() {
            let best = own.iter().fold(0.0f32, |best, &other| best.max(other));
            for (arm, probability) in own.iter().enumerate() {
                regrets[arm * batch + instance] = best - probability;
            }
        }
        true
    }
}
