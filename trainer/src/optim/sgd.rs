//! Stochastic gradient descent.

use pliant_compiler::graph::{Graph, GraphError, ValueId};

/// `parameter - rate * gradient` for every parameter; `rates[i]` broadcasts against `parameters[i]` (a scalar, or one
/// step size an element as in Meta-SGD).
///
/// # Errors
/// Shapes that do not broadcast to the parameter's.
pub fn sgd(
    graph: &mut Graph,
    parameters: &[ValueId],
    gradients: &[ValueId],
    rates: &[ValueId],
) -> Result<Vec<ValueId>, GraphError> {
    let steps = parameters.iter().zip(gradients).zip(rates);
    steps
        .map(|((&parameter, &gradient), &rate)| {
            let change = graph.mul(rate, gradient)?;
            graph.sub(parameter, change)
        })
        .collect()
}
