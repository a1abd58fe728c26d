//! Constant tensors.

use super::value::{DType, Shape, ValueType};
use core::fmt;
use core::hash::{Hash, Hasher};
use std::sync::Arc;

/// Elements of a [`Tensor`], row-major. Cheap to clone.
#[derive(Clone)]
pub enum TensorData {
    /// Single precision.
    F32(Arc<[f32]>),
    /// Integers.
    I64(Arc<[i64]>),
    /// Truth values.
    Bool(Arc<[bool]>),
}

/// A constant: shape and elements, row-major.
///
/// Two tensors are equal when type, shape and *bits* are: NaN equals the same NaN, and zero differs from minus zero.
///
/// ```
/// use pliant_compiler::graph::{DType, Tensor};
/// let weights = Tensor::f32(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
/// assert_eq!(weights.dtype(), DType::F32);
/// assert_eq!(weights.as_f32(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
/// assert!(Tensor::f32(&[3], vec![1.0]).is_none());
/// ```
#[derive(Clone)]
pub struct Tensor {
    shape: Shape,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `data`, or `None` when its length is not the product of `shape`, or an axis is empty.
    pub fn new(shape: &[usize], data: TensorData) -> Option<Self> {
        let tensor = Self {
            shape: Shape::from_slice(shape),
            data,
        };
        (tensor.len() == shape.iter().product::<usize>() && tensor.len() > 0).then_some(tensor)
    }

    /// A single-precision tensor; `None` as in [`Self::new`].
    pub fn f32(shape: &[usize], data: impl Into<Arc<[f32]>>) -> Option<Self> {
        Self::new(shape, TensorData::F32(data.into()))
    }

    /// An integer tensor; `None` as in [`Self::new`].
    pub fn i64(shape: &[usize], data: impl Into<Arc<[i64]>>) -> Option<Self> {
        Self::new(shape, TensorData::I64(data.into()))
    }

    /// A tensor of truth values; `None` as in [`Self::new`].
    pub fn bool(shape: &[usize], data: impl Into<Arc<[bool]>>) -> Option<Self> {
        Self::new(shape, TensorData::Bool(data.into()))
    }

    /// A scalar.
    pub fn scalar(value: f32) -> Self {
        Self {
            shape: Shape::new(),
            data: TensorData::F32(Arc::new([value])),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            TensorData::F32(_) => DType::F32,
            TensorData::I64(_) => DType::I64,
            TensorData::Bool(_) => DType::Bool,
        }
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type and shape.
    pub fn value_type(&self) -> ValueType {
        ValueType {
            dtype: self.dtype(),
            shape: self.shape.clone(),
        }
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Number of elements, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a tensor is never empty")]
    pub fn len(&self) -> usize {
        match &self.data {
            TensorData::F32(v) => v.len(),
            TensorData::I64(v) => v.len(),
            TensorData::Bool(v) => v.len(),
        }
    }

    /// The elements, if they are single precision.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements, if they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            TensorData::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The elements, if they are truth values.
    pub fn as_bool(&self) -> Option<&[bool]> {
        match &self.data {
            TensorData::Bool(v) => Some(v),
            _ => None,
        }
    }

    /// The value every element has (bit for bit), if there is one and it is single precision.
    pub fn uniform(&self) -> Option<f32> {
        let values = self.as_f32()?;
        let first = values[0];
        values.iter().all(|v| v.to_bits() == first.to_bits()).then_some(first)
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && match (&self.data, &other.data) {
                (TensorData::F32(a), TensorData::F32(b)) => {
                    Arc::ptr_eq(a, b) || a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
                }
                (TensorData::I64(a), TensorData::I64(b)) => a == b,
                (TensorData::Bool(a), TensorData::Bool(b)) => a == b,
                _ => false,
            }
    }
}

impl Eq for Tensor {}

impl Hash for Tensor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
        match &self.data {
            TensorData::F32(v) => v.iter().for_each(|v| state.write_u32(v.to_bits())),
            TensorData::I64(v) => v.iter().for_each(|v| state.write_i64(*v)),
            TensorData::Bool(v) => v.iter().for_each(|v| state.write_u8(u8::from(*v))),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        fn list<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, values: &[T]) -> fmt::Result {
            let mut list = f.debug_list();
            list.entries(values.iter().take(SHOWN));
            if values.len() > SHOWN {
                list.finish_non_exhaustive()
            } else {
                list.finish()
            }
        }
        match &self.data {
            TensorData::F32(v) if v.len() == 1 => write!(f, "{:?}", v[0]),
            TensorData::I64(v) if v.len() == 1 => write!(f, "{:?}", v[0]),
            TensorData::Bool(v) if v.len() == 1 => write!(f, "{:?}", v[0]),
            TensorData::F32(v) => list(f, v),
            TensorData::I64(v) => list(f, v),
            TensorData::Bool(v) => list(f, v),
        }
    }
}
