//! CRC-32 over the bits of numbers, so that two runs can be compared to the last bit by eye.

/// CRC-32 (IEEE 802.3, reflected) of a growing sequence of numbers, each as its four little-endian bytes.
#[derive(Clone, Debug)]
pub struct Checksum(u32);

impl Checksum {
    /// The checksum of nothing.
    pub fn new() -> Self {
        Self(u32::MAX)
    }

    /// Takes numbers in.
    pub fn add(&mut self, values: &[f32]) {
        for byte in values.iter().flat_map(|value| value.to_bits().to_le_bytes()) {
            self.0 ^= u32::from(byte);
            for _ in 0..8 {
                self.0 = (self.0 >> 1) ^ (0xedb8_8320 & (self.0 & 1).wrapping_neg());
            }
        }
    }

    /// The checksum so far.
    pub fn value(&self) -> u32 {
        !self.0
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_crc_of_the_bytes() {
        let values = [1.0f32, -0.0, f32::from_bits(0x3132_3334)];
        let mut checksum = Checksum::new();
        checksum.add(&values[..1]);
        checksum.add(&values[1..]);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        assert_eq!(checksum.value(), pliant_runtime::image::crc32(&bytes));
    }
}
