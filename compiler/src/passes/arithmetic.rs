//! Signs and constant factors. IEEE 754 subtraction *is* addition of the negative, and a power of two only moves the
//! exponent, so these keep every bit (short of overflow and subnormal numbers).

use super::Candidate;
use crate::graph::{Graph, GraphError, Tensor, ValueId};
use crate::ops::Op;

pub(super) fn rewrite(graph: &mut Graph, candidate: &Candidate<'_>) -> Result<Option<ValueId>, GraphError> {
    let Candidate { op, operands, .. } = *candidate;
    Ok(match op {
        Op::Neg(_) => negated(graph, operands[0]),
        Op::Add(_) => match (negated(graph, operands[0]), negated(graph, operands[1])) {
            (_, Some(b)) => Some(graph.sub(operands[0], b)?),
            (Some(a), None) => Some(graph.sub(operands[1], a)?),
            // Of a factor of 2 the rules below can make one with its neighbours.
            _ if operands[0] == operands[1] && is_float(graph, operands[0]) => Some(graph.scale(operands[0], 2.0)?),
            _ => None,
        },
        Op::Sub(_) => match negated(graph, operands[1]) {
            Some(b) => Some(graph.add(operands[0], b)?),
            None => None,
        },
        Op::Div(_) => match (negated(graph, operands[0]), negated(graph, operands[1])) {
            (Some(a), Some(b)) => Some(graph.div(a, b)?),
            _ => None,
        },
        Op::Mul(_) => match (negated(graph, operands[0]), negated(graph, operands[1])) {
            (Some(a), Some(b)) => Some(graph.mul(a, b)?),
            _ => factor(graph, operands[0], operands[1])?,
        },
        _ => None,
    })
}

fn is_float(graph: &Graph, value: ValueId) -> bool {
    graph.dtype(value) == crate::graph::DType::F32
}

/// What `value` is the negative of.
fn negated(graph: &Graph, value: ValueId) -> Option<ValueId> {
    match graph.op(value) {
        Op::Neg(_) => Some(graph.node(value).inputs[0]),
        _ => None,
    }
}

/// A value and the scalar constant it is to be multiplied with, whichever comes first.
fn scalar_factor(graph: &Graph, a: ValueId, b: ValueId) -> Option<(ValueId, f32)> {
    let scalar = |value: ValueId| {
        graph
            .as_constant(value)
            .filter(|t| t.shape().is_empty())
            .and_then(Tensor::uniform)
    };
    match (scalar(a), scalar(b)) {
        (None, Some(factor)) => Some((a, factor)),
        (Some(factor), None) => Some((b, factor)),
        _ => None,
    }
}

/// `-x * c` is `x * -c`; `(x * c) * d` is `x * (c * d)` where one of the factors is a power of two.
fn factor(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<Option<ValueId>, GraphError> {
    let Some((value, outer)) = scalar_factor(graph, a, b) else {
        return Ok(None);
    };
    if let Some(value) = negated(graph, value) {
        return Ok(Some(graph.scale(value, -outer)?));
    }
    let Op::Mul(_) = graph.op(value) else { return Ok(None) };
    let inner = graph.node(value).inputs.clone();
    let Some((value, inner)) = scalar_factor(graph, inner[0], inner[1]) else {
        return Ok(None);
    };
    let product = inner * outer;
    // A power of two has no bits behind the leading one.
    let power_of_two = |factor: f32| factor.is_normal() && factor.to_bits().trailing_zeros() >= 23;
    let exact = (power_of_two(inner) || power_of_two(outer)) && product.is_normal();
    if exact {
        Ok(Some(graph.scale(value, product)?))
    } else {
        Ok(None)
    }
}
