//! Hyperbolic tangent.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `tanh(a)`. Gradient: `g * (1 - y * y)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tanh;

impl Operator for Tanh {
    fn name(&self) -> &'static str {
        "Tanh"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, output, cotangent, .. } = backward;
        let one = graph.scalar(1.0);
        let square = graph.square(*output)?;
        let slope = graph.sub(one, square)?;
        let gradient = graph.mul(*cotangent, slope)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, f64::tanh)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Tanh")
    }
}

impl Lower for Tanh {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Tanh)
    }
}
