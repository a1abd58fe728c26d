//! Bytes at an address a device image can be read from.

use std::ops::Deref;

/// A copy of some bytes at an address that is a multiple of 16.
///
/// ```
/// use pliant_compiler::image::AlignedBytes;
///
/// let bytes = AlignedBytes::new(b"seventeen bytes..");
/// assert_eq!(bytes.as_ptr() as usize % 16, 0);
/// assert_eq!(&*bytes, b"seventeen bytes..");
/// ```
#[derive(Clone, Debug)]
pub struct AlignedBytes {
    words: Vec<u128>,
    len: usize,
}

impl AlignedBytes {
    /// Copies `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0; bytes.len().div_ceil(16)];
        bytemuck::cast_slice_mut::<u128, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self {
            words,
            len: bytes.len(),
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}
