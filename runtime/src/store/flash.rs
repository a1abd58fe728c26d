//! Reads of any alignment and length over a flash that has units.

use embedded_storage::nor_flash::NorFlash;

use super::StoreError;

/// Bytes moved at a time; every supported read and write unit divides it.
pub(super) const CHUNK: usize = 256;

/// Bytes on the way to or from the flash. Some drivers move words only.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Buffer(pub(super) [u8; CHUNK]);

impl Buffer {
    /// As erased flash.
    pub(super) const ERASED: Self = Self([0xff; CHUNK]);
}

/// Reads `length` bytes from `start` on and hands them to `take` in pieces: their offset from `start`, and the bytes.
pub(super) fn for_each_piece<F: NorFlash>(
    flash: &mut F,
    start: u32,
    length: u32,
    mut take: impl FnMut(u32, &[u8]),
) -> Result<(), StoreError> {
    let mut buffer = Buffer::ERASED;
    let mut done = 0u32;
    while done < length {
        let at = start.saturating_add(done);
        // From the unit that `at` lies in, as many units as fit.
        let lead = at as usize % F::READ_SIZE;
        let wanted = lead.saturating_add((length - done) as usize).min(CHUNK);
        let units = wanted.next_multiple_of(F::READ_SIZE);
        let read = buffer.0.get_mut(..units).ok_or(StoreError::TooLong)?;
        flash
            .read(at.saturating_sub(lead as u32), read)
            .map_err(StoreError::flash)?;
        let piece = read.get(lead..wanted).unwrap_or(&[]);
        take(done, piece);
        // A unit is at most half a chunk, so a piece is never empty; this bounds the loop without relying on it.
        done = done.saturating_add((piece.len() as u32).max(1));
    }
    Ok(())
}

/// Reads `into.len()` bytes from `start` on.
pub(super) fn read<F: NorFlash>(flash: &mut F, start: u32, into: &mut [u8]) -> Result<(), StoreError> {
    let length = into.len() as u32;
    for_each_piece(flash, start, length, |at, piece| {
        let to = into.iter_mut().skip(at as usize);
        to.zip(piece).for_each(|(to, from)| *to = *from);
    })
}
