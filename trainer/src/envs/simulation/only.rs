//! One task of a family: what is learned on that system alone.

use super::plant::forward_plant;
use super::{Channels, Number, Outcome, Plant, System, Widths};
use crate::random::Stream;

/// The same system, of which the same task is drawn every time. Episodes differ by their starts as ever.
///
/// ```
/// use pliant_trainer::envs::{Only, Pendulum, Plant};
/// use pliant_trainer::random::stream;
///
/// let mut random = stream(0, "example", &[]);
/// let one = Only::drawn(Pendulum::default(), &mut random);
/// let draws = [(); 2].map(|()| {
///     let mut parameters = vec![0.0; one.widths().parameters];
///     one.draw(&mut random, &mut parameters);
///     parameters
/// });
/// assert_eq!(draws[0], draws[1]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Only<S> {
    system: S,
    parameters: Vec<f32>,
}

impl<S: System> Only<S> {
    /// The task that `random` draws.
    pub fn drawn(system: S, random: &mut Stream) -> Self {
        let mut parameters = vec![0.0; system.widths().parameters];
        system.draw(random, &mut parameters);
        Self { system, parameters }
    }
}

impl<S: System> Plant for Only<S> {
    fn widths(&self) -> Widths {
        self.system.widths()
    }

    fn channels(&self) -> Channels {
        self.system.channels()
    }

    fn parameter_names(&self) -> &'static [&'static str] {
        self.system.parameter_names()
    }

    fn draw(&self, _: &mut Stream, parameters: &mut [f32]) {
        parameters.copy_from_slice(&self.parameters);
    }

    forward_plant!(system);
}

impl<S: System> System for Only<S> {
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], noise: &[T], observation: &mut [T]) {
        self.system.observe(state, parameters, noise, observation);
    }

    fn alive<T: Number>(&self, state: &[T], parameters: &[T]) -> T {
        self.system.alive(state, parameters)
    }

    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        self.system.step(state, parameters, action)
    }
}
