//! The reference: a plain f64 interpreter of graphs. Slow, obvious, and what every engine is compared with.

use crate::graph::{DType, Graph, Shape, Tensor, TensorData, ValueType};
use crate::ops::{EvaluateError, Op, Operator};
use smallvec::SmallVec;
use thiserror::Error;

/// A tensor of f64 elements, row-major. Integers are integral (exact up to 2^53), truth values 1 and 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor64 {
    /// Element type of the graph's value it stands for.
    pub dtype: DType,
    /// Lengths of the axes.
    pub shape: Shape,
    /// Elements, as many as the product of `shape`.
    pub data: Vec<f64>,
}

impl Tensor64 {
    /// A tensor standing for an f32 value.
    ///
    /// # Panics
    /// When the length of `data` is not the product of `shape`.
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "length of data and shape {shape:?}"
        );
        Self {
            dtype: DType::F32,
            shape: shape.into(),
            data,
        }
    }

    /// The f64 image of a constant. Integers past 2^53 lose bits.
    pub fn from_tensor(tensor: &Tensor) -> Self {
        let data = match tensor.data() {
            TensorData::F32(v) => v.iter().map(|v| f64::from(*v)).collect(),
            TensorData::I64(v) => v.iter().map(|v| *v as f64).collect(),
            TensorData::Bool(v) => v.iter().map(|v| f64::from(u8::from(*v))).collect(),
        };
        Self {
            dtype: tensor.dtype(),
            shape: tensor.shape().into(),
            data,
        }
    }

    /// The constant nearest to this, or `None` when an integer is too large to be exact.
    pub fn to_tensor(&self) -> Option<Tensor> {
        let data = match self.dtype {
            DType::F32 => TensorData::F32(self.data.iter().map(|v| *v as f32).collect()),
            DType::I64 => {
                if self.data.iter().any(|v| v.abs() >= 9_007_199_254_740_992.0) {
                    return None;
                }
                TensorData::I64(self.data.iter().map(|v| *v as i64).collect())
            }
            DType::Bool => TensorData::Bool(self.data.iter().map(|v| *v != 0.0).collect()),
        };
        Tensor::new(&self.shape, data)
    }

    /// Element type and shape.
    pub fn value_type(&self) -> ValueType {
        ValueType {
            dtype: self.dtype,
            shape: self.shape.clone(),
        }
    }
}

/// Why a graph cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// No tensor was given for an input.
    #[error("no value for input {0:?}")]
    MissingInput(String),
    /// The tensor given for an input has another type.
    #[error("input {name:?} is {expected}, got {found}")]
    InputType {
        /// Name of the input.
        name: String,
        /// Its type.
        expected: ValueType,
        /// Type of the tensor.
        found: ValueType,
    },
    /// An operator cannot be computed for these values.
    #[error("{operator}: {reason}")]
    Evaluate {
        /// Name of the operator.
        operator: &'static str,
        /// Why.
        reason: EvaluateError,
    },
}

/// Computes the outputs of `graph`, in declared order, in f64. `inputs` may come in any order and hold more than needed.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::reference::{Tensor64, evaluate};
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[2]).unwrap();
/// let y = graph.exp(x).unwrap();
/// graph.output("y", y).unwrap();
/// let outputs = evaluate(&graph, &[("x", Tensor64::new(&[2], vec![0.0, 1.0]))]).unwrap();
/// assert_eq!(outputs[0].data, [1.0, 1f64.exp()]);
/// ```
///
/// # Errors
/// [`ReferenceError`]: an input is missing or of another type, or an index is out of range.
pub fn evaluate(graph: &Graph, inputs: &[(&str, Tensor64)]) -> Result<Vec<Tensor64>, ReferenceError> {
    let mut uses = vec![0u32; graph.len()];
    for port in graph.outputs() {
        uses[port.value.index()] += 1;
    }
    for (value, node) in graph.iter().rev() {
        if uses[value.index()] > 0 {
            node.inputs.iter().for_each(|input| uses[input.index()] += 1);
        }
    }
    let mut values: Vec<Option<Tensor64>> = vec![None; graph.len()];
    for (value, node) in graph.iter() {
        if uses[value.index()] == 0 {
            continue;
        }
        let result = match &node.op {
            Op::Input(input) => {
                let (_, tensor) = inputs
                    .iter()
                    .find(|(name, _)| *name == &*input.name)
                    .ok_or_else(|| ReferenceError::MissingInput(input.name.to_string()))?;
                if tensor.value_type() != node.value_type {
                    return Err(ReferenceError::InputType {
                        name: input.name.to_string(),
                        expected: node.value_type.clone(),
                        found: tensor.value_type(),
                    });
                }
                tensor.clone()
            }
            op => {
                let operands: SmallVec<[&Tensor64; 4]> = node
                    .inputs
                    .iter()
                    .map(|input| {
                        values[input.index()]
                            .as_ref()
                            .expect("inputs come first and are still in use")
                    })
                    .collect();
                op.evaluate(&operands, &node.value_type)
                    .map_err(|reason| ReferenceError::Evaluate {
                        operator: op.name(),
                        reason,
                    })?
            }
        };
        values[value.index()] = Some(result);
        for input in &node.inputs {
            uses[input.index()] -= 1;
            if uses[input.index()] == 0 {
                values[input.index()] = None;
            }
        }
    }
    Ok(graph
        .outputs()
        .iter()
        .map(|port| values[port.value.index()].clone().expect("outputs stay in use"))
        .collect())
}
