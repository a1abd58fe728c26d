//! A two-link arm that carries a load nobody weighed.

use pliant_runtime::contract::Channel;
use serde::{Deserialize, Serialize};

use super::simulation::{Channels, Number, Outcome, Plant, System, Widths, runge_kutta, smooth_distance};
use crate::random::{Stream, uniform};
use crate::recipe::Checker;

/// Control period, s.
const PERIOD: f32 = 0.02;
const GRAVITY: f32 = 9.81;
/// Greatest torque of shoulder and elbow, N m.
const TORQUES: [f32; 2] = [60.0, 30.0];
/// Length of each link, m.
const LENGTH: f32 = 0.5;
/// Mass of each link, kg.
const MASS: f32 = 1.5;
/// Targets lie within this angle of hanging straight, rad.
const REACH: f32 = 1.5;
/// Starts lie within this angle of the target, rad.
const AWAY: f32 = 1.0;
/// Errors below this count less than in proportion, rad.
const NEAR: f32 = 0.02;
/// An episode is terminated when a joint is faster, rad/s.
const SPEED_LIMIT: f32 = 40.0;

/// Rows of the parameters.
mod row {
    /// Mass of the load, kg.
    pub(super) const PAYLOAD: usize = 0;
    /// Viscous friction of shoulder and elbow, N m s.
    pub(super) const FRICTION: usize = 1;
    /// Target angles of shoulder and elbow, rad.
    pub(super) const TARGET: usize = 3;
    pub(super) const WIDTH: usize = 5;
}

/// `[family.two-link-arm]`: a planar arm in a vertical plane that reaches for a given posture and holds it, with a point
/// load in the hand (Spong, Hutchinson and Vidyasagar 2006, section 7.3).
///
/// State: shoulder angle from hanging down, elbow angle from straight (rad), both angular velocities (rad/s). The
/// observation is the state and the two errors to the targets (rad). Actions are shares of 60 and 30 N m. Links are uniform
/// rods of 0.5 m and 1.5 kg. One step is one fourth-order Runge-Kutta step of 20 ms; an episode has 500 (10 s). The
/// targets lie within 1.5 rad of hanging straight, the starts within 1 rad of them and 0.5 rad/s. The cost is
/// `sqrt(|e|^2 + 0.02^2) - 0.02 + 0.005 |w|^2 + 0.01 |a|^2`. Terminated beyond 40 rad/s.
///
/// Each range is `[least, greatest]`, drawn uniformly for every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoLinkArm {
    /// Mass of the load, kg. From 0 to 3; default 0 to 3.
    pub payload: [f32; 2],
    /// Viscous friction of each joint, drawn for each, N m s. From 0 to 0.5, above which steps of 20 ms are too
    /// long; default 0 to 0.5.
    pub friction: [f32; 2],
}

impl Default for TwoLinkArm {
    fn default() -> Self {
        Self {
            payload: [0.0, 3.0],
            friction: [0.0, 0.5],
        }
    }
}

impl TwoLinkArm {
    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.range("payload", self.payload, 0.0, 3.0);
        checker.range("friction", self.friction, 0.0, 0.5);
    }

    /// Where the hand is with these joint angles, m from the shoulder: to the side and down.
    pub fn hand(shoulder: f32, elbow: f32) -> [f64; 2] {
        let (shoulder, elbow) = (f64::from(shoulder), f64::from(elbow));
        let length = f64::from(LENGTH);
        [
            length * (libm::sin(shoulder) + libm::sin(shoulder + elbow)),
            length * (libm::cos(shoulder) + libm::cos(shoulder + elbow)),
        ]
    }
}

impl Plant for TwoLinkArm {
    fn widths(&self) -> Widths {
        Widths {
            state: 4,
            physical: 4,
            parameters: row::WIDTH,
            action: 2,
            observation: 6,
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
        let speed = |name: &str| Channel::observation(name, "rad/s").with_normaliser(0.0, 3.0);
        Channels {
            observations: vec![
                Channel::observation("shoulder", "rad"),
                Channel::observation("elbow", "rad"),
                speed("shoulder velocity"),
                speed("elbow velocity"),
                Channel::observation("shoulder error", "rad"),
                Channel::observation("elbow error", "rad"),
            ],
            actions: ["shoulder torque", "elbow torque"]
                .map(|name| Channel::action(name, "").with_range(-1.0, 1.0))
                .to_vec(),
        }
    }

    fn parameter_names(&self) -> &'static [&'static str] {
        &["payload", "shoulder friction", "elbow friction"]
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        parameters[row::PAYLOAD] = uniform(random, self.payload[0], self.payload[1]);
        for joint in 0..2 {
            parameters[row::FRICTION + joint] = uniform(random, self.friction[0], self.friction[1]);
        }
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        for joint in 0..2 {
            let target = uniform(random, -REACH, REACH);
            parameters[row::TARGET + joint] = target;
            state[joint] = target + uniform(random, -AWAY, AWAY);
            state[2 + joint] = uniform(random, -0.5, 0.5);
        }
    }

    fn lost_cost(&self) -> f32 {
        10.0
    }

    fn error_name(&self) -> &'static str {
        "hand error, mm"
    }

    fn error(&self, state: &[f32], parameters: &[f32]) -> f64 {
        let [x, y] = Self::hand(state[0], state[1]);
        let [wanted_x, wanted_y] = Self::hand(parameters[row::TARGET], parameters[row::TARGET + 1]);
        1000.0 * libm::hypot(x - wanted_x, y - wanted_y)
    }
}

impl System for TwoLinkArm {
    #[inline(always)]
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], _noise: &[T], observation: &mut [T]) {
        observation[..4].copy_from_slice(&state[..4]);
        for joint in 0..2 {
            observation[4 + joint] = state[joint] - parameters[row::TARGET + joint];
        }
    }

    #[inline(always)]
    fn alive<T: Number>(&self, state: &[T], _parameters: &[T]) -> T {
        let (one, zero) = (state[0].constant_like(1.0), state[0].constant_like(0.0));
        state[2]
            .abs()
            .max(state[3].abs())
            .select_below(one * SPEED_LIMIT, one, zero)
    }

    #[inline(always)]
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        let load = parameters[row::PAYLOAD];
        let (friction_1, friction_2) = (parameters[row::FRICTION], parameters[row::FRICTION + 1]);
        let (torque_1, torque_2) = (action[0] * TORQUES[0], action[1] * TORQUES[1]);
        // A rod's inertia about its end is m l^2 / 3; the load is a point at the end of the second link.
        let squared = LENGTH * LENGTH;
        let coupling = (load + 0.5 * MASS) * squared;
        let forearm = (load + MASS / 3.0) * squared;
        let upper = (load + MASS * (4.0 / 3.0)) * squared;
        let weight_1 = (load + MASS * 1.5) * (GRAVITY * LENGTH);
        let weight_2 = (load + MASS * 0.5) * (GRAVITY * LENGTH);
        let next = runge_kutta(
            [state[0], state[1], state[2], state[3]],
            PERIOD,
            |[shoulder, elbow, speed_1, speed_2]| {
                let (bent, straight) = (elbow.sin(), elbow.cos());
                let mutual = forearm + coupling * straight;
                let own = upper + forearm + coupling * straight * 2.0;
                let hand = weight_2 * (shoulder + elbow).sin();
                let swing = coupling * bent;
                let push_1 = torque_1 - speed_1 * friction_1 - weight_1 * shoulder.sin() - hand
                    + swing * speed_2 * (speed_1 * 2.0 + speed_2);
                let push_2 = torque_2 - speed_2 * friction_2 - hand - swing * speed_1.square();
                let determinant = own * forearm - mutual.square();
                [
                    speed_1,
                    speed_2,
                    (forearm * push_1 - mutual * push_2) / determinant,
                    (own * push_2 - mutual * push_1) / determinant,
                ]
            },
        );
        state.copy_from_slice(&next);
        let [error_1, error_2] = [0, 1].map(|joint| state[joint] - parameters[row::TARGET + joint]);
        let speed = state[2].square() + state[3].square();
        let effort = action[0].square() + action[1].square();
        Outcome {
            cost: smooth_distance(error_1.square() + error_2.square(), NEAR) + speed * 0.005 + effort * 0.01,
            alive: self.alive(state, parameters),
        }
    }
}
