//! Logical and.

use super::elementwise::{Takes, infer_binary, zip};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// Both true, numpy broadcasting. No gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct And;

impl Operator for And {
    fn name(&self) -> &'static str {
        "And"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Bool)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| a * b)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("And")
    }
}

impl Lower for And {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::And)
    }
}
