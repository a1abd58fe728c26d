//! The clip on a gradient's norm (Pascanu et al. 2013).

use crate::graph::{Graph, GraphError, ValueId};

/// Least sum of squares that a gradient's norm is taken of; far below any that matters, far above what underflows.
const LEAST_SQUARES: f32 = 1e-30;

/// Elements whose squares are summed by one record of the `apply` plan.
const SQUARES_AT_A_TIME: usize = 8192;

/// The sum of the squares of a vector of this many elements, `[1]`: as products of a row and a column, with no scratch, and
/// each short enough for a slice of `adapt_some`.
pub(super) fn sum_of_squares(graph: &mut Graph, vector: ValueId, elements: usize) -> Result<ValueId, GraphError> {
    let mut squares = graph.full(&[1], 0.0)?;
    for start in (0..elements).step_by(SQUARES_AT_A_TIME) {
        let end = elements.min(start + SQUARES_AT_A_TIME);
        let part = graph.slice(vector, 0, start, end)?;
        let row = graph.reshape(part, &[1, end - start])?;
        let column = graph.reshape(part, &[end - start, 1])?;
        let sum = graph.matmul(row, column)?;
        let sum = graph.reshape(sum, &[1])?;
        squares = graph.add(squares, sum)?;
    }
    Ok(squares)
}

/// What a gradient is multiplied by so that its mean over rows is no longer than `clip`, from the squares of its sums over
/// rows: `min(1, clip weight / norm)`.
///
/// Infinite squares (of finite gradients) give 0, so that no step is taken; no squares give 1.
pub(super) fn clip_share(
    graph: &mut Graph,
    squares: ValueId,
    weight: ValueId,
    clip: f32,
) -> Result<ValueId, GraphError> {
    // Also keeps the derivative of the root finite where the gradient vanishes.
    let least = graph.scalar(LEAST_SQUARES);
    let squares = graph.max(squares, least)?;
    let norm = graph.sqrt(squares)?;
    let clip = graph.scalar(clip);
    let longest = graph.mul(weight, clip)?;
    let share = graph.div(longest, norm)?;
    let one = graph.scalar(1.0);
    graph.min(share, one)
}
