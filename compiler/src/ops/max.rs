//! The larger of two values.

use super::elementwise::{Takes, infer_binary, zip};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// The larger of `a` and `b`, numpy broadcasting; NaN if either is. Gradient: `g` to the one taken, to `a` at a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Max;

impl Operator for Max {
    fn name(&self) -> &'static str {
        "Max"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 2);
        let second = backward.graph.less(backward.inputs[0], backward.inputs[1])?;
        let zero = backward.graph.scalar(0.0);
        if backward.needs(0) {
            let gradient = backward.graph.where_(second, zero, backward.cotangent)?;
            cotangents[0] = backward.reduce_to_input(gradient, 0)?;
        }
        if backward.needs(1) {
            let gradient = backward.graph.where_(second, backward.cotangent, zero)?;
            cotangents[1] = backward.reduce_to_input(gradient, 1)?;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Max")
    }
}

impl Lower for Max {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Max)
    }
}
