//! The journal: whole snapshots of the store's state, appended; the newest whole one counts.
//!
//! Every change of state is one appended record of 128 bytes with its own checksum and a sequence number, so it either
//! happened or it did not. Records are appended to a page; when it is full, the next page is erased and begins with the
//! next record. The page with the newest record is never erased. A record whose writing was cut, or that does not read
//! back as it was written, is passed over: no word is written twice.

use bytemuck::{Pod, Zeroable};
use embedded_storage::nor_flash::NorFlash;

use super::flash::{Buffer, read};
use super::layout::{Layout, SLOTS, page_bytes, record_stride};
use super::{IMAGE_SLOTS, State, StoreError};
use crate::image::crc32;

/// `PLJ` and the version of the record.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"PLJ\x01");

/// Places tried for one record before the flash is given up.
const ATTEMPTS: usize = 4;

/// The state of the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Snapshot {
    magic: u32,
    /// Of the bytes from 8 on.
    crc: u32,
    /// One more than that of the record before.
    pub(super) sequence: u32,
    /// Lowest release that is still accepted.
    pub(super) minimum_release: u32,
    /// A [`State`] each.
    states: [u8; SLOTS],
    reserved: [u8; 6],
    /// Sequence number of the record with which the slot's contents became valid.
    pub(super) sequences: [u32; SLOTS],
    /// CRC-32 in the header of the slot's contents: tells that they are the ones meant.
    pub(super) crcs: [u32; SLOTS],
    /// Release of the images.
    pub(super) releases: [u32; IMAGE_SLOTS],
    reserved_end: [u32; 2],
}

impl Snapshot {
    pub(super) const BYTES: usize = size_of::<Self>();

    /// Of a store that was never written.
    const EMPTY: Self = Self {
        magic: MAGIC,
        crc: 0,
        sequence: 0,
        minimum_release: 0,
        states: [State::Empty as u8; SLOTS],
        reserved: [0; 6],
        sequences: [0; SLOTS],
        crcs: [0; SLOTS],
        releases: [0; IMAGE_SLOTS],
        reserved_end: [0; 2],
    };

    pub(super) fn state(&self, slot: usize) -> State {
        self.states
            .get(slot)
            .and_then(|&bits| State::from_bits(bits))
            .unwrap_or(State::Empty)
    }

    pub(super) fn set_state(&mut self, slot: usize, state: State) {
        if let Some(bits) = self.states.get_mut(slot) {
            *bits = state as u8;
        }
    }

    pub(super) fn sequence_of(&self, slot: usize) -> u32 {
        self.sequences.get(slot).copied().unwrap_or(0)
    }

    pub(super) fn crc_of(&self, slot: usize) -> u32 {
        self.crcs.get(slot).copied().unwrap_or(0)
    }

    fn checksum(&self) -> u32 {
        crc32(bytemuck::bytes_of(self).get(8..).unwrap_or(&[]))
    }

    fn is_valid(&self) -> bool {
        self.magic == MAGIC
            && self.crc == self.checksum()
            && self.reserved == [0; 6]
            && self.reserved_end == [0; 2]
            && self.states.iter().all(|&bits| State::from_bits(bits).is_some())
    }
}

const _: () = assert!(Snapshot::BYTES == 128);

/// Where the next record goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journal {
    /// The page with the newest record; `None` while there is none.
    home: Option<u32>,
    /// The page that is being filled, and the record in it to write next (past the end: the page is full).
    page: u32,
    next: u32,
}

impl Journal {
    /// Finds the newest snapshot. Reads only.
    pub(super) fn open<F: NorFlash>(flash: &mut F, layout: &Layout) -> Result<(Self, Snapshot), StoreError> {
        let records = records_per_page::<F>();
        let mut newest = Snapshot::EMPTY;
        // Nothing found: the first record goes to page 0, after erasing it.
        let mut journal = Self {
            home: None,
            page: layout.journal_pages - 1,
            next: records,
        };
        for page in 0..layout.journal_pages {
            for index in 0..records {
                let mut record = Snapshot::zeroed();
                read(
                    flash,
                    place::<F>(layout, page, index),
                    bytemuck::bytes_of_mut(&mut record),
                )?;
                // Records of a page stand in the order of time: of two with one number (a cut one that turned out to be
                // whole after all) the later counts.
                let newer = record.sequence > newest.sequence
                    || (record.sequence == newest.sequence && journal.home == Some(page));
                if record.is_valid() && (newer || journal.home.is_none()) {
                    newest = record;
                    journal.home = Some(page);
                }
            }
        }
        if let Some(page) = journal.home {
            journal.page = page;
            journal.next = 0;
            for index in 0..records {
                let mut record = Snapshot::zeroed();
                read(
                    flash,
                    place::<F>(layout, page, index),
                    bytemuck::bytes_of_mut(&mut record),
                )?;
                if bytemuck::bytes_of(&record).iter().any(|&byte| byte != 0xff) {
                    journal.next = index + 1;
                }
            }
        }
        Ok((journal, newest))
    }

    /// Makes `next` the state of the store: after this has returned, every boot finds it; if it is cut, every boot finds
    /// it or `current`.
    pub(super) fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        current: &mut Snapshot,
        mut next: Snapshot,
    ) -> Result<(), StoreError> {
        next.sequence = current.sequence.checked_add(1).ok_or(StoreError::Exhausted)?;
        // A record that fails below may stand in the flash all the same: its number is spent.
        current.sequence = next.sequence;
        next.magic = MAGIC;
        next.crc = next.checksum();
        let mut error = StoreError::Damaged;
        for _ in 0..ATTEMPTS {
            if self.next >= records_per_page::<F>() {
                self.next_page(flash, layout)?;
            }
            let at = place::<F>(layout, self.page, self.next);
            self.next += 1;
            match write_record(flash, at, &next) {
                Ok(()) => {
                    self.home = Some(self.page);
                    *current = next;
                    return Ok(());
                }
                Err(problem) => error = problem,
            }
        }
        Err(error)
    }

    /// Erases the page after this one, but never the one with the newest record.
    fn next_page<F: NorFlash>(&mut self, flash: &mut F, layout: &Layout) -> Result<(), StoreError> {
        let after = |page: u32| if page + 1 >= layout.journal_pages { 0 } else { page + 1 };
        let mut page = after(self.page);
        if self.home == Some(page) {
            page = after(page);
        }
        let start = layout.page::<F>(page);
        let end = start.saturating_add(page_bytes(F::ERASE_SIZE as u32, F::WRITE_SIZE as u32));
        flash.erase(start, end).map_err(StoreError::flash)?;
        (self.page, self.next) = (page, 0);
        Ok(())
    }
}

fn records_per_page<F: NorFlash>() -> u32 {
    let (erase, write) = (F::ERASE_SIZE as u32, F::WRITE_SIZE as u32);
    page_bytes(erase, write) / record_stride(write).max(1)
}

/// Byte at which a record starts.
fn place<F: NorFlash>(layout: &Layout, page: u32, index: u32) -> u32 {
    layout
        .page::<F>(page)
        .saturating_add(index.saturating_mul(record_stride(F::WRITE_SIZE as u32)))
}

/// Writes a record and reads it back.
fn write_record<F: NorFlash>(flash: &mut F, at: u32, record: &Snapshot) -> Result<(), StoreError> {
    let mut buffer = Buffer::ERASED;
    let bytes = bytemuck::bytes_of(record);
    let stride = record_stride(F::WRITE_SIZE as u32) as usize;
    buffer.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let padded = buffer.0.get(..stride).ok_or(StoreError::TooLong)?;
    flash.write(at, padded).map_err(StoreError::flash)?;
    let mut back = Snapshot::zeroed();
    read(flash, at, bytemuck::bytes_of_mut(&mut back))?;
    if back == *record {
        Ok(())
    } else {
        Err(StoreError::Damaged)
    }
}
