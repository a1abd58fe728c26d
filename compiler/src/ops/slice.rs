//! A range of an axis.

use super::{Backward, Cotangent, Cotangents, EvaluateError, OnnxForm, Operator, arity};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// The elements `start..end` along an axis. Gradient: `g` there, 0 elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// First index.
    pub start: usize,
    /// One past the last index.
    pub end: usize,
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        let Self { axis, start, end } = *self;
        let length = *a.shape.get(axis).ok_or(TypeError::Axis { axis, rank: a.rank() })?;
        if start >= end || end > length {
            return Err(TypeError::Range { start, end, length });
        }
        let mut sliced = a.clone();
        sliced.shape[axis] = end - start;
        Ok(sliced)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Self { axis, start, end } = *self;
        Ok(Cotangents::from_iter([Some(Cotangent::Part { axis, start, end, value: backward.cotangent })]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [a] = [inputs[0]];
        let outer: usize = a.shape[..self.axis].iter().product();
        let inner: usize = a.shape[self.axis + 1..].iter().product();
        let length = a.shape[self.axis];
        let mut data = Vec::with_capacity(output.elements());
        for o in 0..outer {
            data.extend_from_slice(&a.data[(o * length + self.start) * inner..(o * length + self.end) * inner]);
        }
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Slice").list(&[self.start]).list(&[self.end]).list(&[self.axis])
    }
}

impl Lower for Slice {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Slice { axis: self.axis, start: self.start }
    }
}
