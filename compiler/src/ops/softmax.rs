//! Softmax.

use super::elementwise::{Takes, infer_unary};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// `e^a / sum(e^a)` along an axis, shifted by the largest. Gradient: `y * (g - sum(g * y))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// The axis.
    pub axis: usize,
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "Softmax"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let a = infer_unary(inputs, Takes::Float)?;
        if self.axis < a.rank() { Ok(a) } else { Err(TypeError::Axis { axis: self.axis, rank: a.rank() }) }
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, output, cotangent, .. } = backward;
        let product = graph.mul(*cotangent, *output)?;
        let sum = graph.reduce_sum(product, &[self.axis], true)?;
        let centred = graph.sub(*cotangent, sum)?;
        let gradient = graph.mul(*output, centred)?;
        Ok(Cotangents::from_iter([whole(gradient)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], _: &ValueType) -> Result<Tensor64, EvaluateError> {
        let mut result = inputs[0].clone();
        for_each_line(&mut result, self.axis, |line| {
            let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            line.iter_mut().for_each(|v| *v = (*v - largest).exp());
            let sum: f64 = line.iter().sum();
            line.iter_mut().for_each(|v| *v /= sum);
        });
        Ok(result)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Softmax").int("axis", self.axis as i64)
    }
}

/// Lends every line along `axis` to `change`.
pub(super) fn for_each_line(tensor: &mut Tensor64, axis: usize, mut change: impl FnMut(&mut [f64])) {
    let length = tensor.shape[axis];
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let mut line = vec![0.0; length];
    for block in tensor.data.chunks_exact_mut(length * inner) {
        for i in 0..inner {
            (0..length).for_each(|j| line[j] = block[j * inner + i]);
            change(&mut line);
            (0..length).for_each(|j| block[j * inner + i] = line[j]);
        }
    }
}

impl Lower for Softmax {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Softmax { axis: self.axis, logarithm: false }
    }
}
