//! Inserting axes of length one.

use super::reduction::check_axes;
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The input with axes of length one at these positions of the output. Gradient: `g` in the input's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsqueeze {
    /// The axes, rising.
    pub axes: Shape,
}

impl Operator for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        let rank = a.rank() + self.axes.len();
        check_axes(&self.axes, rank)?;
        let mut lengths = a.shape.iter().copied();
        let axis = |i| if self.axes.contains(&i) { 1 } else { lengths.next().expect("as many as are not inserted") };
        Ok(ValueType { dtype: a.dtype, shape: (0..rank).map(axis).collect() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
        Ok(Cotangents::from_iter([whole(backward.graph.reshape(backward.cotangent, &shape)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data: inputs[0].data.clone() })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Unsqueeze").list(&self.axes)
    }
}

impl Lower for Unsqueeze {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Alias
    }
}
