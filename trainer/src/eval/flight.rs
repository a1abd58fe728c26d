//! Quadrotors: the deployed image flies each held-out vehicle, and is scored by terminations and by position error.

use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy, ResetKind, act_workspace_len};
use rayon::prelude::*;

use super::{AdaptationStep, AlsoScored, DEVICE_RUNTIME, EvalError, EvalOptions, Evaluation, TaskRange};
use crate::envs::quadrotor::Variation;
use crate::envs::{Quadrotor, Simulator};
use crate::random::fill_standard_normal;
use crate::recipe;
use crate::tasks::{Split, fly_streams};

/// Steps whose mean distance is an episode's position error: the last second.
const LAST: usize = 100;

/// Vehicles below this torque-to-inertia ratio, 1/s^2, are reported apart: the least agile tenth of the distribution.
const SLUGGISH: f32 = 148.0;

/// 30 ms from action to motor and noisy sensors, on vehicles of the plain distribution.
const LATE_AND_NOISY: Variation = Variation {
    latency: [0.03; 2],
    position_noise: [0.005; 2],
    velocity_noise: [0.02; 2],
    spin_noise: [0.02; 2],
    ..Variation::NONE
};

/// One episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flight {
    /// [`Quadrotor::torque_to_inertia`] of the vehicle, 1/s^2.
    pub torque_to_inertia: f32,
    /// Steps until a limit was exceeded, or the horizon.
    pub steps: usize,
    /// Mean distance from the setpoint over the last second, m; none where a limit was exceeded.
    pub error: Option<f64>,
}

/// Flies each vehicle of a range for some episodes with the image, on `threads` threads. Episodes of one vehicle follow
/// each other; the number of threads changes nothing.
///
/// The vehicles are those of the range whatever varies beside them.
///
/// # Errors
/// An image that the runtime cannot load, or that refuses to act.
pub fn fly(
    image: &Image<'_>,
    quadrotor: &Quadrotor,
    range: TaskRange,
    episodes: usize,
    threads: usize,
) -> Result<Vec<Vec<Flight>>, EvalError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let task = |index: u64| -> Result<Vec<Flight>, EvalError> {
        let mut memory = vec![0.0; act_workspace_len(image.bytes())];
        let mut policy = Policy::act_only(image, None, &mut memory)?;
        let (mut actor, _) = policy.split();
        let mut parameters = vec![0.0; quadrotor.widths().parameters];
        let [mut random, _] = fly_streams(range.seed, range.split, index, 0);
        quadrotor.draw(&mut random, &mut parameters);
        (0..episodes as u64)
            .map(|episode| {
                let [_, mut random] = fly_streams(range.seed, range.split, index, episode);
                fly_once(&mut actor, quadrotor, &mut parameters, &mut random)
                    .map_err(|status| EvalError::Refused { task: index, status })
            })
            .collect()
    };
    pool.install(|| (0..range.tasks).into_par_iter().map(task).collect())
}

fn fly_once(
    actor: &mut Actor<'_, '_>,
    quadrotor: &Quadrotor,
    parameters: &mut [f32],
    random: &mut crate::random::Stream,
) -> Result<Flight, pliant_runtime::policy::Status> {
    let widths = Simulator::widths(quadrotor);
    let mut state = vec![0.0; widths.state];
    let mut noise = vec![0.0; widths.noise];
    let mut observation = [0.0; Quadrotor::OBSERVATION];
    let mut action = [0.0; 4];
    Simulator::start(quadrotor, random, parameters, &mut state);
    actor.reset(ResetKind::Episode);
    let mut flight = Flight {
        torque_to_inertia: Quadrotor::torque_to_inertia(parameters),
        steps: 0,
        error: None,
    };
    if !quadrotor.alive_one(&state, parameters) {
        return Ok(flight);
    }
    let mut distance = 0.0;
    while flight.steps < Quadrotor::HORIZON {
        Simulator::evolve(quadrotor, flight.steps, parameters);
        fill_standard_normal(random, &mut noise);
        quadrotor.observe_one(&state, parameters, &noise, &mut observation);
        let status = actor.act(&observation, &mut action);
        if status.is_safe_action() {
            return Err(status);
        }
        let outcome = quadrotor.step_one(&mut state, parameters, &action);
        flight.steps += 1;
        if outcome.alive < 0.5 {
            return Ok(flight);
        }
        if flight.steps > Quadrotor::HORIZON - LAST {
            let squares = Quadrotor::position(&state).map(|x| f64::from(x) * f64::from(x));
            distance += squares.iter().sum::<f64>().sqrt();
        }
    }
    flight.error = Some(distance / LAST as f64);
    Ok(flight)
}

pub(super) fn evaluate(
    image: &Image<'_>,
    settings: &recipe::Quadrotor,
    options: EvalOptions,
) -> Result<Evaluation, EvalError> {
    let EvalOptions { tasks, seed, threads } = options;
    let range = TaskRange {
        split: Split::Test,
        seed,
        tasks,
    };
    let episodes = settings.evaluation_episodes;
    let plain = fly(image, &Quadrotor::new(Variation::NONE), range, episodes, threads)?;
    let shifted = fly(image, &Quadrotor::new(LATE_AND_NOISY), range, episodes, threads)?;
    let mut errors: Vec<f64> = plain.iter().flatten().filter_map(|flight| flight.error).collect();
    errors.iter_mut().for_each(|error| *error *= 1000.0);
    let sluggish: Vec<Vec<Flight>> = plain
        .iter()
        .filter(|flights| flights.iter().any(|flight| flight.torque_to_inertia < SLUGGISH))
        .cloned()
        .collect();
    let mut late_errors: Vec<f64> = shifted.iter().flatten().filter_map(|flight| flight.error).collect();
    late_errors.iter_mut().for_each(|error| *error *= 1000.0);
    let also = [
        ("position error, mm", AdaptationStep::over_tasks(0, &errors, seed)),
        ("median position error, mm", median(&mut errors)),
        (
            "terminated where torque-to-inertia is below 148 1/s^2, %",
            AdaptationStep::over_tasks(0, &terminated(&sluggish), seed),
        ),
        (
            "terminated at 30 ms latency with sensor noise, %",
            AdaptationStep::over_tasks(0, &terminated(&shifted), seed),
        ),
        (
            "position error at 30 ms latency with sensor noise, mm",
            AdaptationStep::over_tasks(0, &late_errors, seed),
        ),
    ];
    let steps = |flights: &[Vec<Flight>]| flights.iter().flatten().map(|flight| flight.steps as u64).sum::<u64>();
    Ok(Evaluation {
        family: "quadrotor".to_owned(),
        engine: DEVICE_RUNTIME.to_owned(),
        tasks,
        seed,
        metric: "episodes terminated, %".to_owned(),
        lower_is_better: true,
        adaptation: vec![AdaptationStep::over_tasks(0, &terminated(&plain), seed)],
        also: also
            .into_iter()
            .map(|(name, step)| AlsoScored {
                name: name.to_owned(),
                adaptation: vec![step],
            })
            .collect(),
        refused: 0,
        env_steps: steps(&plain) + steps(&shifted),
    })
}

/// Share of terminated episodes of each vehicle, in percent.
fn terminated(flights: &[Vec<Flight>]) -> Vec<f64> {
    flights
        .iter()
        .map(|flights| {
            let terminated = flights.iter().filter(|flight| flight.error.is_none()).count();
            100.0 * terminated as f64 / flights.len() as f64
        })
        .collect()
}

/// The median, and the 95 % interval that order statistics give it (binomial, normal approximation).
fn median(values: &mut [f64]) -> AdaptationStep {
    values.sort_by(f64::total_cmp);
    let at = |rank: f64| {
        let last = values.len().saturating_sub(1);
        values
            .get((rank.max(0.0) as usize).min(last))
            .copied()
            .unwrap_or(f64::NAN)
    };
    let (middle, half) = (0.5 * values.len() as f64, 0.98 * (values.len() as f64).sqrt());
    AdaptationStep {
        step: 0,
        mean: at(middle),
        ci95: [at(middle - half), at(middle + half)],
    }
}
