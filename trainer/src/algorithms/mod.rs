//! Training algorithms, one a file, behind one trait so that the command line drives them alike.

pub mod analytic_policy_gradient;
mod maml;
pub mod maml_policy_gradient;
mod multi_task;
mod reptile;
mod ridge;

pub use analytic_policy_gradient::AnalyticPolicyGradient;
pub use maml::{
    Inner, Maml, MetaLearner, MetaLosses, MetaSettings, Problem, TaskBatch, TaskShape, fused_graph, gradient_graph,
    optimiser_graph,
};
pub use maml_policy_gradient::MamlPolicyGradient;
pub use multi_task::{MultiTaskLearner, MultiTaskSettings, MultiTaskTraining};
pub(crate) use multi_task::{network as multi_task_network, predict as multi_task_predict};
pub use ridge::RIDGE;

use std::sync::Arc;

use pliant_compiler::graph::Graph;

use crate::deployment;
use crate::engine::{CompileOptions, Engine};
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
    if let (Some(settings), Some(Tasks::Supervised(family))) =
        (MetaSettings::of(&recipe.algorithm), Tasks::of(recipe))
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
        (family, recipe::Algorithm::MultiTask(settings)) => {
            let tables = tasks::task_set(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            let learner = MultiTaskTraining::new(settings, &recipe.policy, recipe.seed, tables, engine.as_ref())?;
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

/// The graph that a recipe's training spends its time in, with its options: for choosing an engine by measuring.
///
/// # Errors
/// What the graphs refuse.
pub fn probe(recipe: &Recipe) -> Result<(Graph, CompileOptions), TrainError> {
    if let (Some(settings), Some(Tasks::Supervised(family))) =
        (MetaSettings::of(&recipe.algorithm), Tasks::of(recipe))
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
        (family, recipe::Algorithm::AnalyticPolicyGradient(settings)) => {
            let problem = simulated(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            analytic_policy_gradient::probe(&problem, settings)
        }
        (family, recipe::Algorithm::MultiTask(settings)) => {
            let tables = tasks::task_set(recipe).ok_or_else(|| mismatch(family, &recipe.algorithm))?;
            multi_task::probe(settings, &recipe.policy, recipe.seed, &tables)
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
