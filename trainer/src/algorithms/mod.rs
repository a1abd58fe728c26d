//! Training algorithms, one a file, behind one trait so that the command line drives them alike.

mod maml;

pub use maml::{Maml, Problem, RowLoss, fused_graph, gradient_graph, optimiser_graph};

use std::sync::Arc;

use pliant_compiler::graph::{Graph, GraphError, ValueId};

use crate::engine::{CompileOptions, Engine};
use crate::error::TrainError;
use crate::nn;
use crate::recipe::{self, Algorithm, Family, Recipe};
use crate::tasks::SinusoidFamily;

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

/// What training found, ready for the compiler.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Initial parameters, in the policy's order.
    pub parameters: Vec<NamedTensor>,
    /// Step sizes: one tensor a parameter, of its shape (learned), or of one element each (fixed).
    pub step_sizes: Vec<NamedTensor>,
    /// What the step sizes are multiplied by at each adaptation step; as long as the number of steps trained for.
    pub step_scales: Vec<f32>,
}

/// A training algorithm on one recipe: stepped by the caller, who watches, saves and stops it.
pub trait MetaLearner {
    /// Meta-iterations the recipe asks for.
    fn iterations(&self) -> u64;

    /// Meta-iterations done.
    fn completed(&self) -> u64;

    /// Environment steps simulated so far.
    fn environment_steps(&self) -> u64;

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
pub fn learner(recipe: &Recipe, engine: &Arc<dyn Engine>, threads: usize) -> Result<Box<dyn MetaLearner>, TrainError> {
    match (&recipe.family, &recipe.algorithm) {
        (Family::Sinusoid(family), Algorithm::Maml(settings)) => {
            let parameters = nn::mlp::parameters(&widths(recipe, 1, 1));
            let initial = nn::initialise(&parameters, recipe.policy.initialiser, recipe.seed);
            let family = Box::new(SinusoidFamily::new(family));
            let loss = squared_error(&recipe.policy);
            Ok(Box::new(Maml::new(
                settings,
                recipe.seed,
                family,
                &initial,
                &loss,
                engine.as_ref(),
                threads,
            )?))
        }
        (family, algorithm) => Err(mismatch(family, algorithm)),
    }
}

/// The graph that a recipe's training spends its time in, with its options: for choosing an engine by measuring.
///
/// # Errors
/// What the graphs refuse.
pub fn probe(recipe: &Recipe) -> Result<(Graph, CompileOptions), TrainError> {
    match (&recipe.family, &recipe.algorithm) {
        (Family::Sinusoid(family), Algorithm::Maml(settings)) => {
            let parameters = nn::mlp::parameters(&widths(recipe, 1, 1));
            let problem = Problem::new(parameters, &SinusoidFamily::new(family));
            maml::probe(&problem, settings, &squared_error(&recipe.policy))
        }
        (family, algorithm) => Err(mismatch(family, algorithm)),
    }
}

/// A recipe from text has been checked for this; one built in code may not have been.
fn mismatch(family: &Family, algorithm: &Algorithm) -> TrainError {
    TrainError::Mismatch {
        family: family.name(),
        algorithm: algorithm.name(),
    }
}

/// Layer widths of the recipe's network.
fn widths(recipe: &Recipe, inputs: usize, outputs: usize) -> Vec<usize> {
    let hidden = recipe.policy.hidden.iter().copied();
    core::iter::once(inputs).chain(hidden).chain([outputs]).collect()
}

/// Mean squared error of each row.
fn squared_error(
    policy: &recipe::Policy,
) -> impl Fn(&mut Graph, &[ValueId], &[ValueId]) -> Result<ValueId, GraphError> {
    let activation = policy.activation;
    move |graph, parameters, fields| {
        let prediction = nn::mlp::forward(graph, parameters, fields[0], activation)?;
        let error = graph.sub(prediction, fields[1])?;
        let square = graph.square(error)?;
        let last = graph.shape(square).len() - 1;
        graph.reduce_mean(square, &[last], false)
    }
}
