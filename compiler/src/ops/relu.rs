//! Rectifier.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `max(a, 0)`. Gradient: `g` where `y > 0`, otherwise 0 (so 0 at 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Relu;

impl Operator for Relu {
    fn name(&self) -> &'static str {
        "Relu"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, output, cotangent, .. } = backward;
        let zero = graph.scalar(0.0);
        let active = graph.greater(*output, zero)?;
        let gradient = graph.where_(active, *cotangent, zero)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| if a.is_nan() { a } else { a.max(0.0) })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Relu")
    }
}

impl Lower for Relu {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Relu)
    }
}
