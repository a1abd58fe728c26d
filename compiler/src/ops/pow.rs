//! Power.

use super::elementwise::{Takes, infer_binary, zip};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator};
use crate::graph::{GraphError, Tensor, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use pliant_runtime::image::record::Binary;

/// `a^b`, numpy broadcasting; NaN for negative `a` with fractional `b`.
///
/// Gradient to `a`: `g * b * a^(b-1)`, and 0 where `b` is 0 (even at `a = 0`). To `b`: `g * y * ln(a)`, and 0 where `a` is
/// 0, the limit for positive `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pow;

impl Operator for Pow {
    fn name(&self) -> &'static str {
        "Pow"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        infer_binary(inputs, Takes::Float)
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let (base, exponent) = (backward.inputs[0], backward.inputs[1]);
        let mut cotangents = Cotangents::from_elem(None, 2);
        if backward.needs(0) {
            let graph = &mut *backward.graph;
            let constant = graph.as_constant(exponent).and_then(Tensor::uniform);
            let slope = if constant == Some(2.0) {
                graph.scale(base, 2.0)?
            } else {
                let one = graph.scalar(1.0);
                let less = graph.sub(exponent, one)?;
                let power = graph.pow(base, less)?;
                let slope = graph.mul(exponent, power)?;
                match constant {
                    Some(constant) if constant != 0.0 => slope,
                    _ => {
                        // 0 * 0^-1 is NaN, but a constant has slope 0.
                        let zero = graph.scalar(0.0);
                        let flat = graph.equal(exponent, zero)?;
                        graph.where_(flat, zero, slope)?
                    }
                }
            };
            let product = graph.mul(backward.cotangent, slope)?;
            cotangents[0] = backward.reduce_to_input(product, 0)?;
        }
        if backward.needs(1) {
            let graph = &mut *backward.graph;
            let (zero, one) = (graph.scalar(0.0), graph.scalar(1.0));
            let is_zero = graph.equal(base, zero)?;
            // The logarithm of 1 instead of 0: what is not selected must be finite too, or its gradient would be NaN.
            let safe = graph.where_(is_zero, one, base)?;
            let log = graph.log(safe)?;
            let slope = graph.mul(backward.output, log)?;
            let product = graph.mul(backward.cotangent, slope)?;
            cotangents[1] = backward.reduce_to_input(product, 1)?;
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        zip(inputs, output, f64::powf)
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Pow")
    }
}

impl Lower for Pow {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Binary(Binary::Pow)
    }
}
