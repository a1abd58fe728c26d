//! Every truncation and every flipped bit of an image. Only `core`: the emulated board runs it too.

use pliant_runtime::image::{CRC_START, Header, crc32};

use super::exercise::{Outcome, Violation, exercise};

/// What came of all the damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Damaged images tried.
    pub(crate) tried: u32,
    /// Refused by the image's or the policy's checks.
    pub(crate) refused: u32,
    /// A plan costs more than is run here: known without running it.
    pub(crate) too_costly: u32,
    /// Acted, every action finite and in range; parameters, where adapted, finite.
    pub(crate) in_bounds: u32,
    /// Of these, acted with nothing but the safe action.
    pub(crate) only_safe: u32,
    /// Something that must not happen.
    pub(crate) violations: u32,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Result<Outcome, Violation>) {
        self.tried += 1;
        match outcome {
            Ok(Outcome::Refused) => self.refused += 1,
            Ok(Outcome::TooCostly) => self.too_costly += 1,
            Ok(Outcome::Acted { by_policy, .. }) => {
                self.in_bounds += 1;
                self.only_safe += u32::from(!by_policy);
            }
            Err(_) => self.violations += 1,
        }
    }
}

/// Byte offsets of length and checksum in the header.
const LENGTH: usize = core::mem::offset_of!(Header, length);
const CRC: usize = core::mem::offset_of!(Header, crc);

/// Tries every truncation and every flipped bit of the image in `bytes`, as they are and again with checksum (and, where cut,
/// length) made right. The image is whole again afterwards.
pub(crate) fn every_damage(bytes: &mut [u8], memory: &mut [f32]) -> [Tally; 2] {
    let [mut as_is, mut repaired] = [Tally::default(); 2];
    for cut in 0..bytes.len() {
        as_is.add(exercise(bytes.get(..cut).unwrap_or(&[]), memory));
        let (length, crc) = (read(bytes, LENGTH), read(bytes, CRC));
        write(bytes, LENGTH, cut as u32);
        if let Some(cut) = bytes.get_mut(..cut) {
            fix_checksum(cut);
            repaired.add(exercise(cut, memory));
        }
        write(bytes, LENGTH, length);
        write(bytes, CRC, crc);
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            flip(bytes, at, bit);
            as_is.add(exercise(bytes, memory));
            let crc = read(bytes, CRC);
            fix_checksum(bytes);
            repaired.add(exercise(bytes, memory));
            write(bytes, CRC, crc);
            flip(bytes, at, bit);
        }
    }
    [as_is, repaired]
}

/// Flips one bit.
pub(crate) fn flip(bytes: &mut [u8], at: usize, bit: u32) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// Makes the checksum of the whole slice right.
pub(crate) fn fix_checksum(bytes: &mut [u8]) {
    let crc = crc32(bytes.get(CRC_START..).unwrap_or(&[]));
    write(bytes, CRC, crc);
}

/// The word at a byte offset; 0 past the end.
fn read(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

/// Sets the word at a byte offset, if it is there.
fn write(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = value.to_le_bytes();
    }
}
