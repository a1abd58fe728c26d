//! A delta: adapted parameters, bound to the image they belong to.

use bytemuck::{Pod, Zeroable};

use crate::image::Crc32;

/// First eight bytes of a delta: `PLDELTA`, LF.
pub const DELTA_MAGIC: [u8; 8] = *b"PLDELTA\n";

/// The version of the delta format that this crate reads and writes.
pub const DELTA_VERSION: u32 = 1;

/// First byte that the CRC of a delta covers; it covers everything from here to the end.
const CRC_START: usize = 20;

/// Bytes of a delta of so many parameters; saturating.
///
/// ```
/// assert_eq!(pliant_runtime::store::delta_bytes(1000), 4128);
/// ```
pub const fn delta_bytes(parameters: usize) -> usize {
    parameters.saturating_mul(4).saturating_add(DeltaHeader::BYTES)
}

/// The first 128 bytes of a delta; the parameters follow, little-endian `f32` each.
///
/// In flash and in a file the bytes are the same. `docs/store.md` is the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DeltaHeader {
    /// [`DELTA_MAGIC`].
    pub magic: [u8; 8],
    /// [`DELTA_VERSION`].
    pub version: u32,
    /// Bytes of the whole delta.
    pub length: u32,
    /// CRC-32 of the bytes from 20 to `length`.
    pub crc: u32,
    /// Number of parameters.
    pub parameters: u32,
    /// Low and high word of the [hash](crate::image::Image::hash) of the image.
    pub image_hash: [u32; 2],
    /// Gradient steps between the image's parameters and these.
    pub steps: u32,
    /// Release, when signed; otherwise 0.
    pub release: u32,
    /// First eight bytes of the public key of whoever signed; zeros without a signature.
    pub key: [u8; 8],
    /// Zero.
    pub reserved: [u32; 4],
    /// Ed25519 signature, or zeros.
    pub signature: [u8; 64],
}

impl DeltaHeader {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// The header of an unsigned delta with these parameters.
    pub fn new(image_hash: u64, steps: u32, parameters: &[f32]) -> Self {
        let mut header = Self {
            magic: DELTA_MAGIC,
            version: DELTA_VERSION,
            length: delta_bytes(parameters.len()) as u32,
            crc: 0,
            parameters: parameters.len() as u32,
            image_hash: [image_hash as u32, (image_hash >> 32) as u32],
            steps,
            release: 0,
            key: [0; 8],
            reserved: [0; 4],
            signature: [0; 64],
        };
        header.crc = header.checksum().update(bytemuck::cast_slice(parameters)).finish();
        header
    }

    /// Reads the header of a whole delta in memory and checks magic, version, length, checksum and reserved fields.
    /// `None` if anything is wrong. `bytes` need no alignment; what follows the delta is ignored.
    pub fn new_checked(bytes: &[u8]) -> Option<Self> {
        let header: Self = bytemuck::pod_read_unaligned(bytes.get(..Self::BYTES)?);
        let covered = bytes.get(Self::BYTES..header.length as usize)?;
        (header.is_consistent() && header.checksum().update(covered).finish() == header.crc).then_some(header)
    }

    /// The hash of the image the delta belongs to.
    pub const fn image_hash(&self) -> u64 {
        (self.image_hash[0] as u64) | ((self.image_hash[1] as u64) << 32)
    }

    /// Whether there is a signature (right or wrong).
    pub fn is_signed(&self) -> bool {
        self.key != [0; 8] || self.signature != [0; 64]
    }

    /// The checksum over the header's part of what it covers.
    pub(super) fn checksum(&self) -> Crc32 {
        Crc32::new().update(bytemuck::bytes_of(self).get(CRC_START..).unwrap_or(&[]))
    }

    /// Magic, version, length and reserved fields are right.
    pub(super) fn is_consistent(&self) -> bool {
        self.magic == DELTA_MAGIC
            && self.version == DELTA_VERSION
            && u64::from(self.length) == Self::BYTES as u64 + 4 * u64::from(self.parameters)
            && self.reserved == [0; 4]
            && (self.is_signed() || self.release == 0)
    }

    /// Replaces checksum, for a header whose other fields were changed; `parameters` are the bytes that follow it.
    pub fn seal(&mut self, parameters: &[u8]) {
        self.crc = self.checksum().update(parameters).finish();
    }
}

const _: () = assert!(DeltaHeader::BYTES == 128 && core::mem::offset_of!(DeltaHeader, signature) == 64);
