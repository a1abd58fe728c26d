//! A system whose parameters are told: for oracles, which show what could be done, and for teachers.

use pliant_runtime::contract::{Channel, Source};

use super::plant::forward_plant;
use super::{Channels, Number, Outcome, Plant, System, Widths};
use crate::random::{Stream, stream};

/// Draws that the normalisers of told parameters come from.
const DRAWS: u32 = 1000;

/// The same system with the true parameters after the observation: those that have a name, each with a normaliser for
/// its mean and standard deviation over the family.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<S> {
    system: S,
}

impl<S: System> Told<S> {
    /// Tells what the system has names for.
    pub fn new(system: S) -> Self {
        Self { system }
    }

    /// Mean and standard deviation of each parameter that is told.
    fn moments(&self) -> Vec<[f32; 2]> {
        let widths = self.system.widths();
        let mut random = stream(0, "moments of told parameters", &[]);
        let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
        let mut sums = vec![[0.0f64; 2]; self.system.parameter_names().len()];
        for _ in 0..DRAWS {
            self.system.draw(&mut random, &mut parameters);
            self.system.start(&mut random, &mut parameters, &mut state);
            for (sums, &value) in sums.iter_mut().zip(&parameters) {
                sums[0] += f64::from(value);
                sums[1] += f64::from(value).powi(2);
            }
        }
        let moments = sums.into_iter().map(|[sum, squares]| {
            let mean = sum / f64::from(DRAWS);
            let deviation = (squares / f64::from(DRAWS) - mean * mean).max(0.0).sqrt();
            // What never varies is told as 0.
            [mean as f32, if deviation > 1e-6 { deviation as f32 } else { 1.0 }]
        });
        moments.collect()
    }
}

impl<S: System> Plant for Told<S> {
    fn widths(&self) -> Widths {
        let widths = self.system.widths();
        Widths {
            observation: widths.observation + self.system.parameter_names().len(),
            ..widths
        }
    }

    fn channels(&self) -> Channels {
        let mut channels = self.system.channels();
        let told = self.system.parameter_names().iter().zip(self.moments());
        channels.observations.extend(told.map(|(name, [mean, scale])| Channel {
            source: Source::Task,
            ..Channel::observation(name, "").with_normaliser(mean, scale)
        }));
        channels
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        self.system.draw(random, parameters);
    }

    forward_plant!(system);
}

impl<S: System> System for Told<S> {
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], noise: &[T], observation: &mut [T]) {
        let (seen, told) = observation.split_at_mut(self.system.widths().observation);
        self.system.observe(state, parameters, noise, seen);
        told.copy_from_slice(&parameters[..told.len()]);
    }

    fn alive<T: Number>(&self, state: &[T], parameters: &[T]) -> T {
        self.system.alive(state, parameters)
    }

    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        self.system.step(state, parameters, action)
    }
}
