//! What may happen to a quadrotor that no training drew, and one quadrotor flown through it.

use serde::{Deserialize, Serialize};

use super::variation::load;
use super::{PERIOD, Quadrotor, Variation, row, state};
use crate::envs::simulation::{Plant, Simulator};
use crate::random::{Stream, uniform};

/// Control periods that actions are late.
const LATE: usize = 5;
/// The step at which the payload is picked up.
const PICKED_UP: usize = 200;
/// Mass with the payload over mass without it.
const LOADED: f32 = 1.4;
/// Thrust of the worn motor.
const WORN: f32 = 0.5;
/// The step at which gusts begin.
const GUSTS_FROM: usize = 100;
/// Greatest acceleration of a gust, m/s^2.
const GUST: [f32; 2] = [1.0, 3.0];
/// Vertical part of a gust relative to the horizontal one.
const VERTICAL: [f32; 2] = [-0.5, 0.5];
/// Duration of a gust, s.
const GUST_SECONDS: [f32; 2] = [0.5, 2.0];
/// Speed of a rotor, relative to its greatest, below which every motor must hover for a vehicle to count as flyable.
const FLYABLE: f32 = 0.9;

/// A shift outside the training distribution of the plain recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// Nothing: the plain protocol
    None,
    /// Every action reaches the motors 50 ms late
    Latency,
    /// At 2 s the vehicle picks up 40 % of its mass, hung at its centre
    Payload,
    /// One motor, drawn for each episode, gives 50 % of its thrust
    Motor,
    /// From 1 s on gusts, one after the other: half a cosine up and down within 0.5 to 2 s, 1 to 3 m/s^2 at most, from
    /// any side, up to half of that up or down
    Gusts,
}

impl Shift {
    /// Every one, the plain protocol first.
    pub const ALL: [Self; 5] = [Self::None, Self::Latency, Self::Payload, Self::Motor, Self::Gusts];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latency => "latency",
            Self::Payload => "payload",
            Self::Motor => "motor",
            Self::Gusts => "gusts",
        }
    }

    /// The thrust that the busiest motor needs to hover, relative to a quarter of the plain weight.
    const fn need(self) -> f32 {
        match self {
            Self::Payload => LOADED,
            Self::Motor => 1.0 / WORN,
            Self::None | Self::Latency | Self::Gusts => 1.0,
        }
    }

    /// Whether every motor of the vehicle hovers below 90 % of its greatest speed under this shift, in calm air.
    pub fn is_flyable(self, parameters: &[f32]) -> bool {
        let [c0, c1, c2] = [0, 1, 2].map(|i| parameters[row::THRUST + i]);
        let thrust = c0 + FLYABLE * (c1 + FLYABLE * c2);
        4.0 * thrust > self.need() * super::GRAVITY
    }
}

/// A gust under way.
#[derive(Clone, Copy, Default)]
struct Gust {
    peak: [f32; 3],
    steps: usize,
    age: usize,
}

/// One quadrotor in one episode under a shift.
pub struct ShiftedFlight {
    plant: Quadrotor,
    shift: Shift,
    parameters: Vec<f32>,
    state: Vec<f32>,
    noise: Vec<f32>,
    /// What pushes all the time, m/s^2.
    steady: [f32; 3],
    /// Actions on their way to the motors, the oldest first.
    late: [[f32; 4]; LATE],
    gust: Gust,
    random: Stream,
    age: usize,
    alive: bool,
}

impl ShiftedFlight {
    /// The widths of the vehicles' parameters here.
    pub fn plant() -> Quadrotor {
        // Varied, so that there are rows for wear; nothing varies by itself.
        Quadrotor {
            variation: Variation::NONE,
            varied: true,
        }
    }

    /// Starts an episode of the vehicle with these `parameters` (of [`plant`](Self::plant)). `start` draws what the plain
    /// protocol draws, `shifts` what the shift adds.
    pub fn start(parameters: &[f32], shift: Shift, start: &mut Stream, mut shifts: Stream) -> Self {
        let plant = Self::plant();
        let widths = plant.widths();
        let mut flight = Self {
            parameters: parameters.to_vec(),
            state: vec![0.0; widths.state],
            noise: vec![0.0; widths.noise],
            steady: [0.0; 3],
            late: [[0.0; 4]; LATE],
            gust: Gust::default(),
            random: shifts.clone(),
            age: 0,
            alive: true,
            plant,
            shift,
        };
        flight.plant.start(start, &mut flight.parameters, &mut flight.state);
        flight
            .steady
            .copy_from_slice(&flight.parameters[row::DISTURBANCE..row::DISTURBANCE + 3]);
        if shift == Shift::Motor {
            let worn = (uniform(&mut shifts, 0.0, 4.0) as usize).min(3);
            flight.parameters[row::WEAR + worn] = WORN;
        }
        flight.random = shifts;
        flight.alive = flight.plant.alive_one(&flight.state, &flight.parameters);
        flight
    }

    /// Steps since the start.
    pub fn age(&self) -> usize {
        self.age
    }

    /// Whether no limit was exceeded so far.
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    /// Whether the episode is over.
    pub fn is_over(&self) -> bool {
        !self.alive || self.age >= Quadrotor::HORIZON
    }

    /// What a policy sees: [`Quadrotor::OBSERVATION`] numbers, or more with more actions of the past.
    pub fn observe(&self, observation: &mut [f32]) {
        self.plant
            .observe_one(&self.state, &self.parameters, &self.noise, observation);
    }

    /// Position, m.
    pub fn position(&self) -> [f32; 3] {
        Quadrotor::position(&self.state)
    }

    /// Distance from the setpoint, m.
    pub fn error(&self) -> f64 {
        self.plant.error(&self.state, &self.parameters) / 1000.0
    }

    /// Orientation from body to world, w first.
    pub fn orientation(&self) -> [f32; 4] {
        core::array::from_fn(|i| self.state[state::ORIENTATION + i])
    }

    /// Speeds of the rotors relative to their greatest.
    pub fn rotors(&self) -> [f32; 4] {
        core::array::from_fn(|i| self.state[state::ROTORS + i])
    }

    /// What pushes now, thrust and gravity apart, m/s^2.
    pub fn push(&self) -> [f32; 3] {
        core::array::from_fn(|i| self.parameters[row::DISTURBANCE + i])
    }

    /// Distance of a coordinate at which the episode is terminated, m.
    pub fn limit(&self) -> f32 {
        self.parameters[row::LIMIT]
    }

    /// Thrust of all rotors at full speed over weight, without payload.
    pub fn thrust_to_weight(&self) -> f32 {
        let [c0, c1, c2] = [0, 1, 2].map(|i| self.parameters[row::THRUST + i]);
        4.0 * (c0 + c1 + c2) / super::GRAVITY
    }

    /// Moves one period with this action.
    pub fn step(&mut self, action: &[f32; 4]) {
        if self.is_over() {
            return;
        }
        if self.shift == Shift::Payload && self.age == PICKED_UP {
            load(&mut self.parameters, LOADED);
            self.steady.iter_mut().for_each(|push| *push /= LOADED);
        }
        if self.shift == Shift::Gusts && self.age >= GUSTS_FROM {
            let gust = self.blow();
            for axis in 0..3 {
                self.parameters[row::DISTURBANCE + axis] = self.steady[axis] + gust[axis];
            }
        }
        let mut arriving = *action;
        if self.shift == Shift::Latency {
            arriving = self.late[0];
            self.late.rotate_left(1);
            self.late[LATE - 1] = *action;
        }
        let outcome = self.plant.step_one(&mut self.state, &self.parameters, &arriving);
        // What the policy sees as its previous action is what it sent, not what arrived.
        self.state[state::PREVIOUS..state::PREVIOUS + 4].copy_from_slice(action);
        self.age += 1;
        self.alive = outcome.alive > 0.5;
    }

    /// The gust of this step, m/s^2.
    fn blow(&mut self) -> [f32; 3] {
        if self.gust.age >= self.gust.steps {
            let angle = uniform(&mut self.random, 0.0, core::f32::consts::TAU);
            let peak = uniform(&mut self.random, GUST[0], GUST[1]);
            let seconds = uniform(&mut self.random, GUST_SECONDS[0], GUST_SECONDS[1]);
            let vertical = uniform(&mut self.random, VERTICAL[0], VERTICAL[1]);
            self.gust = Gust {
                peak: [peak * libm::cosf(angle), peak * libm::sinf(angle), peak * vertical],
                steps: (seconds / PERIOD) as usize,
                age: 0,
            };
        }
        let phase = self.gust.age as f32 / self.gust.steps as f32;
        let share = 0.5 - 0.5 * libm::cosf(core::f32::consts::TAU * phase);
        self.gust.age += 1;
        self.gust.peak.map(|peak| peak * share)
    }
}
