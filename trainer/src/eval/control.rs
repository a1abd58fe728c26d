//! Reinforcement learning families: the device runtime explores each held-out task, learns from it and is scored by the
//! returns of its trajectories.

use pliant_runtime::experience::End;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Learner, Policy, ResetKind, workspace_len};
use rand_core::Rng;
use rayon::prelude::*;

use super::{EvalError, TaskRange};
use crate::envs::Environment;
use crate::random::{Stream, stream};
use crate::tasks::ControlFamily;

/// What became of one task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ControlOutcome {
    /// Mean undiscounted return of the exploring trajectories after 0, 1, 2, ... adaptation steps.
    pub sampled: Vec<f64>,
    /// Return of one trajectory of mean actions after 0, 1, 2, ... adaptation steps.
    pub mean_action: Vec<f64>,
    /// L2 distance of the parameters from the image's after 1, 2, ... adaptation steps.
    pub changes: Vec<f32>,
    /// Divergence from the policy that explored after 1, 2, ... adaptation steps, where the image has a limit on it.
    pub divergences: Vec<f32>,
    /// Adaptation steps that the runtime's guards refused; what acts then is what acted before.
    pub refused: u64,
    /// Environment steps simulated, those of the mean actions included.
    pub env_steps: u64,
}

/// Adapts the image to each task through the device runtime, with as many steps as it was trained for and `trajectories`
/// for each, on `threads` threads. One outcome a task, in order; the number of threads changes nothing.
///
/// # Errors
/// An image that the runtime cannot load, or that does not explore or take this family's steps.
pub fn adapt_to_environments(
    image: &Image<'_>,
    family: &dyn ControlFamily,
    range: TaskRange,
    trajectories: usize,
    threads: usize,
) -> Result<Vec<ControlOutcome>, EvalError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let task = |index: u64| Ok(adapt_to_environment(image, family, range, index, trajectories)?.0);
    pool.install(|| (0..range.tasks).into_par_iter().map(task).collect())
}

/// An episode of mean actions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Episode {
    /// What the policy saw, one observation a step, and the last state.
    pub observations: Vec<Vec<f32>>,
    /// The reward of each step.
    pub rewards: Vec<f32>,
}

/// The episodes of mean actions after 0, 1, 2, ... adaptation steps of task `index` of `range`: the very ones that
/// [`adapt_to_environments`] scores.
///
/// # Errors
/// As [`adapt_to_environments`].
pub fn trace_environment(
    image: &Image<'_>,
    family: &dyn ControlFamily,
    range: TaskRange,
    index: u64,
    trajectories: usize,
) -> Result<Vec<Episode>, EvalError> {
    Ok(adapt_to_environment(image, family, range, index, trajectories)?.1)
}

fn adapt_to_environment(
    image: &Image<'_>,
    family: &dyn ControlFamily,
    range: TaskRange,
    index: u64,
    trajectories: usize,
) -> Result<(ControlOutcome, Vec<Episode>), EvalError> {
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(image, None, &mut memory)?;
    let (actor, learner) = policy.split();
    let environment = family.environment(range.seed, range.split, index, 1);
    let random = stream(range.seed, &format!("exploration, {}", range.split.name()), &[index]);
    let steps = image.adaptation().map_or(0, |spec| spec.steps);
    let mut trial = Trial {
        index,
        actor,
        learner,
        environment,
        random,
        episodes: Vec::new(),
        env_steps: 0,
    };
    let outcome = trial.run(steps, trajectories)?;
    Ok((outcome, trial.episodes))
}

/// One task under way.
struct Trial<'p, 'm> {
    index: u64,
    actor: Actor<'p, 'm>,
    learner: Learner<'p, 'm>,
    environment: Box<dyn Environment>,
    random: Stream,
    /// Those of mean actions.
    episodes: Vec<Episode>,
    env_steps: u64,
}

impl Trial<'_, '_> {
    fn run(&mut self, steps: u32, trajectories: usize) -> Result<ControlOutcome, EvalError> {
        let mut outcome = ControlOutcome::default();
        for step in 0..=steps {
            outcome.mean_action.push(self.episode(false)?);
            self.actor.seed(self.random.next_u64());
            let mut sum = 0.0;
            for _ in 0..trajectories {
                sum += self.episode(true)?;
            }
            outcome.sampled.push(sum / trajectories as f64);
            if step < steps {
                let report = self.learner.adapt();
                outcome.changes.push(report.figures().change);
                outcome.divergences.extend(report.figures().score_after);
                outcome.refused += u64::from(!report.is_accepted());
                // A refused step keeps its support set; the next one is gathered anew.
                self.learner.clear();
            }
        }
        outcome.env_steps = self.env_steps;
        Ok(outcome)
    }

    /// One episode and its return; exploring, its steps go to the learner.
    fn episode(&mut self, exploring: bool) -> Result<f64, EvalError> {
        let mut observation = vec![0.0; self.environment.observation_width()];
        let mut action = vec![0.0; self.environment.action_width()];
        let (mut reward, mut end) = ([0.0], [End::Continue]);
        let (mut total, mut record) = (0.0, Episode::default());
        self.environment.reset(&mut self.random);
        self.actor.reset(ResetKind::Episode);
        while !end[0].is_last() {
            self.environment.observe(&mut observation);
            if !exploring {
                record.observations.push(observation.clone());
            }
            let refused = |status| EvalError::Refused {
                task: self.index,
                status,
            };
            if exploring {
                let step = self.actor.explore(&observation, &mut action).map_err(refused)?;
                self.environment.step(&action, &mut reward, &mut end);
                self.learner.observe(&step, reward[0], end[0])?;
            } else {
                let status = self.actor.act(&observation, &mut action);
                if status.is_safe_action() {
                    return Err(refused(status));
                }
                self.environment.step(&action, &mut reward, &mut end);
            }
            record.rewards.push(reward[0]);
            total += f64::from(reward[0]);
            self.env_steps += 1;
        }
        if !exploring {
            self.environment.observe(&mut observation);
            record.observations.push(observation);
            self.episodes.push(record);
        }
        Ok(total)
    }
}
