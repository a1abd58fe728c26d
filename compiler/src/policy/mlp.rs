//! The multilayer perceptron.

use super::{Layout, Parameter};
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

/// Fully connected layers, `y = activation(x W + b)`, the last one without an activation.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mlp {
    /// Inputs, hidden layers, outputs: at least two.
    pub sizes: Vec<usize>,
    /// After every hidden layer.
    pub activation: Activation,
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
        }
    }

    /// Elements of an input.
    pub fn observations(&self) -> usize {
        self.sizes[0]
    }

    /// Elements of an output.
    pub fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    /// Weight `[inputs, outputs]` and bias `[outputs]` of each layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.sizes
            .windows(2)
            .enumerate()
            .flat_map(|(layer, sizes)| {
                [
                    Parameter::new(format!("layer{layer}.weight"), sizes),
                    Parameter::new(format!("layer{layer}.bias"), &sizes[1..]),
                ]
            })
            .collect()
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
        let layers = self.sizes.len() - 1;
        let mut value = x;
        for (layer, pair) in parameters.chunks_exact(2).take(layers).enumerate() {
            value = layout.affine(graph, value, pair[0], pair[1])?;
            if layer + 1 < layers {
                value = self.activation.apply(graph, value)?;
            }
        }
        Ok(value)
    }
}
