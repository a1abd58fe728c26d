//! Policies as graphs: the network, its parameters and the distribution of actions.
//!
//! A network is described by its sizes; its parameters are an ordered list of names and shapes ([`Parameter`]). The same
//! [`forward`](Network::forward) builds the graph for one observation, for a batch, and for a batch a task: leading
//! dimensions of the observations are free, and every parameter may have a leading task dimension
//! ([`Parameter::shape_for_tasks`]).

mod banked;
mod conditioning;
mod feature_map;
mod gaussian;
mod gru;
mod layout;
mod mlp;
mod multi_task;
mod scan;

pub use banked::{Banked, InputScaling, TaskSlice};
pub use conditioning::{Conditioning, LayerModulation, Modulation};
pub use feature_map::FeatureMap;
pub use gaussian::Gaussian;
pub use gru::Gru;
pub use layout::Layout;
pub use mlp::{Activation, CONTEXT, Mlp};
pub use multi_task::{MultiTask, TargetLoss, TaskHead};
pub use scan::Scan;

use crate::graph::{Graph, GraphError, ValueId};

/// Name and shape of one parameter tensor.
///
/// ```
/// use pliant_compiler::policy::Parameter;
///
/// let bias = Parameter::new("layer0.bias", &[64]);
/// assert_eq!(bias.elements(), 64);
/// assert_eq!(bias.shape_for_tasks(25), [25, 1, 64]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Name, unique in its policy.
    pub name: String,
    /// Weights: `[inputs, outputs]` (input-major); biases and other vectors: `[outputs]`.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// A parameter of this name and shape.
    pub fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Shape with one copy a task in front: weights `[tasks, inputs, outputs]`, vectors `[tasks, 1, outputs]`, so that
    /// they broadcast against rows `[tasks, rows, ..]`.
    pub fn shape_for_tasks(&self, tasks: usize) -> Vec<usize> {
        let mut shape = vec![tasks];
        if self.shape.len() == 1 {
            shape.push(1);
        }
        shape.extend(&self.shape);
        shape
    }
}

/// Elements of all parameters together.
pub fn total_elements(parameters: &[Parameter]) -> usize {
    parameters.iter().map(Parameter::elements).sum()
}

/// One copy of every shared parameter a task, as a view: nothing is copied, and gradients are kept apart.
///
/// Value `i` has the shape of `parameters[i]`; the result has [`Parameter::shape_for_tasks`].
///
/// # Errors
/// [`GraphError::Operator`] when a value does not have its parameter's shape.
pub fn broadcast_to_tasks(
    graph: &mut Graph,
    parameters: &[Parameter],
    values: &[ValueId],
    tasks: usize,
) -> Result<Vec<ValueId>, GraphError> {
    parameters
        .iter()
        .zip(values)
        .map(|(parameter, &value)| graph.expand(value, &parameter.shape_for_tasks(tasks)))
        .collect()
}

/// What a policy computes from an observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// A multilayer perceptron.
    Mlp(Mlp),
    /// A gated recurrent unit between two layers.
    Gru(Gru),
    /// A mixture of detectors over every window of a sequence.
    Scan(Scan),
}

impl Network {
    /// Elements of an observation.
    pub fn observations(&self) -> usize {
        match self {
            Self::Mlp(mlp) => mlp.observations(),
            Self::Gru(gru) => gru.observations,
            Self::Scan(scan) => scan.length,
        }
    }

    /// Elements of an output.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Mlp(mlp) => mlp.outputs(),
            Self::Gru(gru) => gru.outputs,
            Self::Scan(_) => 1,
        }
    }

    /// Elements of the recurrent state, 0 if there is none. It starts an episode from zero.
    pub fn state(&self) -> usize {
        match self {
            Self::Mlp(_) | Self::Scan(_) => 0,
            Self::Gru(gru) => gru.state(),
        }
    }

    /// The parameters, in the order [`forward`](Self::forward) takes them.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Mlp(mlp) => mlp.parameters(),
            Self::Gru(gru) => gru.parameters(),
            Self::Scan(scan) => scan.parameters(),
        }
    }

    /// Outputs `[.., rows, outputs]` for observations `[.., rows, observations]`, and the next state where there is one;
    /// by columns `[outputs, instances]` for `[observations, instances]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit. A recurrent network without a state starts from zero.
    pub fn forward(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        observation: ValueId,
        state: Option<ValueId>,
    ) -> Result<(ValueId, Option<ValueId>), GraphError> {
        match self {
            Self::Mlp(mlp) => Ok((mlp.forward(graph, layout, parameters, observation)?, None)),
            Self::Scan(scan) => Ok((scan.forward(graph, layout, parameters, observation)?, None)),
            Self::Gru(gru) => {
                let state = match state {
                    Some(state) => state,
                    None => {
                        let mut shape = graph.shape(observation).to_vec();
                        if let Some(elements) = shape.get_mut(layout.elements_axis(graph, observation)) {
                            *elements = gru.state();
                        }
                        graph.full(&shape, 0.0)?
                    }
                };
                let (output, next) = gru.forward(graph, layout, parameters, observation, state)?;
                Ok((output, Some(next)))
            }
        }
    }
}

/// A network, and how its outputs become actions.
///
/// ```
/// use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription};
///
/// let policy = PolicyDescription::stochastic(Mlp::new(&[2, 100, 100, 2], Activation::Relu), Gaussian { floor: -3.0 });
/// let names: Vec<String> = policy.parameters().into_iter().map(|p| p.name).collect();
/// assert_eq!(names.last().unwrap(), "log_std");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDescription {
    /// From observation to output (the mean of the action where actions are sampled).
    pub network: Network,
    /// How actions are sampled; `None` where the output is the answer.
    pub gaussian: Option<Gaussian>,
    /// Whether a hyperbolic tangent keeps the output in -1..1, smoothly, so that no gradient is lost at a limit.
    pub bounded: bool,
}

impl From<Mlp> for Network {
    fn from(mlp: Mlp) -> Self {
        Self::Mlp(mlp)
    }
}

impl From<Gru> for Network {
    fn from(gru: Gru) -> Self {
        Self::Gru(gru)
    }
}

impl From<Scan> for Network {
    fn from(scan: Scan) -> Self {
        Self::Scan(scan)
    }
}

impl PolicyDescription {
    /// The output is the answer.
    pub fn deterministic(network: impl Into<Network>) -> Self {
        Self {
            network: network.into(),
            gaussian: None,
            bounded: false,
        }
    }

    /// The output is the answer, kept in -1..1 by a hyperbolic tangent.
    pub fn bounded(network: impl Into<Network>) -> Self {
        Self {
            bounded: true,
            ..Self::deterministic(network)
        }
    }

    /// Actions are sampled around the output.
    pub fn stochastic(network: impl Into<Network>, gaussian: Gaussian) -> Self {
        Self {
            network: network.into(),
            gaussian: Some(gaussian),
            bounded: false,
        }
    }

    /// The network's parameters, then `log_std` (one an action) where actions are sampled.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.network.parameters();
        if self.gaussian.is_some() {
            parameters.push(Parameter::new("log_std", &[self.network.outputs()]));
        }
        parameters
    }

    /// Elements of all parameters together.
    pub fn parameter_elements(&self) -> usize {
        total_elements(&self.parameters())
    }

    /// Mean `[.., rows, actions]` and, where actions are sampled, logarithm of the standard deviation, floored, in the
    /// shape of the parameter (`[actions]`, or `[tasks, 1, actions]`); and the next state where there is one.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn distribution(
        &self,
        graph: &mut Graph,
        parameters: &[ValueId],
        observation: ValueId,
        state: Option<ValueId>,
    ) -> Result<Distribution, GraphError> {
        self.distribution_in(graph, Layout::Rows, parameters, observation, state)
    }

    /// As [`distribution`](Self::distribution), for instances in rows or in columns (`[actions, instances]`, state
    /// `[state, instances]`).
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn distribution_in(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        observation: ValueId,
        state: Option<ValueId>,
    ) -> Result<Distribution, GraphError> {
        let network = parameters.len() - usize::from(self.gaussian.is_some());
        let (output, next_state) = self
            .network
            .forward(graph, layout, &parameters[..network], observation, state)?;
        let mean = if self.bounded { graph.tanh(output)? } else { output };
        let log_std = match &self.gaussian {
            Some(gaussian) => Some(gaussian.floored(graph, parameters[network])?),
            None => None,
        };
        Ok(Distribution {
            mean,
            log_std,
            next_state,
        })
    }
}

/// What [`PolicyDescription::distribution`] builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Mean action, or the answer.
    pub mean: ValueId,
    /// Logarithm of the standard deviation, where actions are sampled.
    pub log_std: Option<ValueId>,
    /// The next recurrent state, where there is one.
    pub next_state: Option<ValueId>,
}
