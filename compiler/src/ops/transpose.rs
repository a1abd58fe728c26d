//! Permuting axes.

use super::broadcast::{broadcast_strides, for_each_offset};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, Shape, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// Axis `i` of the output is axis `permutation[i]` of the input. Gradient: `g` permuted back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// A permutation of `0..rank`.
    pub permutation: Shape,
}

impl Transpose {
    /// Whether every axis stays where it is.
    pub fn is_identity(&self) -> bool {
        self.permutation.iter().enumerate().all(|(i, &axis)| i == axis)
    }

    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Shape {
        let mut inverse = self.permutation.clone();
        self.permutation.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
        inverse
    }
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a] = arity(inputs)?;
        let mut axes = self.permutation.clone();
        axes.sort_unstable();
        if !axes.iter().copied().eq(0..a.rank()) {
            return Err(TypeError::Axes { axes: self.permutation.to_vec() });
        }
        Ok(ValueType { dtype: a.dtype, shape: self.permutation.iter().map(|&axis| a.shape[axis]).collect() })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        Ok(Cotangents::from_iter([whole(backward.graph.transpose(backward.cotangent, &self.inverse())?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [a] = [inputs[0]];
        let strides = broadcast_strides(&a.shape, &a.shape);
        let strides: Shape = self.permutation.iter().map(|&axis| strides[axis]).collect();
        let mut data = Vec::with_capacity(a.data.len());
        for_each_offset(&output.shape, [&strides], |[i]| data.push(a.data[i]));
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Transpose").ints("perm", &self.permutation)
    }
}

impl Lower for Transpose {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Transpose(self.permutation.clone())
    }
}
