//! Ordinary learning on a task's support set alone: Adam from random parameters, as long and at the rate that validation tasks
//! are best served by. What a workstation can do without meta-learning, however many steps it takes.

use std::ops::Range;
use std::time::Instant;

use rayon::prelude::*;

use super::{Baseline, BaselineError};
use crate::algorithms::{Inner, MetaLearner, MetaSettings, Problem, TaskBatch};
use crate::deployment;
use crate::engine::PlanEngine;
use crate::error::TrainError;
use crate::eval::{AdaptationStep, EvalOptions, TaskRange};
use crate::nn;
use crate::recipe::{Adam, Recipe};
use crate::tasks::{Rows, Split, SupervisedFamily};

/// Held-out tasks that it is scored on at most, and validation tasks that choose.
const TASKS: u64 = 500;
const CHOICE: u64 = 50;
/// Rates of Adam to choose from, and steps. At the last, the error on the support set is close to 0.
const RATES: [f32; 4] = [1e-3, 3e-3, 1e-2, 3e-2];
const STEPS: [u64; 3] = [100, 300, 1000];

/// Its error on the held-out tasks of an evaluation.
///
/// # Errors
/// What the policy's derivative or the engine refuse.
pub(super) fn converged(
    recipe: &Recipe,
    family: &dyn SupervisedFamily,
    options: EvalOptions,
) -> Result<Baseline, BaselineError> {
    let started = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(TrainError::from)?;
    let errors = |rate, lengths: &[u64], range| pool.install(|| errors(recipe, family, rate, lengths, range));
    let validation = TaskRange {
        split: Split::Validation,
        seed: recipe.seed,
        // A tenth of what is scored is enough to choose by.
        tasks: options.tasks.div_ceil(10).clamp(2, CHOICE),
    };
    let sign = if family.metric().lower_is_better() { 1.0 } else { -1.0 };
    let (mut best, mut chosen) = (f64::INFINITY, (RATES[0], STEPS[0]));
    for rate in RATES {
        for (steps, errors) in STEPS.into_iter().zip(errors(rate, &STEPS, validation)?) {
            let mean = sign * errors.iter().sum::<f64>() / errors.len() as f64;
            // What has diverged is no number, and never the least.
            if mean < best {
                (best, chosen) = (mean, (rate, steps));
            }
        }
    }
    let (rate, steps) = chosen;
    let range = TaskRange {
        split: Split::Test,
        seed: options.seed,
        tasks: options.tasks.min(TASKS),
    };
    let scores = errors(rate, &[steps], range)?.pop().unwrap_or_default();
    Ok(Baseline {
        name: "from scratch, converged".to_owned(),
        tasks: range.tasks,
        // One level: nothing of it happens on the device.
        adaptation: vec![AdaptationStep::over_tasks(0, &scores, options.seed)],
        env_steps: 0,
        cost: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Scores by the family's metric after each of these numbers of steps (ascending), each `[tasks]`.
fn errors(
    recipe: &Recipe,
    family: &dyn SupervisedFamily,
    rate: f32,
    lengths: &[u64],
    range: TaskRange,
) -> Result<Vec<Vec<f64>>, BaselineError> {
    // A learner is compiled once a piece.
    let piece = range.tasks.div_ceil(4 * rayon::current_num_threads() as u64).max(1);
    let pieces: Vec<Vec<Vec<f64>>> = (0..range.tasks.div_ceil(piece))
        .into_par_iter()
        .map(|index| {
            let tasks = index * piece..((index + 1) * piece).min(range.tasks);
            piece_errors(recipe, family, rate, lengths, range, tasks)
        })
        .collect::<Result<_, _>>()?;
    Ok((0..lengths.len())
        .map(|length| pieces.iter().flatten().map(|task| task[length]).collect())
        .collect())
}

/// Errors after each length, of each of these tasks.
fn piece_errors(
    recipe: &Recipe,
    family: &dyn SupervisedFamily,
    rate: f32,
    lengths: &[u64],
    range: TaskRange,
    tasks: Range<u64>,
) -> Result<Vec<Vec<f64>>, BaselineError> {
    let rule = deployment::rule(recipe).map_err(TrainError::from)?;
    let initial = nn::initialise(&rule.rows().parameters, recipe.policy.initialiser, recipe.seed);
    let (width, targets) = (family.input_width(), family.target_width());
    let problem = Problem {
        // Learned from and scored on the same rows: plain regression.
        query_rows: family.support_rows(),
        policy: Some(deployment::policy(recipe)),
        ..Problem::new(rule, family)
    };
    let settings = MetaSettings {
        iterations: lengths.last().copied().unwrap_or(0),
        tasks: 1,
        chunks: 1,
        optimizer: Adam::new(rate),
        inner: Inner::Nothing,
    };
    let mut learner = MetaLearner::of_problem(problem, settings, &initial, &PlanEngine::fast(), 1)?;
    let beginning = learner.state()?;
    let (rows, scored) = (family.support_rows(), family.evaluation_rows());
    let mut data = [rows * width, rows * targets, scored * width, scored * targets].map(|length| vec![0.0; length]);
    let mut all = Vec::new();
    for index in tasks {
        let [support_x, support_y, scored_x, scored_y] = &mut data;
        let support = Rows {
            inputs: support_x,
            targets: support_y,
        };
        let held_out = Rows {
            inputs: scored_x,
            targets: scored_y,
        };
        family.sample_for_evaluation(range.seed, range.split, index, support, held_out);
        learner.restore(&beginning)?;
        let support = TaskBatch {
            inputs: support_x,
            targets: support_y,
        };
        let mut found = Vec::with_capacity(lengths.len());
        let mut done = 0;
        for &length in lengths {
            let mut diverged = false;
            while done < length && !diverged {
                diverged = match learner.train_on_batch(support, support) {
                    Err(TrainError::Diverged { .. }) => true,
                    other => other.map(|_| false)?,
                };
                done += 1;
            }
            if diverged {
                // At this rate, longer is no better.
                found.resize(lengths.len(), f64::NAN);
                break;
            }
            let prediction = learner.predict_after(support, scored_x)?;
            found.push(family.metric().of(&prediction, scored_y));
        }
        all.push(found);
    }
    Ok(all)
}
