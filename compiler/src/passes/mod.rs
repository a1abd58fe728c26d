//! Rewrites of a finished graph: fewer and smaller nodes, the same values.
//!
//! They look through values, which nothing does while a graph is being built: run them *after* the last differentiation
//! (they also drop [`StopGradient`](crate::ops::StopGradient), which means nothing afterwards).
//!
//! Every rewrite keeps the bits of the result (short of overflow and subnormal numbers) but two: the sum of `n` copies
//! becomes a product with `n`, which rounds once instead of `n` times; and what is constant once the marks are gone is
//! folded, in f64 with one rounding.

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
/// | `ReduceSum` of copies | a product with their number |
/// | chains of `Transpose`; of `Reshape`, `Squeeze`, `Unsqueeze`; of `Slice`; of `Concat` | one of them, or none |
/// | `Slice` of `Concat`, `Concat` of neighbouring slices | what they pick |
/// | `Transpose` of a matrix product used nowhere else, where an operand is transposed | the product the other way round |
/// | double negation; negation inside a sum; before a constant factor | none; `Sub`; a negative factor |
/// | `x + x`; a constant factor after a power of two | a factor of 2; one factor |
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
    // Each round sees operands already rewritten, so the first does nearly everything; what a rewrite uncovers is found by
    // the next. The bound only guards against two rules undoing each other.
    for _ in 0..8 {
        let next = round(&current).expect("a rewrite keeps types");
        let done = next.nodes() == current.nodes();
        current = next;
        if done {
            break;
        }
    }
    current
}

/// A node about to be inserted, over operands that are already rewritten.
struct Candidate<'g> {
    op: &'g Op,
    operands: &'g [ValueId],
    /// Whether the first operand has no other user.
    sole_user: bool,
}

fn round(graph: &Graph) -> Result<Graph, GraphError> {
    let mut uses = vec![0u32; graph.len()];
    let operands = graph.iter().flat_map(|(_, node)| node.inputs.iter().copied());
    operands
        .chain(graph.outputs().iter().map(|port| port.value))
        .for_each(|value| uses[value.index()] += 1);
    let mut rewritten = Graph::new();
    let mut moved: Vec<ValueId> = Vec::with_capacity(graph.len());
    for (_, node) in graph.iter() {
        let operands: Operands = node.inputs.iter().map(|input| moved[input.index()]).collect();
        let value = match &node.op {
            Op::Input(input) => rewritten.input(&input.name, node.value_type.dtype, &node.value_type.shape)?,
            op => {
                let sole_user = node.inputs.first().is_some_and(|first| uses[first.index()] == 1);
                rewrite(
                    &mut rewritten,
                    &Candidate {
                        op,
                        operands: &operands,
                        sole_user,
                    },
                )?
            }
        };
        debug_assert_eq!(rewritten.value_type(value), &node.value_type, "{:?}", node.op);
        moved.push(value);
    }
    for port in graph.outputs() {
        rewritten.output(&port.name, moved[port.value.index()])?;
    }
    Ok(rewritten.prune())
}

/// Inserts the candidate, or something cheaper of the same value.
fn rewrite(graph: &mut Graph, candidate: &Candidate<'_>) -> Result<ValueId, GraphError> {
    let Candidate { op, operands, .. } = *candidate;
    if let Op::Identity(_) | Op::StopGradient(_) = op {
        return Ok(operands[0]);
    }
    for rule in [arithmetic::rewrite, broadcasting::rewrite, layout::rewrite] {
        if let Some(value) = rule(graph, candidate)? {
            return Ok(value);
        }
    }
    graph.push(op.clone(), operands)
}
