//! Adding by index.

use super::elementwise::Takes;
use super::gather::{for_each_row, gathered_type};
use super::{Backward, Cotangents, EvaluateError, OnnxAttribute, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// Adds along an axis: inputs `(data, indices, updates)`; the output is `data` with `updates` added at `indices`, in order.
/// Repeated indices add up. `updates` has the shape [`Gather`](super::Gather) gives for `data` and `indices`.
///
/// Gradient: `g` to `data`, `g` gathered to `updates`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis.
    pub axis: usize,
}

impl Operator for ScatterAdd {
    fn name(&self) -> &'static str {
        "ScatterAdd"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [data, indices, updates] = arity(inputs)?;
        Takes::Float.check(0, data.dtype)?;
        let expected = gathered_type(data, indices, self.axis)?;
        if updates.dtype != data.dtype {
            return Err(TypeError::DType { input: 2, expected: "f32", found: updates.dtype });
        }
        if updates.shape != expected.shape {
            return Err(TypeError::Shape { shape: expected.shape.to_vec() });
        }
        Ok(data.clone())
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 3);
        let cotangent = backward.cotangent;
        if backward.needs(0) {
            cotangents[0] = whole(cotangent);
        }
        if backward.needs(2) {
            cotangents[2] = whole(backward.graph.gather(cotangent, backward.inputs[1], self.axis)?);
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], _: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [source, indices, updates] = [inputs[0], inputs[1], inputs[2]];
        let mut sum = source.clone();
        for_each_row(source, indices, self.axis, |row, picked| {
            sum.data[row].iter_mut().zip(&updates.data[picked]).for_each(|(to, from)| *to += from);
        })?;
        Ok(sum)
    }

    /// `ScatterElements` wants indices of the shape of the updates: the exporter reshapes them to
    /// `[1.., indices.., 1..]` and expands them first.
    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        let mut form = OnnxForm::plain("ScatterElements").int("axis", self.axis as i64);
        form.attributes.push(("reduction", OnnxAttribute::String("add")));
        form
    }
}

impl Lower for ScatterAdd {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::ScatterAdd { axis: self.axis }
    }
}
