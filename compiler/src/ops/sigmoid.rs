//! Logistic function.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `1 / (1 + e^-a)`. Gradient: `g * (y * (1 - y))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sigmoid;

impl Operator for Sigmoid {
    fn name(&self) -> &'static str {
        "Sigmoid"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, output, cotangent, .. } = backward;
        let one = graph.scalar(1.0);
        let rest = graph.sub(one, *output)?;
        let slope = graph.mul(*output, rest)?;
        let gradient = graph.mul(*cotangent, slope)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| 1.0 / (1.0 + (-a).exp()))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Sigmoid")
    }
}

impl Lower for Sigmoid {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Sigmoid)
    }
}
