//! Sum over axes.

use super::reduction::{self, keep_axes};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Reduce;

/// The sum over axes, in index order. Gradient: `g` broadcast to the input's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReduceSum {
    /// The axes, rising.
    pub axes: Shape,
    /// Whether they stay, with length one.
    pub keep_dims: bool,
}

impl Operator for ReduceSum {
    fn name(&self) -> &'static str {
        "ReduceSum"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        reduction::infer(inputs, &self.axes, self.keep_dims)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let cotangent = keep_axes(backward, backward.cotangent, &self.axes)?;
        let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
        Ok(Cotangents::from_iter([whole(backward.graph.expand(cotangent, &shape)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        Ok(reduction::evaluate(inputs[0], output, &self.axes, 0.0, |sum, v| sum + v))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("ReduceSum").int("keepdims", self.keep_dims.into()).list(&self.axes)
    }
}

impl Lower for ReduceSum {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Reduce { function: Reduce::Sum, axes: self.axes.clone(), scale: 1.0, accumulate: false }
    }
}
