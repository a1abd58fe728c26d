//! Gradient clipping.

use pliant_compiler::graph::{Graph, GraphError, ValueId};

/// Clips each element of every gradient to `[-limit, limit]`.
///
/// # Errors
/// As the graph's operators.
pub fn clip_elements(graph: &mut Graph, gradients: &[ValueId], limit: f32) -> Result<Vec<ValueId>, GraphError> {
    gradients
        .iter()
        .map(|&gradient| graph.clip(gradient, -limit, limit))
        .collect()
}

/// Scales all gradients by the same factor so that their common L2 norm is at most `limit` (Pascanu et al. 2013).
///
/// # Errors
/// As the graph's operators.
pub fn clip_norm(graph: &mut Graph, gradients: &[ValueId], limit: f32) -> Result<Vec<ValueId>, GraphError> {
    let norm = norm(graph, gradients)?;
    let limit = graph.scalar(limit);
    // limit / max(norm, limit) is 1 below the limit and never divides by zero.
    let divisor = graph.max(norm, limit)?;
    let factor = graph.div(limit, divisor)?;
    gradients.iter().map(|&gradient| graph.mul(gradient, factor)).collect()
}

/// The common L2 norm of all gradients, a scalar.
pub(super) fn norm(graph: &mut Graph, gradients: &[ValueId]) -> Result<ValueId, GraphError> {
    let mut total = graph.scalar(0.0);
    for &gradient in gradients {
        let square = graph.square(gradient)?;
        let sum = graph.sum_all(square)?;
        total = graph.add(total, sum)?;
    }
    graph.sqrt(total)
}
