//! Policies that learn in context: the deployed image acts through whole trials of held-out tasks, its memory kept from
//! episode to episode.

use pliant_runtime::contract::ContractView;
use pliant_runtime::experience::End;
use pliant_runtime::image::Image;
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::{Actor, Policy, ResetKind, act_workspace_len};
use rand_core::Rng;
use rayon::prelude::*;

use super::{AdaptationStep, AlsoScored, DEVICE_RUNTIME, EvalError, EvalOptions, Evaluation, TaskRange};
use crate::envs::{ActionSpace, Trials, VectorEnvironment};
use crate::random::stream;
use crate::recipe::{Algorithm, Recipe};
use crate::tasks::{Split, task_stream, vector_environment};

/// What is scored.
pub(super) const METRIC: &str = "return of an episode";

/// How actions are chosen from what the image gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Drawn from the policy's distribution, as in training.
    Sampled,
    /// The most likely one, or the mean.
    Likeliest,
}

/// What became of one trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialOutcome {
    /// Undiscounted return of each episode.
    pub returns: Vec<f64>,
    /// Environment steps.
    pub env_steps: u64,
}

impl TrialOutcome {
    /// Return of the whole trial.
    pub fn total(&self) -> f64 {
        self.returns.iter().sum()
    }
}

/// Acts with the image through a trial of each task of a range, on `threads` threads. `environment` makes a batch of so
/// many instances; a trial is so many episodes. The number of threads changes nothing.
///
/// # Errors
/// An image that the runtime cannot load, or that refuses to act.
pub fn run_trials(
    image: &Image<'_>,
    environment: &(dyn Fn(usize) -> Box<dyn VectorEnvironment> + Sync),
    episodes: usize,
    range: TaskRange,
    choice: Choice,
    threads: usize,
) -> Result<Vec<TrialOutcome>, EvalError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let task = |index| run_trial_of(image, environment, episodes, range, index, choice);
    pool.install(|| (0..range.tasks).into_par_iter().map(task).collect())
}

/// As [`run_trials`], task number `index` of the range alone.
///
/// # Errors
/// As [`run_trials`].
pub fn run_trial_of(
    image: &Image<'_>,
    environment: &dyn Fn(usize) -> Box<dyn VectorEnvironment>,
    episodes: usize,
    range: TaskRange,
    index: u64,
    choice: Choice,
) -> Result<TrialOutcome, EvalError> {
    let contract = ContractView::new_checked(image.contract_bytes());
    let seen = contract.map_or(usize::MAX, |contract| contract.observations().len());
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(image, None, &mut memory)?;
    let (mut actor, _) = policy.split();
    let mut trials = Trials::new(environment(1), episodes);
    let mut random = task_stream(range.seed, range.split, &[index]);
    trials.new_task(0, &mut random);
    trials.new_episode(0, &mut random);
    let name = format!("exploration, {}", range.split.name());
    let seed = stream(range.seed, &name, &[index]).next_u64();
    run_trial(&mut actor, &mut trials, seen, choice, seed).map_err(|status| EvalError::Refused { task: index, status })
}

fn run_trial(
    actor: &mut Actor<'_, '_>,
    trials: &mut Trials<Box<dyn VectorEnvironment>>,
    seen: usize,
    choice: Choice,
    seed: u64,
) -> Result<TrialOutcome, pliant_runtime::policy::Status> {
    let mut observation = vec![0.0; trials.observation_width()];
    let mut output = vec![0.0; trials.actions().width()];
    let (mut reward, mut end) = ([0.0], [End::Continue]);
    let mut noise = Noise::seeded(seed);
    let mut outcome = TrialOutcome::default();
    actor.seed(seed);
    actor.reset(ResetKind::Task);
    outcome.returns.push(0.0);
    loop {
        if trials.begins(0) && outcome.env_steps > 0 {
            actor.reset(ResetKind::Episode);
            outcome.returns.push(0.0);
        }
        trials.observe(&mut observation);
        // What the image does not ask for stands behind what it does: a policy without context sees no more.
        let observation = &observation[..seen.min(observation.len())];
        let discrete = matches!(trials.actions(), ActionSpace::Discrete(_));
        if !discrete && choice == Choice::Sampled {
            actor.explore(observation, &mut output)?;
        } else {
            let status = actor.act(observation, &mut output);
            if status.is_safe_action() {
                return Err(status);
            }
        }
        if discrete {
            let chosen = match choice {
                Choice::Sampled => noise.choose(&output),
                Choice::Likeliest => largest(&output),
            };
            trials.step(&[chosen as f32], &mut reward, &mut end);
        } else {
            trials.step(&output, &mut reward, &mut end);
        }
        outcome.env_steps += 1;
        if let Some(last) = outcome.returns.last_mut() {
            *last += f64::from(reward[0]);
        }
        if end[0].is_last() {
            return Ok(outcome);
        }
    }
}

fn largest(values: &[f32]) -> usize {
    let better = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
    (1..values.len()).fold(0, better)
}

/// Episodes of a trial in a recipe's evaluation.
pub fn trial_episodes(recipe: &Recipe) -> usize {
    match &recipe.algorithm {
        Algorithm::Rl2(settings) => settings.episodes,
        _ => 1,
    }
}

pub(super) fn evaluate(
    image: &Image<'_>,
    recipe: &Recipe,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let EvalOptions { tasks, seed, threads } = options;
    let range = options.range(split);
    let episodes = trial_episodes(recipe);
    let environment = |batch| vector_environment(recipe, batch).expect("the family has environments");
    let run = |choice| run_trials(image, &environment, episodes, range, choice, threads);
    let (sampled, likeliest) = (run(Choice::Sampled)?, run(Choice::Likeliest)?);
    let whole = |outcomes: &[TrialOutcome]| {
        let totals: Vec<f64> = outcomes.iter().map(TrialOutcome::total).collect();
        vec![AdaptationStep::over_tasks(0, &totals, seed)]
    };
    let mut also = Vec::new();
    if episodes > 1 {
        also.push(("return of the whole trial", whole(&sampled)));
        also.push(("return of the whole trial, likeliest actions", whole(&likeliest)));
    }
    also.push(("likeliest actions", by_episode(&likeliest, episodes, seed)));
    let steps = |outcomes: &[TrialOutcome]| outcomes.iter().map(|outcome| outcome.env_steps).sum::<u64>();
    Ok(Evaluation {
        family: recipe.family.name().to_owned(),
        engine: DEVICE_RUNTIME.to_owned(),
        tasks,
        seed,
        metric: METRIC.to_owned(),
        lower_is_better: false,
        adaptation: by_episode(&sampled, episodes, seed),
        also: also
            .into_iter()
            .map(|(name, adaptation)| AlsoScored {
                name: name.to_owned(),
                adaptation,
                part: false,
            })
            .collect(),
        refused: 0,
        env_steps: steps(&sampled) + steps(&likeliest),
    })
}

/// Mean return of each episode of the trials: entry `n` is after `n` episodes of learning.
pub fn by_episode(outcomes: &[TrialOutcome], episodes: usize, seed: u64) -> Vec<AdaptationStep> {
    (0..episodes)
        .map(|episode| {
            let scores: Vec<f64> = outcomes.iter().map(|outcome| outcome.returns[episode]).collect();
            AdaptationStep::over_tasks(episode as u32, &scores, seed)
        })
        .collect()
}
