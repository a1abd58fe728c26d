//! Reptile (Nichol, Achiam and Schulman 2018, "On First-Order Meta-Learning Algorithms", algorithm 2) of a supervised loss.
//!
//! Each task takes its own gradient steps from the shared start `p`, on fresh rows each; with `q` where they end, the start
//! moves along the mean of `(p - q) / rate`, which Adam takes for a gradient, as section 3 of the paper suggests. It is
//! the sum of the inner gradients: no gradient of a gradient is built. The meta-batch, the optimiser and the way of the
//! parameters are those of [`Maml`](super::Maml); `docs/algorithms/reptile.md` tables recipe against paper.

use pliant_compiler::graph::{Graph, GraphError, ValueId};
use pliant_compiler::policy::Parameter;

use super::maml::{Inner, MetaSettings};
use crate::recipe;

impl From<&recipe::Reptile> for MetaSettings {
    fn from(settings: &recipe::Reptile) -> Self {
        Self {
            iterations: settings.iterations,
            tasks: settings.tasks,
            chunks: settings.chunks,
            optimizer: settings.optimizer.clone(),
            inner: Inner::Reptile {
                steps: settings.inner_steps,
                rate: settings.inner_rate,
            },
        }
    }
}

/// The rows of each inner step in training: the support set, then equal shares of the query set.
pub(super) fn minibatches(
    graph: &mut Graph,
    steps: usize,
    support: &[ValueId],
    query: &[ValueId],
) -> Result<Vec<Vec<ValueId>>, GraphError> {
    let mut batches = vec![support.to_vec()];
    let shares = (steps - 1).max(1);
    let share = graph.shape(query[0])[1] / shares;
    for index in 0..steps - 1 {
        let part = |&rows: &ValueId| graph.slice(rows, 1, index * share, (index + 1) * share);
        batches.push(query.iter().map(part).collect::<Result<_, _>>()?);
    }
    Ok(batches)
}

/// What Adam takes for the gradient: the sum over tasks of `(start - end) / rate`, times `scale`. Starts and ends have one
/// copy a task.
pub(super) fn displacement(
    graph: &mut Graph,
    parameters: &[Parameter],
    [starts, ends]: [&[ValueId]; 2],
    rate: f32,
    scale: f32,
) -> Result<Vec<ValueId>, GraphError> {
    let mut gradients = Vec::with_capacity(parameters.len());
    for ((parameter, &start), &end) in parameters.iter().zip(starts).zip(ends) {
        let moved = graph.sub(start, end)?;
        let sum = graph.reduce_sum(moved, &[0], false)?;
        let sum = graph.reshape(sum, &parameter.shape)?;
        gradients.push(graph.scale(sum, scale / rate)?);
    }
    Ok(gradients)
}
