//! How fast and how far it adapts.

/// How fast and how far it adapts. The defaults were chosen on development draws of the quadrotor family; see
/// `docs/algorithms/in-flight.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// Control periods a second. Default 100.
    pub rate_hz: f32,
    /// Weight of a sample of the push against the next one, 0 to 1. Default 0.7.
    pub memory: f32,
    /// How far ahead the push is read, s. Default 0.05.
    pub lead: f32,
    /// Greatest push, m/s^2 along each axis. Default 5.
    pub push_limit: f32,
    /// Size of the offset's gradient step, 1/s. What it learned on the way to the setpoint fades as fast. Default 1.5.
    pub offset_rate: f32,
    /// Greatest offset along each axis, m. Default 0.3.
    pub offset_limit: f32,
    /// Distance from the setpoint within which the offset learns, m. Default 0.2.
    pub reach: f32,
    /// Size of the trim's gradient step, 1/s. Default 0.5.
    pub trim_rate: f32,
    /// The trim of a mode only learns while the square of the mean command is above this share of its mean square, 0 to 1: what
    /// swings to and fro is no trim. Default 0.7.
    pub steady: f32,
    /// Greatest trim of a mode, in shares of an action. Default 0.3.
    pub trim_limit: f32,
    /// Mean angular velocity above which nothing is changed and everything forgotten, rad/s. Default 9.
    pub unrest: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate_hz: 100.0,
            memory: 0.7,
            lead: 0.05,
            push_limit: 5.0,
            offset_rate: 1.5,
            offset_limit: 0.3,
            reach: 0.2,
            trim_rate: 0.5,
            steady: 0.7,
            trim_limit: 0.3,
            unrest: 9.0,
        }
    }
}
