//! The step of policy and simulator as a graph, and its vector-Jacobian product.

use std::sync::Arc;

use pliant_compiler::autodiff::vector_jacobian;
use pliant_compiler::graph::{DType, Graph, GraphError, Tensor, ValueId};
use pliant_compiler::policy::{Layout, Parameter, PolicyDescription};

use crate::algorithms::NamedTensor;
use crate::engine::{CompileOptions, Program};
use crate::envs::Simulator;
use crate::error::TrainError;
use crate::optim::adam;
use crate::recipe::Adam;

/// A policy on a simulator.
#[derive(Clone)]
pub struct Problem {
    /// Deterministic, its outputs in -1..1.
    pub policy: PolicyDescription,
    /// What it controls.
    pub simulator: Arc<dyn Simulator>,
}

/// Names of what a step takes beside the parameters.
pub(super) const STATE: &str = "state";
pub(super) const MEMORY: &str = "memory";
pub(super) const DRAWN: &str = "drawn";
pub(super) const NOISE: &str = "noise";
pub(super) const STATE_COTANGENT: &str = "cotangent/state";
pub(super) const MEMORY_COTANGENT: &str = "cotangent/memory";

/// The inputs of a step.
struct Inputs {
    parameters: Vec<ValueId>,
    state: ValueId,
    memory: Option<ValueId>,
    drawn: ValueId,
    noise: Option<ValueId>,
}

/// What a step comes to.
struct Step {
    state: ValueId,
    memory: Option<ValueId>,
    cost: ValueId,
    alive: ValueId,
}

impl Problem {
    /// The policy's parameters.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.policy.parameters()
    }

    /// Elements of the policy's recurrent state.
    pub fn memory(&self) -> usize {
        self.policy.network.state()
    }

    fn inputs(&self, graph: &mut Graph, batch: usize) -> Result<Inputs, GraphError> {
        let widths = self.simulator.widths();
        let parameters = inputs(graph, "", &self.parameters())?;
        let mut column = |name: &str, width: usize| -> Result<Option<ValueId>, GraphError> {
            match width {
                0 => Ok(None),
                _ => graph.input(name, DType::F32, &[width, batch]).map(Some),
            }
        };
        let state = column(STATE, widths.state)?;
        let memory = column(MEMORY, self.memory())?;
        let drawn = column(DRAWN, widths.parameters)?;
        let noise = column(NOISE, widths.noise)?;
        let [Some(state), Some(drawn)] = [state, drawn] else {
            unreachable!("a system has a state and parameters")
        };
        Ok(Inputs {
            parameters,
            state,
            memory,
            drawn,
            noise,
        })
    }

    /// What the network sees of an observation on the device: each channel through the normaliser of its contract.
    pub(crate) fn normalised(&self, graph: &mut Graph, observation: ValueId) -> Result<ValueId, GraphError> {
        let channels = self.simulator.channels().observations;
        let column = |graph: &mut Graph, values: Vec<f32>| {
            let column = Tensor::f32(&[channels.len(), 1], values).expect("one number a channel");
            graph.constant(column)
        };
        let mut observation = observation;
        if channels.iter().any(|channel| channel.mean != 0.0) {
            let means = column(graph, channels.iter().map(|channel| channel.mean).collect());
            observation = graph.sub(observation, means)?;
        }
        if channels.iter().any(|channel| channel.scale != 1.0) {
            let inverses = column(graph, channels.iter().map(|channel| 1.0 / channel.scale).collect());
            observation = graph.mul(observation, inverses)?;
        }
        Ok(observation)
    }

    fn step(&self, graph: &mut Graph, inputs: &Inputs) -> Result<Step, GraphError> {
        let simulator = &self.simulator;
        let observation = simulator.observe_graph(graph, inputs.state, inputs.drawn, inputs.noise)?;
        let observation = self.normalised(graph, observation)?;
        let policy =
            self.policy
                .distribution_in(graph, Layout::Columns, &inputs.parameters, observation, inputs.memory)?;
        let next = simulator.step_graph(graph, inputs.state, inputs.drawn, policy.mean)?;
        Ok(Step {
            state: next.state,
            memory: policy.next_state,
            cost: next.cost,
            alive: next.alive,
        })
    }
}

/// One step of `batch` instances: parameters, state, memory, drawn parameters and noise to the next state and memory,
/// `cost` and `alive`.
///
/// # Errors
/// A policy that does not fit the simulator.
pub fn step_graph(problem: &Problem, batch: usize) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let inputs = problem.inputs(&mut graph, batch)?;
    let step = problem.step(&mut graph, &inputs)?;
    graph.output("next/state", step.state)?;
    if let Some(memory) = step.memory {
        graph.output("next/memory", memory)?;
    }
    graph.output("cost", step.cost)?;
    graph.output("alive", step.alive)?;
    Ok(graph)
}

/// How [`step_graph`] is compiled: state and memory stay where the program runs.
pub fn step_options(problem: &Problem) -> CompileOptions {
    let names: &[&str] = if problem.memory() > 0 {
        &[STATE, MEMORY]
    } else {
        &[STATE]
    };
    resident(names.iter().copied())
}

/// The vector-Jacobian product of the step: from the cotangents of the next state and memory, and 1 for the cost, those
/// of state and memory, and the gradient of the parameters added to what it was.
///
/// The step is computed again: only states are kept between forward and backward. The cotangent of the physical state is
/// multiplied by `decay`, then each instance's cotangents are scaled down to at most the norm `clip`.
///
/// # Errors
/// A policy that does not fit the simulator, or a step without derivative.
pub fn backward_graph(problem: &Problem, batch: usize, decay: f32, clip: f32) -> Result<Graph, TrainError> {
    let widths = problem.simulator.widths();
    let shapes = problem.parameters();
    let mut graph = Graph::new();
    let given = problem.inputs(&mut graph, batch)?;
    let state_cotangent = graph.input(STATE_COTANGENT, DType::F32, &[widths.state, batch])?;
    let memory_cotangent = match given.memory {
        Some(_) => Some(graph.input(MEMORY_COTANGENT, DType::F32, &[problem.memory(), batch])?),
        None => None,
    };
    let sums = inputs(&mut graph, "gradient/", &shapes)?;
    let step = problem.step(&mut graph, &given)?;

    let one = graph.full(&[1, batch], 1.0)?;
    let outputs: Vec<ValueId> = [Some(step.state), Some(step.cost), step.memory]
        .into_iter()
        .flatten()
        .collect();
    let cotangents: Vec<ValueId> = [Some(state_cotangent), Some(one), memory_cotangent]
        .into_iter()
        .flatten()
        .collect();
    let wrt: Vec<ValueId> = given
        .parameters
        .iter()
        .copied()
        .chain([given.state])
        .chain(given.memory)
        .collect();
    let back = vector_jacobian(&mut graph, &outputs, &cotangents, &wrt)?;
    for ((shape, &sum), &gradient) in shapes.iter().zip(&sums).zip(&back) {
        let sum = graph.add(sum, gradient)?;
        graph.output(&format!("next/gradient/{}", shape.name), sum)?;
    }
    let decays: Vec<f32> = (0..widths.state)
        .map(|row| if row < widths.physical { decay } else { 1.0 })
        .collect();
    let decays = Tensor::f32(&[widths.state, 1], decays).expect("one decay a row");
    let decays = graph.constant(decays);
    let state = graph.mul(back[shapes.len()], decays)?;
    let state = clipped(&mut graph, state, clip)?;
    graph.output("next/cotangent/state", state)?;
    if let Some(&memory) = back.get(shapes.len() + 1) {
        let memory = clipped(&mut graph, memory, clip)?;
        graph.output("next/cotangent/memory", memory)?;
    }
    Ok(graph)
}

/// How [`backward_graph`] is compiled: cotangents and gradients stay where the program runs.
pub fn backward_options(problem: &Problem) -> CompileOptions {
    let memory = (problem.memory() > 0).then_some(MEMORY_COTANGENT);
    let gradients: Vec<String> = problem
        .parameters()
        .iter()
        .map(|parameter| format!("gradient/{}", parameter.name))
        .collect();
    resident(
        [STATE_COTANGENT]
            .into_iter()
            .chain(memory)
            .chain(gradients.iter().map(String::as_str)),
    )
}

/// Each column scaled down to at most the L2 norm `limit`.
fn clipped(graph: &mut Graph, cotangent: ValueId, limit: f32) -> Result<ValueId, GraphError> {
    let square = graph.square(cotangent)?;
    let norm = graph.reduce_sum(square, &[0], true)?;
    let norm = graph.sqrt(norm)?;
    let limit = graph.scalar(limit);
    let divisor = graph.max(norm, limit)?;
    let factor = graph.div(limit, divisor)?;
    graph.mul(cotangent, factor)
}

/// One step of the optimiser: parameters, gradients, both moments and the step size to new parameters and moments.
///
/// # Errors
/// As the graph's operators.
pub fn optimiser_graph(shapes: &[Parameter], settings: &Adam) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let parameters = inputs(&mut graph, "", shapes)?;
    let gradients = inputs(&mut graph, "gradient/", shapes)?;
    let first = inputs(&mut graph, "adam.first/", shapes)?;
    let second = inputs(&mut graph, "adam.second/", shapes)?;
    let step_size = graph.input("step_size", DType::F32, &[])?;
    let step = adam(
        &mut graph,
        settings,
        &parameters,
        &gradients,
        &first,
        &second,
        step_size,
    )?;
    for (kind, values) in [
        ("", &step.parameters),
        ("adam.first/", &step.first),
        ("adam.second/", &step.second),
    ] {
        for (shape, &value) in shapes.iter().zip(values) {
            graph.output(&format!("next/{kind}{}", shape.name), value)?;
        }
    }
    Ok(graph)
}

/// How [`optimiser_graph`] is compiled, and the order in which its variables are saved.
pub fn optimiser_options(shapes: &[Parameter]) -> CompileOptions {
    let names: Vec<String> = ["", "adam.first/", "adam.second/"]
        .iter()
        .flat_map(|kind| shapes.iter().map(move |shape| format!("{kind}{}", shape.name)))
        .collect();
    resident(names.iter().map(String::as_str))
}

/// What the program of [`optimiser_graph`] holds, to be saved: the parameters, then their first and second moments.
///
/// # Errors
/// The engine's.
pub(in crate::algorithms) fn optimiser_tensors(
    optimiser: &mut dyn Program,
    shapes: &[Parameter],
) -> Result<Vec<NamedTensor>, TrainError> {
    let names = optimiser_options(shapes).resident.into_iter();
    let tensor = |(index, ((name, _), parameter)): (usize, ((String, String), &Parameter))| {
        let shape = parameter.shape.clone();
        let mut values = vec![0.0; shape.iter().product()];
        optimiser.get(index, &mut values)?;
        Ok(NamedTensor { name, shape, values })
    };
    names.zip(shapes.iter().cycle()).enumerate().map(tensor).collect()
}

/// Gives `tensors`, saved by [`optimiser_tensors`] and checked, back to the program, and the parameters among them to
/// `parameters`; what follows them.
///
/// # Errors
/// The engine's.
pub(in crate::algorithms) fn restore_optimiser<'t>(
    optimiser: &mut dyn Program,
    parameters: &mut [Vec<f32>],
    tensors: &'t [NamedTensor],
) -> Result<&'t [NamedTensor], TrainError> {
    let count = parameters.len();
    let (variables, rest) = tensors.split_at(3 * count);
    for (index, tensor) in variables.iter().enumerate() {
        // Between the parameters and their moments stand the gradients.
        let input = if index < count { index } else { index + count };
        optimiser.set(input, &tensor.values)?;
        if let Some(values) = parameters.get_mut(index) {
            values.clone_from(&tensor.values);
        }
    }
    Ok(rest)
}

fn resident<'n>(names: impl Iterator<Item = &'n str>) -> CompileOptions {
    CompileOptions::resident(names.map(|name| (name.to_owned(), format!("next/{name}"))).collect())
}

fn inputs(graph: &mut Graph, kind: &str, parameters: &[Parameter]) -> Result<Vec<ValueId>, GraphError> {
    parameters
        .iter()
        .map(|parameter| graph.input(&format!("{kind}{}", parameter.name), DType::F32, &parameter.shape))
        .collect()
}
