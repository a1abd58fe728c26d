//! The graphs of proximal policy optimisation: acting, moving the memory on, and the gradient of the clipped surrogate.
//!
//! Instances lie in columns. The graphs of a recurrent policy hold `unroll` steps each and are called in a loop over the
//! window; those of a feed-forward policy hold one.

use pliant_compiler::autodiff::vector_jacobian;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::policy::{Activation, Gaussian, Layout, Mlp, Network, Parameter, PolicyDescription};

use crate::engine::CompileOptions;
use crate::envs::ActionSpace;
use crate::error::TrainError;
use crate::recipe;

/// Names of what the graphs take beside the parameters.
pub(super) const OBSERVATION: &str = "observation";
pub(super) const KEEP: &str = "keep";
pub(super) const MEMORY: &str = "memory";
pub(super) const ACTION: &str = "action";
pub(super) const LOG_PROBABILITY: &str = "log_probability";
pub(super) const ADVANTAGE: &str = "advantage";
pub(super) const RETURN: &str = "return";
pub(super) const REGRET: &str = "regret";
pub(super) const ENTROPY_WEIGHT: &str = "entropy_weight";
pub(super) const MEMORY_COTANGENT: &str = "cotangent/memory";
pub(super) const SUMS: &str = "sums";

/// What [`loss_graph`] sums beside the gradient: value error, entropy, divergence from the policy that acted.
pub(super) const SUM_COUNT: usize = 3;

/// Entropy of a normal distribution of deviation 1.
const NORMAL_ENTROPY: f32 = 1.418_938_5;

/// A policy to be trained, and the value function that judges it and is not deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Its outputs are logits where actions are discrete, otherwise the means of a Gaussian.
    pub policy: PolicyDescription,
    /// What it chooses from.
    pub actions: ActionSpace,
    value: ValueFunction,
}

/// Where the value comes from: a network on the policy's memory, or on the observation where there is none.
#[derive(Clone, Debug, PartialEq)]
struct ValueFunction {
    network: Mlp,
    of_memory: bool,
}

impl ValueFunction {
    fn parameters(&self) -> Vec<Parameter> {
        let own = self.network.parameters().into_iter();
        own.map(|parameter| Parameter::new(format!("value.{}", parameter.name), &parameter.shape))
            .collect()
    }
}

/// The inputs of some steps.
struct Inputs {
    parameters: Vec<ValueId>,
    /// `[steps, observation, batch]`
    observation: ValueId,
    /// `[steps, 1, batch]`: 0 where the memory begins anew before the step, otherwise 1.
    keep: Option<ValueId>,
    memory: Option<ValueId>,
}

/// What one step comes to.
struct Step {
    /// Logits or means, `[actions, batch]`.
    output: ValueId,
    /// `[actions, 1]`
    log_std: Option<ValueId>,
    /// `[1, batch]`
    value: ValueId,
    memory: Option<ValueId>,
}

impl Problem {
    /// A policy without a value function yet, which it is given: a network with one hidden layer on the memory where it has
    /// one, as wide as that, otherwise a network with the policy's hidden layers on the observation.
    ///
    /// # Errors
    /// [`TrainError::Deterministic`] for continuous actions without a standard deviation.
    pub fn new(policy: PolicyDescription, actions: ActionSpace) -> Result<Self, TrainError> {
        if policy.gaussian.is_some() != matches!(actions, ActionSpace::Continuous(_)) {
            return Err(TrainError::Deterministic);
        }
        let value = match &policy.network {
            Network::Gru(gru) => ValueFunction {
                network: Mlp::new(&[gru.state(), gru.hidden, 1], Activation::Tanh),
                of_memory: true,
            },
            Network::Scan(scan) => ValueFunction {
                network: Mlp::new(&[scan.length, scan.detectors, 1], Activation::Tanh),
                of_memory: false,
            },
            Network::Mlp(mlp) => {
                let mut sizes = mlp.sizes.clone();
                if let Some(last) = sizes.last_mut() {
                    *last = 1;
                }
                ValueFunction {
                    network: Mlp::new(&sizes, mlp.activation),
                    of_memory: false,
                }
            }
        };
        Ok(Self { policy, actions, value })
    }

    /// The policy's parameters, then those of the value function, whose names begin with `value.`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.policy.parameters();
        parameters.extend(self.value.parameters());
        parameters
    }

    /// How many of the parameters are the policy's.
    pub fn policy_parameters(&self) -> usize {
        self.policy.parameters().len()
    }

    /// Elements of the recurrent state, 0 for a feed-forward policy.
    pub fn memory(&self) -> usize {
        self.policy.network.state()
    }

    /// Numbers of an observation.
    pub fn observations(&self) -> usize {
        self.policy.network.observations()
    }

    fn inputs(&self, graph: &mut Graph, steps: usize, batch: usize) -> Result<Inputs, GraphError> {
        let parameters = inputs(graph, "", &self.parameters())?;
        let observation = graph.input(OBSERVATION, DType::F32, &[steps, self.observations(), batch])?;
        let (keep, memory) = match self.memory() {
            0 => (None, None),
            units => (
                Some(graph.input(KEEP, DType::F32, &[steps, 1, batch])?),
                Some(graph.input(MEMORY, DType::F32, &[units, batch])?),
            ),
        };
        Ok(Inputs {
            parameters,
            observation,
            keep,
            memory,
        })
    }

    /// Step number `step` of the inputs, from `memory`.
    fn step(
        &self,
        graph: &mut Graph,
        inputs: &Inputs,
        step: usize,
        memory: Option<ValueId>,
    ) -> Result<Step, GraphError> {
        let observation = at(graph, inputs.observation, step)?;
        let memory = match (memory, inputs.keep) {
            (Some(memory), Some(keep)) => {
                let keep = at(graph, keep, step)?;
                Some(graph.mul(memory, keep)?)
            }
            _ => None,
        };
        let (policy, value) = inputs.parameters.split_at(self.policy_parameters());
        let distribution = self
            .policy
            .distribution_in(graph, Layout::Columns, policy, observation, memory)?;
        let judged = match distribution.next_state {
            Some(state) if self.value.of_memory => state,
            _ => observation,
        };
        let value = self.value.network.forward(graph, Layout::Columns, value, judged)?;
        let log_std = match distribution.log_std {
            Some(log_std) => Some(graph.unsqueeze(log_std, &[1])?),
            None => None,
        };
        Ok(Step {
            output: distribution.mean,
            log_std,
            value,
            memory: distribution.next_state,
        })
    }

    /// Log-probability of `action` `[actions, batch]` (one-hot where discrete) and entropy of the distribution, each
    /// `[1, batch]` or broadcasting to it.
    fn judge(&self, graph: &mut Graph, step: &Step, action: ValueId) -> Result<(ValueId, ValueId), GraphError> {
        match step.log_std {
            Some(log_std) => {
                let log_probability =
                    Gaussian::log_probability_in(graph, Layout::Columns, step.output, log_std, action)?;
                let one = graph.scalar(NORMAL_ENTROPY);
                let each = graph.add(log_std, one)?;
                let entropy = graph.reduce_sum(each, &[0], true)?;
                Ok((log_probability, entropy))
            }
            None => {
                let logs = graph.log_softmax(step.output, 0)?;
                let chosen = graph.mul(action, logs)?;
                let log_probability = graph.reduce_sum(chosen, &[0], true)?;
                let probabilities = graph.exp(logs)?;
                let each = graph.mul(probabilities, logs)?;
                let negative = graph.reduce_sum(each, &[0], true)?;
                let entropy = graph.neg(negative)?;
                Ok((log_probability, entropy))
            }
        }
    }
}

/// One step of `batch` instances: `probabilities` `[actions, batch]` where actions are discrete, otherwise `mean` and
/// `log_std` `[actions]`; `value` `[1, batch]`; and the next memory.
///
/// # Errors
/// As the graph's operators.
pub fn act_graph(problem: &Problem, batch: usize) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let given = problem.inputs(&mut graph, 1, batch)?;
    let step = problem.step(&mut graph, &given, 0, given.memory)?;
    if let Some(log_std) = step.log_std {
        graph.output("mean", step.output)?;
        let log_std = graph.reshape(log_std, &[problem.actions.width()])?;
        // Where no floor applies this is the parameter itself, which is an input.
        let log_std = graph.identity(log_std)?;
        graph.output("distribution/log_std", log_std)?;
    } else {
        let probabilities = graph.softmax(step.output, 0)?;
        graph.output("probabilities", probabilities)?;
    }
    graph.output("value", step.value)?;
    if let Some(memory) = step.memory {
        graph.output("next/memory", memory)?;
    }
    Ok(graph)
}

/// `unroll` steps of the memory alone.
///
/// # Errors
/// As the graph's operators.
pub fn advance_graph(problem: &Problem, unroll: usize, batch: usize) -> Result<Graph, TrainError> {
    let mut graph = Graph::new();
    let given = problem.inputs(&mut graph, unroll, batch)?;
    let mut memory = given.memory;
    for step in 0..unroll {
        memory = problem.step(&mut graph, &given, step, memory)?.memory;
    }
    if let Some(memory) = memory {
        graph.output("next/memory", memory)?;
    }
    Ok(graph)
}

/// How the memory of [`act_graph`] and [`advance_graph`] is kept.
pub fn memory_options(problem: &Problem) -> CompileOptions {
    if problem.memory() == 0 {
        CompileOptions::default()
    } else {
        resident([MEMORY].into_iter())
    }
}

/// The gradient of the loss (Schulman et al. 2017, equations 7 and 9), summed over `unroll` steps of `batch` instances:
/// `-min(r A, clip(r, 1 - c, 1 + c) A) + w_v (V - R)^2 / 2 - w_H H`, and where regrets are learned from, the expected one of
/// all actions with its weight; where `r` is the ratio of the action's probability
/// to what it was when it was taken.
///
/// For a recurrent policy this is the vector-Jacobian product of those steps: it takes the cotangent of the memory after
/// them, gives that of the memory before them, and adds the gradient to what it was, so that calls from the last steps of
/// a window to the first propagate back through time.
///
/// # Errors
/// As the graph's operators, or a policy without derivative.
pub fn loss_graph(problem: &Problem, settings: &recipe::Ppo, unroll: usize, batch: usize) -> Result<Graph, TrainError> {
    let shapes = problem.parameters();
    let mut graph = Graph::new();
    let given = problem.inputs(&mut graph, unroll, batch)?;
    let mut field = |name: &str, width: usize| -> Result<ValueId, GraphError> {
        graph.input(name, DType::F32, &[unroll, width, batch])
    };
    let action = field(ACTION, problem.actions.width())?;
    let [old, advantage, target] = [field(LOG_PROBABILITY, 1)?, field(ADVANTAGE, 1)?, field(RETURN, 1)?];
    let regrets = match settings.regret_weight {
        0.0 => None,
        _ => Some(graph.input(REGRET, DType::F32, &[unroll, problem.actions.width(), batch])?),
    };
    let entropy_weight = graph.input(ENTROPY_WEIGHT, DType::F32, &[])?;
    let recurrent = problem.memory() > 0;
    let cotangent = match problem.memory() {
        0 => None,
        units => Some(graph.input(MEMORY_COTANGENT, DType::F32, &[units, batch])?),
    };
    let before = if recurrent {
        Some((
            inputs(&mut graph, "gradient/", &shapes)?,
            graph.input(SUMS, DType::F32, &[SUM_COUNT])?,
        ))
    } else {
        None
    };

    let mut memory = given.memory;
    let mut totals: Option<[ValueId; 1 + SUM_COUNT]> = None;
    for step in 0..unroll {
        let made = problem.step(&mut graph, &given, step, memory)?;
        memory = made.memory;
        let fields = [action, old, advantage, target].map(|field| at(&mut graph, field, step));
        let [action, old, advantage, target] = fields;
        let terms = terms(
            &mut graph,
            problem,
            settings,
            &made,
            [action?, old?, advantage?, target?],
            entropy_weight,
            batch,
        )?;
        let mut terms = terms;
        if let Some(regrets) = regrets {
            let regrets = at(&mut graph, regrets, step)?;
            let expected = expected_regret(&mut graph, &made, regrets, settings.regret_weight)?;
            terms[0] = graph.add(terms[0], expected)?;
        }
        totals = Some(match totals {
            None => terms,
            Some(mut totals) => {
                for (total, term) in totals.iter_mut().zip(terms) {
                    *total = graph.add(*total, term)?;
                }
                totals
            }
        });
    }
    let [loss, sums @ ..] = totals.expect("at least one step");
    let one = graph.full(&[1], 1.0)?;
    let outputs: Vec<ValueId> = [Some(loss), memory].into_iter().flatten().collect();
    let cotangents: Vec<ValueId> = [Some(one), cotangent].into_iter().flatten().collect();
    let wrt: Vec<ValueId> = given.parameters.iter().copied().chain(given.memory).collect();
    let back = vector_jacobian(&mut graph, &outputs, &cotangents, &wrt)?;
    for (index, shape) in shapes.iter().enumerate() {
        let mut gradient = back[index];
        if let Some((before, _)) = &before {
            gradient = graph.add(before[index], gradient)?;
        }
        graph.output(&format!("next/gradient/{}", shape.name), gradient)?;
    }
    let mut sums = graph.concat(&sums, 0)?;
    if let Some((_, before)) = before {
        sums = graph.add(before, sums)?;
    }
    graph.output("next/sums", sums)?;
    if let Some(&memory) = back.get(shapes.len()) {
        graph.output("next/cotangent/memory", memory)?;
    }
    Ok(graph)
}

/// How [`loss_graph`] is compiled: what a loop over a window adds up stays where the program runs.
pub fn loss_options(problem: &Problem) -> CompileOptions {
    if problem.memory() == 0 {
        return CompileOptions::default();
    }
    let gradients: Vec<String> = problem
        .parameters()
        .iter()
        .map(|parameter| format!("gradient/{}", parameter.name))
        .collect();
    resident(gradients.iter().map(String::as_str).chain([SUMS, MEMORY_COTANGENT]))
}

/// Loss and [`SUM_COUNT`] measurements of one step, each summed over the instances: `[1]`.
fn terms(
    graph: &mut Graph,
    problem: &Problem,
    settings: &recipe::Ppo,
    step: &Step,
    [action, old, advantage, target]: [ValueId; 4],
    entropy_weight: ValueId,
    batch: usize,
) -> Result<[ValueId; 1 + SUM_COUNT], GraphError> {
    let (log_probability, entropy) = problem.judge(graph, step, action)?;
    let log_ratio = graph.sub(log_probability, old)?;
    let ratio = graph.exp(log_ratio)?;
    let free = graph.mul(ratio, advantage)?;
    let clipped = graph.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)?;
    let clipped = graph.mul(clipped, advantage)?;
    let surrogate = graph.min(free, clipped)?;

    let error = graph.sub(step.value, target)?;
    let square = graph.square(error)?;
    let entropy = graph.expand(entropy, &[1, batch])?;
    let half = graph.scale(square, 0.5 * settings.value_weight)?;
    let bonus = graph.mul(entropy, entropy_weight)?;
    let gain = graph.add(surrogate, bonus)?;
    let loss = graph.sub(half, gain)?;

    // (r - 1) - ln r: not negative, and its mean is the divergence (Schulman 2020, "Approximating KL divergence").
    let one = graph.scalar(1.0);
    let excess = graph.sub(ratio, one)?;
    let divergence = graph.sub(excess, log_ratio)?;
    let mut total = |value: ValueId| graph.reduce_sum(value, &[1], false);
    Ok([total(loss)?, total(square)?, total(entropy)?, total(divergence)?])
}

/// The regret of the next action in the mean over all actions, times `weight`, summed over the instances: `[1]`.
fn expected_regret(graph: &mut Graph, step: &Step, regrets: ValueId, weight: f32) -> Result<ValueId, GraphError> {
    let probabilities = graph.softmax(step.output, 0)?;
    let each = graph.mul(probabilities, regrets)?;
    let each = graph.scale(each, weight)?;
    let expected = graph.reduce_sum(each, &[0], true)?;
    graph.reduce_sum(expected, &[1], false)
}

/// Step number `step` of `[steps, width, batch]`: `[width, batch]`.
fn at(graph: &mut Graph, field: ValueId, step: usize) -> Result<ValueId, GraphError> {
    let slice = graph.slice(field, 0, step, step + 1)?;
    graph.squeeze(slice, &[0])
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
