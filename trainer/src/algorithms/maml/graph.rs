//! The graphs of MAML: inner loop, meta-gradient, and the outer optimiser.

use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};

use crate::error::TrainError;
use crate::optim::{self, AdamStep};
use crate::recipe::{Maml, Order};
use crate::tasks::SupervisedFamily;

/// Loss of each row: parameters (with or without a leading task dimension) and fields `[.., rows, width]` (here inputs and
/// targets) to losses `[.., rows]`.
pub type RowLoss<'a> = dyn Fn(&mut Graph, &[ValueId], &[ValueId]) -> Result<ValueId, GraphError> + 'a;

/// The shapes of a meta-training problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Names and shapes of the parameters: `[inputs, outputs]` matrices and `[outputs]` biases.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// Numbers in one input.
    pub input_width: usize,
    /// Numbers in one target.
    pub target_width: usize,
    /// Rows of a support set.
    pub support_rows: usize,
    /// Rows of a query set.
    pub query_rows: usize,
}

impl Problem {
    /// The shapes of a family under a policy with these parameters.
    pub fn new(parameters: Vec<(String, Vec<usize>)>, family: &dyn SupervisedFamily) -> Self {
        Self {
            parameters,
            input_width: family.input_width(),
            target_width: family.target_width(),
            support_rows: family.support_rows(),
            query_rows: family.query_rows(),
        }
    }
}

/// Names and shapes of everything the outer loop trains: the parameters, then, with learned step sizes, one of the same
/// shape for each.
pub(super) fn meta_parameters(problem: &Problem, settings: &Maml) -> Vec<(String, Vec<usize>)> {
    let mut all = problem.parameters.clone();
    if settings.learn_inner_rate {
        all.extend(
            problem
                .parameters
                .iter()
                .map(|(name, shape)| (format!("rate/{name}"), shape.clone())),
        );
    }
    all
}

/// Names of the four data inputs, after the meta-parameters.
const DATA: [&str; 4] = ["support inputs", "support targets", "query inputs", "query targets"];

/// Values of the meta-gradient under construction.
struct MetaGradient {
    meta: Vec<ValueId>,
    gradients: Vec<ValueId>,
    /// Support loss before the inner loop, query loss after it; sums over these tasks of row means, over `total_tasks`.
    losses: [ValueId; 2],
}

/// A graph for `tasks` of the `total_tasks` in the meta-batch: meta-parameters and data to this chunk's share of the
/// meta-gradient, then the losses `before` and `after`.
///
/// # Errors
/// What the row loss or its derivative refuses.
pub fn gradient_graph(
    problem: &Problem,
    settings: &Maml,
    row_loss: &RowLoss<'_>,
    tasks: usize,
    total_tasks: usize,
) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let MetaGradient { gradients, losses, .. } =
        meta_gradient(&mut graph, problem, settings, row_loss, tasks, total_tasks)?;
    for ((name, _), gradient) in meta_parameters(problem, settings).iter().zip(gradients) {
        graph.output(&format!("gradient/{name}"), gradient)?;
    }
    graph.output("before", losses[0])?;
    graph.output("after", losses[1])?;
    Ok(graph)
}

/// The outer optimiser alone: meta-parameters, moments, step size and the whole meta-gradient, to new ones.
///
/// # Errors
/// As the graph's operators.
pub fn optimiser_graph(problem: &Problem, settings: &Maml) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let shapes = meta_parameters(problem, settings);
    let meta = inputs(&mut graph, "", &shapes)?;
    let gradients = inputs(&mut graph, "gradient/", &shapes)?;
    optimise(&mut graph, settings, &shapes, &meta, &gradients)?;
    Ok(graph)
}

/// The whole meta-iteration in one graph: meta-parameters and moments can stay where it runs.
///
/// # Errors
/// As [`gradient_graph`].
pub fn fused_graph(problem: &Problem, settings: &Maml, row_loss: &RowLoss<'_>) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let shapes = meta_parameters(problem, settings);
    let MetaGradient {
        meta,
        gradients,
        losses,
    } = meta_gradient(&mut graph, problem, settings, row_loss, settings.tasks, settings.tasks)?;
    optimise(&mut graph, settings, &shapes, &meta, &gradients)?;
    graph.output("before", losses[0])?;
    graph.output("after", losses[1])?;
    Ok(graph)
}

/// Pairs of inputs and outputs of [`optimiser_graph`] and [`fused_graph`] that are one variable, in the order in which
/// they are saved: meta-parameters, first moments, second moments.
pub(super) fn resident(shapes: &[(String, Vec<usize>)]) -> Vec<(String, String)> {
    ["", "adam.first/", "adam.second/"]
        .iter()
        .flat_map(|kind| {
            shapes
                .iter()
                .map(move |(name, _)| (format!("{kind}{name}"), format!("new/{kind}{name}")))
        })
        .collect()
}

fn inputs(graph: &mut Graph, kind: &str, shapes: &[(String, Vec<usize>)]) -> Result<Vec<ValueId>, GraphError> {
    shapes
        .iter()
        .map(|(name, shape)| graph.input(&format!("{kind}{name}"), DType::F32, shape))
        .collect()
}

fn optimise(
    graph: &mut Graph,
    settings: &Maml,
    shapes: &[(String, Vec<usize>)],
    meta: &[ValueId],
    gradients: &[ValueId],
) -> Result<(), GraphError> {
    let first = inputs(graph, "adam.first/", shapes)?;
    let second = inputs(graph, "adam.second/", shapes)?;
    let step_size = graph.input("step size", DType::F32, &[])?;
    let AdamStep {
        parameters,
        first,
        second,
    } = optim::adam(graph, &settings.optimizer, meta, gradients, &first, &second, step_size)?;
    for (kind, values) in [("", parameters), ("adam.first/", first), ("adam.second/", second)] {
        for ((name, _), value) in shapes.iter().zip(values) {
            graph.output(&format!("new/{kind}{name}"), value)?;
        }
    }
    Ok(())
}

fn meta_gradient(
    graph: &mut Graph,
    problem: &Problem,
    settings: &Maml,
    row_loss: &RowLoss<'_>,
    tasks: usize,
    total_tasks: usize,
) -> Result<MetaGradient, TrainError> {
    let meta = inputs(graph, "", &meta_parameters(problem, settings))?;
    let shapes = [
        [tasks, problem.support_rows, problem.input_width],
        [tasks, problem.support_rows, problem.target_width],
        [tasks, problem.query_rows, problem.input_width],
        [tasks, problem.query_rows, problem.target_width],
    ];
    let mut data = Vec::with_capacity(DATA.len());
    for (name, shape) in DATA.iter().zip(shapes) {
        data.push(graph.input(name, DType::F32, &shape)?);
    }
    let (support, query) = data.split_at(2);
    let (parameters, rates) = meta.split_at(problem.parameters.len());

    // One copy of the parameters a task: the gradient of the summed loss is then each task's own gradient.
    let mut adapted: Vec<ValueId> = Vec::with_capacity(parameters.len());
    for &parameter in parameters {
        adapted.push(with_tasks(graph, parameter, tasks)?);
    }
    let fixed = graph.scalar(settings.inner_rate);
    let mut step_sizes = vec![fixed; parameters.len()];
    for (step_size, &rate) in step_sizes.iter_mut().zip(rates) {
        *step_size = broadcast_over_tasks(graph, rate)?;
    }

    let mut before = None;
    for _ in 0..settings.inner_steps {
        let losses = row_loss(graph, &adapted, support)?;
        let loss = sum_of_task_means(graph, losses)?;
        before.get_or_insert(loss);
        let mut gradients = autodiff::gradients(graph, loss, &adapted)?;
        if settings.order == Order::First {
            for gradient in &mut gradients {
                *gradient = graph.stop_gradient(*gradient)?;
            }
        }
        adapted = optim::sgd(graph, &adapted, &gradients, &step_sizes)?;
    }
    let losses = row_loss(graph, &adapted, query)?;
    let after = sum_of_task_means(graph, losses)?;
    let share = 1.0 / total_tasks as f32;
    let after = graph.scale(after, share)?;
    // There is at least one inner step; without one the loss before would be the loss after.
    let before = graph.scale(before.unwrap_or(after), share)?;
    let gradients = autodiff::gradients(graph, after, &meta)?;
    Ok(MetaGradient {
        meta,
        gradients,
        losses: [before, after],
    })
}

/// `[..]` to `[tasks, ..]`; a vector becomes `[tasks, 1, n]` so that it broadcasts over rows.
fn with_tasks(graph: &mut Graph, parameter: ValueId, tasks: usize) -> Result<ValueId, GraphError> {
    let one = broadcast_over_tasks(graph, parameter)?;
    let mut shape = graph.shape(one).to_vec();
    shape[0] = tasks;
    graph.expand(one, &shape)
}

/// `[..]` to `[1, ..]`; a vector becomes `[1, 1, n]`.
fn broadcast_over_tasks(graph: &mut Graph, parameter: ValueId) -> Result<ValueId, GraphError> {
    let mut shape = vec![1];
    if graph.shape(parameter).len() == 1 {
        shape.push(1);
    }
    shape.extend(graph.shape(parameter));
    graph.reshape(parameter, &shape)
}

/// Row losses `[tasks, rows]` to the sum over tasks of the mean over rows.
fn sum_of_task_means(graph: &mut Graph, losses: ValueId) -> Result<ValueId, GraphError> {
    let rows = *graph.shape(losses).last().unwrap_or(&1);
    let sum = graph.sum_all(losses)?;
    graph.scale(sum, 1.0 / rows as f32)
}
