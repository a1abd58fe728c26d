//! `Expand` before an operator that broadcasts by itself, and sums of what was only repeated.

use super::Candidate;
use super::layout::{is_expand, source};
use crate::graph::{Graph, GraphError, Operands, ValueId};
use crate::ops::{Op, Operator};
use smallvec::SmallVec;

pub(super) fn rewrite(graph: &mut Graph, candidate: &Candidate<'_>) -> Result<Option<ValueId>, GraphError> {
    let Candidate { op, operands, .. } = *candidate;
    match op {
        op if is_elementwise(op) => narrow(graph, op, operands),
        Op::MatMul(_) => narrow(graph, op, operands),
        Op::ReduceSum(reduce) => sum_of_copies(graph, &reduce.axes, reduce.keep_dims, operands[0]),
        _ => Ok(None),
    }
}

/// Operators that work element by element, and broadcast where they have several inputs.
fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Add(_)
            | Op::Sub(_)
            | Op::Mul(_)
            | Op::Div(_)
            | Op::Pow(_)
            | Op::Min(_)
            | Op::Max(_)
            | Op::Neg(_)
            | Op::Abs(_)
            | Op::Sign(_)
            | Op::Sqrt(_)
            | Op::Exp(_)
            | Op::Log(_)
            | Op::Sin(_)
            | Op::Cos(_)
            | Op::Tanh(_)
            | Op::Sigmoid(_)
            | Op::Relu(_)
            | Op::Softplus(_)
            | Op::Clip(_)
            | Op::Greater(_)
            | Op::Less(_)
            | Op::Equal(_)
            | Op::And(_)
            | Op::Or(_)
            | Op::Not(_)
            | Op::Where(_)
            | Op::Cast(_)
    )
}

/// Takes the operands as they were before they were expanded. Where the result is smaller without, it is expanded itself:
/// fewer elements are computed.
fn narrow(graph: &mut Graph, op: &Op, operands: &[ValueId]) -> Result<Option<ValueId>, GraphError> {
    let full = infer_shape(graph, op, operands);
    let mut narrowed: Operands = operands.into();
    for i in 0..operands.len() {
        if is_expand(graph, operands[i]) {
            let before = source(graph, operands[i]);
            if !matches!(op, Op::MatMul(_)) || same_matrix(graph, before, operands[i]) {
                narrowed[i] = before;
            }
        }
    }
    if narrowed.as_slice() == operands {
        return Ok(None);
    }
    let value = graph.push(op.clone(), &narrowed)?;
    Ok(Some(graph.expand(value, &full)?))
}

fn infer_shape(graph: &Graph, op: &Op, operands: &[ValueId]) -> crate::graph::Shape {
    let types: SmallVec<[_; 4]> = operands.iter().map(|&operand| graph.value_type(operand)).collect();
    op.infer(&types).expect("operands keep their types").shape
}

/// Whether expanding left the last two axes alone.
fn same_matrix(graph: &Graph, before: ValueId, after: ValueId) -> bool {
    let (before, after) = (graph.shape(before), graph.shape(after));
    before.len() >= 2 && before[before.len() - 2..] == after[after.len() - 2..]
}

/// The sum over axes along which a value was only repeated is the value times their length.
fn sum_of_copies(
    graph: &mut Graph,
    axes: &[usize],
    keep_dims: bool,
    operand: ValueId,
) -> Result<Option<ValueId>, GraphError> {
    if !is_expand(graph, operand) {
        return Ok(None);
    }
    let before = source(graph, operand);
    let wide = graph.value_type(operand).shape.clone();
    let shape = graph.value_type(before).shape.clone();
    let leading = wide.len() - shape.len();
    if axes.iter().any(|&axis| axis >= leading && shape[axis - leading] != 1) {
        return Ok(None);
    }
    let copies: usize = axes.iter().map(|&axis| wide[axis]).product();
    let scaled = graph.scale(before, copies as f32)?;
    // What is left of the expansion, axis by axis of the wide shape: the summed ones are one long, or gone.
    let axis = |i: usize| if i < leading { 1 } else { shape[i - leading] };
    let kept: Vec<usize> = (0..wide.len()).filter(|i| keep_dims || !axes.contains(i)).collect();
    let narrow: Vec<usize> = kept.iter().map(|&i| axis(i)).collect();
    let wide: Vec<usize> = kept
        .iter()
        .map(|&i| if axes.contains(&i) { 1 } else { wide[i] })
        .collect();
    let reshaped = graph.reshape(scaled, &narrow)?;
    Ok(Some(graph.expand(reshaped, &wide)?))
}
