//! Absolute value.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `|a|`. Gradient: `g * sign(a)`, 0 at 0; the sign counts as constant in every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abs;

impl Operator for Abs {
    fn name(&self) -> &'static str {
        "Abs"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Number)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, inputs, cotangent, .. } = backward;
        let sign = graph.sign(inputs[0])?;
        let sign = graph.stop_gradient(sign)?;
        let gradient = graph.mul(*cotangent, sign)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, f64::abs)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Abs")
    }
}

impl Lower for Abs {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Abs)
    }
}
