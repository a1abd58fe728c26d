//! The constants of an image: one pool for all its plans.

use std::collections::HashMap;

/// Constants of one or several plans, each stored once.
///
/// Plans lowered into the same pool share equal tensors, bit for bit; a single number is found anywhere in the pool.
///
/// ```
/// use pliant_compiler::image::ConstantPool;
///
/// let mut pool = ConstantPool::new();
/// let offset = pool.insert(&[1.0, 2.0]);
/// assert_eq!(pool.insert(&[1.0, 2.0]), offset);
/// assert_eq!(pool.values(), [1.0, 2.0]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConstantPool {
    values: Vec<f32>,
    tensors: HashMap<Vec<u32>, usize>,
    alignment: usize,
}

impl ConstantPool {
    /// An empty pool whose tensors start anywhere.
    pub fn new() -> Self {
        Self::aligned(1)
    }

    /// An empty pool whose tensors start at multiples of `alignment` elements, a power of two; shorter ones at multiples of
    /// the next power of two of their length.
    pub fn aligned(alignment: usize) -> Self {
        Self {
            alignment: alignment.max(1),
            ..Self::default()
        }
    }

    /// Offset of `values` in the pool, stored if they are not there yet.
    pub fn insert(&mut self, values: &[f32]) -> usize {
        let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        if let Some(&offset) = self.tensors.get(&bits) {
            return offset;
        }
        // Nothing is gained by aligning a tensor further than it is long.
        let alignment = values.len().next_power_of_two().min(self.alignment.max(1));
        self.values.resize(self.values.len().next_multiple_of(alignment), 0.0);
        let offset = self.values.len();
        self.values.extend_from_slice(values);
        self.tensors.insert(bits, offset);
        offset
    }

    /// The constants, once no further plan is lowered into the pool.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Every constant, in `f32` elements from the start of the `Const` space.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
