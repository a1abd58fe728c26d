//! Where in the flash the journal and the slots lie.

use embedded_storage::nor_flash::NorFlash;

use super::LayoutError;
use super::delta::DeltaHeader;
use super::flash::CHUNK;
use super::journal::Snapshot;
use crate::image::Header;

/// Delta slots at most.
pub const MAX_DELTA_SLOTS: usize = 8;
/// Image slots: A and B.
pub const IMAGE_SLOTS: usize = 2;
/// All slots a snapshot tells of: the deltas', then the images'.
pub(super) const SLOTS: usize = MAX_DELTA_SLOTS + IMAGE_SLOTS;

/// Which part of the flash the store may use and how it is divided: the journal, then the delta slots, then image slots
/// A and B, one after the other from [`start`](Self::start).
///
/// The layout is part of the firmware: a store opened with another one finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First byte, a multiple of the erase size.
    pub start: u32,
    /// Pages of the journal, 2 to 16. A page is the erase size (or as many erase units as hold 128 bytes). More pages
    /// last longer: each holds a record of 128 bytes for every change of state, and is erased when the others are full.
    pub journal_pages: u32,
    /// 0, or 3 to [`MAX_DELTA_SLOTS`]: the confirmed delta, one on trial, one to write into. With 5 the image in the other
    /// slot keeps its two as well; more keep older ones and spread wear.
    pub delta_slots: u32,
    /// Bytes of a delta slot, a multiple of the erase size: [`delta_bytes`](super::delta_bytes) of the most parameters,
    /// rounded up.
    pub delta_slot_bytes: u32,
    /// Bytes of each of the two image slots, a multiple of the erase size; 0: no image slots.
    pub image_slot_bytes: u32,
}

impl Layout {
    /// Bytes of flash from [`start`](Self::start) that the store takes with this erase and write size; saturating.
    pub const fn total_bytes(&self, erase_size: u32, write_size: u32) -> u32 {
        page_bytes(erase_size, write_size)
            .saturating_mul(self.journal_pages)
            .saturating_add(self.delta_slots.saturating_mul(self.delta_slot_bytes))
            .saturating_add(self.image_slot_bytes.saturating_mul(IMAGE_SLOTS as u32))
    }

    /// Checks the layout against the flash.
    pub(super) fn check<F: NorFlash>(&self, flash: &F) -> Result<(), LayoutError> {
        let ensure = |condition: bool, error| if condition { Ok(()) } else { Err(error) };
        let unit = |size: usize, most: usize| size.is_power_of_two() && size <= most;
        ensure(
            unit(F::READ_SIZE, Snapshot::BYTES) && unit(F::WRITE_SIZE, CHUNK),
            LayoutError::Unit,
        )?;
        let aligned = |bytes: u32| (bytes as usize).checked_rem(F::ERASE_SIZE) == Some(0);
        ensure(
            aligned(self.start) && aligned(self.delta_slot_bytes) && aligned(self.image_slot_bytes),
            LayoutError::Alignment,
        )?;
        ensure(
            F::ERASE_SIZE.is_multiple_of(F::WRITE_SIZE) && F::ERASE_SIZE.is_multiple_of(F::READ_SIZE),
            LayoutError::Alignment,
        )?;
        ensure((2..=16).contains(&self.journal_pages), LayoutError::JournalPages)?;
        let slots = self.delta_slots as usize;
        ensure(
            slots == 0 || (3..=MAX_DELTA_SLOTS).contains(&slots),
            LayoutError::DeltaSlots,
        )?;
        ensure(
            (slots == 0 || self.delta_slot_bytes as usize >= DeltaHeader::BYTES)
                && (self.image_slot_bytes == 0 || self.image_slot_bytes as usize >= Header::BYTES),
            LayoutError::SlotSize,
        )?;
        let end = u64::from(self.start) + u64::from(self.total_bytes(F::ERASE_SIZE as u32, F::WRITE_SIZE as u32));
        ensure(
            end <= flash.capacity() as u64 && end < u64::from(u32::MAX),
            LayoutError::Capacity,
        )
    }

    /// Byte at which a journal page starts.
    pub(super) fn page<F: NorFlash>(&self, page: u32) -> u32 {
        self.start
            .saturating_add(page.saturating_mul(page_bytes(F::ERASE_SIZE as u32, F::WRITE_SIZE as u32)))
    }

    /// First byte and length of a slot; a length of 0 for one that the layout does not have.
    pub(super) fn slot<F: NorFlash>(&self, slot: usize) -> (u32, u32) {
        let deltas = self.page::<F>(self.journal_pages);
        if slot < MAX_DELTA_SLOTS {
            let length = if (slot as u32) < self.delta_slots {
                self.delta_slot_bytes
            } else {
                0
            };
            return (deltas.saturating_add(slot as u32 * length), length);
        }
        let images = deltas.saturating_add(self.delta_slots.saturating_mul(self.delta_slot_bytes));
        let index = (slot - MAX_DELTA_SLOTS) as u32;
        (
            images.saturating_add(index.saturating_mul(self.image_slot_bytes)),
            self.image_slot_bytes,
        )
    }

    /// The delta slots that the layout has.
    pub(super) fn delta_slots(&self) -> core::ops::Range<usize> {
        0..(self.delta_slots as usize).min(MAX_DELTA_SLOTS)
    }
}

/// Bytes from one journal record to the next.
pub(super) const fn record_stride(write_size: u32) -> u32 {
    (Snapshot::BYTES as u32).next_multiple_of(write_size)
}

/// Bytes of a journal page.
pub(super) const fn page_bytes(erase_size: u32, write_size: u32) -> u32 {
    record_stride(write_size)
        .div_ceil(erase_size)
        .saturating_mul(erase_size)
}
