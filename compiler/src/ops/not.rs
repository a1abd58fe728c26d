//! Logical negation.

use super::elementwise::{Takes, infer_unary, map};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, unary};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Unary;

/// True for false. No gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Not;

impl Operator for Not {
    fn name(&self) -> &'static str {
        "Not"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Bool)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| 1.0 - a)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Not")
    }
}

impl Lower for Not {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        unary(Unary::Not)
    }
}
