//! Clamping to constant bounds.

use super::elementwise::{Takes, infer_unary, map};
use super::{Backward, Cotangents, EvaluateError, OnnxForm, Operator, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use core::hash::{Hash, Hasher};
use pliant_runtime::image::record::Unary;

/// `min(max(a, lo), hi)`. Gradient: `g` inside and at the bounds, 0 outside.
///
/// Bounds are ordered and not NaN; they may be infinite.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
}

impl Operator for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        if self.lo <= self.hi { infer_unary(inputs, Takes::Float) } else { Err(TypeError::Bounds) }
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let Backward { graph, inputs, output, cotangent, .. } = backward;
        // Unchanged means inside: one comparison instead of two and an `or`.
        let inside = graph.equal(inputs[0], *output)?;
        let zero = graph.scalar(0.0);
        Ok(Cotangents::from_iter([whole(graph.where_(inside, *cotangent, zero)?)]))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        map(inputs, output, |a| a.clamp(self.lo.into(), self.hi.into()))
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Clip").scalar(self.lo).scalar(self.hi)
    }
}

impl PartialEq for Clip {
    fn eq(&self, other: &Self) -> bool {
        self.lo.to_bits() == other.lo.to_bits() && self.hi.to_bits() == other.hi.to_bits()
    }
}

impl Eq for Clip {}

impl Hash for Clip {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lo.to_bits().hash(state);
        self.hi.to_bits().hash(state);
    }
}

impl Lower for Clip {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Unary(Unary::Clip, [self.lo, self.hi])
    }
}
