//! Selection by a condition.

use super::broadcast::{broadcast_shapes, broadcast_strides, for_each_offset};
use super::elementwise::Takes;
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Ternary;

/// `a` where the condition holds, otherwise `b`; inputs `(condition, a, b)`, numpy broadcasting.
///
/// Gradient: `g` to the one taken, 0 to the other, summed to their shapes. None through the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Where;

impl Operator for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [condition, a, b] = arity(inputs)?;
        Takes::Bool.check(0, condition.dtype)?;
        if a.dtype != b.dtype {
            return Err(TypeError::MixedDTypes);
        }
        let shape = broadcast_shapes(&broadcast_shapes(&condition.shape, &a.shape)?, &b.shape)?;
        Ok(ValueType { dtype: a.dtype, shape })
    }

    fn carries_gradient(&self, input: usize) -> bool {
        input != 0
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 3);
        let zero = backward.graph.scalar(0.0);
        let (condition, cotangent) = (backward.inputs[0], backward.cotangent);
        if backward.needs(1) {
            let gradient = backward.graph.where_(condition, cotangent, zero)?;
            cotangents[1] = backward.reduce_to_input(gradient, 1)?;
        }
        if backward.needs(2) {
            let gradient = backward.graph.where_(condition, zero, cotangent)?;
            cotangents[2] = backward.reduce_to_input(gradient, 2)?;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [condition, a, b] = [inputs[0], inputs[1], inputs[2]];
        let strides = [condition, a, b].map(|t| broadcast_strides(&t.shape, &output.shape));
        let mut data = Vec::with_capacity(output.elements());
        for_each_offset(&output.shape, strides.each_ref().map(|s| s.as_slice()), |[c, i, j]| {
            data.push(if condition.data[c] != 0.0 { a.data[i] } else { b.data[j] });
        });
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Where")
    }
}

impl Lower for Where {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Ternary(Ternary::Where)
    }
}
