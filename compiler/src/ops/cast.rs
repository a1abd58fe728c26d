//! Conversion of the element type.

use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{DType, GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, cast};
use crate::reference::Tensor64;

/// The value in another element type: to bool, whether it is not zero; to i64, towards zero. No gradient (from f32 to f32
/// it passes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// Element type of the output.
    pub to: DType,
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        Ok(ValueType { dtype: self.to, shape: a.shape.clone() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let passes = backward.graph.dtype(backward.inputs[0]) == DType::F32 && self.to == DType::F32;
        Ok(Cotangents::from_iter([if passes { whole(backward.cotangent) } else { None }]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let data = inputs[0].data.iter().map(|&v| match self.to {
            DType::F32 => v,
            DType::I64 => v.trunc(),
            DType::Bool => f64::from(u8::from(v != 0.0)),
        });
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data: data.collect() })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        // Numbers of TensorProto.DataType.
        let number = match self.to {
            DType::F32 => 1,
            DType::I64 => 7,
            DType::Bool => 9,
        };
        OnnxForm::plain("Cast").int("to", number)
    }
}

impl Lower for Cast {
    fn kernel(&self, inputs: &[&ValueType]) -> Kernel {
        cast(inputs[0].dtype, self.to)
    }
}
