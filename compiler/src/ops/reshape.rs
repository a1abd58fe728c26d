//! The same elements in another shape.

use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The same elements, row-major, in another shape. Gradient: `g` in the input's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// Shape of the output.
    pub shape: Shape,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        if a.elements() != self.shape.iter().product::<usize>() {
            return Err(TypeError::Shape { shape: self.shape.to_vec() });
        }
        Ok(ValueType { dtype: a.dtype, shape: self.shape.clone() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
        Ok(Cotangents::from_iter([whole(backward.graph.reshape(backward.cotangent, &shape)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data: inputs[0].data.clone() })
    }

    fn onnx(&self, _: &[&ValueType], output: &ValueType) -> OnnxForm {
        OnnxForm::plain("Reshape").list(&output.shape)
    }
}

impl Lower for Reshape {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Alias
    }
}
