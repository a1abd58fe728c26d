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

mod body;
mod correction;
mod estimator;
mod settings;
mod vector;

pub use body::Body;
pub use correction::Correction;
pub use estimator::Estimator;
pub use settings::Settings;

use crate::contract::MAX_ACTIONS;
use crate::publish::Exchange;
use estimator::State;

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

/// Roll (left up), pitch (front down) and yaw (by reaction torques) of a quadrotor whose rotors are front right, back right,
/// back left, front left.
pub const QUADROTOR_X: [&[f32]; MODES] = [
    &[-1.0, -1.0, 1.0, 1.0],
    &[-1.0, 1.0, 1.0, -1.0],
    &[-1.0, 1.0, -1.0, 1.0],
];

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

#[cfg(test)]
mod tests {
    use super::super::report::{AdaptReport, Reason};
    use super::vector::length;
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

    /// Other lengths show nothing to act on; a body that is not shown its own actions still has a command.
    #[test]
    fn what_does_not_suit_the_body_is_not_shown() {
        let mut memory = [0.0; MEMORY];
        let body = Body {
            previous_action: None,
            ..BODY
        };
        let mut in_flight = InFlight::new(body, &QUADROTOR_X, Settings::default(), &mut memory);
        let (mut correction, _) = in_flight.split();
        let calm = level([0.02, 0.0, 0.0], [0.0; 3]);
        let mut short = [0.0; 21];
        correction.show(&calm, &mut short);
        assert!(short.iter().all(|value| value.is_nan()));
        let mut shown = [0.0; 22];
        correction.drive(&mut [0.5, -0.5, 2.0, -2.0]);
        correction.show(&calm, &mut shown);
        assert_eq!(shown, calm, "no parameter has been learned, and no action is shown");
        assert_eq!(correction.command(), [0.5, -0.5, 2.0, -2.0]);
        correction.reset();
        assert_eq!(correction.command(), [0.0; 4]);
    }

    /// A push along y alone turns the world as one along x does.
    #[test]
    fn a_push_to_the_side_turns_the_world_about_the_other_axis() {
        let turned = |x: f32, y: f32| {
            let mut memory = [0.0; MEMORY];
            let mut in_flight = InFlight::new(BODY, &QUADROTOR_X, Settings::default(), &mut memory);
            let (mut correction, mut estimator) = in_flight.split();
            for period in 0..100 {
                let speed = 0.01 * period as f32;
                estimator.observe(&level([1.0; 3], [x * speed, y * speed, 0.0]), correction.command());
                assert!(estimator.adapt().is_accepted());
            }
            let mut shown = [0.0; 22];
            correction.show(&level([0.0; 3], [0.0; 3]), &mut shown);
            shown
        };
        let (along, across) = (turned(1.5, 0.0), turned(0.0, 1.5));
        // The third column of the rotation, x and y exchanged.
        assert!((along[5] - across[8]).abs() < 1e-6 && (along[8] - across[5]).abs() < 1e-6);
        assert!(across[8].abs() > 0.1);
    }

    /// While the control loop holds the parameters that would be overwritten, nothing is, and nothing is lost.
    #[test]
    fn an_interrupted_control_loop_keeps_its_parameters() {
        let mut memory = [0.0; MEMORY];
        let mut in_flight = InFlight::new(BODY, &QUADROTOR_X, Settings::default(), &mut memory);
        let (mut correction, mut estimator) = in_flight.split();
        let calm = level([0.02, 0.0, 0.0], [0.0; 3]);
        let mut learn = || {
            estimator.observe(&calm, &[0.0; 4]);
            estimator.adapt()
        };
        assert!(learn().is_accepted());
        correction.parameters(|held| {
            let before = held.to_owned_array();
            assert!(learn().is_accepted(), "the other buffer is free");
            assert_eq!(learn().reason(), Some(Reason::Busy));
            assert_eq!(held, before);
        });
        assert!(learn().is_accepted());
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
