//! The graphs of multi-task training.
//!
//! Each task has inputs, rows and a loss of its own, so each is its own part of the graph, joined by the trunk's
//! parameters; a task's gradient with respect to these is then one backward pass over its own rows, and keeping the tasks'
//! gradients apart costs no more passes than their sum.

use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::policy::Parameter;

use super::MultiTaskSettings;
use crate::error::TrainError;
use crate::optim::{self, AdamStep};

/// Least loss that FAMO divides by.
const LEAST_LOSS: f32 = 1e-8;

/// Kinds of values that are one variable from step to step, in the order in which they are saved.
pub(super) const KINDS: [&str; 3] = ["", "adam.first/", "adam.second/"];

/// Inputs of these shapes, one a parameter.
fn inputs(graph: &mut Graph, kind: &str, shapes: &[Parameter]) -> Result<Vec<ValueId>, GraphError> {
    let input = |shape: &Parameter| graph.input(&format!("{kind}{}", shape.name), DType::F32, &shape.shape);
    shapes.iter().map(input).collect()
}

/// Adds the parameters, the data of every task and the tasks' losses, scalars.
fn losses(graph: &mut Graph, settings: &MultiTaskSettings) -> Result<(Vec<ValueId>, Vec<ValueId>), GraphError> {
    let network = &settings.network;
    let shared_count = network.shared().len();
    let parameters = inputs(graph, "", &network.parameters())?;
    let (shared, mut private) = parameters.split_at(shared_count);
    let mut losses = Vec::new();
    for (task, head) in network.tasks.iter().enumerate() {
        let (own, rest) = private.split_at(network.private(task).len());
        private = rest;
        let rows = settings.rows[task];
        let mut input = |name: &str, width| graph.input(&format!("{name} {task}"), DType::F32, &[rows, width]);
        let x = input("inputs", head.inputs)?;
        let y = input("targets", head.outputs)?;
        let weights = input("weights", head.loss.elements(head.outputs))?;
        let mut masks = Vec::new();
        if settings.dropout > 0.0 {
            for (layer, width) in network.encoder.iter().chain(&network.hidden).enumerate() {
                masks.push(graph.input(&format!("mask {task}.{layer}"), DType::F32, &[rows, *width])?);
            }
        }
        let features = network.trunk(graph, shared, own, x, &masks)?;
        let outputs = network.head(graph, shared, own, features)?;
        let elements = head.loss.of(graph, outputs, y)?;
        let weighted = graph.mul(elements, weights)?;
        losses.push(graph.sum_all(weighted)?);
    }
    Ok((parameters, losses))
}

/// The losses of all tasks as one value `[tasks]`.
fn stacked(graph: &mut Graph, losses: &[ValueId]) -> Result<ValueId, GraphError> {
    let ones: Vec<ValueId> = losses
        .iter()
        .map(|&loss| graph.reshape(loss, &[1]))
        .collect::<Result<_, _>>()?;
    graph.concat(&ones, 0)
}

/// Adam, and the decay of matrices; new values as outputs.
fn update(
    graph: &mut Graph,
    settings: &MultiTaskSettings,
    parameters: &[ValueId],
    gradients: &[ValueId],
) -> Result<(), GraphError> {
    let shapes = settings.network.parameters();
    let first = inputs(graph, KINDS[1], &shapes)?;
    let second = inputs(graph, KINDS[2], &shapes)?;
    let step_size = graph.input("step size", DType::F32, &[])?;
    let optimizer = &settings.optimizer;
    let step = optim::adam(graph, optimizer, parameters, gradients, &first, &second, step_size)?;
    let AdamStep {
        parameters: mut next,
        first,
        second,
    } = step;
    if settings.weight_decay > 0.0 {
        let decay = graph.input("decay", DType::F32, &[])?;
        for ((next, &old), shape) in next.iter_mut().zip(parameters).zip(&shapes) {
            if shape.shape.len() > 1 {
                let lost = graph.mul(old, decay)?;
                *next = graph.sub(*next, lost)?;
            }
        }
    }
    for (kind, values) in KINDS.into_iter().zip([next, first, second]) {
        for (shape, value) in shapes.iter().zip(values) {
            graph.output(&format!("new/{kind}{}", shape.name), value)?;
        }
    }
    Ok(())
}

/// Pairs of inputs and outputs that are one variable.
pub(super) fn resident(settings: &MultiTaskSettings) -> Vec<(String, String)> {
    let shapes = settings.network.parameters();
    let name = |kind: &str, shape: &Parameter| (format!("{kind}{}", shape.name), format!("new/{kind}{}", shape.name));
    KINDS
        .iter()
        .flat_map(|kind| shapes.iter().map(move |shape| name(kind, shape)))
        .collect()
}

/// A whole step of a weighted sum of losses: inputs are the parameters, each task's data, `task weights` `[tasks]`, the
/// moments, `step size` and, where weights decay, `decay`. Outputs: the new values, and `losses` `[tasks]`.
///
/// `relative`: the weights are of the losses' logarithms ([`Weights::Relative`](crate::balancing::Weights::Relative)).
pub(super) fn weighted_graph(settings: &MultiTaskSettings, relative: bool) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let (parameters, losses) = losses(&mut graph, settings)?;
    let losses = stacked(&mut graph, &losses)?;
    let mut weights = graph.input("task weights", DType::F32, &[settings.network.tasks.len()])?;
    if relative {
        let least = graph.scalar(LEAST_LOSS);
        let bounded = graph.max(losses, least)?;
        let shares = graph.div(weights, bounded)?;
        let sum = graph.sum_all(shares)?;
        let shares = graph.div(shares, sum)?;
        weights = graph.stop_gradient(shares)?;
    }
    let weighted = graph.mul(losses, weights)?;
    let total = graph.sum_all(weighted)?;
    let gradients = autodiff::gradients(&mut graph, total, &parameters)?;
    update(&mut graph, settings, &parameters, &gradients)?;
    graph.output("losses", losses)?;
    Ok(graph)
}

/// The tasks' gradients apart: inputs are the parameters and each task's data. Outputs: `losses` `[tasks]`, `products`
/// `[tasks, tasks]` of the gradients of the shared parameters, these `gradients` themselves `[tasks, elements]`, and
/// `gradient/NAME` of each task's own parameters.
pub(super) fn gradient_graph(settings: &MultiTaskSettings) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let (parameters, losses) = losses(&mut graph, settings)?;
    let stacked = stacked(&mut graph, &losses)?;
    let (shared, private) = parameters.split_at(settings.network.shared().len());
    let mut rows = Vec::new();
    for &loss in &losses {
        let gradients = autodiff::gradients(&mut graph, loss, shared)?;
        let mut parts = Vec::new();
        for gradient in gradients {
            let elements = graph.shape(gradient).iter().product();
            parts.push(graph.reshape(gradient, &[1, elements])?);
        }
        rows.push(graph.concat(&parts, 1)?);
    }
    let gradients = graph.concat(&rows, 0)?;
    let columns = graph.transpose(gradients, &[1, 0])?;
    let products = graph.matmul(gradients, columns)?;
    let total = graph.sum_all(stacked)?;
    let own = autodiff::gradients(&mut graph, total, private)?;
    graph.output("losses", stacked)?;
    graph.output("products", products)?;
    graph.output("gradients", gradients)?;
    let names = settings.network.parameters();
    for (shape, gradient) in names[shared.len()..].iter().zip(own) {
        graph.output(&format!("gradient/{}", shape.name), gradient)?;
    }
    Ok(graph)
}

/// The update alone: inputs are the parameters, their gradients, the moments, `step size` and `decay`.
pub(super) fn update_graph(settings: &MultiTaskSettings) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let shapes = settings.network.parameters();
    let parameters = inputs(&mut graph, "", &shapes)?;
    let gradients = inputs(&mut graph, "gradient/", &shapes)?;
    update(&mut graph, settings, &parameters, &gradients)?;
    Ok(graph)
}

/// The losses alone: inputs are the parameters and each task's data.
pub(super) fn loss_graph(settings: &MultiTaskSettings) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let (_, losses) = losses(&mut graph, settings)?;
    let losses = stacked(&mut graph, &losses)?;
    graph.output("losses", losses)?;
    Ok(graph)
}

/// A head's outputs for rows of one task: inputs are the shared parameters, the task's own, and `inputs` `[rows, width]`.
/// Outputs: `features` `[rows, features]` and `outputs` `[rows, outputs]`.
pub(super) fn prediction_graph(settings: &MultiTaskSettings, task: usize, rows: usize) -> Result<Graph, TrainError> {
    let network = &settings.network;
    let mut graph = Graph::new();
    let shared = inputs(&mut graph, "", &network.shared())?;
    let own = inputs(&mut graph, "", &network.private(task))?;
    let x = graph.input("inputs", DType::F32, &[rows, network.tasks[task].inputs])?;
    let features = network.trunk(&mut graph, &shared, &own, x, &[])?;
    let outputs = network.head(&mut graph, &shared, &own, features)?;
    graph.output("features", features)?;
    graph.output("outputs", outputs)?;
    Ok(graph)
}
