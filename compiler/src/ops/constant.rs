//! Constants.

use super::{EvaluateError, OnnxForm, Operator, arity};
use crate::graph::{Tensor, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;

/// A tensor known when the graph is built. Its gradient cannot be asked for: folding may have merged it into its users.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// The tensor.
    pub tensor: Tensor,
}

impl Operator for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [] = arity(inputs)?;
        Ok(self.tensor.value_type())
    }

    fn evaluate(&self, _: &[&Tensor64], _: &ValueType) -> Result<Tensor64, EvaluateError> {
        Ok(Tensor64::from_tensor(&self.tensor))
    }

    /// Never written as a node: constants are the graph's `initializer` list.
    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Constant")
    }
}

impl Lower for Constant {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Leaf
    }
}
