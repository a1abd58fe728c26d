//! Multiplication.

use super::elementwise::{Takes, infer_binary, zip};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a * b`, element by element, numpy broadcasting. Gradient: `g * b` and `g * a`, summed to their shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mul;

impl Operator for Mul {
    fn name(&self) -> &'static str {
        "Mul"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Number)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 2);
        if backward.needs(0) {
            let product = backward.graph.mul(backward.cotangent, backward.inputs[1])?;
            cotangents[0] = backward.reduce_to_input(product, 0)?;
        }
        if backward.needs(1) {
            let product = backward.graph.mul(backward.cotangent, backward.inputs[0])?;
            cotangents[1] = backward.reduce_to_input(product, 1)?;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| a * b)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Mul")
    }
}

impl Lower for Mul {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Mul)
    }
}
