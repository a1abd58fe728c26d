//! What a boot uses: one trial, then the newest confirmed, then older ones.

use bytemuck::Zeroable;
use embedded_storage::nor_flash::NorFlash;

use super::delta::DeltaHeader;
use super::flash::read;
use super::{MAX_DELTA_SLOTS, SLOTS, State, Store, StoreError, Stored};
use crate::image::{FORMAT_VERSION, Header, MAGIC};

/// A delta in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoredDelta {
    /// Names it.
    pub id: Stored,
    /// This boot is its trial.
    pub on_trial: bool,
    /// Number of parameters.
    pub parameters: u32,
    /// Gradient steps between the image's parameters and these.
    pub steps: u32,
}

/// An image in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoredImage {
    /// Names it.
    pub id: Stored,
    /// This boot is its trial.
    pub on_trial: bool,
    /// First byte in the flash.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
    /// Its release; 0 when it is not signed.
    pub release: u32,
}

/// What a slot was found to hold.
enum Found<T> {
    /// This.
    Good(T),
    /// It belongs to another image: none of this boot's business.
    Foreign,
    /// Nothing that can be used.
    Bad,
}

impl<F: NorFlash> Store<F> {
    /// The image to run: one waiting for its trial, else the newest confirmed, else an older one; `None`: the one in the
    /// firmware. Call it once a boot, and again after [`revert`](Self::revert) of an image that did not load.
    ///
    /// An image that had its trial and was not confirmed is reverted here.
    ///
    /// # Errors
    /// [`StoreError::Flash`], and what comes of a flash that cannot be written.
    pub fn boot_image(&mut self) -> Result<Option<StoredImage>, StoreError> {
        let slots = self.image_slots();
        let Some((slot, on_trial, header)) = self.choose(slots, |store, slot| store.find_image(slot))? else {
            return Ok(None);
        };
        let (offset, _) = self.layout.slot::<F>(slot);
        Ok(Some(StoredImage {
            id: self.id(slot),
            on_trial,
            offset,
            length: header.length,
            release: self.release(slot),
        }))
    }

    /// The delta to use with the image of this hash: the one waiting for its trial, else the newest confirmed, else an
    /// older one, whole each; `None`: the image's own parameters. [`boot_delta`](Self::boot_delta) also gives it to a
    /// learner.
    ///
    /// A delta that had its trial and was not confirmed is reverted here.
    ///
    /// # Errors
    /// [`StoreError::Flash`], and what comes of a flash that cannot be written.
    pub fn select_delta(&mut self, image_hash: u64) -> Result<Option<StoredDelta>, StoreError> {
        let slots = self.layout.delta_slots();
        let chosen = self.choose(slots, |store, slot| store.find_delta(slot, image_hash))?;
        Ok(chosen.map(|(slot, on_trial, header)| StoredDelta {
            id: self.id(slot),
            on_trial,
            parameters: header.parameters,
            steps: header.steps,
        }))
    }

    /// Reads the parameters of a delta.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::TooLong`] when there are not as many parameters,
    /// [`StoreError::Damaged`], [`StoreError::Flash`]: `into` may have been written to.
    pub fn read_delta(&mut self, id: Stored, into: &mut [f32]) -> Result<(), StoreError> {
        let slot = self.slot_of(id)?;
        let header = self.delta_header(slot)?.ok_or(StoreError::Unknown)?;
        if header.parameters as usize != into.len() {
            return Err(StoreError::TooLong);
        }
        let (start, _) = self.layout.slot::<F>(slot);
        let bytes = bytemuck::cast_slice_mut(into);
        read(&mut self.flash, start.saturating_add(DeltaHeader::BYTES as u32), bytes)?;
        if header.checksum().update(bytes).finish() == header.crc {
            Ok(())
        } else {
            Err(StoreError::Damaged)
        }
    }

    /// The rule of both kinds of slots. All changes of state are one record; there is none in most boots.
    fn choose<T>(
        &mut self,
        slots: core::ops::Range<usize>,
        find: impl Fn(&mut Self, usize) -> Result<Found<T>, StoreError>,
    ) -> Result<Option<(usize, bool, T)>, StoreError> {
        let kind = usize::from(slots.start >= MAX_DELTA_SLOTS);
        let tried_now = self.tried.get(kind).copied().flatten();
        let mut next = self.snapshot;
        let (mut best, mut rank) = (None, (false, 0));
        for slot in slots {
            let state = self.snapshot.state(slot);
            if !matches!(state, State::Trial | State::Tried | State::Confirmed) {
                continue;
            }
            let found = match find(self, slot)? {
                Found::Good(found) => found,
                Found::Foreign => continue,
                Found::Bad => {
                    next.set_state(slot, State::Reverted);
                    continue;
                }
            };
            // Tried by an earlier boot: it did not come to confirm it.
            if state == State::Tried && tried_now != Some(self.id(slot)) {
                next.set_state(slot, State::Reverted);
                continue;
            }
            let its_rank = (state.is_on_trial(), self.snapshot.sequence_of(slot));
            if best.is_none() || its_rank > rank {
                (best, rank) = (Some((slot, found)), its_rank);
            }
        }
        if let Some((slot, _)) = &best
            && rank.0
        {
            next.set_state(*slot, State::Tried);
        }
        self.append_if_changed(next)?;
        let Some((slot, found)) = best else { return Ok(None) };
        if rank.0 {
            let id = self.id(slot);
            if let Some(tried) = self.tried.get_mut(kind) {
                *tried = Some(id);
            }
        }
        Ok(Some((slot, rank.0, found)))
    }

    fn find_delta(&mut self, slot: usize, image_hash: u64) -> Result<Found<DeltaHeader>, StoreError> {
        let Some(header) = self.delta_header(slot)? else {
            return Ok(Found::Bad);
        };
        if header.image_hash() != image_hash {
            return Ok(Found::Foreign);
        }
        let retired = header.is_signed() && header.release < self.snapshot.minimum_release;
        if retired || !self.is_intact(slot, &header)? {
            return Ok(Found::Bad);
        }
        Ok(Found::Good(header))
    }

    /// Looks at the header only: the whole image is checked when it is loaded.
    fn find_image(&mut self, slot: usize) -> Result<Found<Header>, StoreError> {
        let mut header = Header::zeroed();
        let (start, capacity) = self.layout.slot::<F>(slot);
        read(&mut self.flash, start, bytemuck::bytes_of_mut(&mut header))?;
        let right = header.magic == MAGIC
            && header.version == FORMAT_VERSION
            && header.length <= capacity
            && header.crc == self.snapshot.crc_of(slot)
            && self.release(slot) >= self.snapshot.minimum_release;
        Ok(if right { Found::Good(header) } else { Found::Bad })
    }
}

const _: () = assert!(SLOTS > MAX_DELTA_SLOTS);
