//! The graphs of policy-gradient MAML: acting, one adaptation step, the outer gradient, the outer optimiser.

use pliant_compiler::adaptation::gradient::{GradientRule, Order};
use pliant_compiler::adaptation::loss;
use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::policy::{Parameter, PolicyDescription, broadcast_to_tasks};
use pliant_runtime::image::Objective;

use crate::error::TrainError;
use crate::optim::{self, AdamStep};
use crate::recipe::Adam;
use crate::tasks::ControlFamily;

/// What is meta-trained, and the shapes of its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The policy; its actions are sampled.
    pub policy: PolicyDescription,
    /// Rows of the trajectories between two adaptation steps: trajectories times horizon.
    pub rows: usize,
    /// Trajectories simulated side by side.
    pub trajectories: usize,
    /// Clip of the inner gradient's norm.
    pub gradient_clip: Option<f32>,
}

impl Problem {
    /// A policy on a family, with `trajectories` for each adaptation step.
    pub fn new(policy: PolicyDescription, family: &dyn ControlFamily, trajectories: usize) -> Self {
        Self {
            policy,
            rows: trajectories * family.horizon(),
            trajectories,
            gradient_clip: None,
        }
    }

    /// With this clip of the inner gradient's norm, `None` for none.
    pub fn with_gradient_clip(mut self, clip: Option<f32>) -> Self {
        self.gradient_clip = clip;
        self
    }

    /// Names and shapes of everything the outer loop trains: the parameters, then a step size for each of their elements.
    pub fn meta_parameters(&self) -> Vec<Parameter> {
        let parameters = self.policy.parameters();
        let rate = |parameter: &Parameter| Parameter::new(format!("rate/{}", parameter.name), &parameter.shape);
        let rates: Vec<_> = parameters.iter().map(rate).collect();
        parameters.into_iter().chain(rates).collect()
    }

    /// The rule by which the device adapts this policy.
    fn rule(&self) -> GradientRule<'static> {
        GradientRule::for_policy(&self.policy, Objective::PolicyGradient).with_gradient_clip(self.gradient_clip)
    }
}

/// The rows gathered between two adaptation steps, in a graph.
struct Rows {
    /// Those of the rule, `[tasks, rows, width]` each.
    fields: Vec<ValueId>,
    /// `[tasks, rows]`
    weights: ValueId,
}

/// Parameters and observations `[trajectories, observation_width]` to `mean` `[trajectories, action_width]` and
/// `log_std_floored` `[action_width]`.
///
/// # Errors
/// What the policy refuses; [`TrainError::Deterministic`].
pub fn act_graph(problem: &Problem) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let parameters = inputs(&mut graph, "", &problem.policy.parameters())?;
    let shape = [problem.trajectories, problem.policy.network.observations()];
    let observations = graph.input("observation", DType::F32, &shape)?;
    let distribution = problem
        .policy
        .distribution(&mut graph, &parameters, observations, None)?;
    graph.output("mean", distribution.mean)?;
    graph.output(
        "log_std_floored",
        distribution.log_std.ok_or(TrainError::Deterministic)?,
    )?;
    Ok(graph)
}

/// One adaptation step of one task: parameters, step sizes, `step_scale` and rows, to the adapted parameters.
///
/// # Errors
/// What the rule refuses.
pub fn adapt_graph(problem: &Problem) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let meta = inputs(&mut graph, "", &problem.meta_parameters())?;
    let scale = graph.input("step_scale", DType::F32, &[1])?;
    let rule = problem.rule();
    let rows = Rows::inputs(&mut graph, problem, &rule, 1, 0)?;
    let (parameters, rates) = task_parameters(&mut graph, problem, &meta, 1)?;
    let adapted = rows.adapt(&mut graph, &rule, &parameters, &rates, scale)?;
    for (parameter, value) in problem.policy.parameters().iter().zip(adapted) {
        let value = graph.reshape(value, &parameter.shape)?;
        graph.output(&format!("adapted/{}", parameter.name), value)?;
    }
    Ok(graph)
}

/// The outer gradient of `tasks` tasks at once: meta-parameters and the rows before the first adaptation step and after
/// each, to the gradient of every meta-parameter and the outer losses, all summed over these tasks.
///
/// The loss after step `k` is the clipped surrogate (Schulman et al. 2017, equation 7) of the rows gathered after step
/// `k`; their sum is weighted by `loss_weights`. The gradient goes through the adaptation steps, second order.
///
/// # Errors
/// What the policy or its derivatives refuse.
pub fn outer_graph(
    problem: &Problem,
    tasks: usize,
    step_scales: &[f32],
    loss_weights: &[f32],
    clip: f32,
) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let shapes = problem.meta_parameters();
    let meta = inputs(&mut graph, "", &shapes)?;
    let rule = problem.rule();
    let rows = (0..=loss_weights.len())
        .map(|step| Rows::inputs(&mut graph, problem, &rule, tasks, step))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut parameters, rates) = task_parameters(&mut graph, problem, &meta, tasks)?;
    let mut total = graph.scalar(0.0);
    let mut losses = Vec::new();
    for ((support, query), (&scale, &weight)) in rows.iter().zip(&rows[1..]).zip(step_scales.iter().zip(loss_weights)) {
        let scale = graph.full(&[1], scale)?;
        parameters = support.adapt(&mut graph, &rule, &parameters, &rates, scale)?;
        let loss = query.clipped_surrogate(&mut graph, &problem.policy, &parameters, clip)?;
        losses.push(loss);
        let weighted = graph.scale(loss, weight)?;
        total = graph.add(total, weighted)?;
    }
    let gradients = autodiff::gradients(&mut graph, total, &meta)?;
    for (parameter, gradient) in shapes.iter().zip(gradients) {
        graph.output(&format!("gradient/{}", parameter.name), gradient)?;
    }
    for (index, loss) in losses.into_iter().enumerate() {
        graph.output(&format!("loss/{}", index + 1), loss)?;
    }
    Ok(graph)
}

/// The outer optimiser: meta-parameters, their gradient, both moments and the step size, to new meta-parameters and
/// moments.
///
/// # Errors
/// As the graph's operators.
pub fn optimiser_graph(problem: &Problem, settings: &Adam) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let shapes = problem.meta_parameters();
    let meta = inputs(&mut graph, "", &shapes)?;
    let gradients = inputs(&mut graph, "gradient/", &shapes)?;
    let first = inputs(&mut graph, "adam.first/", &shapes)?;
    let second = inputs(&mut graph, "adam.second/", &shapes)?;
    let step_size = graph.input("step size", DType::F32, &[])?;
    let AdamStep {
        parameters,
        first,
        second,
    } = optim::adam(&mut graph, settings, &meta, &gradients, &first, &second, step_size)?;
    for (kind, values) in [("", parameters), ("adam.first/", first), ("adam.second/", second)] {
        for (parameter, value) in shapes.iter().zip(values) {
            graph.output(&format!("new/{kind}{}", parameter.name), value)?;
        }
    }
    Ok(graph)
}

impl Rows {
    fn inputs(
        graph: &mut Graph,
        problem: &Problem,
        rule: &GradientRule<'_>,
        tasks: usize,
        step: usize,
    ) -> Result<Self, GraphError> {
        let mut input = |name: &str, width: &[usize]| {
            let shape = [&[tasks, problem.rows], width].concat();
            graph.input(&format!("{name}/{step}"), DType::F32, &shape)
        };
        let fields = rule
            .fields
            .iter()
            .map(|field| input(&field.name, &[field.width]))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            fields,
            weights: input("row_weight", &[])?,
        })
    }

    /// One gradient step on each task's own rows.
    fn adapt(
        &self,
        graph: &mut Graph,
        rule: &GradientRule<'_>,
        parameters: &[ValueId],
        rates: &[ValueId],
        scale: ValueId,
    ) -> Result<Vec<ValueId>, TrainError> {
        Ok(rule.inner_step(
            graph,
            parameters,
            rates,
            &self.fields,
            self.weights,
            scale,
            Order::Second,
        )?)
    }

    /// `-min(r A, clip(r, 1 - clip, 1 + clip) A)` with the probability ratio `r` and the advantage `A`: weighted means
    /// over the rows, summed over tasks.
    fn clipped_surrogate(
        &self,
        graph: &mut Graph,
        policy: &PolicyDescription,
        parameters: &[ValueId],
        clip: f32,
    ) -> Result<ValueId, TrainError> {
        let advantages = self.fields[3];
        let log_ratio = loss::log_ratio(policy, graph, parameters, &self.fields)?;
        let ratio = graph.exp(log_ratio)?;
        let clipped = graph.clip(ratio, 1.0 - clip, 1.0 + clip)?;
        let free = graph.mul(ratio, advantages)?;
        let bounded = graph.mul(clipped, advantages)?;
        let gain = graph.min(free, bounded)?;
        let gain = graph.squeeze(gain, &[2])?;
        let weighted = graph.mul(gain, self.weights)?;
        let sums = graph.reduce_sum(weighted, &[1], false)?;
        let counts = graph.reduce_sum(self.weights, &[1], false)?;
        let means = graph.div(sums, counts)?;
        let gain = graph.sum_all(means)?;
        Ok(graph.neg(gain)?)
    }
}

fn inputs(graph: &mut Graph, kind: &str, parameters: &[Parameter]) -> Result<Vec<ValueId>, GraphError> {
    parameters
        .iter()
        .map(|parameter| graph.input(&format!("{kind}{}", parameter.name), DType::F32, &parameter.shape))
        .collect()
}

/// One copy of the parameters a task, so that the gradient of the summed loss is each task's own gradient; and the step
/// sizes, which broadcast over tasks.
fn task_parameters(
    graph: &mut Graph,
    problem: &Problem,
    meta: &[ValueId],
    tasks: usize,
) -> Result<(Vec<ValueId>, Vec<ValueId>), GraphError> {
    let parameters = problem.policy.parameters();
    let (values, rates) = meta.split_at(parameters.len());
    let copies = broadcast_to_tasks(graph, &parameters, values, tasks)?;
    let rates = broadcast_to_tasks(graph, &parameters, rates, 1)?;
    Ok((copies, rates))
}
