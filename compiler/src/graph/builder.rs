//! One method per operator. All end in [`Graph::push`]; shapes and errors are those of the operators in
//! [`ops`](crate::ops).

use super::{DType, Graph, GraphError, Tensor, ValueId};
use crate::ops::*;

macro_rules! unary {
    ($($(#[$doc:meta])* $method:ident => $operator:expr;)+) => {
        impl Graph {
            $($(#[$doc])*
            ///
            /// # Errors
            /// [`GraphError::Operator`] when the element type does not fit.
            pub fn $method(&mut self, a: ValueId) -> Result<ValueId, GraphError> {
                self.push($operator, &[a])
            })+
        }
    };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $method:ident => $operator:expr;)+) => {
        impl Graph {
            $($(#[$doc])*
            ///
            /// # Errors
            /// [`GraphError::Operator`] when shapes do not broadcast or element types do not fit.
            pub fn $method(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
                self.push($operator, &[a, b])
            })+
        }
    };
}

unary! {
    /// `-a`.
    neg => Neg;
    /// `|a|`.
    abs => Abs;
    /// -1, 0 or 1.
    sign => Sign;
    /// Square root.
    sqrt => Sqrt;
    /// `e^a`.
    exp => Exp;
    /// Natural logarithm.
    log => Log;
    /// Sine of `a` radians.
    sin => Sin;
    /// Cosine of `a` radians.
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// `1 / (1 + e^-a)`.
    sigmoid => Sigmoid;
    /// `max(a, 0)`, derivative 0 at 0.
    relu => Relu;
    /// `log(1 + e^a)`.
    softplus => Softplus;
    /// Negation of a truth value.
    not => Not;
    /// The value itself, as a node of its own.
    identity => Identity;
    /// The value itself; no gradient passes.
    stop_gradient => StopGradient;
}

binary! {
    /// `a + b`, numpy broadcasting.
    add => Add;
    /// `a - b`, numpy broadcasting.
    sub => Sub;
    /// `a * b`, element by element, numpy broadcasting.
    mul => Mul;
    /// `a / b`, numpy broadcasting.
    div => Div;
    /// `a^b`, numpy broadcasting.
    pow => Pow;
    /// The smaller of the two, numpy broadcasting.
    min => Min;
    /// The larger of the two, numpy broadcasting.
    max => Max;
    /// `a > b`, numpy broadcasting.
    greater => Greater;
    /// `a < b`, numpy broadcasting.
    less => Less;
    /// `a == b`, numpy broadcasting.
    equal => Equal;
    /// Both true, numpy broadcasting.
    and => And;
    /// Either true, numpy broadcasting.
    or => Or;
    /// Matrix product of the last two axes; the axes before broadcast.
    matmul => MatMul;
}

impl Graph {
    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let value_type = tensor.value_type();
        self.insert(Constant { tensor }.into(), &[], value_type)
    }

    /// A single-precision scalar constant.
    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::scalar(value))
    }

    /// A tensor with `value` everywhere: an expanded scalar, so that its size costs nothing.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when an axis is empty.
    pub fn full(&mut self, shape: &[usize], value: f32) -> Result<ValueId, GraphError> {
        let scalar = self.scalar(value);
        self.expand(scalar, shape)
    }

    /// `a * a`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `a` holds truth values.
    pub fn square(&mut self, a: ValueId) -> Result<ValueId, GraphError> {
        self.mul(a, a)
    }

    /// `a * factor`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `a` is not single precision.
    pub fn scale(&mut self, a: ValueId, factor: f32) -> Result<ValueId, GraphError> {
        let factor = self.scalar(factor);
        self.mul(a, factor)
    }

    /// `min(max(a, lo), hi)`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when a bound is NaN or `lo > hi`.
    pub fn clip(&mut self, a: ValueId, lo: f32, hi: f32) -> Result<ValueId, GraphError> {
        self.push(Clip { lo, hi }, &[a])
    }

    /// `a` where `condition` holds, otherwise `b`; numpy broadcasting of all three.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the condition is not bool, `a` and `b` differ in type, or shapes do not broadcast.
    pub fn where_(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
        self.push(Where, &[condition, a, b])
    }

    /// Axis `i` of the result is axis `permutation[i]` of `a`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `permutation` is none of the rank of `a`.
    pub fn transpose(&mut self, a: ValueId, permutation: &[usize]) -> Result<ValueId, GraphError> {
        self.push(
            Transpose {
                permutation: permutation.into(),
            },
            &[a],
        )
    }

    /// Swaps the last two axes.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when there are fewer than two axes.
    pub fn transpose_matrix(&mut self, a: ValueId) -> Result<ValueId, GraphError> {
        self.check(a)?;
        let rank = self.shape(a).len();
        let mut permutation: super::Shape = (0..rank).collect();
        match rank {
            // Not a permutation of the rank: the operator refuses it and says so.
            0 | 1 => permutation = (0..2).rev().collect(),
            _ => permutation.swap(rank - 1, rank - 2),
        }
        self.push(Transpose { permutation }, &[a])
    }

    /// The same elements, row-major, in another shape.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the number of elements differs.
    pub fn reshape(&mut self, a: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
        self.push(Reshape { shape: shape.into() }, &[a])
    }

    /// Broadcasts `a` to `shape`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `a` does not broadcast to exactly that shape.
    pub fn expand(&mut self, a: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
        self.push(Expand { shape: shape.into() }, &[a])
    }

    /// Removes axes of length one.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when an axis does not exist, repeats, or is longer.
    pub fn squeeze(&mut self, a: ValueId, axes: &[usize]) -> Result<ValueId, GraphError> {
        self.push(Squeeze { axes: sorted(axes) }, &[a])
    }

    /// Inserts axes of length one at these positions of the *result*.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when a position is outside the result's rank or repeats.
    pub fn unsqueeze(&mut self, a: ValueId, axes: &[usize]) -> Result<ValueId, GraphError> {
        self.push(Unsqueeze { axes: sorted(axes) }, &[a])
    }

    /// Joins values along an axis; the other axes agree.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when there is none, or types or the other axes differ.
    pub fn concat(&mut self, values: &[ValueId], axis: usize) -> Result<ValueId, GraphError> {
        self.push(Concat { axis }, values)
    }

    /// The elements `start..end` along an axis.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the range is empty or outside the axis.
    pub fn slice(&mut self, a: ValueId, axis: usize, start: usize, end: usize) -> Result<ValueId, GraphError> {
        self.push(Slice { axis, start, end }, &[a])
    }

    /// Picks along an axis by `indices` (i64, any rank, each in `0..length`): axis `axis` is replaced by the axes of
    /// `indices`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the axis does not exist or `indices` is not i64.
    pub fn gather(&mut self, data: ValueId, indices: ValueId, axis: usize) -> Result<ValueId, GraphError> {
        self.push(Gather { axis }, &[data, indices])
    }

    /// `data` with `updates` added along an axis at `indices`; repeated indices add up. `updates` has the shape
    /// [`Self::gather`] would give.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit or `indices` is not i64.
    pub fn scatter_add(
        &mut self,
        data: ValueId,
        indices: ValueId,
        updates: ValueId,
        axis: usize,
    ) -> Result<ValueId, GraphError> {
        self.push(ScatterAdd { axis }, &[data, indices, updates])
    }

    /// Sum over axes; with `keep_dims` they stay with length one. No axes: the value itself.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when an axis does not exist or repeats.
    pub fn reduce_sum(&mut self, a: ValueId, axes: &[usize], keep_dims: bool) -> Result<ValueId, GraphError> {
        self.push(
            ReduceSum {
                axes: sorted(axes),
                keep_dims,
            },
            &[a],
        )
    }

    /// Mean over axes, as [`Self::reduce_sum`].
    ///
    /// # Errors
    /// As [`Self::reduce_sum`].
    pub fn reduce_mean(&mut self, a: ValueId, axes: &[usize], keep_dims: bool) -> Result<ValueId, GraphError> {
        self.push(
            ReduceMean {
                axes: sorted(axes),
                keep_dims,
            },
            &[a],
        )
    }

    /// Largest element over axes, as [`Self::reduce_sum`].
    ///
    /// # Errors
    /// As [`Self::reduce_sum`].
    pub fn reduce_max(&mut self, a: ValueId, axes: &[usize], keep_dims: bool) -> Result<ValueId, GraphError> {
        self.push(
            ReduceMax {
                axes: sorted(axes),
                keep_dims,
            },
            &[a],
        )
    }

    /// Sum over every axis: a scalar.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `a` is not single precision.
    pub fn sum_all(&mut self, a: ValueId) -> Result<ValueId, GraphError> {
        self.check(a)?;
        let axes: super::Shape = (0..self.shape(a).len()).collect();
        self.reduce_sum(a, &axes, false)
    }

    /// Mean over every axis: a scalar.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `a` is not single precision.
    pub fn mean_all(&mut self, a: ValueId) -> Result<ValueId, GraphError> {
        self.check(a)?;
        let axes: super::Shape = (0..self.shape(a).len()).collect();
        self.reduce_mean(a, &axes, false)
    }

    /// `e^a / sum(e^a)` along an axis.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when the axis does not exist.
    pub fn softmax(&mut self, a: ValueId, axis: usize) -> Result<ValueId, GraphError> {
        self.push(Softmax { axis }, &[a])
    }

    /// Logarithm of [`Self::softmax`].
    ///
    /// # Errors
    /// As [`Self::softmax`].
    pub fn log_softmax(&mut self, a: ValueId, axis: usize) -> Result<ValueId, GraphError> {
        self.push(LogSoftmax { axis }, &[a])
    }

    /// Converts the element type. To bool: unequal zero. To i64: towards zero.
    ///
    /// # Errors
    /// None for a value of this graph.
    pub fn cast(&mut self, a: ValueId, to: DType) -> Result<ValueId, GraphError> {
        self.push(Cast { to }, &[a])
    }
}

/// Attributes are canonical, so that equal nodes are found equal.
fn sorted(axes: &[usize]) -> super::Shape {
    let mut axes = super::Shape::from_slice(axes);
    axes.sort_unstable();
    axes
}
