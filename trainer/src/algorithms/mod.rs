//! Training algorithms, one a file, behind one trait so that the command line drives them alike.

pub mod analytic_policy_gradient;
mod maml;
pub mod maml_policy_gradient;
mod multi_task;
pub mod ppo;
mod reptile;
mod ridge;
mod rl2;
mod sharing;
mod start;
mod teacher_student;

pub use analytic_policy_gradient::AnalyticPolicyGradient;
pub use maml::{
    Inner, Maml, MetaLearner, MetaLosses, MetaSettings, Problem, TaskBatch, TaskShape, fused_graph, gradient_graph,
    optimiser_graph,
};
pub use maml_policy_gradient::MamlPolicyGradient;
pub use multi_task::{Lookahead, MultiTaskLearner, MultiTaskSettings, MultiTaskTraining, group_tasks, grouping_score};
pub(crate) use multi_task::{network as multi_task_network, predict as multi_task_predict};
pub use ppo::{MultiTaskPpo, Ppo};
pub use ridge::RIDGE;
pub use rl2::rl2;
pub use start::start_from;
pub use teacher_student::TeacherStudent;

use std::sync::Arc;

use pliant_compiler::graph::Graph;

use crate::deployment;
use crate::engine::{CompileOptions, Engine};
use crate::envs::VectorEnvironment;
use crate::error::TrainError;
use crate::nn;
use crate::recipe::{self, Family, Recipe};
use crate::tasks::{self, NavigationFamily, SupervisedFamily, Tasks};

/// A tensor with its name: parameters, optimiser moments, step sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Unique within its list, for instance `layer0.weight` or `adam.m/layer0.weight`.
    pub name: String,
    /// Row-major shape; `[]` is a scalar.
    pub shape: Vec<usize>,
    /// As many values as the shape holds.
    pub values: Vec<f32>,
}

/// What one meta-iteration measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Iteration {
    /// Named measurements, the headline first (the one the progress bar shows); the same names in every iteration.
    pub metrics: Vec<(&'static str, f32)>,
}

/// Everything an algorithm needs to go on as if it had never stopped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingState {
    /// Meta-iterations done.
    pub completed: u64,
    /// Environment steps simulated so far; 0 where the family has no environment.
    pub environment_steps: u64,
    /// Parameters, optimiser moments and whatever else changes between iterations.
    pub tensors: Vec<NamedTensor>,
}

impl TrainingState {
    /// The state after `completed` meta-iterations without an environment.
    pub fn new(completed: u64, tensors: Vec<NamedTensor>) -> Self {
        Self {
            completed,
            environment_steps: 0,
            tensors,
        }
    }

    /// Refuses a state whose tensors are not these, in this order: names with shapes.
    ///
    /// # Errors
    /// [`TrainError::StateMismatch`], which names the first difference.
    pub fn check<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<(), TrainError> {
        let mut found = self.tensors.iter();
        for (name, shape) in wanted {
            match found.next() {
                Some(tensor) if tensor.name == name && tensor.shape == shape => {}
                Some(NamedTensor {
                    name: own,
                    shape: own_shape,
                    ..
                }) => {
                    return Err(TrainError::StateMismatch(format!(
                        "it holds {own} {own_shape:?} where the recipe has {name} {shape:?}"
                    )));
                }
                None => return Err(TrainError::StateMismatch(format!("it lacks {name} {shape:?}"))),
            }
        }
        match found.next() {
            Some(more) => Err(TrainError::StateMismatch(format!(
                "it holds {}, which the recipe has not",
                more.name
            ))),
            None => Ok(()),
        }
    }
}

/// What training found, ready for the compiler.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Initial parameters, in the policy's order.
    pub parameters: Vec<NamedTensor>,
    /// Step sizes: one tensor for each parameter that adapts, in the policy's order, of its shape (learned) or of one
    /// element (fixed). Where there are fewer than parameters, each is called `rate/` and its parameter. Or, where the
    /// head is fitted in closed form, the one number [`RIDGE`].
    pub step_sizes: Vec<NamedTensor>,
    /// What the step sizes are multiplied by at each adaptation step; as long as the number of steps trained for.
    pub step_scales: Vec<f32>,
    /// How observations were normalised in training, where they were: the contract's scales.
    pub observations: Option<ObservationScale>,
}

/// How observations are normalised: `(x - mean) / deviation`, cut at `clip`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservationScale {
    /// One a channel.
    pub mean: Vec<f32>,
    /// One a channel, above 0.
    pub deviation: Vec<f32>,
    /// Greatest magnitude of a normalised value.
    pub clip: f32,
}

impl ObservationScale {
    /// Normalises observations that lie in columns, `[channels, batch]`.
    pub fn apply(&self, observations: &mut [f32], batch: usize) {
        let channels = self.mean.iter().zip(&self.deviation);
        for (values, (mean, deviation)) in observations.chunks_exact_mut(batch).zip(channels) {
            for value in values {
                *value = ((*value - mean) / deviation).clamp(-self.clip, self.clip);
            }
        }
    }
}

impl Learned {
    /// Parameters that adapt by `steps` steps of one size.
    pub fn with_rate(parameters: Vec<NamedTensor>, rate: f32, steps: usize) -> Self {
        let step_size = |tensor: &NamedTensor| NamedTensor {
            name: format!("rate/{}", tensor.name),
            shape: vec![],
            values: vec![rate],
        };
        Self {
            step_sizes: parameters.iter().map(step_size).collect(),
            parameters,
            step_scales: vec![1.0; steps],
            observations: None,
        }
    }

    /// Parameters that no rule changes: a policy that only acts, or adapts in its memory.
    pub fn fixed(parameters: Vec<NamedTensor>) -> Self {
        Self {
            parameters,
            step_sizes: Vec::new(),
            step_scales: Vec::new(),
            observations: None,
        }
    }
}

/// A training algorithm at work: stepped by the caller, who watches, saves and stops it.
///
/// What depends on the machine alone (threads, time) must change no result, and [`state`](Self::state) must hold all
/// that does: a run that was killed and resumed then has the bits of one that was not. `examples/own_algorithm.rs` is
/// one written by a user.
pub trait Algorithm {
    /// Meta-iterations the recipe asks for.
    fn iterations(&self) -> u64;

    /// Meta-iterations done.
    fn completed(&self) -> u64;

    /// Environment steps simulated so far; 0 where the family has no environment.
    fn environment_steps(&self) -> u64 {
        0
    }

    /// The engine that runs the graphs, as it describes itself.
    fn engine(&self) -> String;

    /// Does one meta-iteration. Deterministic: depends on the recipe, the state and the engine, not on threads.
    fn step(&mut self) -> Result<Iteration, TrainError>;

    /// The state as it stands between two iterations.
    fn state(&mut self) -> Result<TrainingState, TrainError>;

    /// Goes back to a saved state. Refuses tensors whose names or shapes are not those of this recipe.
    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError>;

    /// What has been learned so far.
    fn learned(&mut self) -> Result<Learned, TrainError>;
}

/// The training algorithm of a recipe, at its start.
///
/// # Errors
/// What the graphs or the engine refuse.
pub fn learner(recipe: &Recipe, engine: &Arc<dyn Engine>, threads: usize) -> Result<Box<dyn Algorithm>, TrainError> {
    if let (Some(settings), Some(Tasks::Supervised(family))) = (MetaSettings::of(&recipe.algorithm), Tasks::of(recipe)?)
    {
        let learner = supervised(recipe, settings, family, engine.as_ref(), threads)?;
        return Ok(Box::new(learner));
    }
    match (&recipe.family, &recipe.algorithm) {
        (Family::Navigation(family), recipe::Algorithm::MamlPolicyGradient(settings)) => {
            Ok(Box::new(MamlPolicyGradient::new(
                settings,
                recipe.seed,
                Box::new(NavigationFamily::new(family)),
                family.trajectories,
                &deployment::policy(recipe),
                recipe.policy.initialiser,
                Arc::clone(engine),
                threads,
            )?))
        }
        (family, recipe::Algorithm::AnalyticPolicyGradient(settings)) => {
            let problem = simulated(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            let initialiser = recipe.policy.initialiser;
            let learner =
                AnalyticPolicyGradient::new(settings, recipe.seed, &problem, initialiser, engine.as_ref(), threads)?;
            Ok(Box::new(learner))
        }
        (_, recipe::Algorithm::TeacherStudent(settings)) => {
            Ok(Box::new(TeacherStudent::new(settings, recipe, engine, threads)?))
        }
        (family, recipe::Algorithm::MultiTask(settings)) => {
            let tables = tasks::task_set(recipe)?.ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            let learner = MultiTaskTraining::new(settings, &recipe.policy, recipe.seed, tables, engine.as_ref())?;
            Ok(Box::new(learner))
        }
        (Family::Systems(family), recipe::Algorithm::MultiTaskPpo(settings)) => {
            let (policy, seed) = (&recipe.policy, recipe.seed);
            let learner = MultiTaskPpo::new(settings, policy, family, seed, engine.as_ref(), threads)?;
            Ok(Box::new(learner))
        }
        (family, recipe::Algorithm::Ppo(settings)) => {
            let (problem, environment) = vectorised(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            let (seed, initialiser) = (recipe.seed, recipe.policy.initialiser);
            let learner = Ppo::new(
                settings,
                seed,
                problem?,
                initialiser,
                &*environment,
                engine.as_ref(),
                threads,
            )?;
            Ok(Box::new(learner))
        }
        (family, recipe::Algorithm::Rl2(settings)) => {
            let (problem, environment) = vectorised(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            let (seed, initialiser) = (recipe.seed, recipe.policy.initialiser);
            let learner = rl2(
                settings,
                seed,
                problem?,
                initialiser,
                &*environment,
                engine.as_ref(),
                threads,
            )?;
            Ok(Box::new(learner))
        }
        (family, algorithm) => Err(mismatch(family, algorithm)),
    }
}

/// Meta-training of a recipe's policy and rule on labelled rows, at its start.
///
/// # Errors
/// What the graphs or the engine refuse.
pub fn supervised(
    recipe: &Recipe,
    settings: MetaSettings,
    family: Box<dyn SupervisedFamily>,
    engine: &dyn Engine,
    threads: usize,
) -> Result<Maml, TrainError> {
    let rule = deployment::rule(recipe)?;
    let initial = nn::initialise(&rule.rows().parameters, recipe.policy.initialiser, recipe.seed);
    Maml::new(settings, recipe.seed, family, rule, &initial, engine, threads)
}

/// The policy and the simulator of a recipe whose family has one.
fn simulated(recipe: &Recipe) -> Option<analytic_policy_gradient::Problem> {
    Some(analytic_policy_gradient::Problem {
        policy: deployment::policy(recipe),
        simulator: tasks::simulator(recipe)?,
    })
}

/// Makes a batch of so many instances.
type Environments = Box<dyn Fn(usize) -> Box<dyn VectorEnvironment>>;

/// The policy and the environments of a recipe whose family has some to learn from by reinforcement.
fn vectorised(recipe: &Recipe) -> Option<(Result<ppo::Problem, TrainError>, Environments)> {
    let actions = tasks::vector_environment(recipe, 1)?.actions();
    let recipe = recipe.clone();
    let problem = ppo::Problem::new(deployment::policy(&recipe), actions);
    let environment = move |batch| tasks::vector_environment(&recipe, batch).expect("it has environments");
    Some((problem, Box::new(environment)))
}

/// The graph that a recipe's training spends its time in, with its options: for choosing an engine by measuring.
///
/// # Errors
/// What the graphs refuse.
pub fn probe(recipe: &Recipe) -> Result<(Graph, CompileOptions), TrainError> {
    if let (Some(settings), Some(Tasks::Supervised(family))) = (MetaSettings::of(&recipe.algorithm), Tasks::of(recipe)?)
    {
        return maml::probe(&Problem::new(deployment::rule(recipe)?, family.as_ref()), &settings);
    }
    match (&recipe.family, &recipe.algorithm) {
        (Family::Navigation(family), recipe::Algorithm::MamlPolicyGradient(settings)) => {
            let tasks = NavigationFamily::new(family);
            let problem = maml_policy_gradient::Problem::new(deployment::policy(recipe), &tasks, family.trajectories)
                .with_gradient_clip(settings.gradient_clip);
            maml_policy_gradient::probe(&problem, settings)
        }
        (
            family,
            recipe::Algorithm::AnalyticPolicyGradient(settings)
            | recipe::Algorithm::TeacherStudent(recipe::TeacherStudent { teacher: settings, .. }),
        ) => {
            let problem = simulated(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            analytic_policy_gradient::probe(&problem, settings)
        }
        (family, recipe::Algorithm::MultiTask(settings)) => {
            let tables = tasks::task_set(recipe)?.ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            multi_task::probe(settings, &recipe.policy, recipe.seed, &tables)
        }
        (Family::Systems(family), recipe::Algorithm::MultiTaskPpo(settings)) => {
            ppo::multi_task_probe(settings, &recipe.policy, family)
        }
        (family, recipe::Algorithm::Ppo(settings) | recipe::Algorithm::Rl2(recipe::Rl2 { ppo: settings, .. })) => {
            let (problem, _) = vectorised(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            ppo::probe(&problem?, settings)
        }
        (family, algorithm) => Err(mismatch(family, algorithm)),
    }
}

/// A recipe from text has been checked for this; one built in code may not have been.
fn mismatch(family: &Family, algorithm: &recipe::Algorithm) -> TrainError {
    TrainError::Mismatch {
        family: family.name(),
        algorithm: algorithm.name(),
    }
}
