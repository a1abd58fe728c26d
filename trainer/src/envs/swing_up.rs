//! The pendulum of Gym (`Pendulum-v1`): too weak a motor has to swing it up.

use pliant_runtime::experience::End;

use super::{ActionSpace, VectorEnvironment};
use crate::random::{Stream, uniform};

/// Control period, s.
const PERIOD: f32 = 0.05;
/// m/s^2
const GRAVITY: f32 = 10.0;
/// Greatest torque, N m.
pub const TORQUE: f32 = 2.0;
/// Greatest angular velocity, rad/s.
const SPEED: f32 = 8.0;

/// Pendulums of 1 kg and 1 m with a motor of 2 N m, as Gym's `Pendulum-v1`: the standard test of continuous control.
///
/// The observation is `[cos, sin, angular velocity]` with the angle from upright; the action is the torque in N m, clipped
/// to 2; the reward is minus `angle^2 + 0.1 velocity^2 + 0.001 torque^2` before the step, the angle brought to -pi..pi. One
/// step is 50 ms of semi-implicit Euler, an episode 200 steps, from any angle and up to 1 rad/s. There is one task.
#[derive(Clone, Debug)]
pub struct SwingUp {
    angles: Vec<f32>,
    speeds: Vec<f32>,
    ages: Vec<usize>,
}

impl SwingUp {
    /// Steps of an episode.
    pub const HORIZON: usize = 200;

    /// `batch` instances.
    pub fn new(batch: usize) -> Self {
        Self {
            angles: vec![0.0; batch],
            speeds: vec![0.0; batch],
            ages: vec![0; batch],
        }
    }

    /// Puts an instance at an angle (rad from upright) with an angular velocity (rad/s), at the start of an episode.
    pub fn place(&mut self, instance: usize, angle: f32, speed: f32) {
        self.angles[instance] = angle;
        self.speeds[instance] = speed;
        self.ages[instance] = 0;
    }
}

impl VectorEnvironment for SwingUp {
    fn name(&self) -> &str {
        "swing-up"
    }

    fn batch(&self) -> usize {
        self.ages.len()
    }

    fn observation_width(&self) -> usize {
        3
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Continuous(1)
    }

    fn action_scale(&self) -> f32 {
        TORQUE
    }

    fn horizon(&self) -> usize {
        Self::HORIZON
    }

    fn new_task(&mut self, _instance: usize, _random: &mut Stream) {}

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        let angle = uniform(random, -core::f32::consts::PI, core::f32::consts::PI);
        self.place(instance, angle, uniform(random, -1.0, 1.0));
    }

    fn observe(&self, observations: &mut [f32]) {
        let batch = self.batch();
        for (instance, angle) in self.angles.iter().enumerate() {
            let (sine, cosine) = angle.sin_cos();
            observations[instance] = cosine;
            observations[batch + instance] = sine;
            observations[2 * batch + instance] = self.speeds[instance];
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        for instance in 0..self.batch() {
            let (angle, speed) = (&mut self.angles[instance], &mut self.speeds[instance]);
            let torque = actions[instance].clamp(-TORQUE, TORQUE);
            let turn = core::f32::consts::TAU;
            let error = *angle - turn * (*angle / turn).round();
            rewards[instance] = -(error * error + 0.1 * *speed * *speed + 0.001 * torque * torque);
            let acceleration = 1.5 * GRAVITY * angle.sin() + 3.0 * torque;
            *speed = (*speed + acceleration * PERIOD).clamp(-SPEED, SPEED);
            *angle += *speed * PERIOD;
            self.ages[instance] += 1;
            ends[instance] = if self.ages[instance] >= Self::HORIZON {
                End::Truncated
            } else {
                End::Continue
            };
        }
    }
}
