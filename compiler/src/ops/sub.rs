//! Subtraction.

use super::elementwise::{Takes, infer_binary, zip};
use super::broadcast::reduce_to_shape;
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a - b`, numpy broadcasting. Gradient: `g` and `-g`, summed to their shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sub;

impl Operator for Sub {
    fn name(&self) -> &'static str {
        "Sub"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Number)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let mut cotangents = Cotangents::from_elem(None, 2);
        if backward.needs(0) {
            cotangents[0] = backward.reduce_to_input(backward.cotangent, 0)?;
        }
        if backward.needs(1) {
            // Summed first: the negation is then of the smaller shape.
            let shape = backward.graph.value_type(backward.inputs[1]).shape.clone();
            let sum = reduce_to_shape(backward.graph, backward.cotangent, &shape)?;
            cotangents[1] = whole(backward.graph.neg(sum)?);
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, |a, b| a - b)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Sub")
    }
}

impl Lower for Sub {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Sub)
    }
}
