//! Smooth rectifier.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `ln(1 + e^a)`, as `max(a, 0) + ln(1 + e^-|a|)`. Gradient: `g * sigmoid(a)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softplus;

impl Operator for Softplus {
    fn name(&self) -> &'static str {
        "Softplus"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, inputs, cotangent, .. } = backward;
        let slope = graph.sigmoid(inputs[0])?;
        let gradient = graph.mul(*cotangent, slope)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a: f64| a.max(0.0) + (-a.abs()).exp().ln_1p())
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Softplus")
    }
}

impl Lower for Softplus {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Softplus)
    }
}
