//! What adaptation is compared with: the same device runtime from random parameters, one model for all tasks, and who knows
//! the task.

use std::time::Instant;

use pliant_compiler::image::{AlignedBytes, InspectError, inspect};
use pliant_compiler::policy::Scan;
use pliant_runtime::experience::End;
use pliant_runtime::image::{AdaptationSpec, Image};

use super::memoryless::memoryless;
use super::references::references;
use super::{Baseline, DeviceCost, from_scratch};
use crate::algorithms::maml_policy_gradient::LOG_STD;
use crate::algorithms::{Algorithm as _, Learned, MetaSettings, supervised};
use crate::bundle::{ExportError, device_image};
use crate::deployment;
use crate::engine::{EngineError, PlanEngine};
use crate::error::TrainError;
use crate::eval::{AdaptationStep, EvalOptions, Evaluation, TaskRange, adapt_to_environments, adapt_to_tasks};
use crate::nn;
use crate::random::stream;
use crate::recipe::{Algorithm, Recipe};
use crate::tasks::{ControlFamily, Split, Tasks};

/// Held-out tasks that a baseline is scored on at most: its environment steps cost as much as the evaluation's own.
const CONTROL_TASKS: u64 = 20;
const SUPERVISED_TASKS: u64 = 500;
/// Validation tasks that choose its step size.
const CONTROL_CHOICE: u64 = 4;
const SUPERVISED_CHOICE: u64 = 100;
/// Step sizes to choose from, as multiples of the recipe's inner rate.
const RATES: [f32; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// Iterations that the model for all tasks is trained at most: its loss, the spread of the tasks, is reached long before.
const MULTI_TASK_ITERATIONS: u64 = 5000;
/// The most steps that an image may declare, and so the most that the device takes.
const MOST_STEPS: usize = 16;

/// Why a baseline cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// Its image cannot be built.
    #[error("cannot build the image of a baseline: {0}")]
    Export(#[from] ExportError),
    /// It cannot be scored.
    #[error("cannot score a baseline: {0}")]
    Eval(#[from] crate::eval::EvalError),
    /// Logged data cannot be used.
    #[error(transparent)]
    Data(#[from] crate::tasks::DataError),
    /// Its image is refused.
    #[error("the image of a baseline is refused: {0}")]
    Image(#[from] pliant_runtime::image::ImageError),
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be trained.
    #[error("cannot train a baseline: {0}")]
    Train(#[from] TrainError),
    /// Its image cannot be inspected.
    #[error("cannot inspect the image of a baseline: {0}")]
    Inspect(#[from] InspectError),
}

/// The baselines of an evaluation, in the order in which reports list them.
///
/// # Errors
/// [`BaselineError`].
pub fn baselines(
    recipe: &Recipe,
    evaluation: &Evaluation,
    options: EvalOptions,
) -> Result<Vec<Baseline>, BaselineError> {
    let mut found = memoryless(recipe, evaluation, options)?;
    found.extend(references(recipe, options));
    let Some(tasks) = Tasks::of(recipe)? else {
        return Ok(found);
    };
    // Without adaptation the policy scores what it scores at step 0, whatever comes after.
    found.extend(evaluation.adaptation.first().map(|&step| Baseline {
        name: "no adaptation".to_owned(),
        tasks: evaluation.tasks,
        adaptation: vec![step],
        env_steps: 0,
        cost: None,
        seconds: 0.0,
    }));
    let steps = evaluation.adaptation.last().map_or(1, |step| step.step as usize).max(1);
    found.push(from_scratch(recipe, &tasks, steps, "trained from scratch", options)?);
    if let (Tasks::Supervised(_), true) = (&tasks, steps < MOST_STEPS) {
        let name = format!("from scratch, {MOST_STEPS} steps");
        let mut longer = from_scratch(recipe, &tasks, MOST_STEPS, &name, options)?;
        longer.adaptation.drain(..longer.adaptation.len() - 1);
        found.push(longer);
    }
    if let Tasks::Supervised(family) = &tasks {
        found.push(from_scratch::converged(recipe, family.as_ref(), options)?);
    }
    found.extend(multi_task(recipe, &tasks, options)?);
    found.extend(oracle(&tasks, options));
    Ok(found)
}

/// The device runtime adapting from random parameters, with the step size that does best on validation tasks.
fn from_scratch(
    recipe: &Recipe,
    tasks: &Tasks,
    steps: usize,
    name: &str,
    options: EvalOptions,
) -> Result<Baseline, BaselineError> {
    let (most, choice) = match tasks {
        Tasks::Supervised(_) => (SUPERVISED_TASKS, SUPERVISED_CHOICE),
        Tasks::Control { .. } => (CONTROL_TASKS, CONTROL_CHOICE),
    };
    let started = Instant::now();
    let mut env_steps = 0;
    let mut best: Option<(f32, f64)> = None;
    let lower_is_better = match tasks {
        Tasks::Supervised(family) => family.metric().lower_is_better(),
        Tasks::Control { .. } => false,
    };
    for rate in RATES.map(|factor| factor * inner_rate(recipe)) {
        let range = TaskRange {
            split: Split::Validation,
            seed: recipe.seed,
            tasks: choice,
        };
        let (scores, took, _) = scores(recipe, tasks, &untrained(recipe, rate, steps), range, options.threads)?;
        env_steps += took;
        let last = scores
            .last()
            .map_or(f64::NAN, |scores| scores.iter().sum::<f64>() / scores.len() as f64);
        let better = |(_, score): (f32, f64)| if lower_is_better { last < score } else { last > score };
        if last.is_finite() && best.is_none_or(better) {
            best = Some((rate, last));
        }
    }
    let rate = best.map_or(inner_rate(recipe), |(rate, _)| rate);
    let range = TaskRange {
        split: Split::Test,
        seed: options.seed,
        tasks: options.tasks.min(most),
    };
    let (scores, took, cost) = scores(recipe, tasks, &untrained(recipe, rate, steps), range, options.threads)?;
    let step = |(step, scores): (u32, &Vec<f64>)| AdaptationStep::over_tasks(step, scores, options.seed);
    let numbers: Vec<u32> = match tasks {
        Tasks::Supervised(_) => vec![0, steps as u32],
        Tasks::Control { .. } => (0..=steps as u32).collect(),
    };
    Ok(Baseline {
        name: name.to_owned(),
        tasks: range.tasks,
        adaptation: numbers.into_iter().zip(&scores).map(step).collect(),
        env_steps: env_steps + took,
        cost,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// One model trained on all training tasks together by ordinary regression, and never adapted.
fn multi_task(recipe: &Recipe, tasks: &Tasks, options: EvalOptions) -> Result<Option<Baseline>, BaselineError> {
    let (Some(settings), Tasks::Supervised(_), Some(Tasks::Supervised(family))) =
        (MetaSettings::of(&recipe.algorithm), tasks, Tasks::of(recipe)?)
    else {
        return Ok(None);
    };
    let started = Instant::now();
    let settings = MetaSettings {
        iterations: settings.iterations.min(MULTI_TASK_ITERATIONS),
        ..settings.without_adaptation()
    };
    let mut learner = supervised(recipe, settings, family, &PlanEngine::fast(), options.threads)?;
    for _ in 0..learner.iterations() {
        learner.step()?;
    }
    let learned = Learned::with_rate(learner.learned()?.parameters, inner_rate(recipe), 1);
    let range = TaskRange {
        split: Split::Test,
        seed: options.seed,
        tasks: options.tasks,
    };
    let (scores, _, cost) = scores(recipe, tasks, &learned, range, options.threads)?;
    let before = scores.first().map_or(&[][..], |scores| scores);
    Ok(Some(Baseline {
        name: "multi-task, no adaptation".to_owned(),
        tasks: range.tasks,
        adaptation: vec![AdaptationStep::over_tasks(0, before, options.seed)],
        env_steps: 0,
        // It would be deployed without the plans that learn.
        cost: cost.map(|cost| DeviceCost {
            ram_bytes: cost.act_only_ram_bytes,
            adaptation_step_macs: 0,
            adapted_parameters: 0,
            ..cost
        }),
        seconds: started.elapsed().as_secs_f64(),
    }))
}

/// Scores by step and task, the environment steps they took, and what the image costs.
type Scores = (Vec<Vec<f64>>, u64, Option<DeviceCost>);

/// How an image scores. Guards are open.
fn scores(
    recipe: &Recipe,
    tasks: &Tasks,
    learned: &Learned,
    range: TaskRange,
    threads: usize,
) -> Result<Scores, BaselineError> {
    let Some(spec) = deployment::adaptation_spec(recipe, &learned.step_scales) else {
        return Ok((Vec::new(), 0, None));
    };
    let spec = AdaptationSpec {
        trust_region: f32::INFINITY,
        kl_limit: f32::INFINITY,
        ..spec
    };
    let bytes = AlignedBytes::new(&device_image(recipe, learned, spec)?);
    let image = Image::new_checked(&bytes)?;
    let cost = Some(DeviceCost::of(&inspect(&bytes)?));
    Ok(match tasks {
        Tasks::Supervised(family) => {
            let outcomes = adapt_to_tasks(&image, family.as_ref(), range, threads)?;
            let before = outcomes.iter().map(|outcome| outcome.before).collect();
            let after = outcomes.iter().map(|outcome| outcome.after).collect();
            (vec![before, after], 0, cost)
        }
        Tasks::Control { family, trajectories } => {
            let outcomes = adapt_to_environments(&image, family.as_ref(), range, *trajectories, threads)?;
            let scores = (0..=spec.steps as usize).map(|step| outcomes.iter().map(|task| task.sampled[step]).collect());
            (scores.collect(), outcomes.iter().map(|task| task.env_steps).sum(), cost)
        }
    })
}

/// Random parameters with one step size for all, and as many steps.
fn untrained(recipe: &Recipe, rate: f32, steps: usize) -> Learned {
    let parameters = deployment::policy(recipe).parameters();
    let mut parameters = nn::initialise(&parameters, recipe.policy.initialiser, recipe.seed);
    if let Algorithm::MamlPolicyGradient(settings) = &recipe.algorithm {
        for tensor in parameters.iter_mut().filter(|tensor| tensor.name == LOG_STD) {
            tensor.values.fill(settings.log_std);
        }
    }
    let mut learned = Learned::with_rate(parameters, rate, steps);
    if recipe.policy.scan.is_some() {
        // What a score has to reach does not adapt, whoever trained.
        let mut adapts = Scan::adapts().into_iter();
        learned.step_sizes.retain(|_| adapts.next() == Some(true));
    }
    learned
}

fn inner_rate(recipe: &Recipe) -> f32 {
    match &recipe.algorithm {
        Algorithm::Maml(settings) => settings.inner_rate,
        Algorithm::MamlPolicyGradient(settings) => settings.inner_rate,
        Algorithm::Reptile(settings) => settings.inner_rate,
        // Of the reference recipe: a ridge has no step size to start from.
        Algorithm::Ridge(_) => 0.01,
        Algorithm::AnalyticPolicyGradient(_)
        | Algorithm::MultiTask(_)
        | Algorithm::MultiTaskPpo(_)
        | Algorithm::Ppo(_)
        | Algorithm::Rl2(_)
        | Algorithm::TeacherStudent(_) => 0.0,
    }
}

/// Who knows the task, where the family says how to act on that.
fn oracle(tasks: &Tasks, options: EvalOptions) -> Option<Baseline> {
    let baseline = |scores: &[f64], env_steps| Baseline {
        name: "oracle (is told the task)".to_owned(),
        tasks: scores.len() as u64,
        adaptation: vec![AdaptationStep::over_tasks(0, scores, options.seed)],
        env_steps,
        cost: None,
        seconds: 0.0,
    };
    match tasks {
        Tasks::Supervised(family) => {
            let score = |index| family.oracle_score(options.seed, Split::Test, index);
            let scores: Option<Vec<f64>> = (0..options.tasks).map(score).collect();
            Some(baseline(&scores?, 0))
        }
        Tasks::Control { family, .. } => {
            let mut env_steps = 0;
            let scores: Option<Vec<f64>> = (0..options.tasks)
                .map(|index| oracle_return(family.as_ref(), options.seed, index, &mut env_steps))
                .collect();
            Some(baseline(&scores?, env_steps))
        }
    }
}

fn oracle_return(family: &dyn ControlFamily, seed: u64, index: u64, env_steps: &mut u64) -> Option<f64> {
    let mut oracle = family.oracle(seed, Split::Test, index)?;
    let mut environment = family.environment(seed, Split::Test, index, 1);
    let mut observation = vec![0.0; environment.observation_width()];
    let mut action = vec![0.0; environment.action_width()];
    let (mut reward, mut end, mut total) = ([0.0], [End::Continue], 0.0);
    environment.reset(&mut stream(seed, "oracle", &[index]));
    while !end[0].is_last() {
        environment.observe(&mut observation);
        oracle(&observation, &mut action);
        environment.step(&action, &mut reward, &mut end);
        total += f64::from(reward[0]);
        *env_steps += 1;
    }
    Some(total)
}
