//! Bytes at an address a device image can be read from.

use std::ops::Deref;

use bytemuck::{Pod, Zeroable};
use pliant_runtime::image::SECTION_ALIGNMENT;

/// A copy of some bytes at an address that is a multiple of [`SECTION_ALIGNMENT`], so that every section is aligned.
///
/// ```
/// use pliant_compiler::image::AlignedBytes;
///
/// let bytes = AlignedBytes::new(b"seventeen bytes..");
/// assert_eq!(bytes.as_ptr() as usize % 64, 0);
/// assert_eq!(&*bytes, b"seventeen bytes..");
/// ```
#[derive(Clone, Debug)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; SECTION_ALIGNMENT]);

impl AlignedBytes {
    /// Copies `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line::zeroed(); bytes.len().div_ceil(SECTION_ALIGNMENT)];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self {
            lines,
            len: bytes.len(),
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}
