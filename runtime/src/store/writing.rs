//! Bytes on their way into a slot: buffered to whole write units, pages erased just before they are needed.

use embedded_storage::nor_flash::NorFlash;

use super::StoreError;
use super::flash::{Buffer, CHUNK};

/// A delta or an image on its way into its slot, in pieces of any length.
///
/// It holds nothing of the store: the control loop goes on between two pieces, and so may every other use of the store.
/// Dropping it leaves a slot that no boot looks at.
pub struct Writing {
    pub(super) slot: usize,
    /// Of the store's tickets, to notice that another write has begun since.
    pub(super) ticket: u32,
    /// The image that a delta must belong to.
    pub(super) image_hash: u64,
    start: u32,
    capacity: u32,
    /// Bytes taken; those past the last whole chunk are in the buffer.
    length: u32,
    erased: u32,
    buffer: Buffer,
}

impl Writing {
    pub(super) fn new(slot: usize, ticket: u32, image_hash: u64, (start, capacity): (u32, u32)) -> Self {
        Self {
            slot,
            ticket,
            image_hash,
            start,
            capacity,
            length: 0,
            erased: 0,
            buffer: Buffer::ERASED,
        }
    }

    /// Bytes taken so far.
    pub fn written(&self) -> u32 {
        self.length
    }

    /// Takes bytes, in time proportional to their number and one erase for each page they begin.
    pub(super) fn take<F: NorFlash>(&mut self, flash: &mut F, mut bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > self.capacity.saturating_sub(self.length) as usize {
            return Err(StoreError::TooLong);
        }
        while !bytes.is_empty() {
            let filled = self.length as usize % CHUNK;
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - filled));
            let to = self.buffer.0.iter_mut().skip(filled);
            to.zip(now).for_each(|(to, from)| *to = *from);
            self.length = self.length.saturating_add(now.len() as u32);
            if filled + now.len() == CHUNK {
                self.flush(flash, CHUNK)?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes what is still in the buffer, padded to a whole unit.
    pub(super) fn complete<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), StoreError> {
        let filled = self.length as usize % CHUNK;
        if filled == 0 {
            return Ok(());
        }
        self.flush(flash, filled)
    }

    /// Writes the first `filled` bytes of the buffer, which are the last ones taken.
    fn flush<F: NorFlash>(&mut self, flash: &mut F, filled: usize) -> Result<(), StoreError> {
        let padded = filled.next_multiple_of(F::WRITE_SIZE);
        let at = self.length.saturating_sub(filled as u32);
        let end = at.saturating_add(padded as u32);
        while self.erased < end {
            let page = self.start.saturating_add(self.erased);
            let page_end = page.saturating_add(F::ERASE_SIZE as u32);
            flash.erase(page, page_end).map_err(StoreError::flash)?;
            self.erased = self.erased.saturating_add(F::ERASE_SIZE as u32);
        }
        let bytes = self.buffer.0.get(..padded).ok_or(StoreError::TooLong)?;
        flash
            .write(self.start.saturating_add(at), bytes)
            .map_err(StoreError::flash)?;
        self.buffer = Buffer::ERASED;
        Ok(())
    }
}
