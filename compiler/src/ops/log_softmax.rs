//! Logarithm of softmax.

use super::elementwise::{Takes, infer_unary};
use super::softmax::for_each_line;
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// `a - ln(sum(e^a))` along an axis, shifted by the largest. Gradient: `g - e^y * sum(g)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogSoftmax {
    /// The axis.
    pub axis: usize,
}

impl Operator for LogSoftmax {
    fn name(&self) -> &'static str {
        "LogSoftmax"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let a = infer_unary(inputs, Takes::Float)?;
        if self.axis < a.rank() { Ok(a) } else { Err(TypeError::Axis { axis: self.axis, rank: a.rank() }) }
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, output, cotangent, .. } = backward;
        let sum = graph.reduce_sum(*cotangent, &[self.axis], true)?;
        let probability = graph.exp(*output)?;
        let product = graph.mul(probability, sum)?;
        let gradient = graph.sub(*cotangent, product)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], _: &ValueType) -> Result<Tensor64, EvaluateError> {
        let mut result = inputs[0].clone();
        for_each_line(&mut result, self.axis, |line| {
            let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = line.iter().map(|v| (v - largest).exp()).sum();
            let shift = largest + sum.ln();
            line.iter_mut().for_each(|v| *v -= shift);
        });
        Ok(result)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("LogSoftmax").int("axis", self.axis as i64)
    }
}

impl Lower for LogSoftmax {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Softmax { axis: self.axis, logarithm: true }
    }
}
