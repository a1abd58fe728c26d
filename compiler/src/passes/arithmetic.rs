//! Signs. IEEE 754 subtraction *is* addition of the negative, so these keep every bit.

use crate::graph::{Graph, GraphError, ValueId};
use crate::ops::Op;

pub(super) fn rewrite(graph: &mut Graph, op: &Op, operands: &[ValueId]) -> Result<Option<ValueId>, GraphError> {
    let negated = |value: ValueId| match graph.op(value) {
        Op::Neg(_) => Some(graph.node(value).inputs[0]),
        _ => None,
    };
    Ok(Some(match op {
        Op::Neg(_) => match negated(operands[0]) {
            Some(value) => value,
            None => return Ok(None),
        },
        Op::Add(_) => match (negated(operands[0]), negated(operands[1])) {
            (_, Some(b)) => graph.sub(operands[0], b)?,
            (Some(a), None) => graph.sub(operands[1], a)?,
            _ => return Ok(None),
        },
        Op::Sub(_) => match negated(operands[1]) {
            Some(b) => graph.add(operands[0], b)?,
            None => return Ok(None),
        },
        Op::Mul(_) | Op::Div(_) => match (negated(operands[0]), negated(operands[1])) {
            (Some(a), Some(b)) => graph.push(op.clone(), &[a, b])?,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}
