//! Simulated systems: the deployed image controls each held-out one, and is scored by its return.

use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy, ResetKind, Status, act_workspace_len};
use rayon::prelude::*;

use super::{AdaptationStep, EvalError, EvalOptions, Evaluation, TaskRange};
use crate::envs::Simulator;
use crate::random::{Stream, fill_standard_normal};
use crate::tasks::{Split, task_streams};

/// One episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollout {
    /// Steps until a limit was exceeded, or the horizon.
    pub steps: usize,
    /// Summed cost; each step that was lost counts [`lost_cost`](crate::envs::Plant::lost_cost).
    pub cost: f64,
    /// Mean [`error`](crate::envs::Plant::error) over the last second; none where a limit was exceeded.
    pub error: Option<f64>,
}

/// Rolls out each system of a range for some episodes with the image, on `threads` threads. Episodes of one system follow
/// each other; the number of threads changes nothing.
///
/// A simulator that shows its parameters and one that does not draw the same systems and episodes.
///
/// # Errors
/// An image that the runtime cannot load, or that refuses to act.
pub fn roll_out(
    image: &Image<'_>,
    simulator: &dyn Simulator,
    range: TaskRange,
    episodes: usize,
    threads: usize,
) -> Result<Vec<Vec<Rollout>>, EvalError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let task = |index: u64| roll_out_task(image, simulator, range, index, episodes);
    pool.install(|| (0..range.tasks).into_par_iter().map(task).collect())
}

/// The same of one system of a range.
///
/// # Errors
/// As [`roll_out`].
pub fn roll_out_task(
    image: &Image<'_>,
    simulator: &dyn Simulator,
    range: TaskRange,
    index: u64,
    episodes: usize,
) -> Result<Vec<Rollout>, EvalError> {
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(image, None, &mut memory)?;
    let (mut actor, _) = policy.split();
    let mut parameters = task_parameters(simulator, range, index);
    (0..episodes as u64)
        .map(|episode| {
            let [_, mut random] = task_streams(range.seed, range.split, index, episode);
            roll_out_once(&mut actor, simulator, &mut parameters, &mut random, &mut |_| ())
                .map_err(|status| EvalError::Refused { task: index, status })
        })
        .collect()
}

/// The parameters of task `index` of a range.
pub(super) fn task_parameters(simulator: &dyn Simulator, range: TaskRange, index: u64) -> Vec<f32> {
    let mut parameters = vec![0.0; simulator.widths().parameters];
    let [mut random, _] = task_streams(range.seed, range.split, index, 0);
    simulator.draw(&mut random, &mut parameters);
    parameters
}

/// The error after each step of the first episode of each system of a range; shorter where a limit was exceeded.
///
/// # Errors
/// As [`roll_out`].
pub fn trace_errors(
    image: &Image<'_>,
    simulator: &dyn Simulator,
    range: TaskRange,
) -> Result<Vec<Vec<f64>>, EvalError> {
    let trace = |index: u64| {
        let mut memory = vec![0.0; act_workspace_len(image.bytes())];
        let mut policy = Policy::act_only(image, None, &mut memory)?;
        let (mut actor, _) = policy.split();
        let mut parameters = task_parameters(simulator, range, index);
        let [_, mut random] = task_streams(range.seed, range.split, index, 0);
        let mut errors = Vec::with_capacity(simulator.horizon());
        roll_out_once(&mut actor, simulator, &mut parameters, &mut random, &mut |error| {
            errors.push(error)
        })
        .map_err(|status| EvalError::Refused { task: index, status })?;
        Ok(errors)
    };
    (0..range.tasks).map(trace).collect()
}

/// One episode; `watch` is told the error after each step that exceeded no limit.
fn roll_out_once(
    actor: &mut Actor<'_, '_>,
    simulator: &dyn Simulator,
    parameters: &mut [f32],
    random: &mut Stream,
    watch: &mut dyn FnMut(f64),
) -> Result<Rollout, Status> {
    let (widths, horizon) = (simulator.widths(), simulator.horizon());
    let last = (simulator.rate_hz().round() as usize).clamp(1, horizon);
    let mut state = vec![0.0; widths.state];
    let mut noise = vec![0.0; widths.noise];
    let mut observation = vec![0.0; widths.observation];
    let mut action = vec![0.0; widths.action];
    simulator.start(random, parameters, &mut state);
    actor.reset(ResetKind::Episode);
    let lost = |steps: usize| f64::from(simulator.lost_cost()) * (horizon - steps) as f64;
    let mut rollout = Rollout {
        steps: 0,
        cost: 0.0,
        error: None,
    };
    if !simulator.alive_one(&state, parameters) {
        rollout.cost = lost(0);
        return Ok(rollout);
    }
    let mut error = 0.0;
    while rollout.steps < horizon {
        simulator.evolve(rollout.steps, parameters);
        fill_standard_normal(random, &mut noise);
        simulator.observe_one(&state, parameters, &noise, &mut observation);
        let status = actor.act(&observation, &mut action);
        if status.is_safe_action() {
            return Err(status);
        }
        let outcome = simulator.step_one(&mut state, parameters, &action);
        rollout.steps += 1;
        rollout.cost += f64::from(outcome.cost);
        if outcome.alive < 0.5 {
            rollout.cost += lost(rollout.steps);
            return Ok(rollout);
        }
        let now = simulator.error(&state, parameters);
        watch(now);
        if rollout.steps > horizon - last {
            error += now;
        }
    }
    rollout.error = Some(error / last as f64);
    Ok(rollout)
}

/// The mean return of each task's episodes.
pub fn returns(rollouts: &[Vec<Rollout>]) -> Vec<f64> {
    rollouts
        .iter()
        .map(|episodes| -episodes.iter().map(|rollout| rollout.cost).sum::<f64>() / episodes.len() as f64)
        .collect()
}

/// Share of terminated episodes of each task, in percent.
pub fn terminated(rollouts: &[Vec<Rollout>]) -> Vec<f64> {
    rollouts
        .iter()
        .map(|episodes| {
            let terminated = episodes.iter().filter(|rollout| rollout.error.is_none()).count();
            100.0 * terminated as f64 / episodes.len() as f64
        })
        .collect()
}

/// The errors of all episodes that were not terminated.
pub(super) fn errors(rollouts: &[Vec<Rollout>]) -> Vec<f64> {
    rollouts.iter().flatten().filter_map(|rollout| rollout.error).collect()
}

/// Environment steps of all episodes.
pub(super) fn steps(rollouts: &[Vec<Rollout>]) -> u64 {
    rollouts.iter().flatten().map(|rollout| rollout.steps as u64).sum()
}

pub(super) fn evaluate(
    image: &Image<'_>,
    family: &'static str,
    simulator: &dyn Simulator,
    episodes: usize,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let rollouts = roll_out(image, simulator, options.range(split), episodes, options.threads)?;
    let over = |scores: &[f64]| AdaptationStep::over_tasks(0, scores, options.seed);
    let mut evaluation = Evaluation::new(family, options, "return", vec![over(&returns(&rollouts))]);
    evaluation.also(simulator.error_name(), over(&errors(&rollouts)));
    evaluation.also("terminated, %", over(&terminated(&rollouts)));
    evaluation.env_steps = steps(&rollouts);
    Ok(evaluation)
}
