//! Picking by index.

use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{DType, GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// Picks along an axis: inputs `(data, indices)`, indices i64 of any rank, each in `0..length`. The axes of `indices` take
/// the place of the axis.
///
/// Gradient: `g` added up at the indices ([`ScatterAdd`](super::ScatterAdd)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [data, indices] = arity(inputs)?;
        gathered_type(data, indices, self.axis)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 2);
        if backward.needs(0) {
            let shape = backward.graph.value_type(backward.inputs[0]).shape.clone();
            let zeros = backward.graph.full(&shape, 0.0)?;
            let (indices, cotangent) = (backward.inputs[1], backward.cotangent);
            cotangents[0] = whole(backward.graph.scatter_add(zeros, indices, cotangent, self.axis)?);
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [source, indices] = [inputs[0], inputs[1]];
        let mut data = vec![0.0; output.elements()];
        for_each_row(source, indices, self.axis, |row, picked| data[picked].copy_from_slice(&source.data[row]))?;
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Gather").int("axis", self.axis as i64)
    }
}

/// Type of what is picked from `data` along `axis` by `indices`.
pub(super) fn gathered_type(data: &ValueType, indices: &ValueType, axis: usize) -> Result<ValueType, TypeError> {
    if indices.dtype != DType::I64 {
        return Err(TypeError::DType { input: 1, expected: "i64", found: indices.dtype });
    }
    if axis >= data.rank() {
        return Err(TypeError::Axis { axis, rank: data.rank() });
    }
    let shape: Shape = data.shape[..axis].iter().chain(&indices.shape).chain(&data.shape[axis + 1..]).copied().collect();
    Ok(ValueType { dtype: data.dtype, shape })
}

/// Calls `visit` with the element ranges of every row of `data` that is picked and of its place among the picked, in the
/// order of the picked.
pub(super) fn for_each_row(
    data: &Tensor64,
    indices: &Tensor64,
    axis: usize,
    mut visit: impl FnMut(core::ops::Range<usize>, core::ops::Range<usize>),
) -> Result<(), EvaluateError> {
    let outer: usize = data.shape[..axis].iter().product();
    let inner: usize = data.shape[axis + 1..].iter().product();
    let (length, count) = (data.shape[axis], indices.data.len());
    for o in 0..outer {
        for (j, &index) in indices.data.iter().enumerate() {
            if index < 0.0 || index >= length as f64 {
                return Err(EvaluateError::IndexOutOfRange { index: index as i64, length });
            }
            let (row, picked) = ((o * length + index as usize) * inner, (o * count + j) * inner);
            visit(row..row + inner, picked..picked + inner);
        }
    }
    Ok(())
}

impl Lower for Gather {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Gather { axis: self.axis }
    }
}
