//! Mean over axes.

use super::reduction::{self, keep_axes};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Reduce;

/// The mean over axes. Gradient: `g / n` broadcast to the input's shape, `n` the number of elements averaged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReduceMean {
    /// The axes, rising.
    pub axes: Shape,
    /// Whether they stay, with length one.
    pub keep_dims: bool,
}

impl Operator for ReduceMean {
    fn name(&self) -> &'static str {
        "ReduceMean"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        reduction::infer(inputs, &self.axes, self.keep_dims)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let count: usize = self.axes.iter().map(|&axis| backward.graph.shape(backward.inputs[0])[axis]).product();
        // Divided before it is broadcast, while it is small; divided, because 1 / n is rarely exact.
        let count = backward.graph.scalar(count as f32);
        let cotangent = backward.graph.div(backward.cotangent, count)?;
        let cotangent = keep_axes(backward, cotangent, &self.axes)?;
        let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
        Ok(Cotangents::from_iter([whole(backward.graph.expand(cotangent, &shape)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let mut mean = reduction::evaluate(inputs[0], output, &self.axes, 0.0, |sum, v| sum + v);
        let count = (inputs[0].data.len() / mean.data.len()) as f64;
        mean.data.iter_mut().for_each(|v| *v /= count);
        Ok(mean)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("ReduceMean").int("keepdims", self.keep_dims.into()).list(&self.axes)
    }
}

impl Lower for ReduceMean {
    fn kernel(&self, inputs: &[&ValueType]) -> Kernel {
        let count: usize = self.axes.iter().map(|&axis| inputs[0].shape[axis]).product();
        Kernel::Reduce { function: Reduce::Sum, axes: self.axes.clone(), scale: 1.0 / count as f32, accumulate: false }
    }
}
