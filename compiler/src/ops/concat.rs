//! Joining along an axis.

use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// Any number of inputs joined along an axis. Gradient: the slices of `g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let Some((first, rest)) = inputs.split_first() else {
            return Err(TypeError::Arity { expected: 1, found: 0 });
        };
        if self.axis >= first.rank() {
            return Err(TypeError::Axis { axis: self.axis, rank: first.rank() });
        }
        let mut joined = (*first).clone();
        for other in rest {
            if other.dtype != first.dtype {
                return Err(TypeError::MixedDTypes);
            }
            if other.rank() != first.rank() {
                return Err(TypeError::Mismatch { what: "ranks", left: first.rank(), right: other.rank() });
            }
            for axis in (0..first.rank()).filter(|axis| *axis != self.axis) {
                let (left, right) = (first.shape[axis], other.shape[axis]);
                if left != right {
                    return Err(TypeError::Mismatch { what: "lengths of an axis that is not joined", left, right });
                }
            }
            joined.shape[self.axis] += other.shape[self.axis];
        }
        Ok(joined)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut start = 0;
        let mut cotangents = Cotangents::from_elem(None, backward.inputs.len());
        for (i, &input) in backward.inputs.iter().enumerate() {
            let end = start + backward.graph.shape(input)[self.axis];
            if backward.needed[i] {
                cotangents[i] = whole(backward.graph.slice(backward.cotangent, self.axis, start, end)?);
            }
            start = end;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let outer: usize = output.shape[..self.axis].iter().product();
        let mut data = Vec::with_capacity(output.elements());
        for o in 0..outer {
            for input in inputs {
                let inner = input.data.len() / outer;
                data.extend_from_slice(&input.data[o * inner..(o + 1) * inner]);
            }
        }
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Concat").int("axis", self.axis as i64)
    }
}

impl Lower for Concat {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Concat { axis: self.axis }
    }
}
