//! A value whose gradient is not wanted.

use super::elementwise::{Takes, infer_unary, map};
use super::{EvaluateError, OnnxForm, Operator};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The value itself; to gradients it is a constant. After differentiation it is [`Identity`](super::Identity).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StopGradient;

impl Operator for StopGradient {
    fn name(&self) -> &'static str {
        "StopGradient"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_unary(inputs, Takes::Any)
    }

    fn carries_gradient(&self, _: usize) -> bool {
        false
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| a)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Identity")
    }
}

impl Lower for StopGradient {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Alias
    }
}
