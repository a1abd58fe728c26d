//! Instances in rows or in columns.

use crate::graph::{Graph, GraphError, ValueId};

/// How a batch of instances lies in a tensor.
///
/// By rows, matrix products vectorise over the units of a layer: right for one observation and for a batch a task. By
/// columns, everything vectorises over the instances, also what is elementwise before and after the network: right for
/// simulating many instances side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[.., instances, elements]`.
    Rows,
    /// `[elements, instances]`.
    Columns,
}

impl Layout {
    /// `x W + b` of every instance, for a weight `[inputs, outputs]` and a bias `[outputs]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn affine(self, graph: &mut Graph, x: ValueId, weight: ValueId, bias: ValueId) -> Result<ValueId, GraphError> {
        match self {
            Self::Rows => {
                let product = graph.matmul(x, weight)?;
                graph.add(product, bias)
            }
            Self::Columns => {
                let weight = graph.transpose_matrix(weight)?;
                let product = graph.matmul(weight, x)?;
                let bias = graph.unsqueeze(bias, &[1])?;
                graph.add(product, bias)
            }
        }
    }

    /// The axis along which the elements of one instance lie in `value`.
    pub fn elements_axis(self, graph: &Graph, value: ValueId) -> usize {
        match self {
            Self::Rows => graph.shape(value).len().saturating_sub(1),
            Self::Columns => 0,
        }
    }
}
