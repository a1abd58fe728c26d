//! Learning from regret instead of reward, where the simulator knows the best.

use pliant_runtime::experience::End;

use super::vector::forward_environment;
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
    forward_environment!(inner: name batch observation_width actions action_scale horizon discount_at new_task new_episode observe regrets);

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
}
