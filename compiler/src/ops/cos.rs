//! Cosine.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `cos(a)`, `a` in radians. Gradient: `-g * sin(a)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cos;

impl Operator for Cos {
    fn name(&self) -> &'static str {
        "Cos"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, inputs, cotangent, .. } = backward;
        let sin = graph.sin(inputs[0])?;
        let product = graph.mul(*cotangent, sin)?;
        let gradient = graph.neg(product)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, f64::cos)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Cos")
    }
}

impl Lower for Cos {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Cos)
    }
}
