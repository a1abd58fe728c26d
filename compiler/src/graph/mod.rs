//! The intermediate representation: a graph of operators over tensors of static shape.
//!
//! A [`Graph`] is its own builder. Every node has exactly one output, so a node and its value share a number
//! ([`ValueId`]), and numbers rise in topological order. Inserting a node checks its types, then
//!
//! 1. **shares** it: a node with the same operator, attributes and inputs as an earlier one *is* the earlier one
//!    (constants are compared by their bits), so common subexpressions never exist;
//! 2. **folds** it when all its inputs are constants and the result is small ([`Graph::FOLD_LIMIT`]);
//! 3. drops it when it **returns an operand** as it is: `x + 0`, `x - 0`, `x * 1`, `x / 1`, `x ^ 1`, and reshapes,
//!    transposes, expansions and slices that change nothing. (`x + 0` turns minus zero into zero, the fold does not.)
//!
//! Nothing at insertion looks *through* an operand, as `transpose(transpose(x)) = x` would: a caller may ask for the
//! gradient with respect to any value later, and a rewrite that bypasses that value would lose its gradient silently.
//! Those rewrites live in [`passes`](crate::passes) and run after differentiation. `x * 0` is never rewritten: it is NaN
//! for infinite `x`.

mod builder;
mod display;
mod error;
mod splice;
mod tensor;
mod value;

pub use error::{GraphError, TypeError};
pub use tensor::{Tensor, TensorData};
pub use value::{DType, Shape, ValueId, ValueType};

use crate::ops::{Constant, Input, Op, Operator};
use crate::reference::Tensor64;
use core::hash::{BuildHasher, BuildHasherDefault};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::sync::Arc;

/// Inputs of a node.
pub type Operands = SmallVec<[ValueId; 3]>;

/// An operator with its inputs, and the type of its only output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The operator with its attributes.
    pub op: Op,
    /// Inputs, in the operator's order.
    pub inputs: Operands,
    /// Type of the output.
    pub value_type: ValueType,
}

/// A named input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique among the inputs or among the outputs.
    pub name: Arc<str>,
    /// The value.
    pub value: ValueId,
}

/// A graph of operators, and its builder. See the [module documentation](self).
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// # fn main() -> Result<(), pliant_compiler::graph::GraphError> {
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[4, 3])?;
/// let w = graph.input("w", DType::F32, &[3, 2])?;
/// let b = graph.input("b", DType::F32, &[2])?;
/// let product = graph.matmul(x, w)?;
/// let sum = graph.add(product, b)?;
/// assert_eq!(graph.add(product, b)?, sum); // shared, not built twice
/// let y = graph.tanh(sum)?;
/// graph.output("y", y)?;
/// assert_eq!(graph.shape(y), [4, 2]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Nodes by hash of operator and inputs.
    index: HashMap<u64, SmallVec<[ValueId; 1]>, BuildHasherDefault<DefaultHasher>>,
}

impl Graph {
    /// Most elements a folded constant may have; above, the node stays and is computed at run time.
    pub const FOLD_LIMIT: usize = 4096;
    /// Most elements an expanded constant may have to be folded: above, `Expand` is cheaper than the stored copies.
    pub const EXPAND_FOLD_LIMIT: usize = 64;

    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every node; the position is the value's number.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The values with their nodes, in topological order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ValueId, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(i, node)| (ValueId(i as u32), node))
    }

    /// The node that makes `value`.
    ///
    /// # Panics
    /// When `value` belongs to another graph and is out of range here.
    pub fn node(&self, value: ValueId) -> &Node {
        &self.nodes[value.index()]
    }

    /// The operator that makes `value`. Panics as [`Self::node`].
    pub fn op(&self, value: ValueId) -> &Op {
        &self.node(value).op
    }

    /// Element type and shape of `value`. Panics as [`Self::node`].
    pub fn value_type(&self, value: ValueId) -> &ValueType {
        &self.node(value).value_type
    }

    /// Shape of `value`. Panics as [`Self::node`].
    pub fn shape(&self, value: ValueId) -> &[usize] {
        &self.node(value).value_type.shape
    }

    /// Element type of `value`. Panics as [`Self::node`].
    pub fn dtype(&self, value: ValueId) -> DType {
        self.node(value).value_type.dtype
    }

    /// The tensor of a constant, `None` for any other value. Panics as [`Self::node`].
    pub fn as_constant(&self, value: ValueId) -> Option<&Tensor> {
        match self.op(value) {
            Op::Constant(Constant { tensor }) => Some(tensor),
            _ => None,
        }
    }

    /// Inputs, in the order they were declared.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Outputs, in the order they were declared.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The input of this name.
    pub fn find_input(&self, name: &str) -> Option<ValueId> {
        self.inputs
            .iter()
            .find(|port| &*port.name == name)
            .map(|port| port.value)
    }

    /// The output of this name.
    pub fn find_output(&self, name: &str) -> Option<ValueId> {
        self.outputs
            .iter()
            .find(|port| &*port.name == name)
            .map(|port| port.value)
    }

    /// Declares an input.
    ///
    /// # Errors
    /// [`GraphError::DuplicateInput`], or an empty axis.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<ValueId, GraphError> {
        if self.find_input(name).is_some() {
            return Err(GraphError::DuplicateInput(name.to_owned()));
        }
        let name: Arc<str> = name.into();
        let value = self.push(
            Input {
                name: name.clone(),
                value_type: ValueType::new(dtype, shape),
            },
            &[],
        )?;
        self.inputs.push(Port { name, value });
        Ok(value)
    }

    /// Declares an output. One value may be several outputs; it may also be an input or a constant.
    ///
    /// # Errors
    /// [`GraphError::DuplicateOutput`], [`GraphError::UnknownValue`].
    pub fn output(&mut self, name: &str, value: ValueId) -> Result<(), GraphError> {
        self.check(value)?;
        if self.find_output(name).is_some() {
            return Err(GraphError::DuplicateOutput(name.to_owned()));
        }
        self.outputs.push(Port {
            name: name.into(),
            value,
        });
        Ok(())
    }

    /// Inserts an operator, which shares, folds or drops it as the [module documentation](self) says. The named builder
    /// methods all end here; import and rewriting use it directly.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the operator refuses the inputs, [`GraphError::UnknownValue`].
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let op = op.into();
        let value_type = self.infer(&op, inputs)?;
        if let Some(operand) = self.unchanged_operand(&op, inputs, &value_type) {
            return Ok(operand);
        }
        if let Some(tensor) = self.fold(&op, inputs, &value_type) {
            return Ok(self.constant(tensor));
        }
        Ok(self.insert(op, inputs, value_type))
    }

    /// Inserts an operator without folding it or dropping it (only sharing): importers and tests that must keep exactly
    /// the node they were given.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_exact(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let op = op.into();
        let value_type = self.infer(&op, inputs)?;
        Ok(self.insert(op, inputs, value_type))
    }

    fn infer(&self, op: &Op, inputs: &[ValueId]) -> Result<ValueType, GraphError> {
        for &input in inputs {
            self.check(input)?;
        }
        let types: SmallVec<[&ValueType; 4]> = inputs.iter().map(|&input| self.value_type(input)).collect();
        let checked = op.infer(&types).and_then(|value_type| {
            if value_type.shape.contains(&0) {
                Err(TypeError::EmptyAxis)
            } else {
                Ok(value_type)
            }
        });
        checked.map_err(|reason| GraphError::Operator {
            operator: op.name(),
            inputs: types.into_iter().cloned().collect(),
            reason,
        })
    }

    fn check(&self, value: ValueId) -> Result<(), GraphError> {
        if value.index() < self.nodes.len() {
            Ok(())
        } else {
            Err(GraphError::UnknownValue(value))
        }
    }

    /// Shares or appends.
    fn insert(&mut self, op: Op, inputs: &[ValueId], value_type: ValueType) -> ValueId {
        let hash = self.index.hasher().hash_one((&op, inputs));
        let bucket = self.index.entry(hash).or_default();
        for &value in bucket.iter() {
            let node = &self.nodes[value.index()];
            if node.inputs.as_slice() == inputs && node.op == op {
                return value;
            }
        }
        let value = ValueId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        bucket.push(value);
        self.nodes.push(Node {
            op,
            inputs: Operands::from_slice(inputs),
            value_type,
        });
        value
    }

    /// The operand this node would return unchanged. Looks at the operands only, never through them.
    fn unchanged_operand(&self, op: &Op, inputs: &[ValueId], value_type: &ValueType) -> Option<ValueId> {
        let same = |value: ValueId| self.value_type(value) == value_type;
        let is = |value: ValueId, number: f32| self.as_constant(value).and_then(Tensor::uniform) == Some(number);
        match op {
            Op::Add(_) if is(inputs[1], 0.0) && same(inputs[0]) => Some(inputs[0]),
            Op::Add(_) if is(inputs[0], 0.0) && same(inputs[1]) => Some(inputs[1]),
            Op::Sub(_) if is(inputs[1], 0.0) && same(inputs[0]) => Some(inputs[0]),
            Op::Mul(_) if is(inputs[1], 1.0) && same(inputs[0]) => Some(inputs[0]),
            Op::Mul(_) if is(inputs[0], 1.0) && same(inputs[1]) => Some(inputs[1]),
            Op::Div(_) | Op::Pow(_) if is(inputs[1], 1.0) && same(inputs[0]) => Some(inputs[0]),
            Op::Reshape(_) | Op::Expand(_) | Op::Cast(_) | Op::Slice(_) | Op::Squeeze(_) | Op::Unsqueeze(_)
                if same(inputs[0]) =>
            {
                Some(inputs[0])
            }
            Op::Concat(_) if inputs.len() == 1 => Some(inputs[0]),
            Op::Transpose(transpose) if transpose.is_identity() => Some(inputs[0]),
            Op::ReduceSum(reduce) if reduce.axes.is_empty() => Some(inputs[0]),
            Op::ReduceMean(reduce) if reduce.axes.is_empty() => Some(inputs[0]),
            Op::ReduceMax(reduce) if reduce.axes.is_empty() => Some(inputs[0]),
            _ => None,
        }
    }

    fn fold(&self, op: &Op, inputs: &[ValueId], value_type: &ValueType) -> Option<Tensor> {
        // Identity and StopGradient stay: they mark a place, and cost nothing once the passes have run.
        if inputs.is_empty() || matches!(op, Op::Identity(_) | Op::StopGradient(_)) {
            return None;
        }
        let limit = if matches!(op, Op::Expand(_)) {
            Self::EXPAND_FOLD_LIMIT
        } else {
            Self::FOLD_LIMIT
        };
        if value_type.elements() > limit {
            return None;
        }
        let constants: SmallVec<[&Tensor; 3]> = inputs
            .iter()
            .map(|&input| self.as_constant(input))
            .collect::<Option<_>>()?;
        if constants.iter().any(|tensor| tensor.len() > Self::FOLD_LIMIT) {
            return None;
        }
        let values: Vec<Tensor64> = constants.into_iter().map(Tensor64::from_tensor).collect();
        let borrowed: SmallVec<[&Tensor64; 3]> = values.iter().collect();
        op.evaluate(&borrowed, value_type).ok()?.to_tensor()
    }
}
