//! Observations and examples of every size, by a small generator.

use pliant_runtime::contract::{MAX_ACTIONS, MAX_OBSERVATIONS};

/// How many channels the image has.
#[derive(Clone, Copy)]
pub struct Channels {
    /// Of an observation.
    pub observations: usize,
    /// Of an action.
    pub actions: usize,
}

/// Xorshift (Marsaglia 2003).
pub struct Data {
    state: u32,
    observation: [f32; MAX_OBSERVATIONS],
    target: [f32; MAX_ACTIONS],
}

impl Data {
    /// The sequence of a seed, not 0.
    pub const fn seeded(seed: u32) -> Self {
        Self {
            state: seed,
            observation: [0.0; MAX_OBSERVATIONS],
            target: [0.0; MAX_ACTIONS],
        }
    }

    fn next(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }

    /// Uniform in [-1, 1).
    fn uniform(&mut self) -> f32 {
        (self.next() >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// Values of one size: ordinary, tiny, saturating, zero, or mixed.
    fn value(&mut self, size: u32) -> f32 {
        let size = if size == 4 { self.next() % 4 } else { size };
        let scale = match size {
            0 => 1.0,
            1 => 1e-30,
            2 => 100.0,
            _ => 0.0,
        };
        scale * self.uniform()
    }

    /// The next observation.
    pub fn observation(&mut self, channels: Channels) -> &[f32] {
        let size = self.next() % 5;
        for index in 0..channels.observations.min(MAX_OBSERVATIONS) {
            let value = self.value(size);
            if let Some(place) = self.observation.get_mut(index) {
                *place = value;
            }
        }
        self.observation.get(..channels.observations).unwrap_or(&[])
    }

    /// The next example: an observation and what should be answered, up to 1 in magnitude.
    pub fn example(&mut self, channels: Channels) -> (&[f32], &[f32]) {
        for index in 0..channels.actions.min(MAX_ACTIONS) {
            let value = self.uniform();
            if let Some(place) = self.target.get_mut(index) {
                *place = value;
            }
        }
        self.observation(channels);
        (
            self.observation.get(..channels.observations).unwrap_or(&[]),
            self.target.get(..channels.actions).unwrap_or(&[]),
        )
    }
}
