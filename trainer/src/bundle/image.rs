//! Image bytes on the heap, aligned as images must be.

use core::ops::Deref;

/// Bytes that start on a 16-byte boundary, as a device image is read in place.
///
/// ```
/// let bytes = pliant_trainer::bundle::AlignedBytes::new(b"PLIANT");
/// assert_eq!(&*bytes, b"PLIANT");
/// assert_eq!(bytes.as_ptr() as usize % 16, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignedBytes {
    words: Vec<u128>,
    length: usize,
}

impl AlignedBytes {
    /// An aligned copy.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u128; bytes.len().div_ceil(16)];
        bytemuck::cast_slice_mut::<u128, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self {
            words,
            length: bytes.len(),
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }
}
