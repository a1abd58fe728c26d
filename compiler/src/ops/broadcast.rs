//! Numpy broadcasting: shapes align at their last axes; an axis of length one stretches.

use crate::graph::{Graph, GraphError, Shape, TypeError, ValueId};
use crate::reference::Tensor64;

/// The shape two shapes broadcast to.
///
/// ```
/// use pliant_compiler::ops::broadcast::broadcast_shapes;
/// assert_eq!(broadcast_shapes(&[4, 1, 3], &[2, 1]).unwrap().as_slice(), [4, 2, 3]);
/// assert!(broadcast_shapes(&[4], &[3]).is_err());
/// ```
///
/// # Errors
/// [`TypeError::Broadcast`].
pub fn broadcast_shapes(a: &[usize], b: &[usize]) -> Result<Shape, TypeError> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|i| {
            let axis = |shape: &[usize]| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
            match (axis(a), axis(b)) {
                (a, b) if a == b => Ok(a),
                (1, b) => Ok(b),
                (a, 1) => Ok(a),
                _ => Err(TypeError::Broadcast),
            }
        })
        .collect()
}

/// Sums `value` to `shape`, which broadcasts to the shape of `value`: the transpose of broadcasting, and so the gradient of
/// it. One `ReduceSum`, and a `Reshape` where both new leading axes and stretched ones are summed.
///
/// # Errors
/// Never when `shape` broadcasts to the shape of `value`.
pub fn reduce_to_shape(graph: &mut Graph, value: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
    let from = graph.value_type(value).shape.clone();
    if from.as_slice() == shape {
        return Ok(value);
    }
    let leading = from.len() - shape.len();
    let stretched: Shape = (0..shape.len())
        .filter(|&i| shape[i] == 1 && from[leading + i] != 1)
        .collect();
    if leading == 0 {
        return graph.reduce_sum(value, &stretched, true);
    }
    let axes: Shape = (0..leading).chain(stretched.into_iter().map(|i| leading + i)).collect();
    let summed = graph.reduce_sum(value, &axes, false)?;
    graph.reshape(summed, shape)
}

/// Row-major strides of `shape` as seen from `target`, which it broadcasts to: zero along stretched axes.
pub(crate) fn broadcast_strides(shape: &[usize], target: &[usize]) -> Shape {
    let mut strides: Shape = smallvec::smallvec![0; target.len()];
    let leading = target.len() - shape.len();
    let mut stride = 1;
    for i in (0..shape.len()).rev() {
        if shape[i] != 1 {
            strides[leading + i] = stride;
        }
        stride *= shape[i];
    }
    strides
}

/// Calls `visit` with the element offsets of `N` operands for every element of `shape`, row-major.
pub(crate) fn for_each_offset<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut visit: impl FnMut([usize; N]),
) {
    let mut index: Shape = smallvec::smallvec![0; shape.len()];
    let mut offsets = [0; N];
    for _ in 0..shape.iter().product::<usize>() {
        visit(offsets);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            for n in 0..N {
                offsets[n] += strides[n][axis];
            }
            if index[axis] < shape[axis] {
                break;
            }
            for n in 0..N {
                offsets[n] -= strides[n][axis] * shape[axis];
            }
            index[axis] = 0;
        }
    }
}

/// The elements of `tensor` broadcast to `shape`.
pub(crate) fn expand_data(tensor: &Tensor64, shape: &[usize]) -> Vec<f64> {
    let strides = broadcast_strides(&tensor.shape, shape);
    let mut data = Vec::with_capacity(shape.iter().product());
    for_each_offset(shape, [&strides], |[i]| data.push(tensor.data[i]));
    data
}
