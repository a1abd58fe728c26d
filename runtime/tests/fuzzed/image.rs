//! Bytes as a device image: as they are, with the checksum made right, and with sizes and costs made right too, so that the
//! rules behind them are reached.

use pliant_runtime::image::record::{Record, Space};
use pliant_runtime::image::{
    AdaptationSpec, BankHeader, CRC_START, Header, Image, PlanHeader, SectionEntry, SectionKind, Workspace, crc32,
};

use super::exercise::exercise;

/// Values of memory, more than any image of the corpus needs.
const MEMORY: usize = 16 * 1024;
/// Longer input is cut.
const MAX_LENGTH: usize = 64 * 1024;

/// What the fuzzer calls.
pub(crate) fn run(data: &[u8]) {
    let data = data.get(..MAX_LENGTH).unwrap_or(data);
    let mut aligned = vec![0u128; data.len().div_ceil(16)];
    let bytes = &mut bytemuck::cast_slice_mut::<_, u8>(&mut aligned)[..data.len()];
    bytes.copy_from_slice(data);
    let mut memory = vec![0.0; MEMORY];
    let mut check = |bytes: &[u8]| {
        if let Err(violation) = exercise(bytes, &mut memory) {
            panic!("{violation:?}");
        }
    };
    check(bytes);
    if bytes.len() < Header::BYTES {
        return;
    }
    fix_checksum(bytes);
    check(bytes);
    fix_sizes(bytes);
    fix_checksum(bytes);
    check(bytes);
}

/// Makes the checksum right, if the length in the header can be.
fn fix_checksum(bytes: &mut [u8]) {
    let length = word(bytes, 12) as usize;
    if let Some(covered) = bytes.get(CRC_START..length.max(CRC_START)) {
        let crc = crc32(covered);
        set(bytes, 16, crc);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |word| u32::from_le_bytes(*word))
}

fn set(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_le_bytes();
    }
}

/// Makes the counts and costs of plans, and the workspace sizes in the header, what the sections say.
fn fix_sizes(bytes: &mut [u8]) {
    const WORD: usize = size_of::<u32>();
    let mut sizes: [u32; size_of::<Workspace>() / WORD] = bytemuck::cast(*workspace_of(bytes));
    // By the order of `Workspace`: constants, adapted, bank, state, accumulator, act and learn [arena, input, output].
    let sections = (word(bytes, 20) as usize).min(64);
    for place in &mut sizes[8..11] {
        *place = 0;
    }
    for index in 0..sections {
        let at = Header::BYTES + index * SectionEntry::BYTES;
        let kind = SectionKind::from_bits(word(bytes, at) as u16);
        let (start, length) = (word(bytes, at + 4 + 4) as usize, word(bytes, at + 12) as usize);
        if start.checked_add(length).is_none_or(|end| end > bytes.len()) || start % 16 != 0 {
            continue;
        }
        let elements = (length / WORD) as u32;
        match kind {
            Some(SectionKind::Constants) => sizes[0] = elements,
            Some(SectionKind::AdaptedInitial) => sizes[1] = elements,
            Some(SectionKind::Bank) if length >= BankHeader::BYTES => sizes[2] = word(bytes, start + 4),
            Some(SectionKind::Adaptation) if length == size_of::<AdaptationSpec>() => {
                let spec: AdaptationSpec = bytemuck::pod_read_unaligned(&bytes[start..start + length]);
                if spec.check().is_ok() {
                    (sizes[11], sizes[12]) = (spec.capacity, spec.row_width());
                }
            }
            Some(SectionKind::Plan) if length >= PlanHeader::BYTES => {
                let records = (length - PlanHeader::BYTES) / size_of::<Record>();
                let macs = (0..records)
                    .map(|record| {
                        let at = start + PlanHeader::BYTES + record * size_of::<Record>();
                        bytemuck::pod_read_unaligned::<Record>(&bytes[at..at + size_of::<Record>()]).macs()
                    })
                    .fold(0u64, u64::saturating_add);
                set(bytes, start + 4, records as u32);
                set(bytes, start + 24, macs as u32);
                set(bytes, start + 28, (macs >> 32) as u32);
                let writes = (0..records).any(|record| {
                    word(bytes, start + PlanHeader::BYTES + record * size_of::<Record>() + 4) >> 28
                        == Space::Adapted as u32
                });
                set(bytes, start + 20, u32::from(writes));
                let instance = word(bytes, at) >> 16;
                for (size, field) in [16, 8, 12].into_iter().enumerate() {
                    let value = word(bytes, start + field);
                    match instance {
                        0 => sizes[5 + size] = value,
                        _ => sizes[8 + size] = sizes[8 + size].max(value),
                    }
                }
            }
            _ => {}
        }
    }
    for (size, index) in sizes.iter().zip(0..) {
        set(bytes, Workspace::OFFSET + index * WORD, *size);
    }
}

fn workspace_of(bytes: &[u8]) -> Box<Workspace> {
    let end = Workspace::OFFSET + size_of::<Workspace>();
    let read = |bytes: &[u8]| bytemuck::pod_read_unaligned(bytes);
    Box::new(
        bytes
            .get(Workspace::OFFSET..end)
            .map_or_else(bytemuck::Zeroable::zeroed, read),
    )
}

/// Whether the bytes, once checksum and sizes are made right, are an image: for the seeds of a corpus.
#[allow(dead_code)]
pub(crate) fn reaches_an_image(data: &[u8]) -> bool {
    let mut aligned = vec![0u128; data.len().div_ceil(16)];
    let bytes = &mut bytemuck::cast_slice_mut::<_, u8>(&mut aligned)[..data.len()];
    bytes.copy_from_slice(data);
    fix_sizes(bytes);
    fix_checksum(bytes);
    Image::new_checked(bytes).is_ok()
}
