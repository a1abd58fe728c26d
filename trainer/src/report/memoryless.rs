//! What a policy that learns in context is compared with: networks without memory, trained on all tasks together, and from
//! scratch on one task alone.

use std::sync::Arc;
use std::time::Instant;

use pliant_compiler::image::{AlignedBytes, inspect};
use pliant_runtime::image::Image;

use super::{Baseline, BaselineError, DeviceCost};
use crate::algorithms::ppo::Problem;
use crate::algorithms::{self, Algorithm as _, Learned, Ppo};
use crate::bundle::{IMAGE_FILE, export};
use crate::deployment;
use crate::engine::{Engine, PlanEngine};
use crate::envs::{OneTask, VectorEnvironment};
use crate::eval::{AdaptationStep, Choice, EvalOptions, Evaluation, TaskRange, TrialOutcome, run_trial_of, run_trials};
use crate::recipe::{self, Algorithm, Recipe};
use crate::tasks::{Split, task_stream, vector_environment};

/// Held-out tasks that a training from scratch is scored on at most, and validation tasks that choose its rate.
const TASKS: u64 = 20;
const CHOICE: u64 = 4;
/// Rates to choose from.
const RATES: [f32; 3] = [0.003, 0.01, 0.03];
/// Steps of the task that it learns from, in trials: as many as the policy that learns in context has, and more.
const TRIALS: [u64; 3] = [1, 100, 1000];
/// Steps of all tasks together that the policy without memory learns from, as a share of the recipe's: it has less to learn.
const MULTI_TASK_SHARE: u64 = 8;
/// Updates of the parameters in an epoch, where they divide the steps; epochs.
const MINIBATCHES: usize = 4;
const EPOCHS: usize = 4;

/// The rows of a recipe that learns in context; none of others, and none of networks where there is nothing to observe.
///
/// # Errors
/// What training, deployment or the image refuse.
pub(super) fn memoryless(
    recipe: &Recipe,
    evaluation: &Evaluation,
    options: EvalOptions,
) -> Result<Vec<Baseline>, BaselineError> {
    let Algorithm::Rl2(settings) = &recipe.algorithm else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    if let (Some(&first), true) = (evaluation.adaptation.first(), settings.episodes > 1) {
        rows.push(Baseline {
            name: "no adaptation".to_owned(),
            tasks: evaluation.tasks,
            adaptation: vec![first],
            env_steps: 0,
            cost: None,
            seconds: 0.0,
        });
    }
    // Who sees nothing and remembers nothing chooses at random, and a network has no input then (bandits).
    if environment(recipe, 1).observation_width() > 0 {
        rows.push(multi_task(recipe, settings, options)?);
        for trials in TRIALS {
            rows.push(from_scratch(recipe, settings, trials, options)?);
        }
    }
    Ok(rows)
}

/// The recipe with a network without memory, which sees the observation alone.
fn without_memory(recipe: &Recipe, settings: recipe::Ppo) -> Recipe {
    let mut recipe = recipe.clone();
    (recipe.policy.memory, recipe.policy.changes) = (0, 0);
    recipe.algorithm = Algorithm::Ppo(settings);
    recipe
}

/// Windows of whole episodes; what was meant for memory and for regrets does not hold.
fn windows(settings: &recipe::Ppo, iterations: u64, environments: usize, steps: usize) -> recipe::Ppo {
    let divides = |parts: &usize| (environments * steps).is_multiple_of(*parts);
    recipe::Ppo {
        iterations,
        environments,
        shards: 1,
        steps,
        epochs: EPOCHS,
        minibatches: (1..=MINIBATCHES).rev().find(divides).unwrap_or(1),
        truncation: 0,
        regret_weight: 0.0,
        ..settings.clone()
    }
}

/// One network for all tasks, which cannot find out which it has.
fn multi_task(recipe: &Recipe, settings: &recipe::Rl2, options: EvalOptions) -> Result<Baseline, BaselineError> {
    let started = Instant::now();
    let iterations = settings.ppo.iterations.div_ceil(MULTI_TASK_SHARE);
    let ppo = windows(&settings.ppo, iterations, settings.ppo.environments, settings.ppo.steps);
    let plain = without_memory(recipe, ppo);
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    let mut learner = algorithms::learner(&plain, &engine, options.threads)?;
    while learner.completed() < learner.iterations() {
        learner.step()?;
    }
    let env_steps = learner.environment_steps();
    let bytes = image(&plain, &learner.learned()?, options.threads)?;
    let range = options.range(Split::Test);
    let environment = |batch| environment(recipe, batch);
    let episodes = settings.episodes;
    let outcomes = run_trials(
        &Image::new_checked(&bytes)?,
        &environment,
        episodes,
        range,
        Choice::Sampled,
        options.threads,
    )?;
    Ok(Baseline {
        name: "multi-task, no adaptation".to_owned(),
        tasks: options.tasks,
        adaptation: vec![mean_episode(&outcomes, options.seed)],
        env_steps,
        cost: Some(DeviceCost::of(&inspect(&bytes)?)),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Trained on so many trials of one task alone, at the rate that does best on validation tasks; then scored on that task.
fn from_scratch(
    recipe: &Recipe,
    settings: &recipe::Rl2,
    trials: u64,
    options: EvalOptions,
) -> Result<Baseline, BaselineError> {
    let started = Instant::now();
    let mut env_steps = 0;
    let mut best = (f64::NEG_INFINITY, RATES[0]);
    for rate in RATES {
        let range = TaskRange {
            split: Split::Validation,
            seed: recipe.seed,
            tasks: CHOICE,
        };
        let outcomes = alone(recipe, settings, trials, rate, range, &mut env_steps)?;
        let total = outcomes.iter().map(TrialOutcome::total).sum();
        if total > best.0 {
            best = (total, rate);
        }
    }
    let range = TaskRange {
        split: Split::Test,
        seed: options.seed,
        tasks: options.tasks.min(TASKS),
    };
    let outcomes = alone(recipe, settings, trials, best.1, range, &mut env_steps)?;
    Ok(Baseline {
        name: match trials {
            1 => "from scratch, 1 trial".to_owned(),
            _ => format!("from scratch, {trials} trials"),
        },
        tasks: range.tasks,
        adaptation: vec![mean_episode(&outcomes, options.seed)],
        env_steps,
        cost: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Trains a policy on each task of a range alone, and lets its image act there.
fn alone(
    recipe: &Recipe,
    settings: &recipe::Rl2,
    trials: u64,
    rate: f32,
    range: TaskRange,
    env_steps: &mut u64,
) -> Result<Vec<TrialOutcome>, BaselineError> {
    let horizon = environment(recipe, 1).horizon();
    let episodes = trials * settings.episodes as u64;
    // Ten iterations at least where there are as many episodes; not more than 16 at a time.
    let environments = (episodes / 10).clamp(1, 16);
    let mut ppo = windows(
        &settings.ppo,
        episodes.div_ceil(environments),
        environments as usize,
        horizon,
    );
    ppo.optimizer.rate = rate;
    let plain = without_memory(recipe, ppo.clone());
    let engine = PlanEngine::fast();
    let actions = environment(recipe, 1).actions();
    (0..range.tasks)
        .map(|index| {
            let problem = Problem::new(deployment::policy(&plain), actions)?;
            let task = task_stream(range.seed, range.split, &[index]);
            let only = |batch| -> Box<dyn VectorEnvironment> {
                Box::new(OneTask::new(environment(recipe, batch), task.clone()))
            };
            let mut learner = Ppo::new(&ppo, recipe.seed, problem, recipe.policy.initialiser, &only, &engine, 1)?;
            while learner.completed() < learner.iterations() {
                learner.step()?;
            }
            *env_steps += learner.environment_steps();
            let bytes = image(&plain, &learner.learned()?, 1)?;
            let environment = |batch| environment(recipe, batch);
            let image = Image::new_checked(&bytes)?;
            Ok(run_trial_of(
                &image,
                &environment,
                settings.episodes,
                range,
                index,
                Choice::Sampled,
            )?)
        })
        .collect()
}

fn environment(recipe: &Recipe, batch: usize) -> Box<dyn VectorEnvironment> {
    vector_environment(recipe, batch).expect("what learns in context has environments")
}

fn image(recipe: &Recipe, learned: &Learned, threads: usize) -> Result<AlignedBytes, BaselineError> {
    let exported = export(recipe, learned, threads)?;
    let bytes = exported.files.iter().find(|(name, _)| *name == IMAGE_FILE);
    Ok(AlignedBytes::new(bytes.map_or(&[], |(_, bytes)| bytes)))
}

/// Return of an episode, mean over the episodes of each trial.
fn mean_episode(outcomes: &[TrialOutcome], seed: u64) -> AdaptationStep {
    let means: Vec<f64> = outcomes
        .iter()
        .map(|outcome| outcome.total() / outcome.returns.len().max(1) as f64)
        .collect();
    AdaptationStep::over_tasks(0, &means, seed)
}
