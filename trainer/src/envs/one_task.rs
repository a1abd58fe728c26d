//! One task of an environment's family, and no other.

use pliant_runtime::experience::End;

use super::vector::forward_environment;
use super::{ActionSpace, VectorEnvironment};
use crate::random::Stream;

/// An environment whose instances all have the same task, whoever asks for a new one; episodes go on being drawn.
///
/// ```
/// use pliant_trainer::envs::{Bandits, OneTask, VectorEnvironment};
/// use pliant_trainer::random::stream;
///
/// let mut bandits = OneTask::new(Bandits::new(4, 10, 2), stream(0, "the task", &[]));
/// for instance in 0..2 {
///     bandits.new_task(instance, &mut stream(0, "whatever", &[instance as u64]));
/// }
/// let bandits = bandits.into_inner();
/// assert_eq!(bandits.probabilities(0), bandits.probabilities(1));
/// ```
#[derive(Clone, Debug)]
pub struct OneTask<E> {
    inner: E,
    task: Stream,
}

impl<E: VectorEnvironment> OneTask<E> {
    /// The task that is drawn from this stream.
    pub fn new(environment: E, task: Stream) -> Self {
        Self {
            inner: environment,
            task,
        }
    }

    /// The environment, as it stands.
    pub fn into_inner(self) -> E {
        self.inner
    }
}

impl<E: VectorEnvironment> VectorEnvironment for OneTask<E> {
    forward_environment!(inner: name batch observation_width actions action_scale horizon discount_at new_episode observe step regrets);

    fn new_task(&mut self, instance: usize, _: &mut Stream) {
        self.inner.new_task(instance, &mut self.task.clone());
    }
}
