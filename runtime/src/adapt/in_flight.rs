//! Adaptation in flight: eight numbers around a policy, learned while it flies, for bodies that push along one axis of their
//! own (multirotors of any kind).
//!
//! The policy and its image stay as they are. What changes is what it is shown and what is made of its answer:
//!
//! | parameters | what they do | learned by |
//! |---|---|---|
//! | apparent gravity, 2 | the world is shown turned, so that a steady or slowly changing push (wind, a tilted frame) looks like plain gravity | recursive least squares with forgetting |
//! | offset of the position, 3 | the position is shown moved, until the true one is at the setpoint | a gradient step a period |
//! | trim of the actions, 3 | takes over what the policy must hold for good (a worn motor), so that it can go back to the middle | a gradient step a period |
//!
//! **Apparent gravity.** A body that pushes only along its own axis z gives a specific force `s = dv/dt + g e_z` along z;
//! what is across z is a push from outside: `d = s - (s . z) z`, whatever mass and motors are. A straight line `d(t)` is fitted
//! by least squares in which a sample `k` periods old weighs `memory^k` (in its steady state the recursion `level += (1 -
//! memory^2) e`, `slope += (1 - memory)^2 e` a period, `e` being the error of the prediction), and read `lead` ahead, about
//! the time the body takes to tilt. In a world turned so that `g e_z - d` is upright there is no push: that is what the
//! policy is shown, rotation, velocity and position alike. This is exact but for the length of `g e_z - d`.
//!
//! **Gradient steps.** The offset descends `|p|^2 / 2`, the trim descends `|m|^2 / 2`, `m` being what the policy commands in the
//! three modes (roll, pitch, yaw); both take the sensitivity as one. The offset only learns within `reach` of the setpoint,
//! so that a flight towards it does not wind it up; the trim only learns what is commanded steadily.
//!
//! **A transaction every period** ([`Estimator::adapt`]): the candidate is written into a shadow copy, moved into the trust
//! region (the three limits of [`Settings`]), and published by one atomic store, or dropped. It is dropped when a number is
//! not finite; apparent gravity goes back to plain gravity while the line predicts the newest samples, before it has seen
//! them, worse than no push does (sensor noise above all); everything goes back while the body tumbles (`unrest`). Frozen, or
//! [reverted](Estimator::revert), the policy flies alone.
//!
//! ```
//! use pliant_runtime::adapt::in_flight::{Body, InFlight, MEMORY, PARAMETERS, QUADROTOR_X, Settings};
//!
//! // Positions in the observation: position, rotation matrix by rows, velocity, angular velocity, previous action.
//! let body = Body { position: 0, rotation: 3, velocity: 12, spin: 15, previous_action: Some(18), actions: 4 };
//! let mut memory = [0.0; MEMORY];
//! let mut in_flight = InFlight::new(body, &QUADROTOR_X, Settings::default(), &mut memory);
//! let (mut correction, mut estimator) = in_flight.split();
//!
//! // Level at rest 1 cm from the setpoint.
//! let mut observation = [0.0; 22];
//! (observation[0], observation[3], observation[7], observation[11]) = (0.01, 1.0, 1.0, 1.0);
//! estimator.observe(&observation, correction.command());
//! assert!(estimator.adapt().is_accepted());
//! let mut shown = [0.0; 22];
//! correction.show(&observation, &mut shown);
//! assert!(shown[0] > 0.01, "shown a little farther away");
//! let mut action = [0.1, 0.1, 0.1, 0.1]; // what the policy answers
//! correction.drive(&mut action);
//! assert_eq!(correction.parameters(|parameters| parameters.len()), PARAMETERS);
//! ```

use super::report::{AdaptReport, Figures, Reason};
use crate::contract::{ContractView, MAX_ACTIONS, Source};
use crate::publish::{Exchange, Reader, Writer};

/// What adapts: two numbers of apparent gravity in m/s^2, three of the offset in m, three of the trim in shares of an action.
pub const PARAMETERS: usize = 8;
/// `f32` values of memory that an [`InFlight`] works in.
pub const MEMORY: usize = 2 * PARAMETERS;

const PUSH: usize = 0;
const OFFSET: usize = 2;
const TRIM: usize = 5;
const MODES: usize = 3;

/// The parameters of the image: nothing is changed.
static BASE: [f32; PARAMETERS] = [0.0; PARAMETERS];

/// Standard gravity, m/s^2.
const GRAVITY: f32 = 9.81;
/// Share of the newest sample in the running means of squared prediction errors: about half a second at 100 Hz.
const JUDGED: f32 = 0.02;
/// Share of the newest sample in the running mean of the angular velocity: 0.2 s at 100 Hz.
const CALMED: f32 = 0.05;
/// Share of the newest command in the running means of commands: a third of a second at 100 Hz.
const HELD: f32 = 0.03;

/// Roll (left up), pitch (front down) and yaw (by reaction torques) of a quadrotor whose rotors are front right, back right,
/// back left, front left.
pub const QUADROTOR_X: [&[f32]; MODES] = [
    &[-1.0, -1.0, 1.0, 1.0],
    &[-1.0, 1.0, 1.0, -1.0],
    &[-1.0, 1.0, -1.0, 1.0],
];

/// Where a body's state stands in the observation: the index of the first value of each group, in SI units, the world's z
/// axis up and the setpoint at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Body {
    /// Position, 3 values, m.
    pub position: usize,
    /// Rotation matrix from body to world by rows, 9 values.
    pub rotation: usize,
    /// Velocity in the world, 3 values, m/s.
    pub velocity: usize,
    /// Angular velocity in the body, 3 values, rad/s.
    pub spin: usize,
    /// The action of the call before, as many values as actions, where the policy sees it: it is shown its own, not what was
    /// made of it.
    pub previous_action: Option<usize>,
    /// Actions.
    pub actions: usize,
}

impl Body {
    /// Finds the groups by the names of their first channels: `position x`, `rotation xx`, `velocity x`, `angular velocity x`,
    /// and by the source of the previous action.
    ///
    /// # Errors
    /// The name that no channel has, or behind which the group does not end inside the observation.
    pub fn of(contract: &ContractView<'_>) -> Result<Self, &'static str> {
        let channels = contract.observations().len();
        let find = |name: &'static str, width: usize| {
            contract
                .observations()
                .position(|channel| channel.name == name)
                .filter(|first| first + width <= channels)
                .ok_or(name)
        };
        let actions = contract.actions().len();
        Ok(Self {
            position: find("position x", 3)?,
            rotation: find("rotation xx", 9)?,
            velocity: find("velocity x", 3)?,
            spin: find("angular velocity x", 3)?,
            previous_action: contract
                .observations()
                .position(|channel| channel.source == Source::PreviousAction)
                .filter(|first| first + actions <= channels),
            actions,
        })
    }
}

/// How fast and how far it adapts. The defaults were chosen on development draws of the quadrotor family; see
/// `docs/algorithms/in-flight.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// Control periods a second. Default 100.
    pub rate_hz: f32,
    /// Weight of a sample of the push against the next one, 0 to 1. Default 0.7.
    pub memory: f32,
    /// How far ahead the push is read, s. Default 0.1.
    pub lead: f32,
    /// Greatest push, m/s^2 along each axis. Default 5.
    pub push_limit: f32,
    /// Size of the offset's gradient step, 1/s. Default 2.
    pub offset_rate: f32,
    /// Greatest offset along each axis, m. Default 0.3.
    pub offset_limit: f32,
    /// Distance from the setpoint within which the offset learns, m. Default 0.05.
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
            lead: 0.1,
            push_limit: 5.0,
            offset_rate: 2.0,
            offset_limit: 0.3,
            reach: 0.05,
            trim_rate: 0.5,
            steady: 0.7,
            trim_limit: 0.3,
            unrest: 9.0,
        }
    }
}

/// The parameters, published and in the making; see the [module](self).
pub struct InFlight<'m> {
    exchange: Exchange<'m>,
    shared: Shared<'m>,
    command: [f32; MAX_ACTIONS],
    state: State,
}

/// What both handles need.
#[derive(Clone, Copy)]
struct Shared<'m> {
    body: Body,
    modes: &'m [&'m [f32]; MODES],
    settings: Settings,
}

/// What the estimator remembers.
#[derive(Clone, Copy, Default)]
struct State {
    /// Samples since the start.
    samples: u32,
    velocity: [f32; 3],
    axis: [f32; 3],
    /// The fitted line: m/s^2 and m/s^2 a period.
    level: [f32; 2],
    slope: [f32; 2],
    /// Running means of squared errors of prediction: by the line, and by no push.
    predicted: f32,
    unpredicted: f32,
    /// Running mean of the angular velocity, rad/s.
    unrest: f32,
    offset: [f32; 3],
    trim: [f32; MODES],
    /// Running means of what is commanded in each mode, and of its square.
    held: [f32; MODES],
    held_squares: [f32; MODES],
    finite: bool,
}

impl<'m> InFlight<'m> {
    /// Around a policy that sees a `body` and answers with actions that turn it by these `modes`: for each of three ways to
    /// turn, the change of every action. Changes nothing at first.
    pub fn new(body: Body, modes: &'m [&'m [f32]; MODES], settings: Settings, memory: &'m mut [f32; MEMORY]) -> Self {
        let (first, second) = memory.split_at_mut(PARAMETERS);
        Self {
            // Both halves are as long as the base.
            exchange: Exchange::new(&BASE, first, second).unwrap_or_else(|| Exchange::fixed(&BASE)),
            shared: Shared { body, modes, settings },
            command: [0.0; MAX_ACTIONS],
            state: State::default(),
        }
    }

    /// The handle for the control loop and the handle that learns. In an interrupt and in the background, or in turn.
    pub fn split(&mut self) -> (Correction<'_, 'm>, Estimator<'_, 'm>) {
        let (reader, writer) = self.exchange.split();
        (
            Correction {
                reader,
                shared: self.shared,
                command: &mut self.command,
            },
            Estimator {
                writer,
                shared: self.shared,
                state: &mut self.state,
            },
        )
    }
}

/// Changes what the policy is shown, and what is made of its answer.
pub struct Correction<'p, 'm> {
    reader: Reader<'p, 'm>,
    shared: Shared<'m>,
    command: &'p mut [f32; MAX_ACTIONS],
}

impl Correction<'_, '_> {
    /// A new episode: the policy has commanded nothing yet.
    pub fn reset(&mut self) {
        self.command.fill(0.0);
    }

    /// What the policy commanded last, as it gave it.
    pub fn command(&self) -> &[f32] {
        self.command.get(..self.shared.body.actions).unwrap_or(&[])
    }

    /// Writes what the policy is shown of an observation. Both have the contract's channels; other lengths show nothing.
    pub fn show(&mut self, observation: &[f32], shown: &mut [f32]) {
        if observation.len() != shown.len() {
            shown.fill(f32::NAN);
            return;
        }
        shown.copy_from_slice(observation);
        let body = self.shared.body;
        let parameters = self.reader.lease();
        let turn = Turn::upright(-get(&parameters, PUSH), -get(&parameters, PUSH + 1));
        let mut position = three(observation, body.position);
        for (axis, value) in position.iter_mut().enumerate() {
            *value += get(&parameters, OFFSET + axis);
        }
        write(shown, body.position, &turn.of(position));
        write(shown, body.velocity, &turn.of(three(observation, body.velocity)));
        for column in 0..3 {
            let of = [0, 3, 6].map(|row| get(observation, body.rotation + row + column));
            for (row, value) in turn.of(of).into_iter().enumerate() {
                write(shown, body.rotation + 3 * row + column, &[value]);
            }
        }
        if let Some(first) = body.previous_action {
            write(shown, first, self.command.get(..body.actions).unwrap_or(&[]));
        }
    }

    /// Makes of the policy's answer what is driven: adds the trim, within -1 and 1. Call it after every [`show`](Self::show).
    pub fn drive(&mut self, action: &mut [f32]) {
        self.command.iter_mut().zip(&*action).for_each(|(to, from)| *to = *from);
        let parameters = self.reader.lease();
        for (index, action) in action.iter_mut().enumerate() {
            for (mode, changes) in self.shared.modes.iter().enumerate() {
                *action += get(&parameters, TRIM + mode) * get(changes, index);
            }
            *action = action.clamp(-1.0, 1.0);
        }
    }

    /// Lends the parameters in use.
    pub fn parameters<T>(&mut self, read: impl FnOnce(&[f32]) -> T) -> T {
        read(&self.reader.lease())
    }

    /// Frozen, the policy flies alone, and nothing is published.
    pub fn freeze(&mut self, frozen: bool) {
        self.reader.freeze(frozen);
    }
}

/// Learns the parameters.
pub struct Estimator<'p, 'm> {
    writer: Writer<'p, 'm>,
    shared: Shared<'m>,
    state: &'p mut State,
}

impl Estimator<'_, '_> {
    /// Takes the observation of this period, as it came from the sensors, and what the policy commanded in the one before
    /// ([`Correction::command`]).
    pub fn observe(&mut self, observation: &[f32], command: &[f32]) {
        let Shared { body, modes, settings } = self.shared;
        let state = &mut *self.state;
        let used = [
            (body.position, 3),
            (body.rotation, 9),
            (body.velocity, 3),
            (body.spin, 3),
        ];
        state.finite = used.into_iter().all(|(first, width)| {
            let group = observation.get(first..first + width);
            group.is_some_and(|values| values.iter().all(|value| value.is_finite()))
        }) && command.iter().all(|value| value.is_finite());
        if !state.finite {
            return;
        }
        let velocity = three(observation, body.velocity);
        let axis = [2, 5, 8].map(|place| get(observation, body.rotation + place));
        let spin = length(three(observation, body.spin));
        if state.samples == 0 {
            state.unrest = spin;
        } else {
            let mean: [f32; 3] = core::array::from_fn(|i| 0.5 * (axis[i] + state.axis[i]));
            let mut force: [f32; 3] = core::array::from_fn(|i| (velocity[i] - state.velocity[i]) * settings.rate_hz);
            force[2] += GRAVITY;
            let square = dot(mean, mean);
            let along = if square > 0.25 { dot(force, mean) / square } else { 0.0 };
            state.fit(
                [force[0] - along * mean[0], force[1] - along * mean[1]],
                settings.memory,
            );
        }
        state.unrest += CALMED * (spin - state.unrest);
        (state.velocity, state.axis) = (velocity, axis);
        state.samples = state.samples.saturating_add(1);

        let period = 1.0 / settings.rate_hz;
        let position = three(observation, body.position);
        if length(position) < settings.reach {
            for (offset, error) in state.offset.iter_mut().zip(position) {
                *offset = limited(*offset + settings.offset_rate * period * error, settings.offset_limit);
            }
        }
        let means = state.held.iter_mut().zip(&mut state.held_squares);
        for ((trim, changes), (mean, mean_square)) in state.trim.iter_mut().zip(modes).zip(means) {
            let (mut sum, mut squares) = (0.0, 0.0);
            for (command, change) in command.iter().zip(*changes) {
                sum += command * change;
                squares += change * change;
            }
            let held = if squares > 0.0 { sum / squares } else { 0.0 };
            *mean += HELD * (held - *mean);
            *mean_square += HELD * (held * held - *mean_square);
            if *mean * *mean > settings.steady * *mean_square {
                *trim = limited(*trim + settings.trim_rate * period * held, settings.trim_limit);
            }
        }
    }

    /// Judges what was learned and publishes it, or drops it. [`Figures::rows`] counts samples, `change` is the length of the
    /// published parameters, the scores are mean squared errors of prediction of the push without and with the fitted line.
    pub fn adapt(&mut self) -> AdaptReport {
        let settings = self.shared.settings;
        let state = &mut *self.state;
        let mut figures = Figures {
            rows: state.samples,
            score_before: Some(state.unpredicted),
            score_after: Some(state.predicted),
            ..Figures::default()
        };
        let reject = |reason, figures| AdaptReport::Rejected { reason, figures };
        if self.writer.is_frozen() {
            return reject(Reason::Frozen, figures);
        }
        if !state.finite {
            let reason = if state.samples == 0 {
                Reason::EmptySupport
            } else {
                Reason::NotFinite
            };
            return reject(reason, figures);
        }
        if state.unrest > settings.unrest {
            state.forget();
            self.writer.restore_base();
            return reject(Reason::Divergence, figures);
        }
        if self.writer.claim().is_err() {
            return reject(Reason::Busy, figures);
        }
        let Some((shadow, _)) = self.writer.shadow() else {
            return reject(Reason::Busy, figures);
        };
        let explained = state.predicted <= state.unpredicted;
        let ahead = settings.lead * settings.rate_hz;
        let push: [f32; 2] = core::array::from_fn(|axis| {
            let push = state.level[axis] + ahead * state.slope[axis];
            limited(if explained { push } else { 0.0 }, settings.push_limit)
        });
        let candidate = push.into_iter().chain(state.offset).chain(state.trim);
        let mut squares = 0.0;
        for (place, value) in shadow.iter_mut().zip(candidate) {
            *place = value;
            squares += value * value;
        }
        figures.change = libm::sqrtf(squares);
        if !squares.is_finite() {
            self.writer.discard();
            state.forget();
            return reject(Reason::NotFinite, figures);
        }
        self.writer.publish();
        AdaptReport::Accepted(figures)
    }

    /// Goes back to the policy alone and forgets what was learned: a new episode, or when in doubt.
    pub fn revert(&mut self) {
        *self.state = State::default();
        self.writer.restore_base();
    }

    /// The published parameters.
    pub fn parameters(&self) -> &[f32] {
        self.writer.current()
    }
}

impl State {
    /// One step of the recursion, for both axes.
    fn fit(&mut self, sample: [f32; 2], memory: f32) {
        let rest = 1.0 - memory;
        let (level_gain, slope_gain) = (1.0 - memory * memory, rest * rest);
        let (mut error, mut size) = (0.0, 0.0);
        for ((level, slope), sample) in self.level.iter_mut().zip(&mut self.slope).zip(sample) {
            let predicted = *level + *slope;
            let wrong = sample - predicted;
            *level = predicted + level_gain * wrong;
            *slope += slope_gain * wrong;
            error += wrong * wrong;
            size += sample * sample;
        }
        self.predicted += JUDGED * (error - self.predicted);
        self.unpredicted += JUDGED * (size - self.unpredicted);
    }

    /// Forgets what is published, not the samples.
    fn forget(&mut self) {
        (self.level, self.slope) = ([0.0; 2], [0.0; 2]);
        (self.offset, self.trim) = ([0.0; 3], [0.0; MODES]);
    }
}

/// The least rotation that turns one direction upright.
struct Turn {
    /// The matrix, by rows.
    rows: [[f32; 3]; 3],
}

impl Turn {
    /// Turns `(x, y, gravity)` upright.
    fn upright(x: f32, y: f32) -> Self {
        if x == 0.0 && y == 0.0 {
            // Not a bit is changed where there is nothing to change.
            return Self {
                rows: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            };
        }
        let scale = 1.0 / libm::sqrtf(x * x + y * y + GRAVITY * GRAVITY);
        let (x, y, z) = (x * scale, y * scale, GRAVITY * scale);
        let share = 1.0 / (1.0 + z);
        let cross = -(share * x * y);
        Self {
            rows: [
                [1.0 - share * x * x, cross, -x],
                [cross, 1.0 - share * y * y, -y],
                [x, y, z],
            ],
        }
    }

    fn of(&self, vector: [f32; 3]) -> [f32; 3] {
        self.rows.map(|row| dot(row, vector))
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(vector: [f32; 3]) -> f32 {
    libm::sqrtf(dot(vector, vector))
}

/// Moves a value into its limits; NaN stays.
fn limited(value: f32, limit: f32) -> f32 {
    if value > limit {
        limit
    } else if value < -limit {
        -limit
    } else {
        value
    }
}

/// A value; NaN past the end, so that it is refused.
fn get(values: &[f32], index: usize) -> f32 {
    values.get(index).copied().unwrap_or(f32::NAN)
}

fn three(values: &[f32], first: usize) -> [f32; 3] {
    [0, 1, 2].map(|index| get(values, first + index))
}

fn write(values: &mut [f32], first: usize, from: &[f32]) {
    values
        .iter_mut()
        .skip(first)
        .zip(from)
        .for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    const BODY: Body = Body {
        position: 0,
        rotation: 3,
        velocity: 12,
        spin: 15,
        previous_action: Some(18),
        actions: 4,
    };

    /// Level, at rest but for what is given.
    fn level(position: [f32; 3], velocity: [f32; 3]) -> [f32; 22] {
        let mut observation = [0.0; 22];
        observation[..3].copy_from_slice(&position);
        (observation[3], observation[7], observation[11]) = (1.0, 1.0, 1.0);
        observation[12..15].copy_from_slice(&velocity);
        observation
    }

    /// What is shown after 100 periods in which the velocity along x grows by `push` and noise of this size lies on it.
    fn pushed(push: f32, noise: f32) -> ([f32; 22], [f32; PARAMETERS], AdaptReport) {
        let mut memory = [0.0; MEMORY];
        let mut in_flight = InFlight::new(BODY, &QUADROTOR_X, Settings::default(), &mut memory);
        let (mut correction, mut estimator) = in_flight.split();
        let mut random = Noise::seeded(1);
        let mut report = estimator.adapt();
        for period in 0..100 {
            let velocity = 0.01 * push * period as f32 + noise * random.gaussian();
            estimator.observe(&level([1.0; 3], [velocity, 0.0, 0.0]), correction.command());
            report = estimator.adapt();
        }
        let mut shown = [0.0; 22];
        correction.show(&level([1.0; 3], [0.0; 3]), &mut shown);
        (
            shown,
            correction.parameters(|parameters| *parameters.first_chunk().unwrap()),
            report,
        )
    }

    #[test]
    fn a_steady_push_tilts_the_world_until_it_looks_like_gravity() {
        let (shown, parameters, report) = pushed(2.0, 0.0);
        assert!(report.is_accepted());
        assert!((parameters[0] - 2.0).abs() < 1e-3, "{parameters:?}");
        // A body that leans against the push by 2 / g looks level; a level one looks tilted the other way.
        let angle = libm::atan2f(2.0, GRAVITY);
        let axis = [shown[5], shown[8], shown[11]];
        assert!((axis[0] - libm::sinf(angle)).abs() < 1e-3, "{axis:?}");
        assert!((length(axis) - 1.0).abs() < 1e-6);
        assert!((length([shown[0], shown[1], shown[2]]) - length([1.0; 3])).abs() < 1e-6);
    }

    #[test]
    fn without_a_push_not_a_bit_is_changed() {
        let (shown, parameters, _) = pushed(0.0, 0.0);
        assert_eq!(parameters, [0.0; PARAMETERS]);
        assert_eq!(shown, level([1.0; 3], [0.0; 3]));
    }

    #[test]
    fn noise_that_the_line_cannot_predict_is_not_believed() {
        let (_, parameters, report) = pushed(0.1, 0.02);
        assert!(report.is_accepted());
        assert!(report.figures().score_after > report.figures().score_before);
        assert_eq!(parameters[..2], [0.0; 2]);
    }

    #[test]
    fn the_trust_region_holds() {
        let (_, parameters, _) = pushed(50.0, 0.0);
        assert_eq!(parameters[0], Settings::default().push_limit);
        let mut memory = [0.0; MEMORY];
        let mut in_flight = InFlight::new(BODY, &QUADROTOR_X, Settings::default(), &mut memory);
        let (mut correction, mut estimator) = in_flight.split();
        for _ in 0..10_000 {
            estimator.observe(&level([0.02, 0.0, -0.02], [0.0; 3]), &[-1.0, -1.0, 1.0, 1.0]);
            assert!(estimator.adapt().is_accepted());
        }
        let Settings {
            offset_limit,
            trim_limit,
            ..
        } = Settings::default();
        assert_eq!(
            estimator.parameters(),
            [0.0, 0.0, offset_limit, 0.0, -offset_limit, trim_limit, 0.0, 0.0]
        );
        let mut action = [0.9, 0.0, 0.0, -0.9];
        correction.drive(&mut action);
        assert_eq!(action, [0.9 - trim_limit, -trim_limit, trim_limit, -0.9 + trim_limit]);
        assert_eq!(
            correction.command(),
            [0.9, 0.0, 0.0, -0.9],
            "the policy sees its own command"
        );
    }

    #[test]
    fn what_is_no_number_changes_nothing_and_tumbling_forgets_all() {
        let mut memory = [0.0; MEMORY];
        let mut in_flight = InFlight::new(BODY, &QUADROTOR_X, Settings::default(), &mut memory);
        let (mut correction, mut estimator) = in_flight.split();
        assert_eq!(estimator.adapt().reason(), Some(Reason::EmptySupport));
        let calm = level([0.02, 0.0, 0.0], [0.0; 3]);
        estimator.observe(&calm, &[0.0; 4]);
        assert!(estimator.adapt().is_accepted());
        let before: [f32; PARAMETERS] = *estimator.parameters().first_chunk().unwrap();
        assert!(before[OFFSET] > 0.0);
        for (place, bad) in [(0, f32::NAN), (7, f32::INFINITY), (14, f32::NAN), (17, f32::NAN)] {
            let mut broken = calm;
            broken[place] = bad;
            estimator.observe(&broken, &[0.0; 4]);
            assert_eq!(estimator.adapt().reason(), Some(Reason::NotFinite));
            assert_eq!(estimator.parameters(), before);
        }
        estimator.observe(&calm[..10], &[0.0; 4]);
        assert_eq!(estimator.adapt().reason(), Some(Reason::NotFinite), "too short");

        correction.freeze(true);
        estimator.observe(&calm, &[0.0; 4]);
        assert_eq!(estimator.adapt().reason(), Some(Reason::Frozen));
        assert_eq!(
            correction.parameters(|parameters| parameters.to_owned_array()),
            [0.0; PARAMETERS]
        );
        correction.freeze(false);

        let mut tumbling = calm;
        tumbling[15..18].fill(30.0);
        for _ in 0..30 {
            estimator.observe(&tumbling, &[0.0; 4]);
            let _report = estimator.adapt();
        }
        assert_eq!(estimator.adapt().reason(), Some(Reason::Divergence));
        assert_eq!(estimator.parameters(), [0.0; PARAMETERS]);
    }

    trait ToArray {
        fn to_owned_array(&self) -> [f32; PARAMETERS];
    }

    impl ToArray for [f32] {
        fn to_owned_array(&self) -> [f32; PARAMETERS] {
            *self.first_chunk().unwrap()
        }
    }
}
