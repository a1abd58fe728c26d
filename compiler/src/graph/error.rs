//! Why a node cannot be built.

use super::value::{DType, ValueId, ValueType};
use thiserror::Error;

/// Why an operator refuses its inputs. [`GraphError::Operator`] adds the operator's name and the types it was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TypeError {
    /// Wrong number of inputs.
    #[error("takes {expected} inputs, got {found}")]
    Arity {
        /// Number of inputs the operator takes.
        expected: usize,
        /// Number of inputs it was given.
        found: usize,
    },
    /// An input has an element type the operator does not take.
    #[error("input {input} must be {expected}, got {found}")]
    DType {
        /// Which input.
        input: usize,
        /// What the operator takes.
        expected: &'static str,
        /// What it was given.
        found: DType,
    },
    /// Inputs that must have one element type have several.
    #[error("inputs differ in element type")]
    MixedDTypes,
    /// Shapes that do not broadcast against each other (numpy rules).
    #[error("shapes do not broadcast")]
    Broadcast,
    /// An axis the input does not have.
    #[error("axis {axis} does not exist in rank {rank}")]
    Axis {
        /// The axis asked for.
        axis: usize,
        /// The number of axes there are.
        rank: usize,
    },
    /// The list of axes is not a permutation, repeats an axis, or is empty where it must not be.
    #[error("bad list of axes {axes:?}")]
    Axes {
        /// The list.
        axes: Vec<usize>,
    },
    /// Another rank is needed.
    #[error("input {input} needs rank {expected}")]
    Rank {
        /// Which input.
        input: usize,
        /// What is needed, in words.
        expected: &'static str,
    },
    /// Lengths that must agree do not.
    #[error("{what} differ: {left} and {right}")]
    Mismatch {
        /// Which lengths.
        what: &'static str,
        /// Left length.
        left: usize,
        /// Right length.
        right: usize,
    },
    /// A requested shape cannot be had from the input's.
    #[error("cannot become shape {shape:?}")]
    Shape {
        /// The requested shape.
        shape: Vec<usize>,
    },
    /// A range outside its axis, or empty.
    #[error("range {start}..{end} is empty or outside an axis of length {length}")]
    Range {
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// Length of the axis.
        length: usize,
    },
    /// Bounds that are NaN or in the wrong order.
    #[error("bounds must be ordered and not NaN")]
    Bounds,
    /// An axis of length zero.
    #[error("empty axes are not supported")]
    EmptyAxis,
}

/// Why a graph cannot be built as asked.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// let mut graph = Graph::new();
/// let a = graph.input("a", DType::F32, &[2, 3]).unwrap();
/// let b = graph.input("b", DType::F32, &[2, 3]).unwrap();
/// let error = graph.matmul(a, b).unwrap_err();
/// assert_eq!(error.to_string(), "MatMul(f32[2, 3], f32[2, 3]): inner lengths differ: 3 and 2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// An operator refuses its inputs.
    #[error("{operator}({}): {reason}", list(inputs))]
    Operator {
        /// Name of the operator.
        operator: &'static str,
        /// Types of its inputs.
        inputs: Vec<ValueType>,
        /// Why.
        reason: TypeError,
    },
    /// An identifier that names no value of this graph.
    #[error("{0} is no value of this graph")]
    UnknownValue(ValueId),
    /// Two inputs of one name.
    #[error("there is already an input named {0:?}")]
    DuplicateInput(String),
    /// Two outputs of one name.
    #[error("there is already an output named {0:?}")]
    DuplicateOutput(String),
    /// Splicing a graph in with another number of values than it has inputs.
    #[error("the spliced graph has {expected} inputs, got {found} values")]
    InlineCount {
        /// Number of inputs of the spliced graph.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// Splicing a graph in with a value of another type than its input.
    #[error("input {name:?} of the spliced graph is {expected}, got {found}")]
    InlineType {
        /// Name of the input.
        name: String,
        /// Its type.
        expected: ValueType,
        /// Type of the value given.
        found: ValueType,
    },
}

fn list(types: &[ValueType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
