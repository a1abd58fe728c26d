//! Why a model cannot be read, or a graph not be written.

use thiserror::Error;

use crate::graph::GraphError;

/// Why a model cannot be read, or a graph not be written. Nodes are named as in the file; an unnamed node is named by its
/// operator and first output.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are no protocol-buffer message of an ONNX model.
    #[error("not an ONNX model: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The model has no graph.
    #[error("the model holds no graph")]
    NoGraph,
    /// The model uses another version of the standard operator set.
    #[error("the model uses version {found} of the ONNX operator set; Pliant reads version {expected}")]
    Opset {
        /// Version found; 0 when the model imports no standard operator set.
        found: i64,
        /// Version Pliant reads.
        expected: i64,
    },
    /// Something in the model that Pliant does not have at all.
    #[error("the model uses {0}, which Pliant does not support")]
    Unsupported(&'static str),
    /// An operator Pliant does not have.
    #[error("node {node:?}: operator {operator} is not supported")]
    Operator {
        /// The node.
        node: String,
        /// Its operator, with the domain where it is not the standard one.
        operator: String,
    },
    /// An attribute, or an operand that acts as one, with a value Pliant does not have.
    #[error("node {node:?}: {attribute}: {problem}")]
    Attribute {
        /// The node.
        node: String,
        /// The attribute or operand.
        attribute: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A node with too few or too many operands or results.
    #[error("node {node:?}: has {found} {what}, needs {expected}")]
    Arity {
        /// The node.
        node: String,
        /// `operands` or `results`.
        what: &'static str,
        /// Number it has.
        found: usize,
        /// Number it needs.
        expected: usize,
    },
    /// A name that nothing before defines.
    #[error("{node:?} reads {value:?}, which nothing before it defines")]
    UndefinedValue {
        /// The node, or the output.
        node: String,
        /// The name.
        value: String,
    },
    /// A name defined twice.
    #[error("{value:?} is defined twice")]
    Redefined {
        /// The name.
        value: String,
    },
    /// A constant that Pliant does not read.
    #[error("constant {tensor:?}: {problem}")]
    Constant {
        /// Name of the tensor, or of the node that holds it.
        tensor: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An input or output whose type Pliant does not read.
    #[error("{value:?}: {problem}")]
    Type {
        /// Name of the input or output.
        value: String,
        /// What is wrong with its type.
        problem: &'static str,
    },
    /// A symbolic dimension that [`import_with`](super::import_with) was given no size for.
    #[error("input {input:?} has the symbolic dimension {dimension:?}; give its size")]
    SymbolicDimension {
        /// Name of the input.
        input: String,
        /// Name of the dimension; empty when it has none.
        dimension: String,
    },
    /// The operator refuses what the node gives it.
    #[error("node {node:?}: {reason}")]
    Graph {
        /// The node.
        node: String,
        /// Why.
        reason: Box<GraphError>,
    },
    /// A graph that cannot be written with a symbolic number of rows.
    #[error("node {node:?} depends on the number of {dimension}: {problem}")]
    Symbolic {
        /// The node: operator and number.
        node: String,
        /// Name of the symbolic dimension.
        dimension: String,
        /// What differs between two numbers of rows.
        problem: &'static str,
    },
    /// The caller's graph could not be built.
    #[error("the graph could not be built")]
    Build(#[source] Box<GraphError>),
}

impl From<GraphError> for OnnxError {
    fn from(error: GraphError) -> Self {
        Self::Build(Box::new(error))
    }
}
