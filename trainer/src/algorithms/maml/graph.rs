//! The graphs of meta-training: inner loop, meta-gradient, and the outer optimiser.

use pliant_compiler::adaptation::gradient::Order;
use pliant_compiler::adaptation::{AdaptationError, Rule};
use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::policy::{CONTEXT, PolicyDescription};

use super::settings::{Inner, MetaSettings};
use crate::algorithms::{reptile, ridge};
use crate::error::TrainError;
use crate::optim::{self, AdamStep};
use crate::tasks::SupervisedFamily;

/// What is meta-trained: the rule by which the device will adapt, and the shapes of its data.
pub struct Problem {
    /// The adaptation rule, with the parameters and the loss. Its fields are inputs and targets.
    pub rule: Rule,
    /// Numbers in one input.
    pub input_width: usize,
    /// Numbers in one target.
    pub target_width: usize,
    /// Rows of a support set.
    pub support_rows: usize,
    /// Rows of a query set.
    pub query_rows: usize,
    /// What predicts, where the rule is that of a policy.
    pub policy: Option<PolicyDescription>,
}

impl Problem {
    /// A family's data, learned by a rule.
    pub fn new(rule: impl Into<Rule>, family: &dyn SupervisedFamily) -> Self {
        Self {
            rule: rule.into(),
            input_width: family.input_width(),
            target_width: family.target_width(),
            support_rows: family.support_rows(),
            query_rows: family.query_rows(),
            policy: None,
        }
    }
}

/// Names and shapes of everything the outer loop trains: the parameters; then, with learned step sizes, one of the same
/// shape for each that adapts; or the logarithm of the ridge.
pub(super) fn meta_parameters(problem: &Problem, settings: &MetaSettings) -> Vec<(String, Vec<usize>)> {
    let rows = problem.rule.rows();
    let parameters = rows.parameters.iter();
    let mut meta: Vec<_> = parameters.map(|one| (one.name.clone(), one.shape.clone())).collect();
    if settings.inner.learns_rates() {
        let adapted = rows.adapted();
        meta.extend(
            adapted
                .iter()
                .map(|(one, _)| (format!("rate/{}", one.name), one.shape.clone())),
        );
    }
    if let Inner::Ridge { .. } = settings.inner {
        meta.push((ridge::LOG_RIDGE.to_owned(), vec![1]));
    }
    meta
}

/// Where what follows the parameters among the meta-parameters starts.
pub(super) fn initial_of_others(settings: &MetaSettings) -> f32 {
    match settings.inner {
        Inner::Ridge { initial } => initial.ln(),
        _ => settings.inner.rate(),
    }
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
    settings: impl Into<MetaSettings>,
    tasks: usize,
    total_tasks: usize,
) -> Result<Graph, TrainError> {
    let settings = settings.into();
    let mut graph = Graph::new();
    let MetaGradient { gradients, losses, .. } = meta_gradient(&mut graph, problem, &settings, tasks, total_tasks)?;
    for ((name, _), gradient) in meta_parameters(problem, &settings).iter().zip(gradients) {
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
pub fn optimiser_graph(problem: &Problem, settings: impl Into<MetaSettings>) -> Result<Graph, TrainError> {
    let settings = &settings.into();
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
pub fn fused_graph(problem: &Problem, settings: impl Into<MetaSettings>) -> Result<Graph, TrainError> {
    let settings = &settings.into();
    let mut graph = Graph::new();
    let shapes = meta_parameters(problem, settings);
    let MetaGradient {
        meta,
        gradients,
        losses,
    } = meta_gradient(&mut graph, problem, settings, settings.tasks, settings.tasks)?;
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
    settings: &MetaSettings,
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
    settings: &MetaSettings,
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
    let rows = problem.rule.rows();
    let start = start(graph, problem, settings, &meta, tasks)?;
    let losses = (rows.loss)(graph, &start, support)?;
    let before = sum_of_task_means(graph, losses)?;
    let batches = match settings.inner {
        Inner::Reptile { steps, .. } => reptile::minibatches(graph, steps, support, query)?,
        _ => vec![support.to_vec(); settings.inner.steps()],
    };
    let adapted = inner_loop(graph, problem, settings, &meta, start.clone(), &batches)?;
    // The two are one but where the rule takes its steps along a loss of its own.
    let losses = (rows.score)(graph, &adapted, query)?;
    let after = sum_of_task_means(graph, losses)?;
    let share = 1.0 / total_tasks as f32;
    let after = graph.scale(after, share)?;
    let before = graph.scale(before, share)?;
    let gradients = match settings.inner {
        Inner::Reptile { rate, .. } => reptile::displacement(graph, &rows.parameters, [&start, &adapted], rate, share)?,
        _ => autodiff::gradients(graph, after, &meta)?,
    };
    Ok(MetaGradient {
        meta,
        gradients,
        losses: [before, after],
    })
}

/// The parameters from which each task starts: of those that adapt one copy a task, so that the gradient of the summed loss
/// is each task's own. A context always starts from zero: no gradient reaches it.
fn start(
    graph: &mut Graph,
    problem: &Problem,
    settings: &MetaSettings,
    meta: &[ValueId],
    tasks: usize,
) -> Result<Vec<ValueId>, GraphError> {
    let rows = problem.rule.rows();
    let mut values = Vec::with_capacity(rows.parameters.len());
    for ((parameter, &adapts), &value) in rows.parameters.iter().zip(&rows.adapts).zip(meta) {
        let value = match parameter.name.as_str() {
            CONTEXT => graph.stop_gradient(value)?,
            _ => value,
        };
        values.push(match settings.inner {
            Inner::Nothing => value,
            _ if adapts => graph.expand(value, &parameter.shape_for_tasks(tasks))?,
            _ => value,
        });
    }
    Ok(values)
}

/// The parameters of each task after one step on each of these batches of rows.
fn inner_loop(
    graph: &mut Graph,
    problem: &Problem,
    settings: &MetaSettings,
    meta: &[ValueId],
    mut adapted: Vec<ValueId>,
    batches: &[Vec<ValueId>],
) -> Result<Vec<ValueId>, TrainError> {
    let others = &meta[adapted.len()..];
    let step_scale = graph.full(&[1], 1.0)?;
    for batch in batches {
        let &[tasks, rows, _] = graph.shape(batch[0]) else {
            unreachable!("inputs are [tasks, rows, width]")
        };
        let row_weights = graph.full(&[tasks, rows], 1.0)?;
        adapted = match &problem.rule {
            Rule::Gradient(rule) => {
                let fixed = graph.scalar(settings.inner.rate());
                let mut learned = others.iter();
                let size = |adapts: &bool| match (settings.inner.learns_rates(), *adapts) {
                    (true, true) => *learned.next().expect("one for each parameter that adapts"),
                    _ => fixed,
                };
                let sizes: Vec<ValueId> = rule.adapts.iter().map(size).collect();
                let order = match settings.inner {
                    Inner::Gradient { order, .. } => order,
                    _ => Order::First,
                };
                rule.inner_step(graph, &adapted, &sizes, batch, row_weights, step_scale, order)?
            }
            Rule::Ridge(rule) => {
                let logarithm = others.first().ok_or(AdaptationError::OtherRule)?;
                let ridge = graph.exp(*logarithm)?;
                rule.inner_step(graph, &adapted, ridge, batch, row_weights, step_scale)?
            }
        };
    }
    Ok(adapted)
}

/// Meta-parameters, one task's support inputs and targets, and `rows` inputs, to the predictions at these after adapting.
///
/// # Errors
/// [`TrainError::NoPolicy`] where the rule is not that of a policy; as the graph's operators.
pub(super) fn adapted_prediction(problem: &Problem, settings: &MetaSettings, rows: usize) -> Result<Graph, TrainError> {
    let policy = problem.policy.as_ref().ok_or(TrainError::NoPolicy)?;
    let mut graph = Graph::new();
    let meta = inputs(&mut graph, "", &meta_parameters(problem, settings))?;
    let support = [
        graph.input(DATA[0], DType::F32, &[1, problem.support_rows, problem.input_width])?,
        graph.input(DATA[1], DType::F32, &[1, problem.support_rows, problem.target_width])?,
    ];
    let at = graph.input("inputs", DType::F32, &[1, rows, problem.input_width])?;
    let start = start(&mut graph, problem, settings, &meta, 1)?;
    let batches = vec![support.to_vec(); settings.inner.steps()];
    let adapted = inner_loop(&mut graph, problem, settings, &meta, start, &batches)?;
    let prediction = policy.distribution(&mut graph, &adapted, at, None)?.mean;
    graph.output("prediction", prediction)?;
    Ok(graph)
}

/// Row losses `[tasks, rows, 1]` to the sum over tasks of the mean over rows.
fn sum_of_task_means(graph: &mut Graph, losses: ValueId) -> Result<ValueId, GraphError> {
    let rows = graph.shape(losses)[1];
    let sum = graph.sum_all(losses)?;
    graph.scale(sum, 1.0 / rows as f32)
}
