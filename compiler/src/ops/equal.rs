//! Comparison: equal.

use super::elementwise::{Takes, infer_comparison, truth, zip};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a == b`, numpy broadcasting, false for NaN. No gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Equal;

impl Operator for Equal {
    fn name(&self) -> &'static str {
        "Equal"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_comparison(inputs, Takes::Any)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| truth(a == b))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Equal")
    }
}

impl Lower for Equal {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Equal)
    }
}
