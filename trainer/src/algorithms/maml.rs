//! Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
//! Networks", algorithm 2) of a supervised loss: second order, or first order (FOMAML), optionally with learned
//! step sizes (Meta-SGD; Li, Zhou, Chen and Li 2017), or of a part of the parameters (ANIL: the head; CAVIA: a context
//! vector). [`Reptile`](crate::recipe::Reptile) and [`Ridge`](crate::recipe::Ridge) share everything but what happens to
//! a task ([`Inner`]).
//!
//! Tasks are a tensor dimension, so a meta-batch is one run of one graph. With `chunks = 1` the outer optimiser is part
//! of that graph and parameters and moments never leave the engine. With more, worker threads run one program for each
//! chunk of tasks, and the gradients are summed in the order of the chunks, so the number of threads changes nothing.
//!
//! Deviations from the paper: none in the algorithm; `docs/algorithms/maml.md` tables recipe against paper.

mod graph;
mod learner;
mod settings;

#[cfg(test)]
mod tests;

use pliant_compiler::adaptation::Rule;
use pliant_compiler::graph::Graph;

pub use graph::{Problem, fused_graph, gradient_graph, optimiser_graph};
pub(in crate::algorithms) use learner::check_length;
pub use learner::{MetaLearner, MetaLosses, TaskBatch, TaskShape};
pub use settings::{Inner, MetaSettings};

use super::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine};
use crate::error::TrainError;
use crate::tasks::{Rows, Split, SupervisedFamily};

/// MAML on a task family, in progress.
pub struct Maml {
    seed: u64,
    family: Box<dyn SupervisedFamily>,
    learner: MetaLearner,
}

impl Maml {
    /// Compiles the graphs and sets the initial parameters.
    ///
    /// `rule` is how the policy adapts, here and on the device; `initial` holds its parameters, in its order.
    ///
    /// # Errors
    /// What the rule or the engine refuse.
    pub fn new(
        settings: impl Into<MetaSettings>,
        seed: u64,
        family: Box<dyn SupervisedFamily>,
        rule: impl Into<Rule>,
        initial: &[NamedTensor],
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let problem = Problem::new(rule, family.as_ref());
        let learner = MetaLearner::of_problem(problem, settings.into(), initial, engine, threads)?;
        Ok(Self { seed, family, learner })
    }
}

/// The graph in which training spends its time, with its options.
pub(super) fn probe(problem: &Problem, settings: &MetaSettings) -> Result<(Graph, CompileOptions), TrainError> {
    if settings.chunks == 1 {
        let options = CompileOptions {
            resident: graph::resident(&graph::meta_parameters(problem, settings)),
            ..CompileOptions::default()
        };
        return Ok((fused_graph(problem, settings)?, options));
    }
    let tasks = settings.tasks.div_ceil(settings.chunks);
    Ok((
        gradient_graph(problem, settings, tasks, settings.tasks)?,
        CompileOptions::default(),
    ))
}

/// Draws training tasks `first_index + task` for each task of a range.
fn draw(
    family: &dyn SupervisedFamily,
    seed: u64,
    first_index: u64,
    tasks: core::ops::Range<usize>,
    data: &mut [Vec<f32>; 4],
) {
    let widths = data.each_ref().map(|data| data.len() / tasks.len());
    let [support_x, support_y, query_x, query_y] = data;
    for (place, task) in tasks.enumerate() {
        let row = |data: usize| place * widths[data]..(place + 1) * widths[data];
        let support = Rows {
            inputs: &mut support_x[row(0)],
            targets: &mut support_y[row(1)],
        };
        let query = Rows {
            inputs: &mut query_x[row(2)],
            targets: &mut query_y[row(3)],
        };
        family.sample(seed, Split::Train, first_index + task as u64, support, query);
    }
}

impl Algorithm for Maml {
    fn iterations(&self) -> u64 {
        self.learner.settings.iterations
    }

    fn completed(&self) -> u64 {
        self.learner.completed
    }

    fn environment_steps(&self) -> u64 {
        0
    }

    fn engine(&self) -> String {
        self.learner.engine.to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let (family, seed) = (self.family.as_ref(), self.seed);
        let first_index = self.learner.completed * self.learner.settings.tasks as u64;
        let [before, after] = self
            .learner
            .iterate(&|tasks, data| draw(family, seed, first_index, tasks, data))?;
        Ok(Iteration {
            metrics: vec![("query loss after adapting", after), ("support loss before", before)],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        self.learner.state()
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        self.learner.restore(state)
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        self.learner.learned()
    }
}
