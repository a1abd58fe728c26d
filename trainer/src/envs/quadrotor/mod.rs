//! The quadrotor family of RAPTOR (Eschmann et al. 2025, arXiv 2509.11481): hover at the origin with a vehicle that was
//! never seen before.
//!
//! Frame: forward, left, up; SI units; the setpoint is the origin. Quaternions have w first and turn body into world;
//! angular velocity is in the body frame. Rotors: front right, back right, back left, front left.

mod shift;
mod variation;
mod vehicle;

pub use shift::{Shift, ShiftedFlight};
pub use variation::Variation;
pub use vehicle::{Vehicle, Vehicles};

use pliant_runtime::contract::{Channel, Source};

use super::simulation::{Channels, Number, Outcome, Plant, System, Widths, delayed, replaced};
use crate::random::{Stream, fill_standard_normal, uniform};
use variation::{load, undo};
use vehicle::GRAVITY;

/// Control period, s.
const PERIOD: f32 = 0.01;
/// An episode is terminated beyond this speed along an axis, m/s.
const SPEED_LIMIT: f32 = 2.0;
/// An episode is terminated beyond this angular velocity about an axis, rad/s.
const SPIN_LIMIT: f32 = 35.0;
/// An episode is terminated when a coordinate exceeds so many times the distance of the rotors from the centre.
const DISTANCE_LIMIT: f32 = 20.0;

/// Rows of the state. The four numbers of an action of the past follow [`state::PREVIOUS`]; with latency, those of the
/// two before it follow.
mod state {
    pub(super) const POSITION: usize = 0;
    pub(super) const ORIENTATION: usize = 3;
    pub(super) const VELOCITY: usize = 7;
    pub(super) const SPIN: usize = 10;
    pub(super) const ROTORS: usize = 13;
    pub(super) const PHYSICAL: usize = 17;
    pub(super) const PREVIOUS: usize = 17;
    pub(super) const WIDTH: usize = 21;
    /// The actions before the previous one, with latency only.
    pub(super) const SECOND: usize = 21;
    pub(super) const THIRD: usize = 25;
    pub(super) const WIDTH_WITH_LATENCY: usize = 29;
}

/// Rows of the parameters.
mod row {
    /// Thrust of a rotor over the vehicle's mass: coefficients of 1, w and w^2, m/s^2.
    pub(super) const THRUST: usize = 0;
    /// Angular acceleration about x, y, z per thrust over mass of one rotor, 1/m.
    pub(super) const LEVER: usize = 3;
    /// `(J_yy - J_zz) / J_xx` and its cyclic permutations.
    pub(super) const GYROSCOPIC: usize = 6;
    /// Control period over the rising time constant.
    pub(super) const RISING: usize = 9;
    /// Control period over the falling time constant.
    pub(super) const FALLING: usize = 10;
    /// Disturbance force over mass, m/s^2.
    pub(super) const DISTURBANCE: usize = 11;
    /// Greatest coordinate, m.
    pub(super) const LIMIT: usize = 14;
    /// One over it.
    pub(super) const INVERSE_LIMIT: usize = 15;
    /// Standard deviation of the disturbance, m/s^2.
    pub(super) const DEVIATION: usize = 16;
    pub(super) const WIDTH: usize = 17;

    // Varied vehicles only.

    /// Thrust of each rotor relative to a new one.
    pub(super) const WEAR: usize = 17;
    /// Weights of the newest action and of the three before it: which one reaches the motors.
    pub(super) const LATENCY: usize = 21;
    /// Standard deviations of the noise of position, velocity, angular velocity.
    pub(super) const NOISE: usize = 25;
    /// Share of its thrust that the vehicle loses in every step as the battery empties.
    pub(super) const SAG: usize = 28;
    /// The step at which the payload drops.
    pub(super) const DROP_STEP: usize = 29;
    /// Mass before the drop over mass after it.
    pub(super) const DROP_RATIO: usize = 30;
    pub(super) const WIDTH_VARIED: usize = 31;
}

/// A family of quadrotors that hover; see the [module](self).
///
/// The observation is position (3), rotation matrix by rows (9), velocity (3), angular velocity (3), previous action (4).
/// An action of -1..1 is a setpoint of 0..1 of a rotor's normalised speed, which follows with a first-order lag. One step
/// is one fourth-order Runge-Kutta step of 10 ms.
///
/// The cost of a state and the action that led to it: `sqrt(|p|^2 + 0.05^2) - 0.05 + 0.05 |v|^2 + 0.002 |w|^2 +
/// 0.05 (1 - R33) + 0.02 |a - a'|^2`, and quadratic barriers from three quarters of the limits on. The distance, not
/// its square: near the setpoint its slope stays, which is what teaches the recurrent policy integral action.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadrotor {
    variation: Variation,
    varied: bool,
}

impl Quadrotor {
    /// Steps of an episode that is not terminated: 5 seconds.
    pub const HORIZON: usize = 500;
    /// Numbers of an observation with one action of the past.
    pub const OBSERVATION: usize = 22;
    /// Numbers of the widest observation, with [`Variation::MOST_ACTIONS_SEEN`] of them.
    pub const WIDEST_OBSERVATION: usize = Self::OBSERVATION + 4 * (Variation::MOST_ACTIONS_SEEN - 1);
    /// Control periods a second.
    pub const RATE_HZ: f32 = 100.0;

    /// Vehicles of the plain distribution, varied.
    pub fn new(variation: Variation) -> Self {
        let plain = Variation {
            sluggish: variation.sluggish,
            vehicles: variation.vehicles,
            ..Variation::NONE
        };
        Self {
            variation,
            varied: variation != plain,
        }
    }

    /// How many actions of the past a policy sees whose observations are so wide; none for a width that no quadrotor has.
    pub fn actions_seen(observation: usize) -> Option<usize> {
        (1..=Variation::MOST_ACTIONS_SEEN).find(|seen| Self::OBSERVATION + 4 * (seen - 1) == observation)
    }

    /// Writes the rows of a vehicle's parameters that stay the same through its episodes.
    pub fn describe(vehicle: &Vehicle, parameters: &mut [f32]) {
        for (row, coefficient) in parameters[row::THRUST..].iter_mut().zip(vehicle.thrust) {
            *row = coefficient / vehicle.mass;
        }
        let arms = [vehicle.arm, vehicle.arm, vehicle.torque_constant];
        for ((row, arm), inertia) in parameters[row::LEVER..].iter_mut().zip(arms).zip(vehicle.inertia) {
            *row = arm * vehicle.mass / inertia;
        }
        let [x, y, z] = vehicle.inertia;
        parameters[row::GYROSCOPIC..row::GYROSCOPIC + 3].copy_from_slice(&[(y - z) / x, (z - x) / y, (x - y) / z]);
        parameters[row::RISING] = PERIOD / vehicle.rising;
        parameters[row::FALLING] = PERIOD / vehicle.falling;
        parameters[row::LIMIT] = DISTANCE_LIMIT * vehicle.rotor_distance();
        parameters[row::INVERSE_LIMIT] = 1.0 / parameters[row::LIMIT];
        parameters[row::DEVIATION] = vehicle.disturbance / vehicle.mass;
        if let Some(wear) = parameters.get_mut(row::WEAR..row::WEAR + 4) {
            wear.fill(1.0);
        }
        if let Some(ratio) = parameters.get_mut(row::DROP_RATIO) {
            *ratio = 1.0;
        }
    }

    /// [`Vehicle::torque_to_inertia`] of the vehicle with these parameters, 1/s^2.
    pub fn torque_to_inertia(parameters: &[f32]) -> f32 {
        let thrust: f32 = parameters[row::THRUST..row::THRUST + 3].iter().sum();
        core::f32::consts::SQRT_2 * parameters[row::LEVER] * thrust
    }

    /// The first three numbers of a state: the position, m.
    pub fn position(state: &[f32]) -> [f32; 3] {
        [state[0], state[1], state[2]]
    }
}

impl Plant for Quadrotor {
    fn widths(&self) -> Widths {
        let (state, parameters, noise) = if self.varied {
            (state::WIDTH_WITH_LATENCY, row::WIDTH_VARIED, 9)
        } else {
            (state::WIDTH, row::WIDTH, 0)
        };
        Widths {
            state,
            physical: state::PHYSICAL,
            parameters,
            action: 4,
            observation: Self::OBSERVATION + 4 * (self.variation.actions_seen - 1),
            noise,
        }
    }

    fn horizon(&self) -> usize {
        Self::HORIZON
    }

    fn rate_hz(&self) -> f32 {
        Self::RATE_HZ
    }

    fn channels(&self) -> Channels {
        channels(self.variation.actions_seen)
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        let Variation { sluggish, vehicles, .. } = self.variation;
        let vehicle = if sluggish > 0.0 && uniform(random, 0.0, 1.0) < sluggish {
            vehicles.least_agile().draw(random)
        } else {
            vehicles.draw(random)
        };
        Self::describe(&vehicle, parameters);
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        if self.varied {
            // What an earlier episode left is undone: thrust and levers without payload, wear and sag.
            undo(parameters);
        }
        let mut normal = [0.0; 6];
        fill_standard_normal(random, &mut normal);
        let deviation = parameters[row::DEVIATION];
        for (row, normal) in parameters[row::DISTURBANCE..row::DISTURBANCE + 3]
            .iter_mut()
            .zip(normal)
        {
            *row = deviation * normal;
        }
        state.fill(0.0);
        state[state::ORIENTATION] = 1.0;
        if uniform(random, 0.0, 1.0) >= 0.1 {
            for row in 0..3 {
                state[state::POSITION + row] = uniform(random, -0.5, 0.5);
                state[state::VELOCITY + row] = uniform(random, -1.0, 1.0);
                state[state::SPIN + row] = uniform(random, -1.0, 1.0);
            }
            let axis = [normal[3], normal[4], normal[5]];
            let length = axis.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            let half = 0.5 * uniform(random, 0.0, 1.0);
            state[state::ORIENTATION] = libm::cosf(half);
            for (row, x) in axis.into_iter().enumerate() {
                state[state::ORIENTATION + 1 + row] = libm::sinf(half) * x / length;
            }
        }
        for rotor in 0..4 {
            state[state::ROTORS + rotor] = uniform(random, 0.0, 0.5);
        }
        if self.varied {
            self.variation.draw(random, parameters);
        }
    }

    fn evolves(&self) -> bool {
        self.varied
    }

    fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool {
        if !self.varied {
            return false;
        }
        let mut changed = false;
        let sag = parameters[row::SAG];
        if sag > 0.0 && age > 0 {
            // Relative to the step before: from 1 - sag (age - 1) to 1 - sag age.
            let factor = (1.0 - sag * age as f32) / (1.0 - sag * (age - 1) as f32);
            parameters[row::WEAR..row::WEAR + 4]
                .iter_mut()
                .for_each(|wear| *wear *= factor);
            changed = true;
        }
        if age == parameters[row::DROP_STEP] as usize && parameters[row::DROP_RATIO] > 1.0 {
            load(parameters, 1.0 / parameters[row::DROP_RATIO]);
            parameters[row::DROP_RATIO] = 1.0;
            changed = true;
        }
        changed
    }

    fn error_name(&self) -> &'static str {
        "position error, mm"
    }

    fn error(&self, state: &[f32], _parameters: &[f32]) -> f64 {
        let squares = Self::position(state).map(|x| f64::from(x) * f64::from(x));
        1000.0 * squares.iter().sum::<f64>().sqrt()
    }
}

impl System for Quadrotor {
    #[inline(always)]
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], noise: &[T], observation: &mut [T]) {
        observation[..3].copy_from_slice(&state[state::POSITION..state::POSITION + 3]);
        let [w, x, y, z] = *four(state, state::ORIENTATION);
        let (xx, yy, zz) = (x * x, y * y, z * z);
        let (xy, xz, yz, wx, wy, wz) = (x * y, x * z, y * z, w * x, w * y, w * z);
        let rotation = [
            (yy + zz) * -2.0 + 1.0,
            (xy - wz) * 2.0,
            (xz + wy) * 2.0,
            (xy + wz) * 2.0,
            (xx + zz) * -2.0 + 1.0,
            (yz - wx) * 2.0,
            (xz - wy) * 2.0,
            (yz + wx) * 2.0,
            (xx + yy) * -2.0 + 1.0,
        ];
        observation[3..12].copy_from_slice(&rotation);
        observation[12..15].copy_from_slice(&state[state::VELOCITY..state::VELOCITY + 3]);
        observation[15..18].copy_from_slice(&state[state::SPIN..state::SPIN + 3]);
        for (seen, first) in observation[18..]
            .chunks_exact_mut(4)
            .zip([state::PREVIOUS, state::SECOND, state::THIRD])
        {
            seen.copy_from_slice(four(state, first));
        }
        if !noise.is_empty() {
            for (group, first) in [0, 12, 15].into_iter().enumerate() {
                for axis in 0..3 {
                    let value = &mut observation[first + axis];
                    *value = *value + noise[3 * group + axis] * parameters[row::NOISE + group];
                }
            }
        }
    }

    #[inline(always)]
    fn alive<T: Number>(&self, state: &[T], parameters: &[T]) -> T {
        let distance = largest(three(state, state::POSITION));
        let (one, zero) = (distance.constant_like(1.0), distance.constant_like(0.0));
        let near = distance.select_below(parameters[row::LIMIT], one, zero);
        let slow = largest(three(state, state::VELOCITY)).select_below(one * SPEED_LIMIT, near, zero);
        largest(three(state, state::SPIN)).select_below(one * SPIN_LIMIT, slow, zero)
    }

    #[inline(always)]
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T> {
        let command = *four(action, 0);
        let previous = *four(state, state::PREVIOUS);
        let mut setpoint = command;
        if self.varied {
            let history = [
                command,
                previous,
                *four(state, state::SECOND),
                *four(state, state::THIRD),
            ];
            let weights = four(parameters, row::LATENCY);
            for rotor in 0..4 {
                setpoint[rotor] = delayed(replaced([command[rotor]; 4], |age| history[age][rotor]), weights);
            }
            state[state::THIRD..state::THIRD + 4].copy_from_slice(&history[2]);
            state[state::SECOND..state::SECOND + 4].copy_from_slice(&history[1]);
        }
        let wear = self.varied.then(|| *four(parameters, row::WEAR));
        fly(state, parameters, setpoint, wear);
        state[state::PREVIOUS..state::PREVIOUS + 4].copy_from_slice(&command);
        Outcome {
            cost: cost(state, parameters, command, previous),
            alive: self.alive(state, parameters),
        }
    }
}

/// Frame: forward, left, up, with the setpoint as the origin; rotations turn body into world; angular velocity in the
/// body frame; rotors front right, back right, back left, front left. The network sees raw values.
fn channels(actions_seen: usize) -> Channels {
    let mut channels = Channels::default();
    let mut see = |channel| channels.observations.push(channel);
    let axes = ["x", "y", "z"];
    axes.iter()
        .for_each(|axis| see(Channel::observation(&format!("position {axis}"), "m")));
    for row in axes {
        axes.iter()
            .for_each(|column| see(Channel::observation(&format!("rotation {row}{column}"), "")));
    }
    axes.iter()
        .for_each(|axis| see(Channel::observation(&format!("velocity {axis}"), "m/s")));
    axes.iter()
        .for_each(|axis| see(Channel::observation(&format!("angular velocity {axis}"), "rad/s")));
    let rotors = ["front right", "back right", "back left", "front left"];
    for rotor in rotors {
        see(Channel {
            source: Source::PreviousAction,
            ..Channel::observation(&format!("previous {rotor}"), "").with_range(-1.0, 1.0)
        });
        // Of a rotor's speed: -1 at rest, 1 at full speed. What is refused stops the rotors.
        let action = Channel::action(rotor, "").with_range(-1.0, 1.0).with_safe(-1.0);
        channels.actions.push(action);
    }
    for periods in 2..=actions_seen {
        for rotor in rotors {
            let channel = Channel::observation(&format!("{rotor}, {periods} ago"), "").with_range(-1.0, 1.0);
            channels.observations.push(Channel {
                source: Source::PreviousAction,
                ..channel
            });
        }
    }
    channels
}

#[inline(always)]
fn three<T>(values: &[T], first: usize) -> &[T; 3] {
    values[first..].first_chunk().expect("as many rows as the widths say")
}

#[inline(always)]
fn four<T>(values: &[T], first: usize) -> &[T; 4] {
    values[first..].first_chunk().expect("as many rows as the widths say")
}

/// The greatest size.
#[inline(always)]
fn largest<T: Number>([a, b, c]: &[T; 3]) -> T {
    a.abs().max(b.abs()).max(c.abs())
}

#[inline(always)]
fn sum_of_squares<T: Number>([a, b, c]: [T; 3]) -> T {
    a * a + b * b + c * c
}

/// The derivative of the rotating body at one stage.
struct Stage<T> {
    acceleration: [T; 3],
    orientation: [T; 4],
    spin: [T; 3],
}

/// Orientation and angular velocity change with the rotor speeds; velocity and position follow from them.
#[inline(always)]
fn derivative<T: Number>(q: [T; 4], spin: [T; 3], rotors: [T; 4], parameters: &[T], wear: Option<[T; 4]>) -> Stage<T> {
    let [c0, c1, c2] = *three(parameters, row::THRUST);
    let [lever_x, lever_y, lever_z] = *three(parameters, row::LEVER);
    let gyroscopic = *three(parameters, row::GYROSCOPIC);
    let [a, b, c, d] = rotors;
    let mut thrusts = [
        c0 + a * (c1 + a * c2),
        c0 + b * (c1 + b * c2),
        c0 + c * (c1 + c * c2),
        c0 + d * (c1 + d * c2),
    ];
    if let Some(wear) = wear {
        for (thrust, wear) in thrusts.iter_mut().zip(wear) {
            *thrust = *thrust * wear;
        }
    }
    let [front_right, back_right, back_left, front_left] = thrusts;
    // Torque of a thrust f along z at (x, y): (y f, -x f); reaction torques alternate.
    let (right, left) = (front_right + back_right, back_left + front_left);
    let (front, back) = (front_right + front_left, back_right + back_left);
    let diagonal = (back_right + front_left) - (front_right + back_left);
    let total = right + left;

    let [w, x, y, z] = q;
    let [p, q, r] = spin;
    let up = [
        (x * z + w * y) * 2.0,
        (y * z - w * x) * 2.0,
        (x * x + y * y) * -2.0 + 1.0,
    ];
    let [disturbance_x, disturbance_y, disturbance_z] = *three(parameters, row::DISTURBANCE);
    Stage {
        acceleration: [
            up[0] * total + disturbance_x,
            up[1] * total + disturbance_y,
            up[2] * total + (disturbance_z - GRAVITY),
        ],
        // Twice the derivative: the factor goes into the step.
        orientation: [
            -(x * p) - y * q - z * r,
            w * p + y * r - z * q,
            w * q - x * r + z * p,
            w * r + x * q - y * p,
        ],
        spin: [
            lever_x * (left - right) + q * r * gyroscopic[0],
            lever_y * (back - front) + r * p * gyroscopic[1],
            lever_z * diagonal + p * q * gyroscopic[2],
        ],
    }
}

/// Orientation and angular velocity after so many seconds of a stage's slope.
#[inline(always)]
fn ahead<T: Number>(q: [T; 4], spin: [T; 3], by: f32, stage: &Stage<T>) -> ([T; 4], [T; 3]) {
    (
        replaced(q, |i| q[i] + stage.orientation[i] * (0.5 * by)),
        replaced(spin, |i| spin[i] + stage.spin[i] * by),
    )
}

/// The orientation after a step with these slopes, not yet of length one.
#[inline(always)]
fn turned<T: Number>(mut q: [T; 4], [first, second, third, fourth]: [&Stage<T>; 4]) -> [T; 4] {
    for (i, q) in q.iter_mut().enumerate() {
        let middle = (second.orientation[i] + third.orientation[i]) * 2.0;
        *q = *q + (first.orientation[i] + middle + fourth.orientation[i]) * (PERIOD / 12.0);
    }
    q
}

/// A rotor's speed in the four stages of a step, and after it.
struct Rotor<T> {
    first: T,
    second: T,
    third: T,
    fourth: T,
    next: T,
}

/// A rotor that follows its setpoint: dw/dt = (u - w) / tau. It depends on nothing else and never crosses its setpoint, so
/// that the Runge-Kutta stages have a closed form in h = period / tau; `periods` has h of a rising and of a falling speed.
#[inline(always)]
fn follow<T: Number>(w: T, setpoint: T, [rising, falling]: [T; 2]) -> Rotor<T> {
    let u = setpoint * 0.5 + 0.5;
    let gap = u - w;
    let h = w.select_below(u, rising, falling);
    let x = h * 0.5;
    let rest = -x + 1.0;
    let second = x * rest;
    let third = h * (-second + 1.0);
    let ratio = -second + 1.0; // 1 - x + x^2
    // (1 + 2 (1 - x) + 2 (1 - x + x^2) + 1 - h (1 - x + x^2)) h / 6
    let whole = h * ((rest + ratio) * 2.0 + (-(h * ratio) + 2.0)) * (1.0 / 6.0);
    Rotor {
        first: w,
        second: w + gap * x,
        third: w + gap * second,
        fourth: w + gap * third,
        next: w + gap * whole,
    }
}

/// One Runge-Kutta step of the physical part of the state.
#[inline(always)]
fn fly<T: Number>(state: &mut [T], parameters: &[T], setpoint: [T; 4], wear: Option<[T; 4]>) {
    let [a, b, c, d] = *four(state, state::ROTORS);
    let periods = [parameters[row::RISING], parameters[row::FALLING]];
    let (a, b) = (follow(a, setpoint[0], periods), follow(b, setpoint[1], periods));
    let (c, d) = (follow(c, setpoint[2], periods), follow(d, setpoint[3], periods));
    state[state::ROTORS..state::ROTORS + 4].copy_from_slice(&[a.next, b.next, c.next, d.next]);

    let (q0, spin0) = (*four(state, state::ORIENTATION), *three(state, state::SPIN));
    let rotors = [a.first, b.first, c.first, d.first];
    let first = derivative(q0, spin0, rotors, parameters, wear);
    let (q, spin) = ahead(q0, spin0, 0.5 * PERIOD, &first);
    let rotors = [a.second, b.second, c.second, d.second];
    let second = derivative(q, spin, rotors, parameters, wear);
    let (q, spin) = ahead(q0, spin0, 0.5 * PERIOD, &second);
    let rotors = [a.third, b.third, c.third, d.third];
    let third = derivative(q, spin, rotors, parameters, wear);
    let (q, spin) = ahead(q0, spin0, PERIOD, &third);
    let rotors = [a.fourth, b.fourth, c.fourth, d.fourth];
    let fourth = derivative(q, spin, rotors, parameters, wear);

    for axis in 0..3 {
        let (a, b) = (first.acceleration[axis], second.acceleration[axis]);
        let (c, d) = (third.acceleration[axis], fourth.acceleration[axis]);
        let velocity = state[state::VELOCITY + axis];
        let row = state::POSITION + axis;
        // The position's stages are the velocity's, which are velocity + period (0, a/2, b/2, c).
        state[row] = state[row] + velocity * PERIOD + (a + b + c) * (PERIOD * PERIOD / 6.0);
        state[state::VELOCITY + axis] = velocity + (a + (b + c) * 2.0 + d) * (PERIOD / 6.0);
        let (a, b, c, d) = (first.spin[axis], second.spin[axis], third.spin[axis], fourth.spin[axis]);
        state[state::SPIN + axis] = spin0[axis] + (a + (b + c) * 2.0 + d) * (PERIOD / 6.0);
    }
    let q = turned(q0, [&first, &second, &third, &fourth]);
    let norm = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
    let inverse = norm.constant_like(1.0) / norm;
    for (row, value) in q.into_iter().enumerate() {
        state[state::ORIENTATION + row] = value * inverse;
    }
}

/// The squares of what is beyond `from`, summed.
#[inline(always)]
fn barrier<T: Number>(sizes: [T; 3], from: f32) -> T {
    let [a, b, c] = replaced(sizes, |i| (sizes[i] - from).relu().square());
    a + b + c
}

/// See [`Quadrotor`].
#[inline(always)]
fn cost<T: Number>(state: &[T], parameters: &[T], action: [T; 4], previous: [T; 4]) -> T {
    let (position, velocity, spin) = (
        *three(state, state::POSITION),
        *three(state, state::VELOCITY),
        *three(state, state::SPIN),
    );
    let [_, x, y, _] = *four(state, state::ORIENTATION);
    let distance = (sum_of_squares(position) + 0.05 * 0.05).sqrt() - 0.05;
    let tilt = (x * x + y * y) * 2.0;
    let [a, b, c, d] = replaced(action, |i| (action[i] - previous[i]).square());
    let inverse = parameters[row::INVERSE_LIMIT];
    let near = barrier(replaced(position, |i| position[i].abs() * inverse), 0.7);
    let slow = barrier(replaced(velocity, |i| velocity[i].abs()), 1.5);
    let calm = barrier(replaced(spin, |i| spin[i].abs()), 20.0);
    distance
        + sum_of_squares(velocity) * 0.05
        + sum_of_squares(spin) * 0.002
        + tilt * 0.05
        + (a + b + c + d) * 0.02
        + (slow + calm * 0.01 + near * 4.0) * 15.0
}
