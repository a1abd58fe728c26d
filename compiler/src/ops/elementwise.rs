//! What the elementwise operators share: type rules and reference loops.

use super::broadcast::{broadcast_shapes, broadcast_strides, for_each_offset};
use super::{EvaluateError, arity};
use crate::graph::{DType, TypeError, ValueType};
use crate::reference::Tensor64;

/// Element types an operator takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Single precision.
    Float,
    /// Single precision or integers.
    Number,
    /// Truth values.
    Bool,
    /// Anything.
    Any,
}

impl Takes {
    pub(super) fn check(self, input: usize, found: DType) -> Result<(), TypeError> {
        let (fits, expected) = match self {
            Self::Float => (found == DType::F32, "f32"),
            Self::Number => (found != DType::Bool, "f32 or i64"),
            Self::Bool => (found == DType::Bool, "bool"),
            Self::Any => (true, "anything"),
        };
        if fits {
            Ok(())
        } else {
            Err(TypeError::DType { input, expected, found })
        }
    }
}

/// One input of type `takes`; the output has the same type.
pub(super) fn infer_unary(inputs: &[&ValueType], takes: Takes) -> Result<ValueType, TypeError> {
    let [a] = arity(inputs)?;
    takes.check(0, a.dtype)?;
    Ok(a.clone())
}

/// Two inputs of one type in `takes`, broadcast; the output has the same element type.
pub(super) fn infer_binary(inputs: &[&ValueType], takes: Takes) -> Result<ValueType, TypeError> {
    let [a, b] = arity(inputs)?;
    takes.check(0, a.dtype)?;
    takes.check(1, b.dtype)?;
    if a.dtype != b.dtype {
        return Err(TypeError::MixedDTypes);
    }
    Ok(ValueType {
        dtype: a.dtype,
        shape: broadcast_shapes(&a.shape, &b.shape)?,
    })
}

/// As [`infer_binary`], with a truth value for an output.
pub(super) fn infer_comparison(inputs: &[&ValueType], takes: Takes) -> Result<ValueType, TypeError> {
    Ok(ValueType {
        dtype: DType::Bool,
        ..infer_binary(inputs, takes)?
    })
}

/// Applies `f` to every element.
pub(super) fn map(inputs: &[&Tensor64], output: &ValueType, f: impl Fn(f64) -> f64) -> Result<Tensor64, EvaluateError> {
    let data = inputs[0].data.iter().map(|v| f(*v)).collect();
    Ok(Tensor64 {
        dtype: output.dtype,
        shape: output.shape.clone(),
        data,
    })
}

/// Applies `f` to every pair of elements, broadcast.
pub(super) fn zip(
    inputs: &[&Tensor64],
    output: &ValueType,
    f: impl Fn(f64, f64) -> f64,
) -> Result<Tensor64, EvaluateError> {
    let [a, b] = [inputs[0], inputs[1]];
    let strides = [a, b].map(|t| broadcast_strides(&t.shape, &output.shape));
    let mut data = Vec::with_capacity(output.elements());
    for_each_offset(&output.shape, [&strides[0], &strides[1]], |[i, j]| {
        data.push(f(a.data[i], b.data[j]))
    });
    Ok(Tensor64 {
        dtype: output.dtype,
        shape: output.shape.clone(),
        data,
    })
}

/// One for true, zero for false.
pub(super) fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
