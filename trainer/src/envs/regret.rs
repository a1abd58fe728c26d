//! Learning from regret instead of reward, where the simulator knows the best.

use pliant_runtime::experience::End;

use super::{ActionSpace, VectorEnvironment};
use crate::random::Stream;

/// An environment with choices whose rewards are the [`VectorEnvironment::regrets`] of what is chosen, with a minus: what a
/// step lost against the best that was to be had from its state on. The observations are as before; where they hold
/// rewards, they hold the real ones.
///
/// For an optimal value V* of the task that is told to the trainer only, the return of an episode is V*(s_0) plus, in the
/// mean, the sum of the advantages A*(s_t, a_t) = -regret of its steps (Kakade and Langford 2002, lemma 6.1), whatever the
/// policy. So both have the same best policies, adaptive ones included, and of the two only the regret is free of the chance
/// of rewards and transitions: it is potential-based shaping (Ng, Harada and Russell 1999) by V*, in expectation over a step.
#[derive(Clone, Debug)]
pub struct Regret<E> {
    inner: E,
    /// Before a step, `[choices, batch]`.
    regrets: Vec<f32>,
}

impl<E: VectorEnvironment> Regret<E> {
    /// Of an environment that tells regrets.
    ///
    /// # Panics
    /// In [`step`](VectorEnvironment::step), where `environment` tells none.
    pub fn new(environment: E) -> Self {
        Self {
            regrets: vec![0.0; environment.actions().width() * environment.batch()],
            inner: environment,
        }
    }
}

impl<E: VectorEnvironment> VectorEnvironment for Regret<E> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    fn observation_width(&self) -> usize {
        self.inner.observation_width()
    }

    fn actions(&self) -> ActionSpace {
        self.inner.actions()
    }

    fn action_scale(&self) -> f32 {
        self.inner.action_scale()
    }

    fn horizon(&self) -> usize {
        self.inner.horizon()
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        self.inner.new_task(instance, random);
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        self.inner.new_episode(instance, random);
    }

    fn observe(&self, observations: &mut [f32]) {
        self.inner.observe(observations);
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        assert!(
            self.inner.regrets(&mut self.regrets),
            "`{}` tells no regrets",
            self.inner.name()
        );
        self.inner.step(actions, rewards, ends);
        let batch = self.batch();
        for (instance, (reward, &action)) in rewards.iter_mut().zip(actions).enumerate() {
            *reward = -self.regrets[action as usize * batch + instance];
        }
    }

    fn regrets(&self, regrets: &mut [f32]) -> bool {
        self.inner.regrets(regrets)
    }
}
