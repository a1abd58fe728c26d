//! Trials: episodes of one task in a row, as one long episode of an agent that learns in context (Duan et al. 2016).

use pliant_runtime::experience::End;
use rand_core::{Rng, SeedableRng};

use super::vector::forward_environment;
use super::{ActionSpace, VectorEnvironment};
use crate::random::Stream;

/// An environment whose episode is a whole trial of another's, and whose observations also hold what the agent did before
/// and what came of it.
///
/// Behind the inner observation stand the previous action (one-hot where discrete), the reward that it had, and 1 at the
/// first step of each episode of the trial, otherwise 0. At the first step of a trial the previous action and the reward
/// are 0: nothing came before.
#[derive(Clone, Debug)]
pub struct Trials<E> {
    inner: E,
    episodes: usize,
    /// `[actions, batch]`
    previous: Vec<f32>,
    /// `[batch]`
    reward: Vec<f32>,
    /// Whether an episode begins, `[batch]`.
    first: Vec<f32>,
    /// Episodes that have ended in this trial, `[batch]`.
    ended: Vec<usize>,
    /// What the later episodes of a trial are drawn from.
    starts: Vec<Stream>,
}

impl<E: VectorEnvironment> Trials<E> {
    /// Trials of so many episodes.
    pub fn new(inner: E, episodes: usize) -> Self {
        let batch = inner.batch();
        Self {
            episodes: episodes.max(1),
            previous: vec![0.0; inner.actions().width() * batch],
            reward: vec![0.0; batch],
            first: vec![1.0; batch],
            ended: vec![0; batch],
            starts: vec![Stream::seed_from_u64(0); batch],
            inner,
        }
    }

    /// What the trials are of, as it stands.
    pub fn into_inner(self) -> E {
        self.inner
    }

    /// What the episodes of a trial are drawn from, one after the other, where `random` draws the trial.
    pub fn episodes_of(random: &mut Stream) -> Stream {
        Stream::seed_from_u64(random.next_u64())
    }

    /// Episodes that have ended in an instance's trial so far.
    pub fn ended(&self, instance: usize) -> usize {
        self.ended[instance]
    }

    /// Whether the instance's next step is the first of an episode.
    pub fn begins(&self, instance: usize) -> bool {
        self.first[instance] > 0.5
    }
}

impl<E: VectorEnvironment> VectorEnvironment for Trials<E> {
    forward_environment!(inner: name batch actions action_scale discount_at new_task regrets);

    fn observation_width(&self) -> usize {
        self.inner.observation_width() + self.inner.actions().width() + 2
    }

    fn horizon(&self) -> usize {
        self.inner.horizon() * self.episodes
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        let batch = self.batch();
        self.starts[instance] = Self::episodes_of(random);
        self.inner.new_episode(instance, &mut self.starts[instance]);
        let previous = self.previous.iter_mut().skip(instance).step_by(batch);
        previous.for_each(|value| *value = 0.0);
        self.reward[instance] = 0.0;
        self.first[instance] = 1.0;
        self.ended[instance] = 0;
    }

    fn observe(&self, observations: &mut [f32]) {
        let (own, rest) = observations.split_at_mut(self.inner.observation_width() * self.batch());
        self.inner.observe(own);
        let (previous, rest) = rest.split_at_mut(self.previous.len());
        previous.copy_from_slice(&self.previous);
        let (reward, first) = rest.split_at_mut(self.reward.len());
        reward.copy_from_slice(&self.reward);
        first.copy_from_slice(&self.first);
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.inner.step(actions, rewards, ends);
        let batch = self.batch();
        match self.inner.actions() {
            ActionSpace::Continuous(_) => self.previous.copy_from_slice(actions),
            ActionSpace::Discrete(choices) => {
                self.previous.fill(0.0);
                for (instance, &action) in actions.iter().enumerate() {
                    self.previous[(action as usize).min(choices - 1) * batch + instance] = 1.0;
                }
            }
        }
        self.reward.copy_from_slice(rewards);
        for (instance, end) in ends.iter_mut().enumerate() {
            self.first[instance] = f32::from(end.is_last());
            if !end.is_last() {
                continue;
            }
            self.ended[instance] += 1;
            *end = if self.ended[instance] >= self.episodes {
                // A trial is as long as it is: nothing is expected after it.
                End::Terminated
            } else {
                self.inner.new_episode(instance, &mut self.starts[instance]);
                End::Continue
            };
        }
    }
}
