//! Multi-task learning of a supervised loss (Caruana 1997, "Multitask Learning"): a trunk that all tasks share, and a
//! linear head for each, trained together by Adam on the mean of the tasks' losses.

use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::policy::{Activation, Parameter};

use super::maml::check_length;
use super::{NamedTensor, TaskBatch, TrainingState};
use crate::engine::{CompileOptions, Engine, PlanEngine, Program};
use crate::error::TrainError;
use crate::nn;
use crate::optim::{self, AdamStep, adam_step_size};
use crate::recipe::{Adam, Initialiser};

/// What a [`MultiTaskLearner`] learns, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiTaskSettings {
    /// Tasks, at least 1: one head each.
    pub tasks: usize,
    /// Numbers in one input.
    pub inputs: usize,
    /// Numbers in one target.
    pub outputs: usize,
    /// Widths of the trunk's hidden layers, at least one.
    pub hidden: Vec<usize>,
    /// After each hidden layer.
    pub activation: Activation,
    /// Rows of one task in a batch at most.
    pub rows: usize,
    /// The optimiser. A cosine schedule ends after `iterations` batches.
    pub optimizer: Adam,
    /// Batches that the schedule is over.
    pub iterations: u64,
    /// Governs the initial parameters.
    pub seed: u64,
}

/// Learns several tasks at once from batches that the caller brings.
///
/// ```
/// use pliant_compiler::policy::Activation;
/// use pliant_trainer::algorithms::{MultiTaskLearner, MultiTaskSettings, TaskBatch};
/// use pliant_trainer::engine::PlanEngine;
/// use pliant_trainer::recipe::Adam;
///
/// // Two tasks over one input: x squared, and its negative from fewer rows.
/// let settings = MultiTaskSettings {
///     tasks: 2, inputs: 1, outputs: 1, hidden: vec![16], activation: Activation::Tanh, rows: 5,
///     optimizer: Adam::new(0.02), iterations: 500, seed: 0,
/// };
/// let mut learner = MultiTaskLearner::new(&settings, &PlanEngine::fast())?;
/// let squares = TaskBatch { inputs: &[-1.0, -0.5, 0.0, 0.5, 1.0], targets: &[1.0, 0.25, 0.0, 0.25, 1.0] };
/// let negatives = TaskBatch { inputs: &[-1.0, 0.1, 1.0], targets: &[-1.0, -0.01, -1.0] };
/// let mut losses = vec![];
/// for _ in 0..500 {
///     losses = learner.train_on_batch(&[squares, negatives])?;
/// }
/// assert!(losses.iter().all(|loss| *loss < 0.01), "{losses:?}");
/// // The second task was never shown 0.5: the trunk it shares knows about it.
/// assert!((learner.predict(1, &[0.5])?[0] + 0.25).abs() < 0.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MultiTaskLearner {
    settings: MultiTaskSettings,
    shapes: Vec<Parameter>,
    program: Box<dyn Program>,
    completed: u64,
    data: [Vec<f32>; 3],
    losses: Vec<f32>,
}

impl MultiTaskLearner {
    /// A learner at its start.
    ///
    /// # Errors
    /// What the graph or the engine refuse.
    pub fn new(settings: &MultiTaskSettings, engine: &dyn Engine) -> Result<Self, TrainError> {
        let shapes = parameters(settings);
        let names = |kind: &'static str| shapes.iter().map(move |shape| (format!("{kind}{}", shape.name), kind));
        let resident = ["", "adam.first/", "adam.second/"]
            .into_iter()
            .flat_map(names)
            .map(|(name, _)| (name.clone(), format!("new/{name}")))
            .collect();
        let program = engine.compile(&training_graph(settings, &shapes)?, &CompileOptions::resident(resident))?;
        let MultiTaskSettings {
            tasks,
            rows,
            inputs,
            outputs,
            ..
        } = *settings;
        let mut learner = Self {
            settings: settings.clone(),
            program,
            completed: 0,
            data: [inputs, outputs, 1].map(|width| vec![0.0; tasks * rows * width]),
            losses: vec![0.0; tasks],
            shapes,
        };
        for (input, tensor) in initial(settings).iter().enumerate() {
            learner.program.set(input, &tensor.values)?;
        }
        Ok(learner)
    }

    /// Moves trunk and heads by one step of Adam. `batches` are one a task, in order, each with up to as many rows as the
    /// settings say; a task without rows takes no part. Gives each task's mean squared error before the step, NaN for one
    /// without rows.
    ///
    /// # Errors
    /// [`TrainError::BatchShape`], [`TrainError::Diverged`], or the engine's own failure.
    pub fn train_on_batch(&mut self, batches: &[TaskBatch<'_>]) -> Result<Vec<f32>, TrainError> {
        let MultiTaskSettings {
            tasks,
            rows,
            inputs,
            outputs,
            ..
        } = self.settings;
        check_length("batches", tasks, batches.len())?;
        self.data.iter_mut().for_each(|data| data.fill(0.0));
        let [x, y, weights] = &mut self.data;
        let present = batches.iter().filter(|batch| !batch.inputs.is_empty()).count().max(1);
        for (task, batch) in batches.iter().enumerate() {
            let count = (batch.inputs.len() / inputs.max(1)).min(rows);
            check_length("inputs of a task", count * inputs, batch.inputs.len())?;
            check_length("targets of a task", count * outputs, batch.targets.len())?;
            x[task * rows * inputs..][..count * inputs].copy_from_slice(batch.inputs);
            y[task * rows * outputs..][..count * outputs].copy_from_slice(batch.targets);
            // Mean over rows, then over the tasks that are there.
            weights[task * rows..][..count].fill(1.0 / (count * outputs * present) as f32);
        }
        let count = self.shapes.len();
        let step_size = [adam_step_size(
            &self.settings.optimizer,
            self.completed,
            self.settings.iterations,
        )];
        for (offset, data) in self.data.iter().enumerate() {
            self.program.set(count + offset, data)?;
        }
        // Parameters, data, both moments, step size.
        self.program.set(3 * count + 3, &step_size)?;
        self.program.run()?;
        self.program.get(3 * count, &mut self.losses)?;
        let absent = |batch: &TaskBatch<'_>| batch.inputs.is_empty();
        let losses: Vec<f32> = self
            .losses
            .iter()
            .zip(batches)
            .map(|(loss, batch)| if absent(batch) { f32::NAN } else { loss * present as f32 })
            .collect();
        if losses
            .iter()
            .zip(batches)
            .any(|(loss, batch)| !absent(batch) && !loss.is_finite())
        {
            return Err(TrainError::Diverged {
                iteration: self.completed + 1,
                what: "a task's loss".to_owned(),
            });
        }
        self.completed += 1;
        Ok(losses)
    }

    /// What the head of `task` predicts at `inputs` (`[rows, input width]`): `[rows, target width]`.
    ///
    /// # Errors
    /// [`TrainError::NoSuchTask`], [`TrainError::BatchShape`], or the engine's own failure.
    pub fn predict(&mut self, task: usize, inputs: &[f32]) -> Result<Vec<f32>, TrainError> {
        let MultiTaskSettings {
            tasks,
            inputs: width,
            outputs,
            ..
        } = self.settings;
        if task >= tasks {
            return Err(TrainError::NoSuchTask { task, tasks });
        }
        let rows = (inputs.len() / width.max(1)).max(1);
        check_length("inputs", rows * width, inputs.len())?;
        let mut graph = Graph::new();
        let values = self
            .shapes
            .iter()
            .map(|shape| graph.input(&shape.name, DType::F32, &shape.shape));
        let values: Vec<ValueId> = values.collect::<Result<_, _>>()?;
        let x = graph.input("inputs", DType::F32, &[1, rows, width])?;
        let predictions = forward(&mut graph, &self.settings, &values, x)?;
        let ours = graph.slice(predictions, 0, task, task + 1)?;
        graph.output("prediction", ours)?;
        let mut program = PlanEngine::fast().compile(&graph, &CompileOptions::default())?;
        for (input, tensor) in self.parameters()?.iter().enumerate() {
            program.set(input, &tensor.values)?;
        }
        program.set(self.shapes.len(), inputs)?;
        program.run()?;
        let mut predictions = vec![0.0; rows * outputs];
        program.get(0, &mut predictions)?;
        Ok(predictions)
    }

    /// Trunk and heads: `layer0.weight` `[in, out]`, `layer0.bias` `[out]`, ..., `heads.weight` `[tasks, in, out]`,
    /// `heads.bias` `[tasks, 1, out]`.
    ///
    /// # Errors
    /// The engine's.
    pub fn parameters(&mut self) -> Result<Vec<NamedTensor>, TrainError> {
        let mut state = self.state()?.tensors;
        state.truncate(self.shapes.len());
        Ok(state)
    }

    /// The state as it stands between two batches.
    ///
    /// # Errors
    /// The engine's.
    pub fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = Vec::new();
        for (index, kind) in ["", "adam.first/", "adam.second/"].into_iter().enumerate() {
            for (offset, shape) in self.shapes.iter().enumerate() {
                let mut values = vec![0.0; shape.elements()];
                self.program.get(index * self.shapes.len() + offset, &mut values)?;
                tensors.push(NamedTensor {
                    name: format!("{kind}{}", shape.name),
                    shape: shape.shape.clone(),
                    values,
                });
            }
        }
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: 0,
            tensors,
        })
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// [`TrainError::StateMismatch`] for the state of another learner, or the engine's own failure.
    pub fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let own = self.state()?;
        state.check(
            own.tensors
                .iter()
                .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())),
        )?;
        let count = self.shapes.len();
        for (index, tensor) in state.tensors.iter().enumerate() {
            // Between the parameters and their moments stand the data.
            self.program
                .set(if index < count { index } else { index + 3 }, &tensor.values)?;
        }
        self.completed = state.completed;
        Ok(())
    }
}

/// Trunk, then heads.
fn parameters(settings: &MultiTaskSettings) -> Vec<Parameter> {
    let mut shapes = Vec::new();
    let mut width = settings.inputs;
    for (index, &hidden) in settings.hidden.iter().enumerate() {
        shapes.push(Parameter::new(format!("layer{index}.weight"), &[width, hidden]));
        shapes.push(Parameter::new(format!("layer{index}.bias"), &[hidden]));
        width = hidden;
    }
    shapes.push(Parameter::new(
        "heads.weight",
        &[settings.tasks, width, settings.outputs],
    ));
    shapes.push(Parameter::new("heads.bias", &[settings.tasks, 1, settings.outputs]));
    shapes
}

/// Initial values: each head starts as one matrix, from its own stream.
fn initial(settings: &MultiTaskSettings) -> Vec<NamedTensor> {
    let shapes = parameters(settings);
    let (trunk, heads) = shapes.split_at(shapes.len() - 2);
    let mut tensors = nn::initialise(trunk, Initialiser::Glorot, settings.seed);
    let [_, width, outputs] = heads[0].shape[..] else {
        return tensors;
    };
    let each = (0..settings.tasks).flat_map(|task| {
        let head = [Parameter::new(format!("heads.weight {task}"), &[width, outputs])];
        nn::initialise(&head, Initialiser::Glorot, settings.seed)
            .swap_remove(0)
            .values
    });
    let values = [each.collect(), vec![0.0; heads[1].elements()]];
    tensors.extend(heads.iter().zip(values).map(|(head, values)| NamedTensor {
        name: head.name.clone(),
        shape: head.shape.clone(),
        values,
    }));
    tensors
}

/// Inputs `[tasks or 1, rows, inputs]` to predictions of every head, `[tasks, rows, outputs]`.
fn forward(
    graph: &mut Graph,
    settings: &MultiTaskSettings,
    parameters: &[ValueId],
    mut x: ValueId,
) -> Result<ValueId, TrainError> {
    let (trunk, heads) = parameters.split_at(parameters.len() - 2);
    for layer in trunk.chunks_exact(2) {
        let product = graph.matmul(x, layer[0])?;
        let sum = graph.add(product, layer[1])?;
        x = settings.activation.apply(graph, sum)?;
    }
    let product = graph.matmul(x, heads[0])?;
    Ok(graph.add(product, heads[1])?)
}

/// Parameters, data, moments and step size to new ones and the weighted losses, `[tasks]`.
fn training_graph(settings: &MultiTaskSettings, shapes: &[Parameter]) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let inputs = |graph: &mut Graph, kind: &str| -> Result<Vec<ValueId>, TrainError> {
        let input = |shape: &Parameter| graph.input(&format!("{kind}{}", shape.name), DType::F32, &shape.shape);
        Ok(shapes.iter().map(input).collect::<Result<_, _>>()?)
    };
    let MultiTaskSettings { tasks, rows, .. } = *settings;
    let parameters = inputs(&mut graph, "")?;
    let x = graph.input("inputs", DType::F32, &[tasks, rows, settings.inputs])?;
    let y = graph.input("targets", DType::F32, &[tasks, rows, settings.outputs])?;
    let weights = graph.input("row weights", DType::F32, &[tasks, rows, 1])?;
    let predictions = forward(&mut graph, settings, &parameters, x)?;
    let error = graph.sub(predictions, y)?;
    let square = graph.square(error)?;
    let weighted = graph.mul(square, weights)?;
    let losses = graph.reduce_sum(weighted, &[1, 2], false)?;
    let loss = graph.sum_all(losses)?;
    let gradients = autodiff::gradients(&mut graph, loss, &parameters)?;
    let first = inputs(&mut graph, "adam.first/")?;
    let second = inputs(&mut graph, "adam.second/")?;
    let step_size = graph.input("step size", DType::F32, &[])?;
    let optimizer = &settings.optimizer;
    let AdamStep {
        parameters,
        first,
        second,
    } = optim::adam(
        &mut graph,
        optimizer,
        &parameters,
        &gradients,
        &first,
        &second,
        step_size,
    )?;
    for (kind, values) in [("", parameters), ("adam.first/", first), ("adam.second/", second)] {
        for (shape, value) in shapes.iter().zip(values) {
            graph.output(&format!("new/{kind}{}", shape.name), value)?;
        }
    }
    graph.output("losses", losses)?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> MultiTaskSettings {
        MultiTaskSettings {
            tasks: 3,
            inputs: 2,
            outputs: 1,
            hidden: vec![6],
            activation: Activation::Tanh,
            rows: 4,
            optimizer: Adam::new(0.01),
            iterations: 100,
            seed: 3,
        }
    }

    const X: [f32; 6] = [0.1, 0.2, -0.4, 0.8, 0.5, -0.5];
    const BATCHES: [TaskBatch<'_>; 3] = [
        TaskBatch {
            inputs: &X,
            targets: &[1.0, 2.0, 3.0],
        },
        TaskBatch {
            inputs: &[],
            targets: &[],
        },
        TaskBatch {
            inputs: &[0.3, 0.3],
            targets: &[-1.0],
        },
    ];

    /// Rows that are not there, and tasks that are not there, change nothing: losses are those of the predictions.
    #[test]
    fn losses_are_means_over_the_rows_there_are() {
        let mut learner = MultiTaskLearner::new(&settings(), &PlanEngine::exact()).unwrap();
        let first = learner.predict(0, &X).unwrap();
        let third = learner.predict(2, &[0.3, 0.3]).unwrap();
        let before = learner.parameters().unwrap();
        let losses = learner.train_on_batch(&BATCHES).unwrap();
        let expected = first
            .iter()
            .zip(BATCHES[0].targets)
            .map(|(p, y)| (p - y).powi(2))
            .sum::<f32>()
            / 3.0;
        assert!((losses[0] - expected).abs() < 1e-5 * expected, "{losses:?} {expected}");
        assert!(losses[1].is_nan());
        assert!((losses[2] - (third[0] + 1.0).powi(2)).abs() < 1e-5);
        // The head without rows stays where it was; the others and the trunk move.
        let after = learner.parameters().unwrap();
        let heads = |tensors: &[NamedTensor]| tensors[2].values.chunks(6).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let (before, after) = (heads(&before), heads(&after));
        assert_eq!(before[1], after[1]);
        assert!(before[0] != after[0] && before[2] != after[2]);
    }

    #[test]
    fn a_restored_learner_goes_on_exactly() {
        let train = |learner: &mut MultiTaskLearner, times: usize| {
            (0..times).for_each(|_| drop(learner.train_on_batch(&BATCHES).unwrap()));
        };
        let mut whole = MultiTaskLearner::new(&settings(), &PlanEngine::fast()).unwrap();
        train(&mut whole, 7);
        let saved = whole.state().unwrap();
        train(&mut whole, 5);
        let mut resumed = MultiTaskLearner::new(&settings(), &PlanEngine::fast()).unwrap();
        resumed.restore(&saved).unwrap();
        train(&mut resumed, 5);
        assert_eq!(resumed.state().unwrap(), whole.state().unwrap());
    }

    #[test]
    fn wrong_batches_are_refused_by_name() {
        let mut learner = MultiTaskLearner::new(&settings(), &PlanEngine::fast()).unwrap();
        let message = |error: TrainError| error.to_string();
        assert!(message(learner.train_on_batch(&BATCHES[..2]).unwrap_err()).starts_with("batches: 3"));
        let mut batches = BATCHES;
        batches[0].targets = &[1.0];
        assert!(message(learner.train_on_batch(&batches).unwrap_err()).starts_with("targets of a task: 3"));
        assert!(matches!(
            learner.predict(3, &X),
            Err(TrainError::NoSuchTask { task: 3, tasks: 3 })
        ));
    }
}
