//! What the reductions share: type rule, reference loop, and bringing a cotangent back to the unreduced shape.

use super::broadcast::{broadcast_strides, for_each_offset};
use super::elementwise::Takes;
use super::{Backward, arity};
use crate::graph::{GraphError, Shape, TypeError, ValueId, ValueType};
use crate::reference::Tensor64;

/// Rejects axes that do not exist, repeat, or are out of order (attributes are canonical).
pub(super) fn check_axes(axes: &[usize], rank: usize) -> Result<(), TypeError> {
    if let Some(&axis) = axes.iter().find(|axis| **axis >= rank) {
        return Err(TypeError::Axis { axis, rank });
    }
    if axes.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(TypeError::Axes { axes: axes.to_vec() })
    }
}

/// `shape` with `axes` of length one.
pub(super) fn kept_shape(shape: &[usize], axes: &[usize]) -> Shape {
    shape
        .iter()
        .enumerate()
        .map(|(i, &length)| if axes.contains(&i) { 1 } else { length })
        .collect()
}

pub(super) fn infer(inputs: &[&ValueType], axes: &[usize], keep_dims: bool) -> Result<ValueType, TypeError> {
    let [a] = arity(inputs)?;
    Takes::Float.check(0, a.dtype)?;
    check_axes(axes, a.rank())?;
    let shape = if keep_dims {
        kept_shape(&a.shape, axes)
    } else {
        a.shape
            .iter()
            .enumerate()
            .filter(|(i, _)| !axes.contains(i))
            .map(|(_, &length)| length)
            .collect()
    };
    Ok(ValueType { dtype: a.dtype, shape })
}

/// Folds the elements over `axes` in index order.
pub(super) fn evaluate(
    input: &Tensor64,
    output: &ValueType,
    axes: &[usize],
    start: f64,
    fold: impl Fn(f64, f64) -> f64,
) -> Tensor64 {
    let strides = broadcast_strides(&kept_shape(&input.shape, axes), &input.shape);
    let mut data = vec![start; output.elements()];
    let mut i = 0;
    for_each_offset(&input.shape, [&strides], |[o]| {
        data[o] = fold(data[o], input.data[i]);
        i += 1;
    });
    Tensor64 {
        dtype: output.dtype,
        shape: output.shape.clone(),
        data,
    }
}

/// A value of the reduced shape, with the reduced axes back at length one: it broadcasts against the input.
pub(super) fn keep_axes(backward: &mut Backward<'_>, value: ValueId, axes: &[usize]) -> Result<ValueId, GraphError> {
    let kept = kept_shape(backward.graph.shape(backward.inputs[0]), axes);
    backward.graph.reshape(value, &kept)
}
