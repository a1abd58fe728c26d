//! Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
//! Networks", algorithm 2) of a supervised loss: second order, or first order (FOMAML), optionally with learned
//! step sizes (Meta-SGD; Li, Zhou, Chen and Li 2017).
//!
//! Tasks are a tensor dimension, so a meta-batch is one run of one graph. With `chunks = 1` the outer optimiser is part
//! of that graph and parameters and moments never leave the engine. With more, worker threads run one program for each
//! chunk of tasks, and the gradients are summed in the order of the chunks, so the number of threads changes nothing.
//!
//! Deviations from the paper: none in the algorithm; `docs/algorithms/maml.md` tables recipe against paper.

mod graph;

#[cfg(test)]
mod tests;

use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::graph::Graph;
use pliant_compiler::policy::Parameter;
use rayon::prelude::*;

pub use graph::{Problem, fused_graph, gradient_graph, optimiser_graph};

use super::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::engine::{CompileOptions, Engine, Program};
use crate::error::TrainError;
use crate::optim::adam_step_size;
use crate::recipe;
use crate::tasks::{Rows, Split, SupervisedFamily};

/// MAML in progress.
pub struct Maml {
    settings: recipe::Maml,
    seed: u64,
    family: Box<dyn SupervisedFamily>,
    problem: Problem,
    /// Names and shapes of what the outer loop trains.
    meta: Vec<(String, Vec<usize>)>,
    engine: &'static str,
    completed: u64,
    runner: Runner,
}

/// How a meta-iteration is laid out over programs.
enum Runner {
    /// One program does it all.
    Fused(Chunk),
    /// One program a chunk, and one for the optimiser.
    Parallel {
        pool: rayon::ThreadPool,
        chunks: Vec<Chunk>,
        optimiser: Box<dyn Program>,
        /// The meta-parameters, one vector each.
        parameters: Vec<Vec<f32>>,
    },
}

/// Consecutive tasks of the meta-batch, with the program that takes their gradient.
struct Chunk {
    first_task: usize,
    tasks: usize,
    program: Box<dyn Program>,
    /// Support inputs, support targets, query inputs, query targets, `[tasks, rows, width]`.
    data: [Vec<f32>; 4],
    /// Gradients of the meta-parameters; empty where the program is fused.
    gradients: Vec<Vec<f32>>,
    /// Loss before and after the inner loop.
    losses: [f32; 2],
}

impl Maml {
    /// Compiles the graphs and sets the initial parameters.
    ///
    /// `rule` is how the policy adapts, here and on the device; `initial` holds its parameters, in its order.
    ///
    /// # Errors
    /// What the rule or the engine refuse.
    pub fn new(
        settings: &recipe::Maml,
        seed: u64,
        family: Box<dyn SupervisedFamily>,
        rule: GradientRule<'static>,
        initial: &[NamedTensor],
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let problem = Problem::new(rule, family.as_ref());
        let meta = graph::meta_parameters(&problem, settings);
        let mut values: Vec<Vec<f32>> = initial.iter().map(|tensor| tensor.values.clone()).collect();
        for (_, shape) in &meta[initial.len()..] {
            values.push(vec![settings.inner_rate; shape.iter().product()]);
        }
        let options = CompileOptions {
            resident: graph::resident(&meta),
            ..CompileOptions::default()
        };
        let runner = if settings.chunks == 1 {
            let graph = fused_graph(&problem, settings)?;
            Runner::Fused(Chunk::new(
                0,
                settings.tasks,
                engine.compile(&graph, &options)?,
                &problem,
                &[],
            ))
        } else {
            let optimiser = engine.compile(&optimiser_graph(&problem, settings)?, &options)?;
            let mut chunks = Vec::with_capacity(settings.chunks);
            let mut first_task = 0;
            for index in 0..settings.chunks {
                let larger = usize::from(index < settings.tasks % settings.chunks);
                let tasks = settings.tasks / settings.chunks + larger;
                let graph = gradient_graph(&problem, settings, tasks, settings.tasks)?;
                let program = engine.compile(&graph, &CompileOptions::default())?;
                chunks.push(Chunk::new(first_task, tasks, program, &problem, &meta));
                first_task += tasks;
            }
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads.clamp(1, settings.chunks))
                .thread_name(|index| format!("maml-{index}"))
                .build()?;
            Runner::Parallel {
                pool,
                chunks,
                optimiser,
                parameters: values.clone(),
            }
        };
        let mut maml = Self {
            settings: settings.clone(),
            seed,
            family,
            problem,
            meta,
            engine: engine.name(),
            completed: 0,
            runner,
        };
        maml.set_parameters(&values)?;
        Ok(maml)
    }

    fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainError> {
        let program = self.runner.variables();
        for (input, values) in values.iter().enumerate() {
            program.set(input, values)?;
        }
        if let Runner::Parallel { parameters, .. } = &mut self.runner {
            parameters.clone_from_slice(values);
        }
        Ok(())
    }

    /// Inputs of the program that holds the variables: the position of variable `index` of meta-parameters, first
    /// moments, second moments. Between parameters and moments stand the data (fused) or the gradients (parallel).
    fn variable_input(&self, index: usize) -> usize {
        let count = self.meta.len();
        let between = match self.runner {
            Runner::Fused(_) => 4,
            Runner::Parallel { .. } => count,
        };
        if index < count { index } else { index + between }
    }
}

/// The graph in which training spends its time, with its options.
pub(super) fn probe(problem: &Problem, settings: &recipe::Maml) -> Result<(Graph, CompileOptions), TrainError> {
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

impl Runner {
    /// The program in which parameters and moments live.
    fn variables(&mut self) -> &mut dyn Program {
        match self {
            Self::Fused(chunk) => chunk.program.as_mut(),
            Self::Parallel { optimiser, .. } => optimiser.as_mut(),
        }
    }
}

impl Chunk {
    fn new(
        first_task: usize,
        tasks: usize,
        program: Box<dyn Program>,
        problem: &Problem,
        gradients: &[(String, Vec<usize>)],
    ) -> Self {
        let Problem {
            input_width,
            target_width,
            support_rows,
            query_rows,
            ..
        } = problem;
        let widths = [
            support_rows * input_width,
            support_rows * target_width,
            query_rows * input_width,
            query_rows * target_width,
        ];
        Self {
            first_task,
            tasks,
            program,
            data: widths.map(|width| vec![0.0; tasks * width]),
            gradients: gradients
                .iter()
                .map(|(_, shape)| vec![0.0; shape.iter().product()])
                .collect(),
            losses: [f32::NAN; 2],
        }
    }

    /// Draws this chunk's tasks of the meta-batch and hands them to the program, whose data inputs start at `first_input`.
    fn load(
        &mut self,
        family: &dyn SupervisedFamily,
        seed: u64,
        first_index: u64,
        first_input: usize,
    ) -> Result<(), TrainError> {
        let widths = self.data.each_ref().map(|data| data.len() / self.tasks);
        let [support_x, support_y, query_x, query_y] = &mut self.data;
        for task in 0..self.tasks {
            let row = |data: usize| task * widths[data]..(task + 1) * widths[data];
            let support = Rows {
                inputs: &mut support_x[row(0)],
                targets: &mut support_y[row(1)],
            };
            let query = Rows {
                inputs: &mut query_x[row(2)],
                targets: &mut query_y[row(3)],
            };
            family.sample(
                seed,
                Split::Train,
                first_index + (self.first_task + task) as u64,
                support,
                query,
            );
        }
        for (offset, data) in self.data.iter().enumerate() {
            self.program.set(first_input + offset, data)?;
        }
        Ok(())
    }

    fn read_losses(&mut self, first_output: usize) -> Result<(), TrainError> {
        for (offset, loss) in self.losses.iter_mut().enumerate() {
            self.program.get(first_output + offset, core::slice::from_mut(loss))?;
        }
        Ok(())
    }
}

impl Algorithm for Maml {
    fn iterations(&self) -> u64 {
        self.settings.iterations
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn environment_steps(&self) -> u64 {
        0
    }

    fn engine(&self) -> String {
        self.engine.to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let count = self.meta.len();
        let family = self.family.as_ref();
        let (seed, first_index) = (self.seed, self.completed * self.settings.tasks as u64);
        let step_size = adam_step_size(&self.settings.optimizer, self.completed, self.settings.iterations);
        let [before, after] = match &mut self.runner {
            Runner::Fused(chunk) => {
                chunk.load(family, seed, first_index, count)?;
                // Parameters, data, both moments, step size.
                chunk.program.set(count + 4 + 2 * count, &[step_size])?;
                chunk.program.run()?;
                chunk.read_losses(3 * count)?;
                chunk.losses
            }
            Runner::Parallel {
                pool,
                chunks,
                optimiser,
                parameters,
            } => {
                pool.install(|| {
                    chunks.par_iter_mut().try_for_each(|chunk| -> Result<(), TrainError> {
                        for (input, values) in parameters.iter().enumerate() {
                            chunk.program.set(input, values)?;
                        }
                        chunk.load(family, seed, first_index, count)?;
                        chunk.program.run()?;
                        for (output, gradient) in chunk.gradients.iter_mut().enumerate() {
                            chunk.program.get(output, gradient)?;
                        }
                        chunk.read_losses(count)
                    })
                })?;
                let mut losses = [0.0; 2];
                let (first, rest) = chunks.split_first_mut().expect("a recipe has at least one chunk");
                for chunk in &*rest {
                    for (sum, gradient) in first.gradients.iter_mut().zip(&chunk.gradients) {
                        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
                    }
                }
                for chunk in core::iter::once(&*first).chain(&*rest) {
                    losses.iter_mut().zip(chunk.losses).for_each(|(sum, loss)| *sum += loss);
                }
                for (index, gradient) in first.gradients.iter().enumerate() {
                    optimiser.set(count + index, gradient)?;
                }
                // Parameters, gradients, both moments, step size.
                optimiser.set(4 * count, &[step_size])?;
                optimiser.run()?;
                for (output, values) in parameters.iter_mut().enumerate() {
                    optimiser.get(output, values)?;
                }
                losses
            }
        };
        if !after.is_finite() {
            let what = "the query loss".to_owned();
            return Err(TrainError::Diverged {
                iteration: self.completed + 1,
                what,
            });
        }
        self.completed += 1;
        Ok(Iteration {
            metrics: vec![("query loss after adapting", after), ("support loss before", before)],
        })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = Vec::new();
        for (index, (name, _)) in graph::resident(&self.meta).into_iter().enumerate() {
            let shape = self.meta[index % self.meta.len()].1.clone();
            let mut values = vec![0.0; shape.iter().product()];
            self.runner.variables().get(index, &mut values)?;
            tensors.push(NamedTensor { name, shape, values });
        }
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: 0,
            tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let names = graph::resident(&self.meta);
        let shapes = self.meta.iter().map(|(_, shape)| shape.as_slice()).cycle();
        state.check(names.iter().map(|(name, _)| name.as_str()).zip(shapes))?;
        for (index, tensor) in state.tensors.iter().enumerate() {
            let input = self.variable_input(index);
            self.runner.variables().set(input, &tensor.values)?;
        }
        if let Runner::Parallel { parameters, .. } = &mut self.runner {
            for (values, tensor) in parameters.iter_mut().zip(&state.tensors) {
                values.clone_from(&tensor.values);
            }
        }
        self.completed = state.completed;
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        let mut parameters = self.state()?.tensors;
        parameters.truncate(self.meta.len());
        let rates = parameters.split_off(self.problem.rule.parameters.len());
        let step_sizes = if self.settings.learn_inner_rate {
            rates
        } else {
            let fixed = |parameter: &Parameter| NamedTensor {
                name: format!("rate/{}", parameter.name),
                shape: vec![],
                values: vec![self.settings.inner_rate],
            };
            self.problem.rule.parameters.iter().map(fixed).collect()
        };
        Ok(Learned {
            parameters,
            step_sizes,
            step_scales: vec![1.0; self.settings.inner_steps],
        })
    }
}
