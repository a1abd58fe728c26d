//! Chains of operators that only move elements.

use super::Candidate;
use crate::graph::{Graph, GraphError, Shape, ValueId};
use crate::ops::{Op, Operator};
use smallvec::SmallVec;

pub(super) fn rewrite(graph: &mut Graph, candidate: &Candidate<'_>) -> Result<Option<ValueId>, GraphError> {
    let Candidate {
        op,
        operands,
        sole_user,
    } = *candidate;
    match op {
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => reshape(graph, op, operands[0]),
        Op::Transpose(transpose) => match product(graph, &transpose.permutation, operands[0], sole_user)? {
            None => self::transpose(graph, &transpose.permutation, operands[0]),
            turned => Ok(turned),
        },
        Op::Expand(expand) => self::expand(graph, &expand.shape, operands[0]),
        Op::Slice(slice) => self::slice(graph, slice.axis, slice.start, slice.end, operands[0]),
        Op::Concat(concat) => self::concat(graph, concat.axis, operands),
        _ => Ok(None),
    }
}

/// First input of the node that makes `value`.
pub(super) fn source(graph: &Graph, value: ValueId) -> ValueId {
    graph.node(value).inputs[0]
}

pub(super) fn is_expand(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.op(value), Op::Expand(_))
}

fn is_reshape(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.op(value), Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_))
}

fn one_element(graph: &Graph, value: ValueId) -> bool {
    graph.value_type(value).elements() == 1
}

fn reshape(graph: &mut Graph, op: &Op, operand: ValueId) -> Result<Option<ValueId>, GraphError> {
    let shape = op
        .infer(&[graph.value_type(operand)])
        .expect("the operand keeps its type")
        .shape;
    if is_reshape(graph, operand) {
        let origin = source(graph, operand);
        return Ok(Some(graph.reshape(origin, &shape)?));
    }
    if is_expand(graph, operand) && one_element(graph, source(graph, operand)) {
        return Ok(Some(repeat(graph, source(graph, operand), &shape)?));
    }
    Ok(None)
}

/// One element, repeated to a shape.
fn repeat(graph: &mut Graph, value: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
    let scalar = graph.reshape(value, &[])?;
    graph.expand(scalar, shape)
}

fn transpose(graph: &mut Graph, permutation: &[usize], operand: ValueId) -> Result<Option<ValueId>, GraphError> {
    if let Op::Transpose(first) = graph.op(operand) {
        let composed: Shape = permutation.iter().map(|&axis| first.permutation[axis]).collect();
        let origin = source(graph, operand);
        return Ok(Some(graph.transpose(origin, &composed)?));
    }
    let shape = graph.value_type(operand).shape.clone();
    let target: Shape = permutation.iter().map(|&axis| shape[axis]).collect();
    if is_expand(graph, operand) && one_element(graph, source(graph, operand)) {
        return Ok(Some(repeat(graph, source(graph, operand), &target)?));
    }
    if is_expand(graph, operand) {
        // Axes that broadcasting added and that stay in front: what was expanded is transposed behind them.
        let origin = source(graph, operand);
        let leading = shape.len() - graph.shape(origin).len();
        if permutation[..leading].iter().copied().eq(0..leading) {
            let inner: Shape = permutation[leading..].iter().map(|&axis| axis - leading).collect();
            let moved = match transpose(graph, &inner, origin)? {
                Some(moved) => moved,
                None => graph.transpose(origin, &inner)?,
            };
            return Ok(Some(graph.expand(moved, &target)?));
        }
    }
    // Moving only axes of length one moves no element.
    let long = permutation.iter().filter(|&&axis| shape[axis] != 1);
    if long.is_sorted() {
        return Ok(Some(rewrite_reshape(graph, operand, &target)?));
    }
    Ok(None)
}

/// `(a b)^T` is `b^T a^T`: worth it where an operand is transposed already, and nobody else needs the product.
fn product(
    graph: &mut Graph,
    permutation: &[usize],
    operand: ValueId,
    sole_user: bool,
) -> Result<Option<ValueId>, GraphError> {
    if !sole_user || !matches!(graph.op(operand), Op::MatMul(_)) || !swaps_last(permutation) {
        return Ok(None);
    }
    let factors = graph.node(operand).inputs.clone();
    let turned =
        |&factor: &ValueId| matches!(graph.op(factor), Op::Transpose(transpose) if swaps_last(&transpose.permutation));
    if !factors.iter().any(turned) {
        return Ok(None);
    }
    let mut back = [factors[1], factors[0]];
    for factor in &mut back {
        let rank = graph.shape(*factor).len();
        let mut swap: Shape = (0..rank).collect();
        swap.swap(rank - 2, rank - 1);
        *factor = match transpose(graph, &swap, *factor)? {
            Some(moved) => moved,
            None => graph.transpose(*factor, &swap)?,
        };
    }
    Ok(Some(graph.matmul(back[0], back[1])?))
}

/// Whether a permutation swaps the last two axes and nothing else.
fn swaps_last(permutation: &[usize]) -> bool {
    let rank = permutation.len();
    rank >= 2
        && permutation[rank - 2..] == [rank - 1, rank - 2]
        && permutation[..rank - 2].iter().copied().eq(0..rank - 2)
}

/// A reshape that joins a reshape before it.
fn rewrite_reshape(graph: &mut Graph, operand: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
    let origin = if is_reshape(graph, operand) {
        source(graph, operand)
    } else {
        operand
    };
    graph.reshape(origin, shape)
}

fn expand(graph: &mut Graph, shape: &[usize], operand: ValueId) -> Result<Option<ValueId>, GraphError> {
    if is_expand(graph, operand) {
        let origin = source(graph, operand);
        return Ok(Some(graph.expand(origin, shape)?));
    }
    // Leading axes of length one need no reshape: broadcasting adds them.
    if is_reshape(graph, operand) {
        let origin = source(graph, operand);
        let long = graph.shape(operand).iter().skip_while(|length| **length == 1);
        let before = graph.shape(origin).iter().skip_while(|length| **length == 1);
        if long.eq(before) && graph.shape(origin).len() <= shape.len() {
            return Ok(Some(graph.expand(origin, shape)?));
        }
    }
    Ok(None)
}

fn slice(
    graph: &mut Graph,
    axis: usize,
    start: usize,
    end: usize,
    operand: ValueId,
) -> Result<Option<ValueId>, GraphError> {
    match graph.op(operand) {
        Op::Slice(first) if first.axis == axis => {
            let (offset, origin) = (first.start, source(graph, operand));
            Ok(Some(graph.slice(origin, axis, offset + start, offset + end)?))
        }
        Op::Concat(concat) if concat.axis == axis => {
            let mut position = 0;
            for &piece in &graph.node(operand).inputs {
                let next = position + graph.shape(piece)[axis];
                if position <= start && end <= next {
                    return Ok(Some(graph.slice(piece, axis, start - position, end - position)?));
                }
                position = next;
            }
            Ok(None)
        }
        Op::Expand(_) if one_element(graph, source(graph, operand)) => {
            let mut shape = graph.value_type(operand).shape.clone();
            shape[axis] = end - start;
            Ok(Some(repeat(graph, source(graph, operand), &shape)?))
        }
        _ => Ok(None),
    }
}

/// Flattens concatenations inside this one, then joins neighbours that are neighbouring slices of one value.
fn concat(graph: &mut Graph, axis: usize, operands: &[ValueId]) -> Result<Option<ValueId>, GraphError> {
    let mut pieces: SmallVec<[ValueId; 8]> = SmallVec::new();
    for &operand in operands {
        match graph.op(operand) {
            Op::Concat(inner) if inner.axis == axis => pieces.extend_from_slice(&graph.node(operand).inputs),
            _ => pieces.push(operand),
        }
    }
    let mut joined: SmallVec<[ValueId; 8]> = SmallVec::new();
    for piece in pieces {
        let before = joined.last().and_then(|&last| range(graph, last, axis));
        let merged = match (before, range(graph, piece, axis)) {
            (Some((a, start, middle)), Some((b, next, end))) if a == b && middle == next => Some((a, start, end)),
            _ => None,
        };
        match merged {
            Some((origin, start, end)) => {
                joined.pop();
                joined.push(graph.slice(origin, axis, start, end)?);
            }
            None => joined.push(piece),
        }
    }
    if joined.as_slice() == operands {
        Ok(None)
    } else {
        Ok(Some(graph.concat(&joined, axis)?))
    }
}

/// What a slice along this axis picks: of which value, from where to where.
fn range(graph: &Graph, value: ValueId, axis: usize) -> Option<(ValueId, usize, usize)> {
    match graph.op(value) {
        Op::Slice(slice) if slice.axis == axis => Some((source(graph, value), slice.start, slice.end)),
        _ => None,
    }
}
