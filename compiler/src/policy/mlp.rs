//! The multilayer perceptron.

use super::{FeatureMap, Layout, Parameter};
use crate::graph::{Graph, GraphError, ValueId};

/// What follows every hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `log(1 + e^x)`.
    Softplus,
}

impl Activation {
    /// Inserts the activation.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `x` is not single precision.
    pub fn apply(self, graph: &mut Graph, x: ValueId) -> Result<ValueId, GraphError> {
        match self {
            Self::Tanh => graph.tanh(x),
            Self::Relu => graph.relu(x),
            Self::Sigmoid => graph.sigmoid(x),
            Self::Softplus => graph.softplus(x),
        }
    }
}

/// Name of the context vector among the parameters of an [`Mlp`] that has one.
pub const CONTEXT: &str = "context";

/// Name of the weight by which the context enters the first layer.
const CONTEXT_WEIGHT: &str = "context.weight";

/// Fully connected layers, `y = activation(x W + b)`, the last one without an activation.
///
/// With a context vector `c` the first layer is `activation(x W + b + c V)`: that of the concatenation `[x, c]`, with its
/// matrix in two parts, so that what all rows share is multiplied once.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::policy::{Activation, Layout, Mlp};
///
/// let mlp = Mlp::new(&[1, 40, 40, 1], Activation::Relu);
/// let mut graph = Graph::new();
/// // One copy of the parameters a task, 25 tasks of 10 rows.
/// let parameters: Vec<_> = mlp
///     .parameters()
///     .iter()
///     .map(|p| graph.input(&p.name, DType::F32, &p.shape_for_tasks(25)).unwrap())
///     .collect();
/// let x = graph.input("x", DType::F32, &[25, 10, 1]).unwrap();
/// let y = mlp.forward(&mut graph, Layout::Rows, &parameters, x).unwrap();
/// assert_eq!(graph.shape(y), [25, 10, 1]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Inputs (of the first layer: features, where there is a map), hidden layers, outputs: at least two.
    pub sizes: Vec<usize>,
    /// After every hidden layer.
    pub activation: Activation,
    /// Elements of a context vector: a parameter, zero at first, that every row is given beside its input (Zintgraf et al.
    /// 2019, "Fast Context Adaptation via Meta-Learning"). 0 for none.
    pub context: usize,
    /// What the first layer is given in place of the observation.
    pub feature_map: Option<FeatureMap>,
}

impl Mlp {
    /// Layers of these sizes.
    ///
    /// # Panics
    /// With fewer than two sizes.
    pub fn new(sizes: &[usize], activation: Activation) -> Self {
        assert!(sizes.len() >= 2, "a network has inputs and outputs");
        Self {
            sizes: sizes.to_vec(),
            activation,
            context: 0,
            feature_map: None,
        }
    }

    /// The same network, its first layer on features of the observation; its first size is then the features' number.
    ///
    /// # Panics
    /// Where the network has another number of inputs than the map gives.
    #[must_use]
    pub fn with_feature_map(mut self, map: FeatureMap) -> Self {
        assert_eq!(self.sizes[0], map.width(), "the first layer takes every feature");
        self.feature_map = Some(map);
        self
    }

    /// The same network with a context vector of this many elements.
    #[must_use]
    pub fn with_context(mut self, elements: usize) -> Self {
        self.context = elements;
        self
    }

    /// Elements of an input.
    pub fn observations(&self) -> usize {
        self.feature_map.as_ref().map_or(self.sizes[0], |map| map.inputs)
    }

    /// Elements of an output.
    pub fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    /// Weight `[inputs, outputs]` and bias `[outputs]` of each layer; then, with a context, its weight `[context, outputs of
    /// the first layer]` and the vector itself, `[1, context]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let layers = self.sizes.windows(2).enumerate().flat_map(|(layer, sizes)| {
            [
                Parameter::new(format!("layer{layer}.weight"), sizes),
                Parameter::new(format!("layer{layer}.bias"), &sizes[1..]),
            ]
        });
        let context = [
            Parameter::new(CONTEXT_WEIGHT, &[self.context, self.sizes[1]]),
            Parameter::new(CONTEXT, &[1, self.context]),
        ];
        layers.chain(context.into_iter().filter(|_| self.context > 0)).collect()
    }

    /// Outputs `[.., rows, outputs]` for `x` of shape `[.., rows, inputs]`, or `[outputs, instances]` for `[inputs,
    /// instances]`; parameters as in [`Self::parameters`], by rows each with or without a leading task dimension.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn forward(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        x: ValueId,
    ) -> Result<ValueId, GraphError> {
        let features = self.features(graph, layout, parameters, x)?;
        let last = 2 * (self.sizes.len() - 2);
        let output = layout.affine(graph, features, parameters[last], parameters[last + 1])?;
        match self.sizes.len() {
            // Without a hidden layer the context enters the only one.
            2 => self.with_context_of(graph, layout, parameters, output),
            _ => Ok(output),
        }
    }

    /// What the last layer is given: the activations of the last hidden one, `[.., rows, sizes[len - 2]]`, or `x` itself
    /// (mapped, where there is a feature map) without one. Otherwise as [`Self::forward`].
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn features(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        x: ValueId,
    ) -> Result<ValueId, GraphError> {
        let hidden = self.sizes.len() - 2;
        let mut value = match &self.feature_map {
            Some(map) => map.apply_in(graph, layout, x)?,
            None => x,
        };
        for (layer, pair) in parameters.chunks_exact(2).take(hidden).enumerate() {
            value = layout.affine(graph, value, pair[0], pair[1])?;
            if layer == 0 {
                value = self.with_context_of(graph, layout, parameters, value)?;
            }
            value = self.activation.apply(graph, value)?;
        }
        Ok(value)
    }

    /// `value` plus what the context adds to the first layer.
    fn with_context_of(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        value: ValueId,
    ) -> Result<ValueId, GraphError> {
        if self.context == 0 {
            return Ok(value);
        }
        let first = 2 * (self.sizes.len() - 1);
        let mut share = graph.matmul(parameters[first + 1], parameters[first])?;
        if layout == Layout::Columns {
            share = graph.transpose_matrix(share)?;
        }
        graph.add(value, share)
    }
}
