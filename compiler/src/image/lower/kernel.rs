//! How each operator runs on a device: the declaration fusion works on.

use pliant_runtime::image::record::{Binary, Reduce, Ternary, Unary};

use crate::graph::{DType, Shape, ValueType};
use crate::ops::{Op, dispatch};

/// What a device does for one operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kernel {
    /// An input or a constant: nothing.
    Leaf,
    /// The operand itself, in the output's shape: nothing.
    Alias,
    /// The operand broadcast to the output's shape: strides only.
    Broadcast,
    /// The operand's axes in another order: strides only.
    Transpose(Shape),
    /// Part of the operand: strides only.
    Slice {
        /// Along this axis.
        axis: usize,
        /// First index.
        start: usize,
    },
    /// One function of one value, with its parameters.
    Unary(Unary, [f32; 2]),
    /// One function of two values.
    Binary(Binary),
    /// One function of three values.
    Ternary(Ternary),
    /// A matrix product. Operands: `a`, `w`, then what the form says.
    MatMul(MatMulForm),
    /// A reduction over `axes`, times `scale`.
    Reduce {
        /// Which.
        function: Reduce,
        /// Of the operand.
        axes: Shape,
        /// Factor on the result.
        scale: f32,
        /// The second operand is added, in the place where it is bound.
        accumulate: bool,
    },
    /// Operands one after the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Elements picked along an axis. Operands: data, indices.
    Gather {
        /// The axis.
        axis: usize,
    },
    /// Elements added along an axis. Operands: data, indices, updates.
    ScatterAdd {
        /// The axis.
        axis: usize,
    },
    /// `e^a / sum e^a` along an axis, or its logarithm.
    Softmax {
        /// The axis.
        axis: usize,
        /// The logarithm.
        logarithm: bool,
    },
    /// The integer part: rounds towards zero, exact below 2^22.
    Truncate,
    /// Whether a value is not zero.
    IsTrue,
    /// The gates of a gated recurrent unit along an axis; no operator of its own, but what fusion finds. Operands: the
    /// products of the input and of the state, each reset gate, update gate and candidate side by side, and the state.
    Gru {
        /// The axis.
        axis: usize,
    },
}

/// What a matrix product record does beside the product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MatMulForm {
    /// The last two axes of both operands are swapped first.
    pub(crate) swap: bool,
    /// An operand follows `w`: the bias.
    pub(crate) bias: bool,
    /// Applied to the sum.
    pub(crate) activation: Option<Unary>,
    /// Applied to the activated sum and a further operand.
    pub(crate) epilogue: Option<Binary>,
    /// The product is added to a further operand, in the place where that is bound.
    pub(crate) accumulate: bool,
}

/// The device form of an operator; implemented in the operator's own file.
pub(crate) trait Lower {
    /// What a device does, given the types of the inputs.
    fn kernel(&self, inputs: &[&ValueType]) -> Kernel;
}

impl Lower for Op {
    fn kernel(&self, inputs: &[&ValueType]) -> Kernel {
        dispatch!(self, o => o.kernel(inputs))
    }
}

/// A function of one value without parameters.
pub(crate) fn unary(function: Unary) -> Kernel {
    Kernel::Unary(function, [0.0; 2])
}

/// A conversion: integers and truth values are `f32` on the device.
pub(crate) fn cast(from: DType, to: DType) -> Kernel {
    match (from, to) {
        (DType::F32, DType::I64) => Kernel::Truncate,
        (DType::F32 | DType::I64, DType::Bool) => Kernel::IsTrue,
        _ => Kernel::Alias,
    }
}
