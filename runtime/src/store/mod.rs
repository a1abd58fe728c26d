//! What has been learned and what is flown over the air, in flash: safe against a power cut at any word.
//!
//! Needs the feature `store`. The flash is whatever implements [`NorFlash`], whole or by `&mut`. There are
//!
//! - **delta slots**, each with adapted parameters bound to the [hash](crate::image::Image::hash) of their image;
//! - two **image slots**, A and B, apart from the firmware, so that a policy is updated without reflashing;
//! - a **journal** of snapshots of the whole state, of which the newest counts. A change of state is one appended
//!   record: it happened or it did not. What a snapshot names is never erased before a newer one no longer names it.
//!
//! # States
//!
//! | state | means | next boot |
//! |---|---|---|
//! | [`Trial`](State::Trial) | written, checked | is tried, once |
//! | [`Tried`](State::Tried) | was handed to a boot | is reverted, unless confirmed before |
//! | [`Confirmed`](State::Confirmed) | proved itself | the newest is used |
//! | [`Reverted`](State::Reverted) | did not | never again; its slot is written next |
//!
//! So a delta or an image that crashes or hangs the firmware costs one boot: the next one finds the newest confirmed,
//! then an older confirmed one, then the image's own parameters, or the image built into the firmware.
//!
//! # Use
//!
//! ```
//! use embedded_storage::nor_flash::NorFlash;
//! use pliant_runtime::image::Image;
//! use pliant_runtime::policy::Policy;
//! use pliant_runtime::store::{Layout, Store, StoreError, Trust};
//!
//! /// 2 journal pages, 4 deltas of up to 16 KiB, 2 images of up to 128 KiB, for pages of 4 KiB: 328 KiB.
//! const LAYOUT: Layout = Layout {
//!     start: 0x1_0000,
//!     journal_pages: 2,
//!     delta_slots: 4,
//!     delta_slot_bytes: 16 * 1024,
//!     image_slot_bytes: 128 * 1024,
//! };
//!
//! /// `mapped` gives the bytes of the flash where the processor sees them.
//! fn firmware<F: NorFlash>(
//!     flash: F,
//!     mapped: fn(u32, u32) -> &'static [u8],
//!     built_in: &'static [u8],
//!     memory: &'static mut [f32],
//! ) -> Result<(), StoreError> {
//!     let mut store = Store::open(flash, LAYOUT)?;
//!
//!     // Which image: one on trial, the newest confirmed, an older one, or the one in the firmware.
//!     let (image, on_trial) = loop {
//!         match store.boot_image()? {
//!             None => break (Image::new_checked(built_in).expect("a tested image"), None),
//!             Some(stored) => match Image::new_checked(mapped(stored.offset, stored.length)) {
//!                 Ok(image) => break (image, stored.on_trial.then_some(stored.id)),
//!                 Err(_) => store.revert(stored.id)?,
//!             },
//!         }
//!     };
//!     let image_hash = image.hash();
//!     let mut policy = Policy::new(&image, None, memory).expect("tested with this image");
//!     let (mut actor, mut learner) = policy.split();
//!
//!     // Which parameters: in the same order, for this image.
//!     let delta = store.boot_delta(image_hash, &mut learner)?;
//!     // The robot works. When it has done well for a while:
//!     if let Some(id) = on_trial {
//!         store.confirm(id)?;
//!     }
//!     if let Some(delta) = delta {
//!         store.confirm(delta.id)?;
//!     }
//!
//!     // It learns something, which is kept; the next boot tries it.
//!     if learner.adapt().is_accepted() {
//!         let learned = store.commit(image_hash, &learner)?;
//!         // Or at once, where what was watched until now is enough:
//!         store.confirm(learned)?;
//!     }
//!
//!     // An update comes over the air, in pieces; the next boot tries it.
//!     let mut update = store.begin_image()?;
//!     # let radio: [&[u8]; 0] = [];
//!     for piece in radio {
//!         store.write(&mut update, piece)?;
//!     }
//!     let _id = store.finish(update, Trust::Unsigned)?;
//!     # let _ = &mut actor;
//!     Ok(())
//! }
//! ```
//!
//! Time: every call is bounded by the layout (the bytes of a slot, one erase for each page written); nothing waits,
//! nothing is retried without end. The format of the flash, and the figures, are in `docs/store.md`.

mod boot;
mod delta;
mod error;
mod flash;
mod journal;
mod layout;
mod learner;
mod slots;
mod writing;

use embedded_storage::nor_flash::NorFlash;

pub use boot::{StoredDelta, StoredImage};
pub use delta::{DELTA_MAGIC, DELTA_VERSION, DeltaHeader, delta_bytes};
pub use error::{LayoutError, StoreError};
pub use layout::{IMAGE_SLOTS, Layout, MAX_DELTA_SLOTS};
pub use slots::Trust;
pub use writing::Writing;

use journal::{Journal, Snapshot};
use layout::SLOTS;

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum State {
    /// Nothing is in it that counts.
    Empty = 0,
    /// Written and checked; the next boot tries it.
    Trial = 1,
    /// A boot tries it; unless it is confirmed, the next boot reverts it.
    Tried = 2,
    /// It proved itself.
    Confirmed = 3,
    /// It did not, or something newer took its place before it could.
    Reverted = 4,
}

impl State {
    /// The state with this number.
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Empty,
            1 => Self::Trial,
            2 => Self::Tried,
            3 => Self::Confirmed,
            4 => Self::Reverted,
            _ => return None,
        })
    }

    /// Waiting for its trial, or in it.
    const fn is_on_trial(self) -> bool {
        matches!(self, Self::Trial | Self::Tried)
    }
}

/// Names one stored delta or image. It stays valid, over boots too, until the slot is written anew; then it names
/// nothing ([`StoreError::Unknown`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stored {
    slot: u8,
    sequence: u32,
}

/// Deltas and images in flash; see the [module](self).
pub struct Store<F> {
    flash: F,
    layout: Layout,
    journal: Journal,
    snapshot: Snapshot,
    /// Counts the writes begun into delta slots and into image slots, so that an older one is refused.
    tickets: [u32; 2],
    /// What this boot was given to try: delta, image.
    tried: [Option<Stored>; 2],
}

impl<F: NorFlash> Store<F> {
    /// Finds the state of the store. Reads only; a flash that holds none is an empty store.
    ///
    /// # Errors
    /// [`StoreError::Layout`] when the layout does not suit the flash, [`StoreError::Flash`].
    pub fn open(mut flash: F, layout: Layout) -> Result<Self, StoreError> {
        layout.check(&flash)?;
        let (journal, snapshot) = Journal::open(&mut flash, &layout)?;
        Ok(Self {
            flash,
            layout,
            journal,
            snapshot,
            tickets: [0; 2],
            tried: [None; 2],
        })
    }

    /// Gives the flash back.
    pub fn close(self) -> F {
        self.flash
    }

    /// The state of a stored delta or image; [`State::Empty`] when the store holds it no longer.
    pub fn state(&self, id: Stored) -> State {
        self.slot_of(id).map_or(State::Empty, |slot| self.snapshot.state(slot))
    }

    /// Confirms what is on trial: every boot uses it from now on. What is confirmed already stays so.
    ///
    /// # Errors
    /// [`StoreError::NotOnTrial`] for what was reverted, [`StoreError::Unknown`], [`StoreError::Flash`].
    pub fn confirm(&mut self, id: Stored) -> Result<(), StoreError> {
        let slot = self.slot_of(id)?;
        match self.snapshot.state(slot) {
            State::Confirmed => Ok(()),
            State::Trial | State::Tried => self.set_state(slot, State::Confirmed),
            State::Empty | State::Reverted => Err(StoreError::NotOnTrial),
        }
    }

    /// Takes back what is on trial or confirmed: no boot uses it again, the next one finds what was confirmed before.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::Flash`].
    pub fn revert(&mut self, id: Stored) -> Result<(), StoreError> {
        let slot = self.slot_of(id)?;
        match self.snapshot.state(slot) {
            State::Empty | State::Reverted => Ok(()),
            _ => self.set_state(slot, State::Reverted),
        }
    }

    /// Reverts all deltas of all images: the next boot starts from an image's own parameters.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn forget_deltas(&mut self) -> Result<(), StoreError> {
        let mut next = self.snapshot;
        for slot in self.layout.delta_slots() {
            if next.state(slot) != State::Empty {
                next.set_state(slot, State::Reverted);
            }
        }
        self.append_if_changed(next)
    }

    /// The lowest release that is still accepted: images and signed deltas below it are neither taken nor booted. 0 at
    /// first.
    pub fn minimum_release(&self) -> u32 {
        self.snapshot.minimum_release
    }

    /// Raises [`minimum_release`](Self::minimum_release), for good: an older image or signed delta, however well signed,
    /// never comes back. Nothing else raises it, and nothing lowers it.
    ///
    /// The image built into the firmware is not subject to it.
    ///
    /// # Errors
    /// [`StoreError::Retired`] when it is higher already; [`StoreError::OnTrial`] while an image is on trial, since
    /// the way back must stay open; [`StoreError::InUse`] when the newest confirmed image is of a lower release;
    /// [`StoreError::Flash`].
    pub fn retire(&mut self, release: u32) -> Result<(), StoreError> {
        let minimum = self.snapshot.minimum_release;
        if release < minimum {
            return Err(StoreError::Retired { minimum });
        }
        if self.image_slots().any(|slot| self.snapshot.state(slot).is_on_trial()) {
            return Err(StoreError::OnTrial);
        }
        if let Some(confirmed) = self.newest(self.image_slots(), State::Confirmed) {
            let confirmed = self.release(confirmed);
            if confirmed < release {
                return Err(StoreError::InUse { release: confirmed });
            }
        }
        let mut next = self.snapshot;
        next.minimum_release = release;
        self.append_if_changed(next)
    }

    fn slot_of(&self, id: Stored) -> Result<usize, StoreError> {
        let slot = usize::from(id.slot);
        if slot < SLOTS && self.snapshot.sequence_of(slot) == id.sequence {
            Ok(slot)
        } else {
            Err(StoreError::Unknown)
        }
    }

    fn id(&self, slot: usize) -> Stored {
        Stored {
            slot: slot as u8,
            sequence: self.snapshot.sequence_of(slot),
        }
    }

    fn set_state(&mut self, slot: usize, state: State) -> Result<(), StoreError> {
        let mut next = self.snapshot;
        next.set_state(slot, state);
        self.append_if_changed(next)
    }

    /// The one way in which the state changes.
    fn append_if_changed(&mut self, next: Snapshot) -> Result<(), StoreError> {
        if next == self.snapshot {
            return Ok(());
        }
        self.journal
            .append(&mut self.flash, &self.layout, &mut self.snapshot, next)
    }

    fn image_slots(&self) -> core::ops::Range<usize> {
        if self.layout.image_slot_bytes == 0 {
            0..0
        } else {
            MAX_DELTA_SLOTS..SLOTS
        }
    }

    /// The newest of these slots that is in this state.
    fn newest(&self, slots: impl Iterator<Item = usize>, state: State) -> Option<usize> {
        slots
            .filter(|&slot| self.snapshot.state(slot) == state)
            .max_by_key(|&slot| self.snapshot.sequence_of(slot))
    }

    /// The release of the image in this slot.
    fn release(&self, slot: usize) -> u32 {
        let index = slot.wrapping_sub(MAX_DELTA_SLOTS);
        self.snapshot.releases.get(index).copied().unwrap_or(0)
    }
}
