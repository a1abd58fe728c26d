//! Evaluation of the deployed artefact: held-out tasks, adapted through the runtime exactly as on a device.

use pliant_runtime::contract::ContractView;
use pliant_runtime::image::{Image, ImageError};
use pliant_runtime::policy::{ObserveError, PolicyError, SelectError, Status};
use serde::{Deserialize, Serialize};

mod control;
mod flight;
mod gap;
mod multi_task;
pub mod reference;
mod simulated;
mod statistics;
mod supervised;
mod systems;
mod trials;

pub use control::{ControlOutcome, Episode, adapt_to_environments, trace_environment};
pub use gap::{Gap, Returns};
pub use multi_task::{DeviceRows, IDENTIFICATION_ROWS, row_errors, test_error};
pub use simulated::{Rollout, returns, roll_out, roll_out_task, terminated, trace_errors};
pub use statistics::{Estimate, bootstrap_interquartile_mean, bootstrap_mean};
pub use supervised::{TaskOutcome, TaskRange, adapt_to_tasks};
pub use systems::system_returns;
pub use trials::{Choice, TrialOutcome, by_episode, run_trial_of, run_trials, trial_episodes};

use crate::deployment;
use crate::recipe::{self, Family, Recipe};
use crate::tasks::{
    DataError, LoggedFamily, MotifFamily, NavigationFamily, SinusoidFamily, Split, SupervisedFamily, simulator,
    task_set,
};

/// What acts and adapts in an evaluation: the runtime that the device runs, on this machine.
pub const DEVICE_RUNTIME: &str = "device runtime";

/// Which held-out tasks to score, and on how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalOptions {
    /// Held-out tasks, at least 2.
    pub tasks: u64,
    /// Seed of the held-out tasks.
    pub seed: u64,
    /// Worker threads, at least 1; they change nothing but the time.
    pub threads: usize,
}

impl EvalOptions {
    /// The tasks of a split that are meant.
    pub(crate) fn range(self, split: Split) -> TaskRange {
        TaskRange {
            split,
            seed: self.seed,
            tasks: self.tasks,
        }
    }
}

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Not a usable image.
    #[error("the device image is refused: {0}")]
    Image(#[from] ImageError),
    /// The runtime refuses to load the image.
    #[error("the device runtime cannot load the image: {0}")]
    Policy(#[from] PolicyError),
    /// An example does not fit the image.
    #[error("the image does not take this family's examples ({0:?}); is the recipe the one it was trained by?")]
    Observe(ObserveError),
    /// The image has not the tasks of the recipe.
    #[error("the image does not hold this recipe's tasks ({0}); is the recipe the one it was trained by?")]
    Select(#[from] SelectError),
    /// The policy was refused, so that the safe action would have been scored.
    #[error("held-out task {task}: the runtime refused to act ({status:?})")]
    Refused {
        /// The task.
        task: u64,
        /// Why.
        status: Status,
    },
    /// The image is of another family: its contract or its adaptation is not the recipe's.
    #[error("the image is not of the family `{family}`: {problem}; is the recipe beside it the one it was trained by?")]
    Family {
        /// The family of the recipe.
        family: &'static str,
        /// What differs.
        problem: String,
    },
    /// Logged data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Worker threads could not be started.
    #[error("cannot start the worker threads: {0}; try fewer with --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl From<ObserveError> for EvalError {
    fn from(error: ObserveError) -> Self {
        Self::Observe(error)
    }
}

/// Scores the deployed image of a recipe on held-out tasks.
///
/// # Errors
/// An image that cannot be loaded, or that is not of the recipe's family.
pub fn evaluate(recipe: &Recipe, image: &[u8], options: EvalOptions) -> Result<Evaluation, EvalError> {
    evaluate_on(recipe, image, options, Split::Test)
}

/// As [`evaluate`], on validation tasks (tasks that were learned together: on validation rows): for choosing between images
/// without a look at what tests.
///
/// # Errors
/// As [`evaluate`].
pub fn validate(recipe: &Recipe, image: &[u8], options: EvalOptions) -> Result<Evaluation, EvalError> {
    evaluate_on(recipe, image, options, Split::Validation)
}

fn evaluate_on(recipe: &Recipe, image: &[u8], options: EvalOptions, split: Split) -> Result<Evaluation, EvalError> {
    let image = Image::new_checked(image)?;
    check_family(recipe, &image)?;
    match &recipe.family {
        Family::Sinusoid(settings) => match task_set(recipe)? {
            Some(tables) => {
                let metric = "test error over the target's variance";
                multi_task::evaluate(&image, recipe.family.name(), metric, &tables, options, split)
            }
            None => evaluate_supervised(&image, "sinusoid", &SinusoidFamily::new(settings), options, split),
        },
        Family::Logged(settings) => match task_set(recipe)? {
            Some(tables) => {
                let metric = "relative error, or share wrong";
                multi_task::evaluate(&image, recipe.family.name(), metric, &tables, options, split)
            }
            None => {
                let family = LoggedFamily::read(settings, recipe.seed)?;
                evaluate_supervised(&image, recipe.family.name(), &family, options, split)
            }
        },
        Family::Motifs(settings) => evaluate_supervised(
            &image,
            recipe.family.name(),
            &MotifFamily::new(settings),
            options,
            split,
        ),
        Family::Navigation(settings) => evaluate_navigation(&image, settings, options, split),
        Family::Quadrotor(family) => {
            flight::evaluate(&image, family.vehicles, recipe.evaluation.episodes, options, split)
        }
        Family::TaskConflict(_) => {
            let tables = task_set(recipe)?.unwrap_or_default();
            let metric = "test error over the target's variance";
            multi_task::evaluate(&image, recipe.family.name(), metric, &tables, options, split)
        }
        Family::Systems(family) => systems::evaluate(&image, family, options, split),
        Family::Bandit(_) | Family::HalfCircle(_) | Family::SwingUp(_) | Family::Tabular(_) => {
            trials::evaluate(&image, recipe, options, split)
        }
        family => {
            let simulator = simulator(recipe).expect("families without rows or an environment are simulated");
            simulated::evaluate(
                &image,
                family.name(),
                simulator.as_ref(),
                recipe.evaluation.episodes,
                options,
                split,
            )
        }
    }
}

/// The image must see, do and minimise what the recipe's family has.
fn check_family(recipe: &Recipe, image: &Image<'_>) -> Result<(), EvalError> {
    let refuse = |problem: String| {
        Err(EvalError::Family {
            family: recipe.family.name(),
            problem,
        })
    };
    let policy = deployment::policy(recipe);
    let channels = ContractView::new_checked(image.contract_bytes())
        .map(|contract| (contract.observations().len(), contract.actions().len()));
    let wanted = match task_set(recipe)? {
        Some(tables) => multi_task::widths(&tables),
        None => (policy.network.observations(), policy.network.outputs()),
    };
    match channels {
        Ok(found) if found == wanted => {}
        Ok(found) => return refuse(format!("{found:?} observations and actions, not {wanted:?}")),
        Err(error) => return refuse(format!("its contract is refused ({error})")),
    }
    let found = image.adaptation().and_then(|spec| spec.objective());
    match (found, deployment::objective(recipe)) {
        (found, wanted) if found == wanted => {}
        (Some(objective), _) => return refuse(format!("it adapts by {objective:?}")),
        (None, _) => return refuse("it does not adapt".to_owned()),
    }
    let Some(rule) = image.adaptation().and_then(|spec| spec.rule()) else {
        return Ok(());
    };
    match deployment::rule(recipe).map(|wanted| wanted.kind()) {
        Ok(wanted) if wanted == rule => Ok(()),
        Ok(wanted) => refuse(format!("its rule is {rule:?}, not {wanted:?}")),
        Err(error) => refuse(error.to_string()),
    }
}

fn evaluate_navigation(
    image: &Image<'_>,
    settings: &recipe::Navigation,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let EvalOptions { seed, threads, .. } = options;
    let family = NavigationFamily::new(settings);
    let range = options.range(split);
    let outcomes = adapt_to_environments(image, &family, range, settings.evaluation_trajectories, threads)?;
    let steps = image.adaptation().map_or(0, |spec| spec.steps);
    let curve = |returns: fn(&ControlOutcome) -> &[f64]| -> Vec<AdaptationStep> {
        (0..=steps)
            .map(|step| {
                let scores: Vec<f64> = outcomes.iter().map(|outcome| returns(outcome)[step as usize]).collect();
                AdaptationStep::over_tasks(step, &scores, seed)
            })
            .collect()
    };
    let mut evaluation = Evaluation::new("navigation", options, "return", curve(|outcome| &outcome.sampled));
    evaluation.also.push(AlsoScored {
        name: "mean action".to_owned(),
        adaptation: curve(|outcome| &outcome.mean_action),
        part: false,
    });
    evaluation.refused = outcomes.iter().map(|outcome| outcome.refused).sum();
    evaluation.env_steps = outcomes.iter().map(|outcome| outcome.env_steps).sum();
    Ok(evaluation)
}

fn evaluate_supervised(
    image: &Image<'_>,
    name: &str,
    family: &dyn SupervisedFamily,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let EvalOptions { seed, threads, .. } = options;
    let outcomes = adapt_to_tasks(image, family, options.range(split), threads)?;
    let column = |score: fn(&TaskOutcome) -> f64| outcomes.iter().map(score).collect::<Vec<_>>();
    let steps = image.adaptation().map_or(0, |spec| spec.steps);
    let adaptation = vec![
        AdaptationStep::over_tasks(0, &column(|outcome| outcome.before), seed),
        AdaptationStep::over_tasks(steps, &column(|outcome| outcome.after), seed),
    ];
    Ok(Evaluation {
        lower_is_better: family.metric().lower_is_better(),
        refused: outcomes.iter().filter(|outcome| !outcome.accepted).count() as u64,
        ..Evaluation::new(name, options, family.metric().name(), adaptation)
    })
}

/// Scores of a deployed image on held-out tasks, after 0, 1, 2, ... adaptation steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The task family.
    pub family: String,
    /// What acted and adapted: always the device runtime over the image, named as such.
    pub engine: String,
    /// Held-out tasks.
    pub tasks: u64,
    /// Seed of the held-out tasks and of the exploration noise.
    pub seed: u64,
    /// What `mean` measures, with its unit.
    pub metric: String,
    /// Whether a lower metric is better (a loss) or a higher one (a return).
    pub lower_is_better: bool,
    /// One entry a step, step 0 (before any adaptation) first.
    pub adaptation: Vec<AdaptationStep>,
    /// The same under another way of scoring, by its name; for instance the mean action instead of sampled ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoScored>,
    /// Adaptations that the runtime's guards refused, over all tasks and steps.
    pub refused: u64,
    /// Environment steps that the evaluation simulated; 0 where the family has no environment.
    pub env_steps: u64,
}

impl Evaluation {
    /// By the device runtime, higher being better; nothing refused, nothing simulated yet.
    fn new(family: &str, options: EvalOptions, metric: &str, adaptation: Vec<AdaptationStep>) -> Self {
        Self {
            family: family.to_owned(),
            engine: DEVICE_RUNTIME.to_owned(),
            tasks: options.tasks,
            seed: options.seed,
            metric: metric.to_owned(),
            lower_is_better: false,
            adaptation,
            also: Vec::new(),
            refused: 0,
            env_steps: 0,
        }
    }

    /// What comes between two entries of `adaptation`: an episode of a trial, for a policy that learns in its memory, or an
    /// adaptation step.
    pub fn unit(&self) -> &'static str {
        if self.metric == trials::METRIC {
            "episode"
        } else {
            "adaptation step"
        }
    }

    /// Adds one figure more, without adaptation steps.
    fn also(&mut self, name: &str, step: AdaptationStep) {
        self.also.push(AlsoScored {
            name: name.to_owned(),
            adaptation: vec![step],
            part: false,
        });
    }
}

/// The score after some number of adaptation steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdaptationStep {
    /// Adaptation steps taken.
    pub step: u32,
    /// Mean over tasks.
    pub mean: f64,
    /// 95 % bootstrap interval of the mean over tasks.
    pub ci95: [f64; 2],
    /// The mean over the middle half of the tasks. Absent where `mean` is another statistic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interquartile: Option<Estimate>,
}

/// A second way of scoring the same adaptation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlsoScored {
    /// How it was scored.
    pub name: String,
    /// One entry a step.
    pub adaptation: Vec<AdaptationStep>,
    /// Whether it is the evaluation's own measure of a part of the tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
}

impl AdaptationStep {
    /// From one score a task.
    pub fn over_tasks(step: u32, scores: &[f64], seed: u64) -> Self {
        let Estimate { mean, ci95 } = bootstrap_mean(scores, seed);
        Self {
            step,
            mean,
            ci95,
            interquartile: Some(bootstrap_interquartile_mean(scores, seed)),
        }
    }
}
