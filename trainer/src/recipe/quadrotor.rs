//! `[family.quadrotor]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;
use crate::envs::quadrotor::Variation;

/// Quadrotors from 20 g to 5 kg that hover at a setpoint (the distribution of RAPTOR, arXiv 2509.11481), and what is
/// varied beyond it. Each range is `[least, greatest]`, drawn uniformly for every episode; the defaults vary nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quadrotor {
    /// Delay from an action to the motors, s. From 0 to 0.03.
    pub latency: [f32; 2],
    /// Standard deviation of the noise on the observed position, m. From 0 to 0.1.
    pub position_noise: [f32; 2],
    /// Standard deviation of the noise on the observed velocity, m/s. From 0 to 1.
    pub velocity_noise: [f32; 2],
    /// Standard deviation of the noise on the observed angular velocity, rad/s. From 0 to 1.
    pub spin_noise: [f32; 2],
    /// Thrust of one motor relative to a new one. From 0.3 to 1.
    pub wear: [f32; 2],
    /// Share of the thrust that is lost by the end of an episode as the battery empties. From 0 to 0.5.
    pub sag: [f32; 2],
    /// Payload carried from the start relative to the vehicle's mass; it drops at a random step. From 0 to 1.
    pub payload: [f32; 2],
    /// Share of the quadrotors in training whose torque-to-inertia ratio is drawn from the lowest tenth of its range, in
    /// addition to those drawn so anyway: they are the hard ones. From 0 to 1.
    pub sluggish: f32,
    /// Episodes that each held-out quadrotor flies. From 1 to 1000.
    pub evaluation_episodes: usize,
}

impl Default for Quadrotor {
    fn default() -> Self {
        let Variation {
            latency,
            position_noise,
            velocity_noise,
            spin_noise,
            wear,
            sag,
            payload,
        } = Variation::NONE;
        Self {
            latency,
            position_noise,
            velocity_noise,
            spin_noise,
            wear,
            sag,
            payload,
            sluggish: 0.0,
            evaluation_episodes: 10,
        }
    }
}

impl Quadrotor {
    /// What is varied beyond the plain distribution.
    pub fn variation(&self) -> Variation {
        Variation {
            latency: self.latency,
            position_noise: self.position_noise,
            velocity_noise: self.velocity_noise,
            spin_noise: self.spin_noise,
            wear: self.wear,
            sag: self.sag,
            payload: self.payload,
        }
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.range("latency", self.latency, 0.0, Variation::MOST_LATENCY);
        checker.range("position_noise", self.position_noise, 0.0, 0.1);
        checker.range("velocity_noise", self.velocity_noise, 0.0, 1.0);
        checker.range("spin_noise", self.spin_noise, 0.0, 1.0);
        checker.range("wear", self.wear, 0.3, 1.0);
        checker.range("sag", self.sag, 0.0, 0.5);
        checker.range("payload", self.payload, 0.0, 1.0);
        checker.between("sluggish", self.sluggish, 0.0, 1.0);
        checker.count("evaluation_episodes", self.evaluation_episodes as u64, 1, 1000);
    }
}
