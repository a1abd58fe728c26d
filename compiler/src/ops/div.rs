//! Division.

use super::elementwise::{Takes, infer_binary, zip};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a / b`, numpy broadcasting, single precision only. Gradient: `g / b` and `-(g / b) * y`, summed to their shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Div;

impl Operator for Div {
    fn name(&self) -> &'static str {
        "Div"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 2);
        let quotient = backward.graph.div(backward.cotangent, backward.inputs[1])?;
        if backward.needs(0) {
            cotangents[0] = backward.reduce_to_input(quotient, 0)?;
        }
        if backward.needs(1) {
            let product = backward.graph.mul(quotient, backward.output)?;
            let product = backward.graph.neg(product)?;
            cotangents[1] = backward.reduce_to_input(product, 1)?;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| a / b)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Div")
    }
}

impl Lower for Div {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Div)
    }
}
