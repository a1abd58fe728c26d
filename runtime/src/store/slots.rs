//! Writing into slots: which one, and what must hold before its contents count.

use bytemuck::Zeroable;
use embedded_storage::nor_flash::NorFlash;

use super::delta::DeltaHeader;
use super::flash::{for_each_piece, read};
use super::{IMAGE_SLOTS, MAX_DELTA_SLOTS, State, Store, StoreError, Stored, Writing};
use crate::image::{
    CRC_START, Crc32, FORMAT_VERSION, Header, MAGIC, SECTION_ALIGNMENT, SectionEntry, SectionKind, SignatureSection,
};
#[cfg(feature = "signatures")]
use crate::signature::{Claim, Keys};

/// Whose deltas and images are taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Trust<'k> {
    /// Anyone's: a signature is not looked at.
    Unsigned,
    /// Only those signed by one of these keys, of a release that is not retired.
    #[cfg(feature = "signatures")]
    Signed(Keys<'k>),
    #[cfg(not(feature = "signatures"))]
    #[doc(hidden)]
    Never(core::convert::Infallible, core::marker::PhantomData<&'k ()>),
}

/// What a slot's contents say of themselves.
struct Contents {
    crc: u32,
    release: u32,
}

/// Which ticket counts the writes into this slot's kind.
const fn kind(slot: usize) -> usize {
    (slot >= MAX_DELTA_SLOTS) as usize
}

impl<F: NorFlash> Store<F> {
    /// Begins to write a delta that comes from elsewhere (a file, another robot) for the image with this hash; see
    /// [`commit`](Self::commit) for what this robot has learned.
    ///
    /// The slot is one that no boot of this image would use: an empty or reverted one, the oldest confirmed, or, before
    /// the newest confirmed of this image is touched, one of another image.
    ///
    /// # Errors
    /// [`StoreError::NoSlots`], [`StoreError::Flash`].
    pub fn begin_delta(&mut self, image_hash: u64) -> Result<Writing, StoreError> {
        let slots = self.layout.delta_slots();
        let mut hashes = [None; MAX_DELTA_SLOTS];
        for (slot, hash) in slots.clone().zip(&mut hashes) {
            *hash = self.delta_header(slot)?.map(|header| header.image_hash());
        }
        let hash_of = |slot: usize| hashes.get(slot).copied().flatten();
        let newest_confirmed = |slot: usize| {
            let alike = slots.clone().filter(|&other| hash_of(other) == hash_of(slot));
            self.newest(alike, State::Confirmed) == Some(slot)
        };
        // None: never.
        let class = |slot: usize| {
            let own = hash_of(slot) == Some(image_hash);
            match self.snapshot.state(slot) {
                State::Empty | State::Reverted => Some(0),
                State::Confirmed if !newest_confirmed(slot) => Some(1),
                State::Trial | State::Tried if !own => Some(2),
                State::Confirmed if !own => Some(3),
                _ => None,
            }
        };
        let slot = slots
            .clone()
            .filter_map(|slot| class(slot).map(|class| (class, self.snapshot.sequence_of(slot), slot)))
            .min()
            .map(|(_, _, slot)| slot)
            .ok_or(StoreError::NoSlots)?;
        self.begin(slot, image_hash)
    }

    /// Begins to write an image, in the slot that is not in use. What it held counts no longer, an image waiting for
    /// its trial included.
    ///
    /// # Errors
    /// [`StoreError::OnTrial`] while the running image is on trial: its slot is in use, and the other is the way back;
    /// [`StoreError::NoSlots`], [`StoreError::Flash`].
    pub fn begin_image(&mut self) -> Result<Writing, StoreError> {
        let slots = self.image_slots();
        if slots.is_empty() {
            return Err(StoreError::NoSlots);
        }
        if slots.clone().any(|slot| self.snapshot.state(slot) == State::Tried) {
            return Err(StoreError::OnTrial);
        }
        let confirmed = self.newest(slots.clone(), State::Confirmed);
        let free = |slot: usize| matches!(self.snapshot.state(slot), State::Empty | State::Reverted);
        let slot = slots
            .filter(|&slot| Some(slot) != confirmed)
            .min_by_key(|&slot| (!free(slot), self.snapshot.sequence_of(slot)))
            .ok_or(StoreError::OnTrial)?;
        self.begin(slot, 0)
    }

    fn begin(&mut self, slot: usize, image_hash: u64) -> Result<Writing, StoreError> {
        // Nothing may name the slot once it is erased.
        if !matches!(self.snapshot.state(slot), State::Empty | State::Reverted) {
            self.set_state(slot, State::Empty)?;
        }
        let ticket = self.tickets.get_mut(kind(slot)).ok_or(StoreError::NoSlots)?;
        *ticket = ticket.wrapping_add(1);
        let ticket = *ticket;
        Ok(Writing::new(slot, ticket, image_hash, self.layout.slot::<F>(slot)))
    }

    /// Writes the next bytes. Takes time in proportion to their number, and one erase for each page they begin.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] when the slot is full, [`StoreError::Superseded`], [`StoreError::Flash`] (then begin
    /// again).
    pub fn write(&mut self, writing: &mut Writing, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_ticket(writing)?;
        writing.take(&mut self.flash, bytes)
    }

    /// Ends the writing: reads everything back, checks it, and only then lets it count. It is on trial then; what else
    /// was on trial in its place is reverted.
    ///
    /// Length, checksum, format version and release are checked here, and the signature as `trust` says; the rest of an
    /// image is checked when it is loaded.
    ///
    /// # Errors
    /// [`StoreError::Malformed`], [`StoreError::Damaged`], [`StoreError::OtherImage`], [`StoreError::Retired`],
    /// `StoreError::Signature`, [`StoreError::Superseded`], [`StoreError::Flash`]: what was written does not count.
    pub fn finish(&mut self, mut writing: Writing, trust: Trust<'_>) -> Result<Stored, StoreError> {
        self.check_ticket(&writing)?;
        writing.complete(&mut self.flash)?;
        let (slot, length) = (writing.slot, writing.written());
        let contents = if slot < MAX_DELTA_SLOTS {
            self.check_delta(slot, length, writing.image_hash, trust)?
        } else {
            self.check_image(slot, length, trust)?
        };

        let mut next = self.snapshot;
        for other in 0..super::SLOTS {
            let alike = kind(other) == kind(slot) && self.snapshot.state(other).is_on_trial();
            if alike && (kind(slot) == 1 || self.is_of(other, writing.image_hash)?) {
                next.set_state(other, State::Reverted);
            }
        }
        let sequence = self.snapshot.sequence.checked_add(1).ok_or(StoreError::Exhausted)?;
        next.set_state(slot, State::Trial);
        for (values, value) in [(&mut next.sequences, sequence), (&mut next.crcs, contents.crc)] {
            if let Some(of_slot) = values.get_mut(slot) {
                *of_slot = value;
            }
        }
        if let Some(release) = next.releases.get_mut(slot.wrapping_sub(MAX_DELTA_SLOTS)) {
            *release = contents.release;
        }
        self.append_if_changed(next)?;
        // The slot is finished: this writing was the last of its ticket.
        if let Some(ticket) = self.tickets.get_mut(kind(slot)) {
            *ticket = ticket.wrapping_add(1);
        }
        Ok(self.id(slot))
    }

    fn check_ticket(&self, writing: &Writing) -> Result<(), StoreError> {
        if self.tickets.get(kind(writing.slot)) == Some(&writing.ticket) {
            Ok(())
        } else {
            Err(StoreError::Superseded)
        }
    }

    /// The header in a delta slot, if it is one and, where the slot counts, the one that the journal means.
    pub(super) fn delta_header(&mut self, slot: usize) -> Result<Option<DeltaHeader>, StoreError> {
        let mut header = DeltaHeader::zeroed();
        let (start, capacity) = self.layout.slot::<F>(slot);
        read(&mut self.flash, start, bytemuck::bytes_of_mut(&mut header))?;
        let right = header.is_consistent() && header.length <= capacity && header.crc == self.snapshot.crc_of(slot);
        Ok(right.then_some(header))
    }

    fn is_of(&mut self, slot: usize, image_hash: u64) -> Result<bool, StoreError> {
        let header = self.delta_header(slot)?;
        Ok(header.is_some_and(|header| header.image_hash() == image_hash))
    }

    /// Whether the bytes of a delta slot fit its header.
    pub(super) fn is_intact(&mut self, slot: usize, header: &DeltaHeader) -> Result<bool, StoreError> {
        let (start, _) = self.layout.slot::<F>(slot);
        let parameters = header.length.saturating_sub(DeltaHeader::BYTES as u32);
        let mut crc = header.checksum();
        for_each_piece(
            &mut self.flash,
            start.saturating_add(DeltaHeader::BYTES as u32),
            parameters,
            |_, piece| crc = crc.update(piece),
        )?;
        Ok(crc.finish() == header.crc)
    }

    fn check_delta(
        &mut self,
        slot: usize,
        length: u32,
        image_hash: u64,
        trust: Trust<'_>,
    ) -> Result<Contents, StoreError> {
        let mut header = DeltaHeader::zeroed();
        let (start, _) = self.layout.slot::<F>(slot);
        if (length as usize) < DeltaHeader::BYTES {
            return Err(StoreError::Malformed);
        }
        read(&mut self.flash, start, bytemuck::bytes_of_mut(&mut header))?;
        if !header.is_consistent() || header.length != length {
            return Err(StoreError::Malformed);
        }
        if !self.is_intact(slot, &header)? {
            return Err(StoreError::Damaged);
        }
        if header.image_hash() != image_hash {
            return Err(StoreError::OtherImage);
        }
        self.check_release(header.is_signed(), header.release)?;
        match trust {
            Trust::Unsigned => {}
            #[cfg(feature = "signatures")]
            Trust::Signed(keys) => self.verify(start, length, keys, &Claim::of_delta(&header))?,
            #[cfg(not(feature = "signatures"))]
            Trust::Never(never, _) => match never {},
        }
        Ok(Contents {
            crc: header.crc,
            release: header.release,
        })
    }

    fn check_image(&mut self, slot: usize, length: u32, trust: Trust<'_>) -> Result<Contents, StoreError> {
        let (start, _) = self.layout.slot::<F>(slot);
        let mut header = Header::zeroed();
        if (length as usize) < Header::BYTES {
            return Err(StoreError::Malformed);
        }
        read(&mut self.flash, start, bytemuck::bytes_of_mut(&mut header))?;
        let right = header.magic == MAGIC && header.version == FORMAT_VERSION && header.length == length;
        if !right || !(length as usize).is_multiple_of(SECTION_ALIGNMENT) {
            return Err(StoreError::Malformed);
        }
        let mut crc = Crc32::new();
        let covered = CRC_START as u32;
        for_each_piece(
            &mut self.flash,
            start.saturating_add(covered),
            length.saturating_sub(covered),
            |_, piece| crc = crc.update(piece),
        )?;
        if crc.finish() != header.crc {
            return Err(StoreError::Damaged);
        }
        let signature = self.signature_section(start, &header)?;
        let release = signature.map_or(0, |(_, section)| section.release);
        self.check_release(true, release)?;
        match trust {
            Trust::Unsigned => {}
            #[cfg(feature = "signatures")]
            Trust::Signed(keys) => {
                let (at, section) =
                    signature.ok_or(StoreError::Signature(crate::signature::SignatureError::Unsigned))?;
                self.verify(start, length, keys, &Claim::of_image(at, &section))?;
            }
            #[cfg(not(feature = "signatures"))]
            Trust::Never(never, _) => match never {},
        }
        Ok(Contents {
            crc: header.crc,
            release,
        })
    }

    /// What is not signed, and made by this robot, has no release.
    fn check_release(&self, has_release: bool, release: u32) -> Result<(), StoreError> {
        let minimum = self.snapshot.minimum_release;
        if has_release && release < minimum {
            return Err(StoreError::Retired { minimum });
        }
        Ok(())
    }

    /// Where in the image the signature section lies, and the section.
    fn signature_section(
        &mut self,
        start: u32,
        header: &Header,
    ) -> Result<Option<(u32, SignatureSection)>, StoreError> {
        // No more entries than the image has room for.
        let most = header.length / SectionEntry::BYTES as u32;
        for index in 0..header.section_count.min(most) {
            let at = (Header::BYTES as u32).saturating_add(index.saturating_mul(SectionEntry::BYTES as u32));
            let mut entry = SectionEntry::zeroed();
            if at.saturating_add(SectionEntry::BYTES as u32) > header.length {
                break;
            }
            read(
                &mut self.flash,
                start.saturating_add(at),
                bytemuck::bytes_of_mut(&mut entry),
            )?;
            if SectionKind::from_bits(entry.kind) != Some(SectionKind::Signature) {
                continue;
            }
            let end = u64::from(entry.offset) + u64::from(entry.length);
            if entry.length as usize != SignatureSection::BYTES || end > u64::from(header.length) {
                return Err(StoreError::Malformed);
            }
            let mut section = SignatureSection::zeroed();
            read(
                &mut self.flash,
                start.saturating_add(entry.offset),
                bytemuck::bytes_of_mut(&mut section),
            )?;
            return Ok(Some((entry.offset, section)));
        }
        Ok(None)
    }

    #[cfg(feature = "signatures")]
    fn verify(&mut self, start: u32, length: u32, keys: Keys<'_>, claim: &Claim) -> Result<(), StoreError> {
        let mut verification = keys.begin(claim).map_err(StoreError::Signature)?;
        for_each_piece(&mut self.flash, start, length, |at, piece| {
            verification.absorb(at, piece)
        })?;
        verification.finish().map_err(StoreError::Signature)
    }
}

const _: () = assert!(IMAGE_SLOTS == 2);
