//! A car with unknown tyres, mass and steering that keeps its lane.

use pliant_runtime::contract::{Channel, Source};
use serde::{Deserialize, Serialize};

use super::simulation::{
    Channels, Number, Outcome, Plant, System, Widths, delay_weights, delayed, runge_kutta, smooth_distance,
};
use crate::random::{Stream, uniform};
use crate::recipe::Checker;

/// Control period, s.
const PERIOD: f32 = 0.05;
/// Integration steps in a control period: tyres are stiff at low speed.
const SUBSTEPS: usize = 2;
const GRAVITY: f32 = 9.81;
/// Greatest steering angle of the front wheels, rad.
const STEERING: f32 = 0.25;
/// From axle to axle, m.
const WHEELBASE: f32 = 2.8;
/// The centre of mass lies at this share of the wheelbase behind the front axle, drawn: never an oversteering car.
const CENTRE: [f32; 2] = [0.4, 0.5];
/// Greatest lateral acceleration that the curve of the lane asks for, m/s^2.
const CURVE: f32 = 2.5;
/// An episode is terminated beyond this distance from the lane's centre, m.
const LANE: f32 = 5.0;
/// An episode is terminated beyond this angle to the lane, rad.
const ASTRAY: f32 = 1.2;

/// Offsets below this count less than in proportion, m.
const NEAR: f32 = 0.05;

/// Rows of the parameters.
mod row {
    /// Stiffness over mass of front and rear axle, m/s^2 a rad.
    pub(super) const STIFFNESS: usize = 0;
    /// One over the greatest acceleration by the front and by the rear axle, s^2/m.
    pub(super) const INVERSE_GRIP: usize = 2;
    /// Angular acceleration by an acceleration of front and rear axle, 1/m.
    pub(super) const LEVER: usize = 4;
    /// From the centre of mass to the front axle, m.
    pub(super) const TO_FRONT: usize = 6;
    /// Weights of the newest action and of the three before it: which one reaches the wheels.
    pub(super) const DELAY: usize = 7;
    /// What the front wheels are turned by with the steering wheel straight, rad.
    pub(super) const OFFSET: usize = 11;
    /// Lateral acceleration by side wind or camber, m/s^2.
    pub(super) const CAMBER: usize = 12;
    // Known: rows after the named ones.
    /// Speed, m/s.
    pub(super) const SPEED: usize = 13;
    /// One over it.
    pub(super) const INVERSE_SPEED: usize = 14;
    /// Curvature of the lane, 1/m.
    pub(super) const CURVATURE: usize = 15;
    pub(super) const WIDTH: usize = 16;
}

/// `[family.vehicle]`: a car at constant speed that keeps to the middle of a lane of constant curvature: the single-track
/// (bicycle) model (Rajamani 2012, section 2.3), with tyres whose force saturates as `x / sqrt(1 + x^2)`.
///
/// State: lateral offset (m), angle to the lane (rad), lateral velocity (m/s), yaw rate (rad/s), and the three actions
/// before. Observation: the first four, the speed (m/s), the curvature (1/m). The action is a share of 0.25 rad at the
/// front wheels. Two fourth-order Runge-Kutta steps of 25 ms a control period; an episode has 400 periods (20 s). It
/// starts within 1 m, 0.05 rad; the curve asks for a lateral acceleration of up to 2.5 m/s^2 either way, drawn for every
/// episode. The cost is `sqrt(y^2 + 0.05^2) - 0.05 + 2 h^2 + 0.05 (r - v c)^2 + 0.02 a^2`, with a quadratic barrier from
/// 3 m on (`h` the angle to the lane, `r` the yaw rate, `v c` speed times curvature). Terminated beyond 5 m or 1.2 rad.
///
/// Each range is `[least, greatest]`, drawn uniformly for every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vehicle {
    /// Speed, m/s; the policy sees it. From 5 to 40; default 10 to 30.
    pub speed: [f32; 2],
    /// Mass, kg. From 500 to 5000; default 1000 to 2500.
    pub mass: [f32; 2],
    /// Cornering stiffness of an axle, N/rad; that of the rear axle at least the front's. From 20000 to 300000; default
    /// 50000 to 150000.
    pub stiffness: [f32; 2],
    /// Friction of tyres and road. From 0.4 to 1.5; default 0.6 to 1.
    pub grip: [f32; 2],
    /// From an action to the wheels, s. From 0 to 0.15; default 0 to 0.15.
    pub delay: [f32; 2],
    /// What the wheels are turned by with the steering wheel straight, rad. From -0.1 to 0.1; default -0.05 to 0.05.
    pub offset: [f32; 2],
    /// Lateral acceleration by side wind or camber, m/s^2. From -2 to 2; default -1.5 to 1.5.
    pub camber: [f32; 2],
}

impl Default for Vehicle {
    fn default() -> Self {
        Self {
            speed: [10.0, 30.0],
            mass: [1000.0, 2500.0],
            stiffness: [50e3, 150e3],
            grip: [0.6, 1.0],
            delay: [0.0, 0.15],
            offset: [-0.05, 0.05],
            camber: [-1.5, 1.5],
        }
    }
}

/// What is drawn of a car.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Car {
    /// m/s
    pub speed: f32,
    /// kg
    pub mass: f32,
    /// Of front and rear axle, N/rad.
    pub stiffness: [f32; 2],
    /// Friction of tyres and road.
    pub grip: f32,
    /// s
    pub delay: f32,
    /// rad
    pub offset: f32,
    /// m/s^2
    pub camber: f32,
    /// Of the centre of mass behind the front axle, as a share of the wheelbase.
    pub centre: f32,
}

impl Vehicle {
    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.range("speed", self.speed, 5.0, 40.0);
        checker.range("mass", self.mass, 500.0, 5000.0);
        checker.range("stiffness", self.stiffness, 20e3, 300e3);
        checker.range("grip", self.grip, 0.4, 1.5);
        checker.range("delay", self.delay, 0.0, 0.15);
        checker.range("offset", self.offset, -0.1, 0.1);
        checker.range("camber", self.camber, -2.0, 2.0);
    }

    /// Writes the rows of a task.
    pub fn describe(car: &Car, parameters: &mut [f32]) {
        let to_front = WHEELBASE * car.centre;
        let to_rear = WHEELBASE - to_front;
        // The radius of gyration squared is about the product of the levers.
        let inertia_over_mass = to_front * to_rear;
        for (axle, (own, other)) in [(to_front, to_rear), (to_rear, to_front)].into_iter().enumerate() {
            parameters[row::STIFFNESS + axle] = car.stiffness[axle] / car.mass;
            // An axle bears the more weight the further the other one is from the centre of mass.
            parameters[row::INVERSE_GRIP + axle] = WHEELBASE / (car.grip * GRAVITY * other);
            parameters[row::LEVER + axle] = own / inertia_over_mass;
        }
        parameters[row::TO_FRONT] = to_front;
        parameters[row::DELAY..row::DELAY + 4].copy_from_slice(&delay_weights(car.delay / PERIOD));
        parameters[row::OFFSET] = car.offset;
        parameters[row::CAMBER] = car.camber;
        parameters[row::SPEED] = car.speed;
        parameters[row::INVERSE_SPEED] = 1.0 / car.speed;
    }

    /// Writes the row of an episode: the lateral acceleration that its curve asks for, m/s^2.
    pub fn curve(acceleration: f32, parameters: &mut [f32]) {
        let speed = parameters[row::SPEED];
        parameters[row::CURVATURE] = acceleration / (speed * speed);
    }
}

impl Plant for Vehicle {
    fn widths(&self) -> Widths {
        Widths {
            state: 7,
            physical: 4,
            parameters: row::WIDTH,
            action: 1,
            observation: 6,
            noise: 0,
        }
    }

    fn horizon(&self) -> usize {
        400
    }

    fn rate_hz(&self) -> f32 {
        1.0 / PERIOD
    }

    fn channels(&self) -> Channels {
        Channels {
            observations: vec![
                Channel::observation("lateral offset", "m").with_range(-LANE, LANE),
                Channel::observation("angle to the lane", "rad").with_normaliser(0.0, 0.1),
                Channel::observation("lateral velocity", "m/s").with_normaliser(0.0, 0.5),
                Channel::observation("yaw rate", "rad/s").with_normaliser(0.0, 0.2),
                Channel::observation("speed", "m/s").with_normaliser(20.0, 6.0),
                Channel {
                    source: Source::Task,
                    ..Channel::observation("curvature", "1/m").with_normaliser(0.0, 0.01)
                },
            ],
            actions: vec![Channel::action("steering", "").with_range(-1.0, 1.0)],
        }
    }

    fn parameter_names(&self) -> &'static [&'static str] {
        &[
            "front stiffness",
            "rear stiffness",
            "inverse front grip",
            "inverse rear grip",
            "front lever",
            "rear lever",
            "to front axle",
            "no delay",
            "one period late",
            "two periods late",
            "three periods late",
            "steering offset",
            "camber",
        ]
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        let mut between = |[least, greatest]: [f32; 2]| uniform(random, least, greatest);
        let front = between(self.stiffness);
        let car = Car {
            speed: between(self.speed),
            mass: between(self.mass),
            stiffness: [front, between([front, self.stiffness[1]])],
            grip: between(self.grip),
            delay: between(self.delay),
            offset: between(self.offset),
            camber: between(self.camber),
            centre: between(CENTRE),
        };
        Self::describe(&car, parameters);
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        Self::curve(uniform(random, -CURVE, CURVE), parameters);
        state.fill(0.0);
        state[0] = uniform(random, -1.0, 1.0);
        state[1] = uniform(random, -0.05, 0.05);
    }

    fn lost_cost(&self) -> f32 {
        10.0
    }

    fn error_name(&self) -> &'static str {
        "lateral error, mm"
    }

    fn error(&self, state: &[f32], _parameters: &[f32]) -> f64 {
        1000.0 * f64::from(state[0]).abs()
    }
}

impl System for Vehicle {
    #[inline(always)]
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], _noise: &[T], observation: &mut [T]) {
        observation[..4].copy_from_slice(&state[..4]);
        observation[4] = parameters[row::SPEED];
        observation[5] = parameters[row::CURVATURE];
    }

    #[inline(always)]
    fn alive<T: Number>(&self, state: &[T], _parameters: &[T]) -> T {
        let (one, zero) = (state[0].constant_like(1.0), state[0].constant_like(0.0));
        let near = state[0].abs().select_below(one * LANE, one, zero);
        state[1].abs().select_below(one * ASTRAY, near, zero)
    }

    #[inline(always)]
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        let history = [action[0], state[4], state[5], state[6]];
        let weights: &[T; 4] = parameters[row::DELAY..]
            .first_chunk()
            .expect("as many rows as the widths say");
        let wheel = delayed(history, weights) * STEERING + parameters[row::OFFSET];
        let (speed, inverse_speed) = (parameters[row::SPEED], parameters[row::INVERSE_SPEED]);
        let to_front = parameters[row::TO_FRONT];
        let to_rear = -to_front + WHEELBASE;
        let turning = speed * parameters[row::CURVATURE];
        let axle = |axle: usize, slip: T| {
            let force = slip * parameters[row::STIFFNESS + axle];
            let share = force * parameters[row::INVERSE_GRIP + axle];
            force / (share.square() + 1.0).sqrt()
        };
        let mut now = [state[0], state[1], state[2], state[3]];
        for _ in 0..SUBSTEPS {
            now = runge_kutta(now, PERIOD / SUBSTEPS as f32, |[_, heading, lateral, yaw]| {
                let front = axle(0, wheel - (lateral + to_front * yaw) * inverse_speed);
                let rear = axle(1, (to_rear * yaw - lateral) * inverse_speed);
                [
                    lateral * heading.cos() + speed * heading.sin(),
                    yaw - turning,
                    front + rear - speed * yaw + parameters[row::CAMBER],
                    front * parameters[row::LEVER] - rear * parameters[row::LEVER + 1],
                ]
            });
        }
        state[..4].copy_from_slice(&now);
        state[4..].copy_from_slice(&history[..3]);
        let barrier = (state[0].abs() - 3.0).relu().square();
        let angle = state[1].square() * 2.0 + (state[3] - turning).square() * 0.05;
        Outcome {
            cost: smooth_distance(state[0].square(), NEAR) + angle + action[0].square() * 0.02 + barrier * 10.0,
            alive: self.alive(state, parameters),
        }
    }
}
