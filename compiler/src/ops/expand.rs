//! Broadcasting to a shape.

use super::broadcast::{broadcast_shapes, expand_data};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The input broadcast to a shape. Gradient: `g` summed to the input's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expand {
    /// Shape of the output.
    pub shape: Shape,
}

impl Operator for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        if broadcast_shapes(&a.shape, &self.shape)? != self.shape {
            return Err(TypeError::Shape { shape: self.shape.to_vec() });
        }
        Ok(ValueType { dtype: a.dtype, shape: self.shape.clone() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        Ok(Cotangents::from_iter([backward.reduce_to_input(backward.cotangent, 0)?]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let data = expand_data(inputs[0], &output.shape);
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], output: &ValueType) -> OnnxForm {
        OnnxForm::plain("Expand").list(&output.shape)
    }
}

impl Lower for Expand {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Broadcast
    }
}
