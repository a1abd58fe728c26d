//! CRC-32 and FNV-1a, small: sixteen table entries instead of 256 (64 bytes of flash).

/// CRC-32 of four bits, each.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3: reflected, polynomial `0xEDB88320`, as in zlib and PNG).
///
/// ```
/// assert_eq!(pliant_runtime::image::crc32(b"123456789"), 0xCBF4_3926);
/// ```
pub fn crc32(bytes: &[u8]) -> u32 {
    Crc32::new().update(bytes).finish()
}

/// A [`crc32`] of bytes that come in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) const fn new() -> Self {
        Self(u32::MAX)
    }

    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |crc, &byte| {
            let crc = crc ^ u32::from(byte);
            let crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
            (crc >> 4) ^ TABLE[(crc & 15) as usize]
        }))
    }

    pub(crate) const fn finish(self) -> u32 {
        !self.0
    }
}

/// The empty [`fnv1a`].
pub(super) const FNV_START: u64 = 0xCBF2_9CE4_8422_2325;

/// 64-bit FNV-1a of the bytes, continued from `hash`.
pub(super) fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
