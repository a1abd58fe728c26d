//! Inputs that are standardised anew in closed form: what a recalibrated instrument needs, and what labels cannot tell.
//!
//! Training standardised every input to mean 0 and deviation 1. Where an instrument was recalibrated, `x` has mean `m` and
//! variance `v` over `n` rows instead, and
//!
//! `v' = (n v + k) / (n + k)`, `s = 1 / sqrt(v')`, `o = -m s`
//!
//! are the scale and offset by which `s x + o` has them again. The `k` rows of prior knowledge (of variance 1, as in
//! training) keep an input finite that happens not to vary over the rows at hand. This is the greatest posterior of normal
//! inputs under a scaled inverse chi-squared prior of the variance, and a flat one of the mean.
//!
//! The sums over rows come by the same fold as every gradient: [`moments`] is linear in scale and offset, so its gradient
//! is the sum of `x^2` and of `x`.

use crate::graph::{Graph, GraphError, ValueId};

/// Least variance that a scale is taken of.
const LEAST_VARIANCE: f32 = 1e-6;

/// Adds what has the moments of `x` `[.., rows, inputs]` for its gradient, `[.., rows, 1]`: `sum_j s_j x_j^2 + o_j x_j` over
/// the inputs where `mask` is 1; those where it is 0 keep scale 1 and offset 0.
///
/// # Errors
/// [`GraphError::Operator`] when shapes do not fit.
pub fn moments(
    graph: &mut Graph,
    scale: ValueId,
    offset: ValueId,
    x: ValueId,
    mask: ValueId,
) -> Result<ValueId, GraphError> {
    let seen = graph.mul(x, mask)?;
    let squares = graph.square(seen)?;
    let one = graph.scalar(1.0);
    let absent = graph.sub(one, mask)?;
    let seconds = graph.add(squares, absent)?;
    let second = graph.mul(seconds, scale)?;
    let first = graph.mul(seen, offset)?;
    let both = graph.add(second, first)?;
    let axis = graph.shape(both).len() - 1;
    graph.reduce_sum(both, &[axis], true)
}

/// Scale and offset, from the sums of squares and of values over rows of this weight in all, and rows of prior knowledge.
///
/// # Errors
/// [`GraphError::Operator`] when shapes do not fit.
pub(super) fn scale_and_offset(
    graph: &mut Graph,
    [squares, sums]: [ValueId; 2],
    weight: ValueId,
    prior_rows: f32,
) -> Result<[ValueId; 2], GraphError> {
    let mean = graph.div(sums, weight)?;
    let second = graph.div(squares, weight)?;
    let square = graph.square(mean)?;
    let variance = graph.sub(second, square)?;
    let least = graph.scalar(LEAST_VARIANCE);
    let variance = graph.max(variance, least)?;
    let prior = graph.scalar(prior_rows);
    let seen = graph.mul(variance, weight)?;
    let known = graph.add(seen, prior)?;
    let rows = graph.add(weight, prior)?;
    let variance = graph.div(known, rows)?;
    let deviation = graph.sqrt(variance)?;
    let one = graph.scalar(1.0);
    let scale = graph.div(one, deviation)?;
    let moved = graph.mul(mean, scale)?;
    Ok([scale, graph.neg(moved)?])
}
