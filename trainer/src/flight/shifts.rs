//! The deployed image under shifts that no training drew, with and without adaptation in flight.

use pliant_runtime::adapt::in_flight::Settings;
use pliant_runtime::image::Image;
use rayon::prelude::*;
use serde::Serialize;

use super::pilot::{HostPilot, PilotError};
use crate::envs::Quadrotor;
use crate::envs::quadrotor::Shift;
use crate::eval::{Estimate, bootstrap_mean};
use crate::tasks::Split;

/// Steps of the last second, over which the error is taken.
const LAST: usize = Quadrotor::RATE_HZ as usize;

/// What to fly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftOptions {
    /// Which draws.
    pub split: Split,
    /// Their seed.
    pub seed: u64,
    /// Vehicles drawn; those that are not flyable under the shift are left out.
    pub vehicles: u64,
    /// Episodes of each.
    pub episodes: u64,
    /// Of the adaptation.
    pub settings: Settings,
}

/// How one episode went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean distance from the setpoint over the last second, m; none where a limit was exceeded.
    pub error: Option<f64>,
}

/// The episodes of each flyable vehicle.
pub type Flown = Vec<Vec<Outcome>>;

/// The scores of one shift.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShiftScores {
    /// Flyable vehicles.
    pub vehicles: usize,
    /// Episodes terminated, %.
    pub terminated: Estimate,
    /// Mean error of episodes not terminated, m; an episode counts once.
    pub error: Estimate,
    /// Its median.
    pub median_error: f64,
}

/// Flies every episode under a shift. The number of threads changes nothing.
///
/// # Errors
/// An image that does not fly quadrotors, or refuses to.
pub fn fly_shift(image: &Image<'_>, shift: Shift, adapts: bool, options: &ShiftOptions) -> Result<Flown, PilotError> {
    let ShiftOptions {
        split,
        seed,
        vehicles,
        episodes,
        settings,
    } = *options;
    let one = |index: u64| -> Result<Option<Vec<Outcome>>, PilotError> {
        if !shift.is_flyable(&super::vehicle(seed, split, index)) {
            return Ok(None);
        }
        HostPilot::with(image, adapts, settings, |pilot| {
            let episode = |episode| {
                let mut flight = super::start(seed, split, index, episode, shift);
                let mut sum = 0.0;
                super::fly(&mut flight, pilot, |flight| {
                    if flight.age() > Quadrotor::HORIZON - LAST {
                        sum += flight.error();
                    }
                })?;
                Ok(Outcome {
                    error: flight.is_alive().then_some(sum / LAST as f64),
                })
            };
            (0..episodes).map(episode).collect::<Result<_, PilotError>>().map(Some)
        })
    };
    let flown: Vec<_> = (0..vehicles).into_par_iter().map(one).collect::<Result<_, _>>()?;
    Ok(flown.into_iter().flatten().collect())
}

/// Summed up, with intervals over vehicles.
pub fn scores(flown: &Flown, seed: u64) -> ShiftScores {
    let terminated: Vec<f64> = flown
        .iter()
        .map(|episodes| {
            let count = episodes.iter().filter(|outcome| outcome.error.is_none()).count();
            100.0 * count as f64 / episodes.len() as f64
        })
        .collect();
    let mut errors: Vec<f64> = flown.iter().flatten().filter_map(|outcome| outcome.error).collect();
    errors.sort_by(f64::total_cmp);
    ShiftScores {
        vehicles: flown.len(),
        terminated: bootstrap_mean(&terminated, seed),
        error: bootstrap_mean(&errors, seed),
        median_error: errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN),
    }
}
