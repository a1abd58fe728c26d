//! A pendulum of unknown mass, length and friction, held at an angle.

use pliant_runtime::contract::{Channel, Source};
use serde::{Deserialize, Serialize};

use super::simulation::{Channels, Number, Outcome, Plant, System, Widths, runge_kutta, smooth_distance};
use crate::random::{Stream, uniform};
use crate::recipe::Checker;

/// Control period, s.
const PERIOD: f32 = 0.02;
const GRAVITY: f32 = 9.81;
/// Greatest torque, N m.
const TORQUE: f32 = 30.0;
/// Targets lie within this angle of hanging down, rad.
const REACH: f32 = 2.5;
/// Starts lie within this angle of the target, rad.
const AWAY: f32 = 1.0;
/// Errors below this count less than in proportion, rad.
const NEAR: f32 = 0.02;
/// An episode is terminated beyond this angular velocity, rad/s.
const SPIN_LIMIT: f32 = 40.0;

/// Rows of the parameters.
mod row {
    /// Angular acceleration at full torque, 1/s^2.
    pub(super) const PUSH: usize = 0;
    /// Gravity over length, 1/s^2.
    pub(super) const GRAVITY: usize = 1;
    /// Viscous friction over inertia, 1/s.
    pub(super) const FRICTION: usize = 2;
    /// Share of the full torque that holds it horizontally.
    pub(super) const LOAD: usize = 3;
    /// Angle to hold, rad from hanging down.
    pub(super) const TARGET: usize = 4;
    /// Its sine.
    pub(super) const TARGET_SINE: usize = 5;
    pub(super) const WIDTH: usize = 6;
}

/// `[family.pendulum]`: a pendulum with a motor that turns to a given angle and holds it; how much torque that takes
/// depends on what the policy is not told.
///
/// State: angle from hanging down (rad), angular velocity (rad/s). The observation is the angle's sine and cosine, the
/// angular velocity, the error to the target (rad) and the target's sine; not the last action, with which a policy
/// without memory would have one. The action is a share of 30 N m. One step is one fourth-order Runge-Kutta step of 20 ms;
/// an episode has 500 (10 s). The target lies within 2.5 rad of hanging down, the start within 1 rad of it and 1 rad/s. The
/// cost is `sqrt(e^2 + 0.02^2) - 0.02 + 0.005 w^2 + 0.01 a^2`. Terminated beyond 40 rad/s.
///
/// Each range is `[least, greatest]`, drawn uniformly for every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pendulum {
    /// Mass of the point at the end, kg. From 0.1 to 10; default 0.4 to 2.5.
    pub mass: [f32; 2],
    /// Length, m. From 0.1 to 2; default 0.5 to 1.
    pub length: [f32; 2],
    /// Viscous friction, N m s. From 0 to 5; default 0 to 0.5.
    pub friction: [f32; 2],
}

impl Default for Pendulum {
    fn default() -> Self {
        Self {
            mass: [0.4, 2.5],
            length: [0.5, 1.0],
            friction: [0.0, 0.5],
        }
    }
}

impl Pendulum {
    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.range("mass", self.mass, 0.1, 10.0);
        checker.range("length", self.length, 0.1, 2.0);
        checker.range("friction", self.friction, 0.0, 5.0);
    }

    /// Writes the rows of a task: mass in kg, length in m, friction in N m s.
    pub fn describe([mass, length, friction]: [f32; 3], parameters: &mut [f32]) {
        let inertia = mass * length * length;
        parameters[row::PUSH] = TORQUE / inertia;
        parameters[row::GRAVITY] = GRAVITY / length;
        parameters[row::FRICTION] = friction / inertia;
        parameters[row::LOAD] = mass * GRAVITY * length / TORQUE;
    }

    /// Writes the rows of an episode: the target, rad.
    pub fn aim(target: f32, parameters: &mut [f32]) {
        parameters[row::TARGET] = target;
        parameters[row::TARGET_SINE] = libm::sinf(target);
    }
}

impl Plant for Pendulum {
    fn widths(&self) -> Widths {
        Widths {
            state: 2,
            physical: 2,
            parameters: row::WIDTH,
            action: 1,
            observation: 5,
            noise: 0,
        }
    }

    fn horizon(&self) -> usize {
        500
    }

    fn rate_hz(&self) -> f32 {
        1.0 / PERIOD
    }

    fn channels(&self) -> Channels {
        let sine = |name: &str| Channel::observation(name, "").with_range(-1.0, 1.0);
        Channels {
            observations: vec![
                sine("angle, sine"),
                sine("angle, cosine"),
                Channel::observation("angular velocity", "rad/s").with_normaliser(0.0, 3.0),
                Channel::observation("error", "rad"),
                Channel {
                    source: Source::Task,
                    ..sine("target, sine")
                },
            ],
            actions: vec![Channel::action("torque", "").with_range(-1.0, 1.0)],
        }
    }

    fn parameter_names(&self) -> &'static [&'static str] {
        &["push", "gravity", "friction", "load"]
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        let task = [self.mass, self.length, self.friction].map(|[least, greatest]| uniform(random, least, greatest));
        Self::describe(task, parameters);
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        let target = uniform(random, -REACH, REACH);
        Self::aim(target, parameters);
        state[0] = target + uniform(random, -AWAY, AWAY);
        state[1] = uniform(random, -1.0, 1.0);
    }

    fn lost_cost(&self) -> f32 {
        10.0
    }

    fn error_name(&self) -> &'static str {
        "angle error, mrad"
    }

    fn error(&self, state: &[f32], parameters: &[f32]) -> f64 {
        1000.0 * f64::from(state[0] - parameters[row::TARGET]).abs()
    }
}

impl System for Pendulum {
    #[inline(always)]
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], _noise: &[T], observation: &mut [T]) {
        observation[0] = state[0].sin();
        observation[1] = state[0].cos();
        observation[2] = state[1];
        observation[3] = state[0] - parameters[row::TARGET];
        observation[4] = parameters[row::TARGET_SINE];
    }

    #[inline(always)]
    fn alive<T: Number>(&self, state: &[T], _parameters: &[T]) -> T {
        let (one, zero) = (state[1].constant_like(1.0), state[1].constant_like(0.0));
        state[1].abs().select_below(one * SPIN_LIMIT, one, zero)
    }

    #[inline(always)]
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        let push = action[0] * parameters[row::PUSH];
        let next = runge_kutta([state[0], state[1]], PERIOD, |[angle, speed]| {
            let acceleration = push - angle.sin() * parameters[row::GRAVITY] - speed * parameters[row::FRICTION];
            [speed, acceleration]
        });
        state.copy_from_slice(&next);
        let error = state[0] - parameters[row::TARGET];
        Outcome {
            cost: smooth_distance(error.square(), NEAR) + state[1].square() * 0.005 + action[0].square() * 0.01,
            alive: self.alive(state, parameters),
        }
    }
}
