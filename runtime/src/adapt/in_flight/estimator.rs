//! The handle that learns the parameters, and what it remembers.

use super::super::report::{AdaptReport, Figures, Reason};
use super::vector::{dot, get, length, three};
use super::{GRAVITY, MODES, Shared};
use crate::publish::Writer;

/// Share of the newest sample in the running means of squared prediction errors: about half a second at 100 Hz.
const JUDGED: f32 = 0.02;
/// Share of the newest sample in the running mean of the angular velocity: 0.2 s at 100 Hz.
const CALMED: f32 = 0.05;
/// Share of the newest command in the running means of commands: a third of a second at 100 Hz.
const HELD: f32 = 0.03;

/// Learns the parameters.
pub struct Estimator<'p, 'm> {
    pub(super) writer: Writer<'p, 'm>,
    pub(super) shared: Shared<'m>,
    pub(super) state: &'p mut State,
}

impl Estimator<'_, '_> {
    /// Takes the observation of this period, as it came from the sensors, and what the policy commanded in the one before
    /// ([`Correction::command`](super::Correction::command)).
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

/// What the estimator remembers.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
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
