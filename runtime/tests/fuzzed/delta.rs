//! Bytes as what a board finds in its flash: a store of deltas, booted, used and booted again.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use pliant_runtime::image::{Image, crc32};
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_runtime::store::{DELTA_MAGIC, DELTA_VERSION, DeltaHeader, Layout, Store};

/// Bytes of a page, and of a delta slot.
const PAGE: usize = 256;
/// Two journal pages, three delta slots.
const LAYOUT: Layout = Layout {
    start: 0,
    journal_pages: 2,
    delta_slots: 3,
    delta_slot_bytes: PAGE as u32,
    image_slot_bytes: 0,
};
/// Bytes of the store.
pub(crate) const CAPACITY: usize = 5 * PAGE;

/// The image that the deltas are for: a seed of the image's corpus.
static IMAGE: Aligned<[u8; include_bytes!("../../fuzz/corpus/image/seed-supervised").len()]> =
    Aligned(*include_bytes!("../../fuzz/corpus/image/seed-supervised"));

#[repr(C, align(64))]
struct Aligned<T>(T);

/// Flash in memory, as it may come: nothing is known of what was written or erased.
struct Memory(Vec<u8>);

impl ErrorType for Memory {
    type Error = NorFlashErrorKind;
}

impl Memory {
    fn range(&mut self, from: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let rest = self.0.get_mut(from as usize..).ok_or(NorFlashErrorKind::OutOfBounds)?;
        rest.get_mut(..length).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(self.range(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.range(from, (to - from) as usize)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        // Bits only fall.
        let place = self.range(offset, bytes.len())?;
        place.iter_mut().zip(bytes).for_each(|(place, byte)| *place &= byte);
        Ok(())
    }
}

/// What the fuzzer calls: the bytes as they are, and with the checksums of journal and deltas made right.
pub(crate) fn run(data: &[u8]) {
    if let Some(header) = DeltaHeader::new_checked(data) {
        assert!(header.length as usize <= data.len());
    }
    let mut flash = data.get(..CAPACITY).unwrap_or(data).to_vec();
    flash.resize(CAPACITY, 0xFF);
    boot(flash.clone());
    repair(&mut flash);
    boot(flash);
}

/// A flash whose store holds a confirmed delta and one on trial.
#[allow(dead_code)]
pub(crate) fn seed() -> Vec<u8> {
    let image = Image::new_checked(&IMAGE.0).expect("the seed is an image");
    let flash = Memory(vec![0xFF; CAPACITY]);
    let mut store = Store::open(flash, LAYOUT).expect("the layout fits");
    let id = store
        .commit_parameters(image.hash(), 1, &[0.5, -0.125])
        .expect("there is room");
    store.confirm(id).expect("it is there");
    store
        .commit_parameters(image.hash(), 2, &[0.5, -0.0625])
        .expect("there is room");
    store.close().0
}

/// Two boots with whatever the flash holds.
fn boot(flash: Vec<u8>) {
    let image = Image::new_checked(&IMAGE.0).expect("the seed is an image");
    let mut memory = vec![0.0; workspace_len(&IMAGE.0)];
    let mut flash = Memory(flash);
    for _ in 0..2 {
        let Ok(mut store) = Store::open(flash, LAYOUT) else {
            return;
        };
        let mut policy = Policy::new(&image, None, &mut memory).expect("the seed is a policy");
        let (mut actor, mut learner) = policy.split();
        let _image = store.boot_image();
        let delta = store.boot_delta(image.hash(), &mut learner);
        assert!(learner.parameters().iter().all(|value| value.is_finite()), "{delta:?}");
        let mut action = [f32::NAN];
        let _status = actor.act(&[0.5], &mut action);
        assert!(action[0].is_finite());
        if let Ok(Some(delta)) = delta
            && delta.on_trial
        {
            let _confirmed = store.confirm(delta.id);
        }
        if let Ok(id) = store.commit(image.hash(), &learner) {
            let _state = store.state(id);
            let _reverted = store.revert(id);
        }
        flash = store.close();
    }
}

/// Makes the checksums of every journal record and of every delta right, and the journal's idea of the deltas.
fn repair(flash: &mut [u8]) {
    let mut crcs = [0u32; 3];
    for (slot, crc) in crcs.iter_mut().enumerate() {
        let at = (2 + slot) * PAGE;
        let Some(bytes) = flash.get_mut(at..at + PAGE) else {
            return;
        };
        let (head, parameters) = bytes.split_at_mut(DeltaHeader::BYTES);
        let mut header: DeltaHeader = bytemuck::pod_read_unaligned(head);
        (header.magic, header.version) = (DELTA_MAGIC, DELTA_VERSION);
        let length = (header.length as usize).saturating_sub(DeltaHeader::BYTES);
        header.seal(parameters.get(..length).unwrap_or(parameters));
        *crc = header.crc;
        head.copy_from_slice(bytemuck::bytes_of(&header));
    }
    // `docs/store.md`: magic, CRC of the rest, ..., ten states, ..., at 32 the sequences, at 72 the CRCs of ten slots.
    for record in flash[..2 * PAGE].chunks_exact_mut(128) {
        if !record.starts_with(b"PLJ\x01") {
            continue;
        }
        for (crc, place) in crcs.iter().zip(record[72..].chunks_exact_mut(4)) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32(&record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}
