//! What is kept of an episode, to be drawn and to be compared.

use pliant_runtime::adapt::in_flight::PARAMETERS;
use pliant_runtime::image::crc32;

use super::pilot::{Pilot, PilotError};
use crate::envs::Quadrotor;
use crate::envs::quadrotor::ShiftedFlight;

/// A quadrotor at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// m
    pub position: [f32; 3],
    /// From body to world, w first.
    pub orientation: [f32; 4],
    /// Speeds of the rotors relative to their greatest.
    pub rotors: [f32; 4],
    /// What pushes, thrust and gravity apart, m/s^2.
    pub push: [f32; 3],
    /// Parameters of the correction that the action before was made with.
    pub correction: [f32; PARAMETERS],
}

/// An episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// From the start on, one more than there were steps.
    pub moments: Vec<Moment>,
    /// Whether no limit was exceeded.
    pub alive: bool,
    /// CRC-32 over the bits of all observations, actions and corrections.
    pub checksum: u32,
}

impl Recording {
    /// Mean distance from the setpoint over the last second, m; none where a limit was exceeded.
    pub fn error(&self) -> Option<f64> {
        let last = self.moments.len().saturating_sub(Quadrotor::RATE_HZ as usize);
        let distance = |moment: &Moment| {
            let squares: f64 = moment.position.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            squares.sqrt()
        };
        let sum: f64 = self.moments[last..].iter().map(distance).sum();
        self.alive.then_some(sum / (self.moments.len() - last) as f64)
    }
}

/// A flight under way, step by step.
pub struct Recorder {
    /// What is flown.
    pub flight: ShiftedFlight,
    recording: Recording,
    bytes: Vec<u8>,
}

impl Recorder {
    /// Before the first step.
    pub fn new(flight: ShiftedFlight) -> Self {
        let mut recorder = Self {
            flight,
            recording: Recording {
                moments: Vec::with_capacity(Quadrotor::HORIZON + 1),
                alive: true,
                checksum: 0,
            },
            bytes: Vec::new(),
        };
        recorder.keep([0.0; PARAMETERS]);
        recorder
    }

    /// Flies one step, unless the episode is over.
    ///
    /// # Errors
    /// What the pilot cannot do.
    pub fn step(&mut self, pilot: &mut dyn Pilot) -> Result<(), PilotError> {
        if self.flight.is_over() {
            return Ok(());
        }
        let (mut observation, mut action) = (vec![0.0; pilot.observations()], [0.0; 4]);
        self.flight.observe(&mut observation);
        pilot.act(&observation, &mut action)?;
        self.flight.step(&action);
        let correction = pilot.correction();
        for value in observation.iter().chain(&action).chain(&correction) {
            self.bytes.extend(value.to_bits().to_le_bytes());
        }
        self.keep(correction);
        Ok(())
    }

    /// What was flown so far.
    pub fn moments(&self) -> &[Moment] {
        &self.recording.moments
    }

    /// The whole of it.
    pub fn finish(mut self) -> Recording {
        self.recording.alive = self.flight.is_alive();
        self.recording.checksum = crc32(&self.bytes);
        self.recording
    }

    fn keep(&mut self, correction: [f32; PARAMETERS]) {
        self.recording.moments.push(Moment {
            position: self.flight.position(),
            orientation: self.flight.orientation(),
            rotors: self.flight.rotors(),
            push: self.flight.push(),
            correction,
        });
    }
}

/// Flies a whole episode.
///
/// # Errors
/// What the pilot cannot do.
pub fn record(flight: ShiftedFlight, pilot: &mut dyn Pilot) -> Result<Recording, PilotError> {
    pilot.reset()?;
    let mut recorder = Recorder::new(flight);
    while !recorder.flight.is_over() {
        recorder.step(pilot)?;
    }
    Ok(recorder.finish())
}
