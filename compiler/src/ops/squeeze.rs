//! Removing axes of length one.

use super::reduction::check_axes;
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The input without these axes, all of length one. Gradient: `g` in the input's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Squeeze {
    /// The axes, rising.
    pub axes: Shape,
}

impl Operator for Squeeze {
    fn name(&self) -> &'static str {
        "Squeeze"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        check_axes(&self.axes, a.rank())?;
        if let Some(&axis) = self.axes.iter().find(|axis| a.shape[**axis] != 1) {
            return Err(TypeError::Mismatch { what: "squeezed length and one", left: a.shape[axis], right: 1 });
        }
        let kept = a.shape.iter().enumerate().filter(|(i, _)| !self.axes.contains(i));
        Ok(ValueType { dtype: a.dtype, shape: kept.map(|(_, &length)| length).collect() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
        Ok(Cotangents::from_iter([whole(backward.graph.reshape(backward.cotangent, &shape)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data: inputs[0].data.clone() })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Squeeze").list(&self.axes)
    }
}

impl Lower for Squeeze {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Alias
    }
}
