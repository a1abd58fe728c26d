//! Quadrotors flown by a device image: on this machine or on a board at the end of a byte stream, with and without adaptation
//! in flight, on the plain protocol and under shifts that no training drew.

mod board;
mod pilot;
mod record;
mod shifts;

pub use board::{Board, BoardError};
pub use pilot::{HostPilot, Pilot, PilotError, observations};
pub use record::{Moment, Recorder, Recording, record};
pub use shifts::{Flown, Outcome, ShiftOptions, ShiftScores, fly_shift, scores};

use crate::envs::Plant;
use crate::envs::quadrotor::{Shift, ShiftedFlight};
use crate::random::stream;
use crate::tasks::{Split, task_streams};

/// The vehicle number `index` of a split.
pub fn vehicle(seed: u64, split: Split, index: u64) -> Vec<f32> {
    let plant = ShiftedFlight::plant();
    let mut parameters = vec![0.0; plant.widths().parameters];
    let [mut random, _] = task_streams(seed, split, index, 0);
    plant.draw(&mut random, &mut parameters);
    parameters
}

/// Episode number `episode` of vehicle `index`, under a shift. Start and steady push are those of the plain protocol.
pub fn start(seed: u64, split: Split, index: u64, episode: u64, shift: Shift) -> ShiftedFlight {
    let parameters = vehicle(seed, split, index);
    let [_, mut random] = task_streams(seed, split, index, episode);
    let shifts = stream(seed, &format!("shifts, {}", split.name()), &[index, episode]);
    ShiftedFlight::start(&parameters, shift, &mut random, shifts)
}

/// Flies one episode to its end; `watch` sees the quadrotor before every step and at the end.
///
/// # Errors
/// What the pilot cannot do.
pub fn fly(
    flight: &mut ShiftedFlight,
    pilot: &mut dyn Pilot,
    mut watch: impl FnMut(&ShiftedFlight),
) -> Result<(), PilotError> {
    let (mut observation, mut action) = (vec![0.0; pilot.observations()], [0.0; 4]);
    pilot.reset()?;
    while !flight.is_over() {
        watch(flight);
        flight.observe(&mut observation);
        pilot.act(&observation, &mut action)?;
        flight.step(&action);
    }
    watch(flight);
    Ok(())
}
