//! Rewrites of a finished graph: fewer and smaller nodes, the same values.
//!
//! They look through values, which nothing does while a graph is being built: run them *after* the last differentiation
//! (they also drop [`StopGradient`](crate::ops::StopGradient), which means nothing afterwards).
//!
//! Every rewrite keeps the bits of the result but one: the sum of `n` copies becomes a product with `n`, which rounds once
//! instead of `n` times.

mod arithmetic;
mod broadcasting;
mod layout;

use crate::graph::{Graph, GraphError, Operands, ValueId};
use crate::ops::Op;

/// The graph rewritten until nothing more applies, without dead code; inputs and outputs keep names, types and order.
///
/// | what | becomes |
/// |---|---|
/// | `Identity`, `StopGradient` | their operand |
/// | `Expand` into elementwise operators and matrix products | nothing, or one `Expand` after them |
/// | uniform constants beside a larger operand | scalars |
/// | chains of `Transpose`; of `Reshape`, `Squeeze`, `Unsqueeze`; of `Slice`; of `Concat` | one of them, or none |
/// | `Slice` of `Concat`, `Concat` of neighbouring slices | what they pick |
/// | double negation, negation inside a sum | none, `Sub` |
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::passes::simplify;
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[4, 3]).unwrap();
/// let b = graph.input("b", DType::F32, &[3]).unwrap();
/// let rows = graph.expand(b, &[4, 3]).unwrap();
/// let sum = graph.add(x, rows).unwrap();
/// graph.output("sum", sum).unwrap();
/// assert_eq!(simplify(&graph).len(), 3); // x, b and the sum, which broadcasts by itself
/// ```
pub fn simplify(graph: &Graph) -> Graph {
    let mut current = graph.prune();
    // Each round sees operands already rewritten, so one does nearly everything; a rewrite that only shows once its
    // users are known needs another.
    for _ in 0..4 {
        let next = round(&current).expect("a rewrite keeps types");
        let done = next.len() == current.len();
        current = next;
        if done {
            break;
        }
    }
    current
}

fn round(graph: &Graph) -> Result<Graph, GraphError> {
    let mut rewritten = Graph::new();
    let mut moved: Vec<ValueId> = Vec::with_capacity(graph.len());
    for (_, node) in graph.iter() {
        let operands: Operands = node.inputs.iter().map(|input| moved[input.index()]).collect();
        let value = match &node.op {
            Op::Input(input) => rewritten.input(&input.name, node.value_type.dtype, &node.value_type.shape)?,
            op => rewrite(&mut rewritten, op, &operands)?,
        };
        debug_assert_eq!(rewritten.value_type(value), &node.value_type, "{:?}", node.op);
        moved.push(value);
    }
    for port in graph.outputs() {
        rewritten.output(&port.name, moved[port.value.index()])?;
    }
    Ok(rewritten.prune())
}

/// Inserts `op`, or something cheaper of the same value.
fn rewrite(graph: &mut Graph, op: &Op, operands: &[ValueId]) -> Result<ValueId, GraphError> {
    if let Op::Identity(_) | Op::StopGradient(_) = op {
        return Ok(operands[0]);
    }
    for rule in [arithmetic::rewrite, broadcasting::rewrite, layout::rewrite] {
        if let Some(value) = rule(graph, op, operands)? {
            return Ok(value);
        }
    }
    graph.push(op.clone(), operands)
}
