//! Reverse-mode differentiation, graph to graph.
//!
//! A gradient is more nodes in the same graph, made of the same operators, so it can be differentiated again, to any
//! order. A *leaf* (what the derivative is taken with respect to) may be any single-precision value but a constant, also
//! one in the middle of the graph: it counts as independent, nothing behind it is looked at, and among several leaves each
//! holds the others fixed.

use crate::graph::{DType, Graph, GraphError, Operands, ValueId, ValueType};
use crate::ops::{Backward, Cotangent, Operator};
use smallvec::SmallVec;
use thiserror::Error;

/// Why a gradient cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AutodiffError {
    /// The value to differentiate is no scalar.
    #[error("only a scalar has a gradient: {value} is {value_type}; reduce it, or use vector_jacobian")]
    NotScalar {
        /// The value.
        value: ValueId,
        /// Its type.
        value_type: ValueType,
    },
    /// A value is differentiated, or differentiated with respect to, that is not single precision.
    #[error("{value} is {dtype}: only f32 values have gradients")]
    NotFloat {
        /// The value.
        value: ValueId,
        /// Its element type.
        dtype: DType,
    },
    /// The derivative with respect to a constant. Folding merges constants into their users, so it would be lost: make it
    /// an input.
    #[error("{0} is a constant, perhaps folded into its users: make it an input to differentiate with respect to it")]
    ConstantLeaf(ValueId),
    /// A leaf influences the output through an operator that has no derivative.
    #[error(
        "no gradient through {operator} ({value}), on a path from {leaf} that is needed: use stop_gradient if it is meant as a constant"
    )]
    NotDifferentiable {
        /// Name of the operator.
        operator: &'static str,
        /// Its output.
        value: ValueId,
        /// A leaf it depends on.
        leaf: ValueId,
    },
    /// Another number of cotangents than outputs.
    #[error("{outputs} outputs need as many cotangents, got {cotangents}")]
    Count {
        /// Number of outputs.
        outputs: usize,
        /// Number of cotangents.
        cotangents: usize,
    },
    /// A cotangent has another type than its output.
    #[error("the cotangent of {output} must be {expected}, got {found}")]
    CotangentType {
        /// The output.
        output: ValueId,
        /// Its type.
        expected: ValueType,
        /// Type of the cotangent.
        found: ValueType,
    },
    /// Building a node failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Derivatives of the scalar `output` with respect to each value of `wrt`, in their shapes.
///
/// A value `output` does not depend on has gradient zero. A value it depends on only through an operator without a
/// derivative is an error, never a zero.
///
/// ```
/// use pliant_compiler::autodiff::gradients;
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::reference::{Tensor64, evaluate};
///
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[]).unwrap();
/// let y = graph.sin(x).unwrap();
/// let first = gradients(&mut graph, y, &[x]).unwrap()[0];
/// let second = gradients(&mut graph, first, &[x]).unwrap()[0];
/// graph.output("first", first).unwrap();
/// graph.output("second", second).unwrap();
/// let outputs = evaluate(&graph, &[("x", Tensor64::new(&[], vec![1.0]))]).unwrap();
/// assert_eq!(outputs[0].data, [1f64.cos()]);
/// assert_eq!(outputs[1].data, [-1f64.sin()]);
/// ```
///
/// # Errors
/// [`AutodiffError`].
pub fn gradients(graph: &mut Graph, output: ValueId, wrt: &[ValueId]) -> Result<Vec<ValueId>, AutodiffError> {
    let value_type = checked(graph, output)?.clone();
    if value_type.elements() != 1 {
        return Err(AutodiffError::NotScalar {
            value: output,
            value_type,
        });
    }
    let one = graph.full(&value_type.shape, 1.0)?;
    vector_jacobian(graph, &[output], &[one], wrt)
}

/// Derivatives of `sum_i <cotangents[i], outputs[i]>` with respect to each value of `wrt`, the cotangents held fixed. The
/// shapes are those of `wrt`.
///
/// ```
/// use pliant_compiler::autodiff::vector_jacobian;
/// use pliant_compiler::graph::{DType, Graph};
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[5, 3]).unwrap();
/// let w = graph.input("w", DType::F32, &[3, 2]).unwrap();
/// let y = graph.matmul(x, w).unwrap();
/// let cotangent = graph.input("cotangent", DType::F32, &[5, 2]).unwrap();
/// let back = vector_jacobian(&mut graph, &[y], &[cotangent], &[x, w]).unwrap();
/// assert_eq!(graph.shape(back[0]), [5, 3]);
/// assert_eq!(graph.shape(back[1]), [3, 2]);
/// ```
///
/// # Errors
/// [`AutodiffError`].
pub fn vector_jacobian(
    graph: &mut Graph,
    outputs: &[ValueId],
    cotangents: &[ValueId],
    wrt: &[ValueId],
) -> Result<Vec<ValueId>, AutodiffError> {
    if outputs.len() != cotangents.len() {
        return Err(AutodiffError::Count {
            outputs: outputs.len(),
            cotangents: cotangents.len(),
        });
    }
    for (&output, &cotangent) in outputs.iter().zip(cotangents) {
        let expected = checked(graph, output)?;
        let found = checked(graph, cotangent)?;
        if expected != found {
            return Err(AutodiffError::CotangentType {
                output,
                expected: expected.clone(),
                found: found.clone(),
            });
        }
    }
    for &leaf in wrt {
        checked(graph, leaf)?;
        if graph.as_constant(leaf).is_some() {
            return Err(AutodiffError::ConstantLeaf(leaf));
        }
    }

    let origin = origins(graph, wrt);
    let mut pending: Vec<Contributions> = vec![Contributions::new(); origin.len()];
    for (&output, &cotangent) in outputs.iter().zip(cotangents) {
        if origin[output.index()].is_some() {
            pending[output.index()].push(Cotangent::Whole(cotangent));
        }
    }
    let mut totals: Vec<Option<ValueId>> = vec![None; origin.len()];
    let last = outputs.iter().map(|output| output.index() + 1).max().unwrap_or(0);
    for index in (0..last).rev() {
        if pending[index].is_empty() {
            continue;
        }
        let output = ValueId(index as u32);
        let total = sum(graph, output, core::mem::take(&mut pending[index]))?;
        totals[index] = Some(total);
        if origin[index] == Some(output) {
            continue; // A leaf: what lies behind it is not looked at.
        }
        let (op, inputs) = (graph.op(output).clone(), graph.node(output).inputs.clone());
        let needed = needed(graph, output, &inputs, &origin)?;
        let mut backward = Backward {
            graph,
            inputs: &inputs,
            output,
            cotangent: total,
            needed: &needed,
        };
        let contributions = op.gradient(&mut backward)?;
        for (i, &input) in inputs.iter().enumerate().filter(|(i, _)| needed[*i]) {
            let contribution = contributions.get(i).copied().flatten();
            let leaf = origin[input.index()].expect("a needed input depends on a leaf");
            let missing = AutodiffError::NotDifferentiable {
                operator: op.name(),
                value: output,
                leaf,
            };
            pending[input.index()].push(contribution.ok_or(missing)?);
        }
    }
    wrt.iter()
        .map(|leaf| match totals[leaf.index()] {
            Some(total) => Ok(total),
            None => {
                let shape = graph.value_type(*leaf).shape.clone();
                Ok(graph.full(&shape, 0.0)?)
            }
        })
        .collect()
}

/// The type of a value that takes part in a derivative.
fn checked(graph: &Graph, value: ValueId) -> Result<&ValueType, AutodiffError> {
    let Some(node) = graph.nodes().get(value.index()) else {
        return Err(GraphError::UnknownValue(value).into());
    };
    match node.value_type.dtype {
        DType::F32 => Ok(&node.value_type),
        dtype => Err(AutodiffError::NotFloat { value, dtype }),
    }
}

/// For every value a leaf it depends on (through inputs that carry gradients), if there is one; a leaf's is itself.
fn origins(graph: &Graph, wrt: &[ValueId]) -> Vec<Option<ValueId>> {
    let mut origin = vec![None; graph.len()];
    for &leaf in wrt {
        origin[leaf.index()] = Some(leaf);
    }
    for (value, node) in graph.iter() {
        if origin[value.index()].is_none() {
            let carrying = node
                .inputs
                .iter()
                .enumerate()
                .filter(|(i, _)| node.op.carries_gradient(*i));
            origin[value.index()] = carrying.filter_map(|(_, input)| origin[input.index()]).next();
        }
    }
    origin
}

/// Which inputs need a cotangent; an error when one of them cannot have any, being no float.
fn needed(
    graph: &Graph,
    output: ValueId,
    inputs: &Operands,
    origin: &[Option<ValueId>],
) -> Result<SmallVec<[bool; 4]>, AutodiffError> {
    let op = graph.op(output);
    let mut needed = SmallVec::new();
    for (i, &input) in inputs.iter().enumerate() {
        let leaf = origin[input.index()].filter(|_| op.carries_gradient(i));
        if let Some(leaf) = leaf
            && graph.dtype(input) != DType::F32
        {
            let value = leaves_floats(graph, input, origin);
            return Err(AutodiffError::NotDifferentiable {
                operator: graph.op(value).name(),
                value,
                leaf,
            });
        }
        needed.push(leaf.is_some());
    }
    Ok(needed)
}

/// Walks back from a value that is no float to the operator that made one out of floats: the one to name.
fn leaves_floats(graph: &Graph, mut value: ValueId, origin: &[Option<ValueId>]) -> ValueId {
    loop {
        let inputs = &graph.node(value).inputs;
        let Some(&behind) = inputs.iter().find(|input| origin[input.index()].is_some()) else {
            return value;
        };
        if graph.dtype(behind) == DType::F32 {
            return value;
        }
        value = behind;
    }
}

/// What flows into one value from its users.
type Contributions = SmallVec<[Cotangent; 2]>;

/// One range of an axis with a value for it.
#[derive(Clone, Copy)]
struct Part {
    axis: usize,
    start: usize,
    end: usize,
    value: ValueId,
}

/// The sum of all contributions. Parts of one axis that do not overlap are joined, with zeros in the gaps, so that the
/// gates sliced from one product, or the parameters sliced from one vector, cost one `Concat` and no addition.
fn sum(graph: &mut Graph, of: ValueId, contributions: Contributions) -> Result<ValueId, AutodiffError> {
    let mut total: Option<ValueId> = None;
    let mut parts: Vec<Part> = Vec::new();
    for contribution in contributions {
        match contribution {
            Cotangent::Whole(value) => total = Some(add(graph, total, value)?),
            Cotangent::Part {
                axis,
                start,
                end,
                value,
            } => {
                match parts
                    .iter_mut()
                    .find(|part| (part.axis, part.start, part.end) == (axis, start, end))
                {
                    Some(part) => part.value = graph.add(part.value, value)?,
                    None => parts.push(Part {
                        axis,
                        start,
                        end,
                        value,
                    }),
                }
            }
        }
    }
    parts.sort_by_key(|part| (part.axis, part.start));
    while let Some(first) = parts.first().copied() {
        // The first part and, along its axis, every later one that begins after the end of what was taken so far.
        let mut row = vec![first];
        let mut rest = Vec::new();
        for &part in &parts[1..] {
            let end = row.last().map_or(0, |taken| taken.end);
            if part.axis == first.axis && part.start >= end {
                row.push(part)
            } else {
                rest.push(part)
            }
        }
        let joined = join(graph, of, &row)?;
        total = Some(add(graph, total, joined)?);
        parts = rest;
    }
    Ok(total.expect("at least one contribution"))
}

fn add(graph: &mut Graph, total: Option<ValueId>, value: ValueId) -> Result<ValueId, GraphError> {
    match total {
        Some(total) => graph.add(total, value),
        None => Ok(value),
    }
}

/// Lays the parts side by side along their axis, zeros in the gaps.
fn join(graph: &mut Graph, of: ValueId, row: &[Part]) -> Result<ValueId, GraphError> {
    let axis = row[0].axis;
    let mut shape = graph.value_type(of).shape.clone();
    let length = shape[axis];
    let mut pieces: SmallVec<[ValueId; 8]> = SmallVec::new();
    let mut position = 0;
    let mut fill = |graph: &mut Graph, pieces: &mut SmallVec<[ValueId; 8]>, gap: usize| {
        if gap > 0 {
            shape[axis] = gap;
            pieces.push(graph.full(&shape, 0.0)?);
        }
        Ok::<_, GraphError>(())
    };
    for part in row {
        fill(graph, &mut pieces, part.start - position)?;
        pieces.push(part.value);
        position = part.end;
    }
    fill(graph, &mut pieces, length - position)?;
    graph.concat(&pieces, axis)
}
