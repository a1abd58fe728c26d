//! Discounted returns, generalised advantage estimation, standardised advantages.

use super::End;
use crate::kernels::functions;

/// Discounted returns `G_t = r_t + gamma G_(t+1)`, one step at a time from the last to the first.
#[derive(Clone, Copy, Debug)]
pub struct ReturnSweep {
    gamma: f32,
    running: f32,
}

impl ReturnSweep {
    /// Starts after the last step.
    pub const fn new(gamma: f32) -> Self {
        Self { gamma, running: 0.0 }
    }

    /// The return from this step on.
    #[inline]
    pub fn step(&mut self, reward: f32, end: End) -> f32 {
        let next = if end.is_last() { 0.0 } else { self.running };
        self.running = reward + self.gamma * next;
        self.running
    }
}

/// Generalised advantage estimation (Schulman et al. 2016), one step at a time from the last to the first: `delta_t =
/// r_t + gamma V(s_(t+1)) - V(s_t)`, `A_t = delta_t + gamma lambda A_(t+1)`, both reaching no further than the end of
/// the trajectory, where the value is 0.
#[derive(Clone, Copy, Debug)]
pub struct AdvantageSweep {
    gamma: f32,
    decay: f32,
    next_value: f32,
    running: f32,
}

impl AdvantageSweep {
    /// Starts after the last step.
    pub const fn new(gamma: f32, lambda: f32) -> Self {
        Self {
            gamma,
            decay: gamma * lambda,
            next_value: 0.0,
            running: 0.0,
        }
    }

    /// The advantage of this step, where `value` is the baseline's value before it.
    #[inline]
    pub fn step(&mut self, reward: f32, value: f32, end: End) -> f32 {
        if end.is_last() {
            (self.next_value, self.running) = (0.0, 0.0);
        }
        let delta = reward + self.gamma * self.next_value - value;
        self.running = delta + self.decay * self.running;
        self.next_value = value;
        self.running
    }
}

/// Mean and deviation in two passes, then `(x - mean) / (deviation + 1e-8)`. Values that are all equal become 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standardiser {
    count: f32,
    sum: f32,
    mean: f32,
    squares: f32,
    factor: f32,
}

impl Standardiser {
    /// First pass.
    #[inline]
    pub fn add(&mut self, value: f32) {
        self.count += 1.0;
        self.sum += value;
    }

    /// Between the passes.
    pub fn finish_mean(&mut self) {
        self.mean = if self.count > 0.0 { self.sum / self.count } else { 0.0 };
    }

    /// Second pass.
    #[inline]
    pub fn add_square(&mut self, value: f32) {
        let deviation = value - self.mean;
        self.squares += deviation * deviation;
    }

    /// After the second pass.
    pub fn finish_deviation(&mut self) {
        let variance = if self.count > 0.0 {
            self.squares / self.count
        } else {
            0.0
        };
        self.factor = 1.0 / (functions::sqrt(variance) + 1e-8);
    }

    /// Third pass.
    #[inline]
    pub fn apply(&self, value: f32) -> f32 {
        (value - self.mean) * self.factor
    }
}

/// All three passes of [`Standardiser`] over a slice.
pub fn standardise(values: &mut [f32]) {
    let mut standardiser = Standardiser::default();
    values.iter().for_each(|value| standardiser.add(*value));
    standardiser.finish_mean();
    values.iter().for_each(|value| standardiser.add_square(*value));
    standardiser.finish_deviation();
    values.iter_mut().for_each(|value| *value = standardiser.apply(*value));
}
