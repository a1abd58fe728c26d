//! Natural logarithm.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// `ln(a)`: minus infinity at 0, NaN below. Gradient: `g / a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Log;

impl Operator for Log {
    fn name(&self) -> &'static str {
        "Log"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, inputs, cotangent, .. } = backward;
        let gradient = graph.div(*cotangent, inputs[0])?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, f64::ln)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Log")
    }
}

impl Lower for Log {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Log)
    }
}
