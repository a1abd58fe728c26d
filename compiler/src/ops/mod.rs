//! The operators, one file each: type rule, gradient, f64 reference and ONNX form.
//!
//! An operator is a plain struct of its attributes implementing [`Operator`]; [`Op`] is the enumeration of all of them.
//! To add one: write its file, list it in the `operators!` table below, give it a builder method.
//!
//! Gradients are graphs: [`Operator::gradient`] inserts nodes made of these same operators, so gradients of gradients
//! need nothing more. Conventions where a derivative does not exist: relu and abs have derivative 0 at 0; at a tie `max`
//! and `min` pass everything to the first operand, and `reduce_max` shares equally; `clip` passes inside and at its
//! bounds, and gives 0 outside. Which side a value is on is a condition, not a function: no gradient runs through it, in
//! any order.

use crate::graph::{Graph, GraphError, TypeError, ValueId, ValueType};
use crate::reference::Tensor64;
use core::fmt;
use smallvec::SmallVec;
use thiserror::Error;

pub mod broadcast;
mod elementwise;
mod reduction;

/// Lists the operators: declares their modules and [`Op`], and [`dispatch!`](crate::ops::dispatch).
macro_rules! operators {
    ($d:tt $($module:ident :: $name:ident $(: $copy:ident)?),+ $(,)?) => {
        $(mod $module; pub use $module::$name;)+

        /// Any operator, with its attributes.
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each variant is the operator of the same name, documented there")]
        pub enum Op { $($name($name)),+ }

        impl Op {
            /// The name of every operator: what a test of all of them must cover.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];
        }

        $(impl From<$name> for Op {
            fn from(operator: $name) -> Self { Self::$name(operator) }
        })+

        /// `dispatch!(op, o => expression)`: the expression with `o` bound to the operator's own struct. For traits
        /// implemented by every operator.
        macro_rules! dispatch {
            ($d op:expr, $d o:ident => $d body:expr) => {
                match $d op { $($crate::ops::Op::$name($d o) => $d body),+ }
            };
        }
        #[allow(unused_imports, reason = "for the other modules of the crate")]
        pub(crate) use dispatch;
    };
}

operators! { $
    input::Input, constant::Constant,
    add::Add, sub::Sub, mul::Mul, div::Div, pow::Pow, min::Min, max::Max,
    neg::Neg, abs::Abs, sign::Sign, sqrt::Sqrt, exp::Exp, log::Log, sin::Sin, cos::Cos,
    tanh::Tanh, sigmoid::Sigmoid, relu::Relu, softplus::Softplus, clip::Clip,
    greater::Greater, less::Less, equal::Equal, and::And, or::Or, not::Not, where_::Where,
    matmul::MatMul,
    reduce_sum::ReduceSum, reduce_mean::ReduceMean, reduce_max::ReduceMax,
    softmax::Softmax, log_softmax::LogSoftmax,
    transpose::Transpose, reshape::Reshape, expand::Expand, squeeze::Squeeze, unsqueeze::Unsqueeze,
    concat::Concat, slice::Slice, gather::Gather, scatter_add::ScatterAdd,
    identity::Identity, stop_gradient::StopGradient, cast::Cast,
}

/// What every operator can do.
pub trait Operator {
    /// Its name, as errors and listings give it.
    fn name(&self) -> &'static str;

    /// Type of the output for inputs of these types.
    ///
    /// # Errors
    /// [`TypeError`] says what does not fit.
    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError>;

    /// Whether the output's dependence on this input matters to gradients. False for the condition of [`Where`] (which
    /// side is taken is not differentiated) and for [`StopGradient`].
    fn carries_gradient(&self, input: usize) -> bool {
        let _ = input;
        true
    }

    /// Inserts the vector-Jacobian product: from the cotangent of the output, the cotangent of each input that is
    /// [needed](Backward::needs). `None` for a needed input says that no gradient exists, which is an error of the
    /// caller's request.
    ///
    /// # Errors
    /// [`GraphError`] as the builder gives it (never for types that [`Self::infer`] accepted).
    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let _ = backward;
        Ok(Cotangents::new())
    }

    /// The output in f64, for inputs that [`Self::infer`] accepted.
    ///
    /// # Errors
    /// [`EvaluateError`] for values outside the operator's domain.
    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError>;

    /// The ONNX node (opset 18) that does the same, given the types of the inputs and of the output.
    fn onnx(&self, inputs: &[&ValueType], output: &ValueType) -> OnnxForm;
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dispatch!(self, o => o.fmt(f))
    }
}

impl Operator for Op {
    fn name(&self) -> &'static str {
        dispatch!(self, o => o.name())
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        dispatch!(self, o => o.infer(inputs))
    }

    fn carries_gradient(&self, input: usize) -> bool {
        dispatch!(self, o => o.carries_gradient(input))
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        dispatch!(self, o => o.gradient(backward))
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        dispatch!(self, o => o.evaluate(inputs, output))
    }

    fn onnx(&self, inputs: &[&ValueType], output: &ValueType) -> OnnxForm {
        dispatch!(self, o => o.onnx(inputs, output))
    }
}

/// One node to differentiate, and the graph to insert its gradient into.
pub struct Backward<'g> {
    /// Holds the node, and takes the new ones.
    pub graph: &'g mut Graph,
    /// Inputs of the node.
    pub inputs: &'g [ValueId],
    /// Output of the node.
    pub output: ValueId,
    /// Derivative of what is being differentiated with respect to the output; the output's type.
    pub cotangent: ValueId,
    /// Which inputs need a cotangent.
    pub needed: &'g [bool],
}

impl Backward<'_> {
    /// Whether input `i` needs a cotangent.
    pub fn needs(&self, i: usize) -> bool {
        self.needed[i]
    }

    /// `value`, summed to the shape of input `i`: the transpose of broadcasting it.
    ///
    /// # Errors
    /// Never for a value of a shape that input `i` broadcasts to.
    pub fn reduce_to_input(&mut self, value: ValueId, i: usize) -> Result<Option<Cotangent>, GraphError> {
        let shape = self.graph.value_type(self.inputs[i]).shape.clone();
        Ok(Some(Cotangent::Whole(broadcast::reduce_to_shape(
            self.graph, value, &shape,
        )?)))
    }
}

/// A contribution to the cotangent of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cotangent {
    /// Of the input's shape.
    Whole(ValueId),
    /// Zero but for `start..end` along `axis`, where it is `value`. Disjoint parts are joined by one `Concat` instead of
    /// being padded and added.
    Part {
        /// The axis.
        axis: usize,
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// What is there.
        value: ValueId,
    },
}

/// Cotangents of the inputs, in order; missing ones at the end count as `None`.
pub type Cotangents = SmallVec<[Option<Cotangent>; 3]>;

/// Shorthand of the gradients: one whole cotangent for one input.
fn whole(value: ValueId) -> Option<Cotangent> {
    Some(Cotangent::Whole(value))
}

/// Why an operator cannot be computed for these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EvaluateError {
    /// An index outside its axis. (ONNX counts negative ones from the end; Pliant does not.)
    #[error("index {index} is outside an axis of length {length}")]
    IndexOutOfRange {
        /// The index.
        index: i64,
        /// Length of the axis.
        length: usize,
    },
    /// An input has no value of its own: it must be given.
    #[error("an input must be given")]
    Unbound,
}

/// An attribute of an ONNX node.
#[derive(Clone, Debug, PartialEq)]
pub enum OnnxAttribute {
    /// One integer.
    Int(i64),
    /// Several integers.
    Ints(Vec<i64>),
    /// A string.
    String(&'static str),
}

/// A constant input of an ONNX node that stands for an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum OnnxConstant {
    /// A single-precision scalar.
    Scalar(f32),
    /// A list of integers: int64, one axis, possibly of length zero.
    List(Vec<i64>),
}

/// How an operator is written in ONNX, opset 18: one node, whose inputs are the operator's followed by `constants`.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxForm {
    /// `op_type` of the node.
    pub op_type: &'static str,
    /// Attributes by name.
    pub attributes: Vec<(&'static str, OnnxAttribute)>,
    /// What ONNX takes as further inputs where Pliant has attributes (shapes, axes, bounds).
    pub constants: Vec<OnnxConstant>,
}

impl OnnxForm {
    /// A node without attributes.
    pub fn plain(op_type: &'static str) -> Self {
        Self {
            op_type,
            attributes: Vec::new(),
            constants: Vec::new(),
        }
    }

    /// With an attribute of one integer.
    #[must_use]
    pub fn int(mut self, name: &'static str, value: i64) -> Self {
        self.attributes.push((name, OnnxAttribute::Int(value)));
        self
    }

    /// With an attribute of several integers.
    #[must_use]
    pub fn ints(mut self, name: &'static str, values: &[usize]) -> Self {
        self.attributes
            .push((name, OnnxAttribute::Ints(values.iter().map(|v| *v as i64).collect())));
        self
    }

    /// With a further input: a list of integers.
    #[must_use]
    pub fn list(mut self, values: &[usize]) -> Self {
        self.constants
            .push(OnnxConstant::List(values.iter().map(|v| *v as i64).collect()));
        self
    }

    /// With a further input: a single-precision scalar.
    #[must_use]
    pub fn scalar(mut self, value: f32) -> Self {
        self.constants.push(OnnxConstant::Scalar(value));
        self
    }
}

/// The inputs as an array, or the arity that was wrong.
fn arity<'a, const N: usize>(inputs: &[&'a ValueType]) -> Result<[&'a ValueType; N], TypeError> {
    <[&ValueType; N]>::try_from(inputs).map_err(|_| TypeError::Arity {
        expected: N,
        found: inputs.len(),
    })
}
