//! From the learner into the store, and back at boot.

use embedded_storage::nor_flash::NorFlash;

use super::delta::DeltaHeader;
use super::{Store, StoreError, Stored, StoredDelta, Trust};
use crate::policy::{Learner, RestoreError};

impl<F: NorFlash> Store<F> {
    /// Keeps the learner's parameters in use for the image of this hash, on trial: the next boot tries them, unless they
    /// are confirmed before.
    ///
    /// Takes as long as erasing and writing a delta slot. To do it in pieces, see [`DeltaHeader::new`],
    /// [`begin_delta`](Self::begin_delta) and [`write`](Self::write); parameters that change in between are noticed at
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`StoreError::TooLong`] when they do not fit a slot, [`StoreError::NoSlots`], [`StoreError::Damaged`] or
    /// [`StoreError::Flash`] when the flash fails: what the next boot finds is what it would have found before.
    pub fn commit(&mut self, image_hash: u64, learner: &Learner<'_, '_>) -> Result<Stored, StoreError> {
        self.commit_parameters(image_hash, learner.steps(), learner.parameters())
    }

    /// As [`commit`](Self::commit), of parameters that are not in a learner.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_parameters(&mut self, image_hash: u64, steps: u32, parameters: &[f32]) -> Result<Stored, StoreError> {
        let header = DeltaHeader::new(image_hash, steps, parameters);
        if u64::from(header.length) > u64::from(self.layout.delta_slot_bytes) {
            return Err(StoreError::TooLong);
        }
        let mut writing = self.begin_delta(image_hash)?;
        self.write(&mut writing, bytemuck::bytes_of(&header))?;
        self.write(&mut writing, bytemuck::cast_slice(parameters))?;
        self.finish(writing, Trust::Unsigned)
    }

    /// Gives the learner the parameters that [`select_delta`](Self::select_delta) chooses for the image of this hash,
    /// and says which; `None` when it stays with the image's own. The actor's next call uses them.
    ///
    /// A delta that the learner refuses (wrong count, not finite, outside the trust region) is reverted, and the next
    /// one chosen.
    ///
    /// # Errors
    /// [`StoreError::Restore`] when the learner cannot take any now; [`StoreError::Flash`].
    pub fn boot_delta(
        &mut self,
        image_hash: u64,
        learner: &mut Learner<'_, '_>,
    ) -> Result<Option<StoredDelta>, StoreError> {
        // Each turn reverts one slot, so that there are no more than slots.
        for _ in 0..=self.layout.delta_slots {
            let Some(delta) = self.select_delta(image_hash)? else {
                break;
            };
            let mut damage = None;
            let restored = learner.restore(delta.steps, |parameters| {
                damage = self.read_delta(delta.id, parameters).err();
                damage.is_none()
            });
            match restored {
                Ok(()) => return Ok(Some(delta)),
                Err(error @ (RestoreError::NotAdaptive | RestoreError::Busy)) => {
                    return Err(StoreError::Restore(error));
                }
                Err(_) => match damage {
                    Some(error @ StoreError::Flash(_)) => return Err(error),
                    _ => self.revert(delta.id)?,
                },
            }
        }
        Ok(None)
    }
}
