//! Models with a symbolic number of rows.
//!
//! Graphs have static shapes. A model with a symbolic dimension is had by building the graph at two sizes: what differs
//! must be that dimension, and nothing a constant or an attribute fixes.

use prost::Message as _;

use super::{
    error::OnnxError,
    export::{ExportOptions, model},
    proto::DimensionValue,
};
use crate::{
    graph::{Graph, ValueId},
    ops::{Op, Operator as _},
};

/// The two sizes: primes that no layer has, so that no other dimension equals them by chance.
const SIZES: [usize; 2] = [997, 1009];

/// Writes a model whose dimension called `dimension` is symbolic. `build` gives the graph for a number of rows, and is
/// called for two of them; the graphs may differ only in dimensions of inputs and outputs and in the targets of reshapes
/// and expansions.
///
/// ```
/// use pliant_compiler::{graph::{DType, Graph}, onnx::{self, OnnxError}};
/// let build = |rows| {
///     let mut graph = Graph::new();
///     let x = graph.input("x", DType::F32, &[rows, 3])?;
///     let sum = graph.reduce_sum(x, &[0], false)?;
///     graph.output("sum", sum)?;
///     Ok::<_, OnnxError>(graph)
/// };
/// let bytes = onnx::export_symbolic("rows", &onnx::ExportOptions::default(), build)?;
/// let graph = onnx::import_with(&bytes, &[("rows", 5)])?;
/// assert_eq!(graph.shape(graph.find_input("x").unwrap()), [5, 3]);
/// # Ok::<(), OnnxError>(())
/// ```
///
/// # Errors
/// [`OnnxError::Symbolic`] names the first node that depends on the number of rows; the errors of
/// [`export`](super::export()); those of `build`.
pub fn export_symbolic<E: From<OnnxError>>(
    dimension: &str,
    options: &ExportOptions,
    build: impl Fn(usize) -> Result<Graph, E>,
) -> Result<Vec<u8>, E> {
    let graphs = [build(SIZES[0])?.prune(), build(SIZES[1])?.prune()];
    let symbols = Symbols::new(&graphs, dimension)?;
    Ok(model(&graphs[0], options, Some(&symbols))?.encode_to_vec())
}

/// What differs between a graph at two sizes.
pub(super) struct Symbols {
    dimension: String,
    /// By value: the shape at the second size.
    other: Vec<crate::graph::Shape>,
    /// By value: what a `Reshape` or `Expand` writes for its target, where that depends on the rows.
    targets: Vec<Option<Target>>,
}

/// A target shape that depends on the number of rows.
#[derive(Clone)]
pub(super) enum Target {
    /// With 0 (copied from the operand) or -1 (what is left) for the rows.
    List(Vec<i64>),
    /// The shape of this value.
    ShapeOf(ValueId),
}

impl Symbols {
    fn new([a, b]: &[Graph; 2], dimension: &str) -> Result<Self, OnnxError> {
        let fail = |node: String, problem| OnnxError::Symbolic {
            node,
            dimension: dimension.to_owned(),
            problem,
        };
        let whole = |problem| Err(fail("(the whole graph)".to_owned(), problem));
        if a.inputs() != b.inputs() || a.outputs() != b.outputs() {
            return whole("its inputs and outputs differ between two numbers of rows");
        }
        let mut targets = vec![None; a.len()];
        for ((value, left), (_, right)) in a.iter().zip(b.iter()) {
            let fail = |problem| Err(fail(format!("{} {value}", left.op.name()), problem));
            if left.inputs != right.inputs {
                return fail("it has other operands at another number of rows");
            }
            match (&left.op, &right.op) {
                (Op::Input(_), Op::Input(_)) => {
                    let pairs = left.value_type.shape.iter().zip(&right.value_type.shape);
                    if pairs.clone().any(|(a, b)| a != b && [*a, *b] != SIZES) {
                        return fail("one of its dimensions is not the number of rows itself");
                    }
                    if left.value_type.dtype != right.value_type.dtype
                        || left.value_type.rank() != right.value_type.rank()
                    {
                        return fail("its type differs");
                    }
                }
                (Op::Reshape(to), Op::Reshape(other)) if to != other => {
                    let from = left.inputs.first().map(|&input| (a.shape(input), b.shape(input)));
                    match from.and_then(|from| reshape_target(from, (&to.shape, &other.shape))) {
                        Some(target) => targets[value.index()] = Some(Target::List(target)),
                        None => return fail("more than one dimension of its target depends on it"),
                    }
                }
                (Op::Constant(a), Op::Constant(b)) if a != b => return fail("the constant's values or shape differ"),
                (Op::Expand(to), Op::Expand(other)) if to != other => {
                    // Mostly the gradient of a reduction, whose operand has the shape. Inputs come first and win.
                    let of = |(v, _): &(ValueId, _)| *a.shape(*v) == *to.shape && *b.shape(*v) == *other.shape;
                    match a.iter().take(value.index()).find(of) {
                        Some((of, _)) => targets[value.index()] = Some(Target::ShapeOf(of)),
                        None => return fail("no value before it has its target shape"),
                    }
                }
                (left, right) if left != right => return fail("the operator or its attributes differ"),
                _ => {}
            }
        }
        if a.len() != b.len() {
            return whole("it has another number of nodes at another number of rows");
        }
        let other = b.nodes().iter().map(|node| node.value_type.shape.clone()).collect();
        Ok(Self {
            dimension: dimension.to_owned(),
            other,
            targets,
        })
    }

    /// An axis of an input or output: its length, the symbol, or nothing where it is another function of the rows.
    pub(super) fn dimension(&self, value: ValueId, axis: usize, length: usize) -> Option<DimensionValue> {
        let other = self.other[value.index()][axis];
        if other == length {
            Some(DimensionValue::Value(length as i64))
        } else if [length, other] == SIZES {
            Some(DimensionValue::Parameter(self.dimension.clone()))
        } else {
            None
        }
    }

    /// The target of this `Reshape` or `Expand`, where it depends on the rows.
    pub(super) fn target(&self, value: ValueId) -> Option<Target> {
        self.targets[value.index()].clone()
    }
}

/// The target of a reshape at two sizes in one: an axis that depends on the rows is copied from the operand (0) where it is
/// the operand's at that place, and otherwise what is left (-1), once at most.
fn reshape_target(from: (&[usize], &[usize]), to: (&[usize], &[usize])) -> Option<Vec<i64>> {
    if to.0.len() != to.1.len() {
        return None;
    }
    let mut target = Vec::with_capacity(to.0.len());
    let mut left = 1;
    for (axis, (&a, &b)) in to.0.iter().zip(to.1).enumerate() {
        target.push(if a == b {
            a as i64
        } else if from.0.get(axis) == Some(&a) && from.1.get(axis) == Some(&b) {
            0
        } else if left == 1 {
            left = 0;
            -1
        } else {
            return None;
        });
    }
    Some(target)
}
