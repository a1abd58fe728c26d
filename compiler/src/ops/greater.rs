//! Comparison: greater.

use super::elementwise::{Takes, infer_comparison, truth, zip};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a > b`, numpy broadcasting, false for NaN. No gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Greater;

impl Operator for Greater {
    fn name(&self) -> &'static str {
        "Greater"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_comparison(inputs, Takes::Number)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| truth(a > b))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Greater")
    }
}

impl Lower for Greater {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Greater)
    }
}
