//! Largest over axes.

use super::reduction::{self, keep_axes};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Reduce;

/// The largest element over axes; NaN if one is. Gradient: `g` shared equally by the elements that equal the largest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReduceMax {
    /// The axes, rising.
    pub axes: Shape,
    /// Whether they stay, with length one.
    pub keep_dims: bool,
}

impl Operator for ReduceMax {
    fn name(&self) -> &'static str {
        "ReduceMax"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        reduction::infer(inputs, &self.axes, self.keep_dims)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let (cotangent, output) = (backward.cotangent, backward.output);
        let largest = keep_axes(backward, output, &self.axes)?;
        let cotangent = keep_axes(backward, cotangent, &self.axes)?;
        let graph = &mut *backward.graph;
        let (zero, one) = (graph.scalar(0.0), graph.scalar(1.0));
        let winner = graph.equal(backward.inputs[0], largest)?;
        let mask = graph.where_(winner, one, zero)?;
        let winners = graph.reduce_sum(mask, &self.axes, true)?;
        let share = graph.div(cotangent, winners)?;
        Ok(Cotangents::from_iter([whole(graph.where_(winner, share, zero)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let largest = |max: f64, v: f64| if max.is_nan() || v.is_nan() { f64::NAN } else { max.max(v) };
        Ok(reduction::evaluate(inputs[0], output, &self.axes, f64::NEG_INFINITY, largest))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("ReduceMax").int("keepdims", self.keep_dims.into()).list(&self.axes)
    }
}

impl Lower for ReduceMax {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Reduce { function: Reduce::Max, axes: self.axes.clone(), scale: 1.0, accumulate: false }
    }
}
