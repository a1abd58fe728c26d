//! Inputs of a graph.

use super::{EvaluateError, OnnxForm, Operator, arity};
use crate::graph::{TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower};
use crate::reference::Tensor64;
use std::sync::Arc;

/// A value given from outside. Made by [`Graph::input`](crate::graph::Graph::input) only, which keeps the names unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub value_type: ValueType,
}

impl Operator for Input {
    fn name(&self) -> &'static str {
        "Input"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [] = arity(inputs)?;
        Ok(self.value_type.clone())
    }

    fn evaluate(&self, _: &[&Tensor64], _: &ValueType) -> Result<Tensor64, EvaluateError> {
        Err(EvaluateError::Unbound)
    }

    /// Never written as a node: inputs are the graph's `input` list.
    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("Input")
    }
}

impl Lower for Input {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::Leaf
    }
}
