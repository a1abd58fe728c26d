//! A pole on a cart of unknown masses, length and friction, pushed by a force nobody sees.

use pliant_runtime::contract::Channel;
use serde::{Deserialize, Serialize};

use super::simulation::{Channels, Number, Outcome, Plant, System, Widths, runge_kutta, smooth_distance};
use crate::random::{Stream, uniform};
use crate::recipe::Checker;

/// Control period, s.
const PERIOD: f32 = 0.02;
const GRAVITY: f32 = 9.81;
/// Greatest force, N.
const FORCE: f32 = 20.0;
/// An episode is terminated beyond this distance from the origin, m.
const TRACK: f32 = 3.0;
/// An episode is terminated beyond this angle from upright, rad.
const TILT: f32 = 1.0;

/// Distances below this count less than in proportion, m.
const NEAR: f32 = 0.02;

/// Rows of the parameters.
mod row {
    /// Acceleration of cart and pole together at full force, m/s^2.
    pub(super) const FORCE: usize = 0;
    /// The pole's share of the mass.
    pub(super) const SHARE: usize = 1;
    /// Half the pole's length, m.
    pub(super) const LENGTH: usize = 2;
    /// The cart's viscous friction over the whole mass, 1/s.
    pub(super) const FRICTION: usize = 3;
    /// Acceleration of cart and pole together by the constant push, m/s^2.
    pub(super) const PUSH: usize = 4;
    pub(super) const WIDTH: usize = 5;
}

/// `[family.cart-pole]`: a pole balanced on a cart at the origin (Barto, Sutton and Anderson 1983), with a push that stays
/// the same through an episode: wind, or a track that is not level.
///
/// State and observation: position (m), velocity (m/s), angle from upright (rad), angular velocity (rad/s). The action is
/// a share of 20 N on the cart. The pole is a uniform rod. One step is one fourth-order Runge-Kutta step of 20 ms; an
/// episode has 500 (10 s). It starts within 0.5 m, 0.5 m/s, 0.2 rad, 0.5 rad/s. The cost is
/// `sqrt(x^2 + 0.02^2) - 0.02 + 0.02 v^2 + angle^2 + 0.01 w^2 + 0.01 a^2`, with quadratic barriers from 2 m and 0.6 rad on.
/// Terminated beyond 3 m or 1 rad.
///
/// Each range is `[least, greatest]`, drawn uniformly; the push for every episode, the others for every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPole {
    /// Mass of the cart, kg. From 0.1 to 10; default 0.5 to 2.
    pub cart: [f32; 2],
    /// Mass of the pole, kg. From 0.01 to 5; default 0.05 to 0.5.
    pub pole: [f32; 2],
    /// Half the pole's length, m. From 0.1 to 2; default 0.25 to 1.
    pub half_length: [f32; 2],
    /// Viscous friction of the cart, N s/m. From 0 to 10; default 0 to 1.
    pub friction: [f32; 2],
    /// Constant force on the cart, N. From -10 to 10; default -6 to 6.
    pub push: [f32; 2],
}

impl Default for CartPole {
    fn default() -> Self {
        Self {
            cart: [0.5, 2.0],
            pole: [0.05, 0.5],
            half_length: [0.25, 1.0],
            friction: [0.0, 1.0],
            push: [-6.0, 6.0],
        }
    }
}

impl CartPole {
    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.range("cart", self.cart, 0.1, 10.0);
        checker.range("pole", self.pole, 0.01, 5.0);
        checker.range("half_length", self.half_length, 0.1, 2.0);
        checker.range("friction", self.friction, 0.0, 10.0);
        checker.range("push", self.push, -10.0, 10.0);
    }

    /// Writes the rows of a task: masses of cart and pole in kg, half length in m, friction in N s/m.
    pub fn describe([cart, pole, half_length, friction]: [f32; 4], parameters: &mut [f32]) {
        let mass = cart + pole;
        parameters[row::FORCE] = FORCE / mass;
        parameters[row::SHARE] = pole / mass;
        parameters[row::LENGTH] = half_length;
        parameters[row::FRICTION] = friction / mass;
    }

    /// Writes the row of an episode: the push in N.
    pub fn push(force: f32, parameters: &mut [f32]) {
        parameters[row::PUSH] = force / FORCE * parameters[row::FORCE];
    }
}

impl Plant for CartPole {
    fn widths(&self) -> Widths {
        Widths {
            state: 4,
            physical: 4,
            parameters: row::WIDTH,
            action: 1,
            observation: 4,
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
        Channels {
            observations: vec![
                Channel::observation("position", "m").with_range(-TRACK, TRACK),
                Channel::observation("velocity", "m/s"),
                Channel::observation("angle", "rad").with_normaliser(0.0, 0.2),
                Channel::observation("angular velocity", "rad/s"),
            ],
            actions: vec![Channel::action("force", "").with_range(-1.0, 1.0)],
        }
    }

    fn parameter_names(&self) -> &'static [&'static str] {
        &["force", "pole's share", "half length", "friction", "push"]
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        let ranges = [self.cart, self.pole, self.half_length, self.friction];
        Self::describe(
            ranges.map(|[least, greatest]| uniform(random, least, greatest)),
            parameters,
        );
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        Self::push(uniform(random, self.push[0], self.push[1]), parameters);
        for (value, limit) in state.iter_mut().zip([0.5, 0.5, 0.2, 0.5]) {
            *value = uniform(random, -limit, limit);
        }
    }

    fn lost_cost(&self) -> f32 {
        10.0
    }

    fn error_name(&self) -> &'static str {
        "position error, mm"
    }

    fn error(&self, state: &[f32], _parameters: &[f32]) -> f64 {
        1000.0 * f64::from(state[0]).abs()
    }
}

impl System for CartPole {
    #[inline(always)]
    fn observe<T: Number>(&self, state: &[T], _parameters: &[T], _noise: &[T], observation: &mut [T]) {
        observation.copy_from_slice(state);
    }

    #[inline(always)]
    fn alive<T: Number>(&self, state: &[T], _parameters: &[T]) -> T {
        let (one, zero) = (state[0].constant_like(1.0), state[0].constant_like(0.0));
        let near = state[0].abs().select_below(one * TRACK, one, zero);
        state[2].abs().select_below(one * TILT, near, zero)
    }

    #[inline(always)]
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        let pushed = action[0] * parameters[row::FORCE] + parameters[row::PUSH];
        let (share, length) = (parameters[row::SHARE], parameters[row::LENGTH]);
        let lever = share * length;
        let next = runge_kutta(
            [state[0], state[1], state[2], state[3]],
            PERIOD,
            |[_, velocity, angle, spin]| {
                let (sine, cosine) = (angle.sin(), angle.cos());
                let drive = pushed - velocity * parameters[row::FRICTION] + lever * spin.square() * sine;
                // Of a uniform rod about its centre: m l^2 / 3 with half the length l.
                let rotation = (sine * GRAVITY - cosine * drive) / (length * (-(share * cosine.square()) + 4.0 / 3.0));
                [velocity, drive - lever * rotation * cosine, spin, rotation]
            },
        );
        state.copy_from_slice(&next);
        let barrier = (state[0].abs() - 2.0).relu().square() + (state[2].abs() - 0.6).relu().square() * 10.0;
        let moving = state[1].square() * 0.02 + state[2].square() + state[3].square() * 0.01;
        Outcome {
            cost: smooth_distance(state[0].square(), NEAR) + moving + action[0].square() * 0.01 + barrier * 10.0,
            alive: self.alive(state, parameters),
        }
    }
}
