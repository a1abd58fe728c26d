//! Sign.

use super::elementwise::{Takes, infer_unary, map};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// -1 for negative numbers, 0 for zero, 1 for positive ones. It has no gradient: wrap it in
/// [`StopGradient`](super::StopGradient) where it is meant as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sign;

impl Operator for Sign {
    fn name(&self) -> &'static str {
        "Sign"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Number)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| if a > 0.0 { 1.0 } else if a < 0.0 { -1.0 } else { a * 0.0 })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Sign")
    }
}

impl Lower for Sign {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Sign)
    }
}
