//! What an image view refuses, what it skips, and that no bytes make it panic.

mod linear;
mod support;

use linear::{Bytes, supervised};
use pliant_runtime::image::{
    AdaptationSpec, CRC_START, Header, Image, ImageError, PlanHeader, PlanKind, SECTION_ALIGNMENT, SectionEntry,
    SectionKind, crc32,
};
use pliant_runtime::plan::{AdaptedRef, Exact, Spaces};
use support::Random;

/// An image taken to pieces, to be put together again with something changed.
#[derive(Clone)]
struct Pieces {
    header: Header,
    sections: Vec<(SectionEntry, Vec<u8>)>,
}

/// The bytes of an image, aligned and writable.
#[derive(Clone)]
struct Memory(Vec<u128>);

impl Memory {
    fn of(bytes: &[u8]) -> Self {
        let mut memory = vec![0u128; bytes.len().div_ceil(16)];
        bytemuck::cast_slice_mut::<_, u8>(&mut memory)[..bytes.len()].copy_from_slice(bytes);
        Self(memory)
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    fn fix_crc(&mut self) {
        let crc = crc32(&self.bytes()[CRC_START..]);
        self.bytes_mut()[16..20].copy_from_slice(&crc.to_le_bytes());
    }

    fn check(&self) -> Result<Image<'_>, ImageError> {
        Image::new_checked(self.bytes())
    }
}

impl Pieces {
    fn of(bytes: &[u8]) -> Self {
        let image = Image::new_checked(bytes).unwrap();
        let section = |entry: &SectionEntry| bytes[entry.offset as usize..][..entry.length as usize].to_vec();
        let sections = image.sections().iter().map(|entry| (*entry, section(entry))).collect();
        Self {
            header: *image.header(),
            sections,
        }
    }

    fn find(&mut self, kind: SectionKind, instance: u16) -> &mut Vec<u8> {
        let found = self
            .sections
            .iter_mut()
            .find(|(e, _)| e.kind == kind as u16 && e.instance == instance);
        &mut found.unwrap().1
    }

    fn push(&mut self, kind: u16, flags: u32, bytes: &[u8]) {
        let entry = SectionEntry {
            kind,
            instance: 0,
            flags,
            offset: 0,
            length: 0,
        };
        self.sections.push((entry, bytes.to_vec()));
    }

    /// Lays the sections out anew; the header is as it was but for length, count and checksum.
    fn write(&self) -> Memory {
        let mut bytes = vec![0; Header::BYTES + self.sections.len() * SectionEntry::BYTES];
        let mut table = Vec::new();
        for (entry, contents) in &self.sections {
            bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGNMENT), 0);
            table.push(SectionEntry {
                offset: bytes.len() as u32,
                length: contents.len() as u32,
                ..*entry
            });
            bytes.extend_from_slice(contents);
        }
        bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGNMENT), 0);
        let header = Header {
            length: bytes.len() as u32,
            section_count: table.len() as u32,
            ..self.header
        };
        bytes[..Header::BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        let entries: &[u8] = bytemuck::cast_slice(&table);
        bytes[Header::BYTES..][..entries.len()].copy_from_slice(entries);
        let mut memory = Memory::of(&bytes);
        memory.fix_crc();
        memory
    }

    fn problem(&self) -> ImageError {
        self.write().check().unwrap_err()
    }
}

fn image() -> Bytes {
    supervised([0.5, -0.25], &[1.0, 0.5], 6).write()
}

/// Runs every plan of an accepted image once, in memory as large as its header asks for.
fn run_all(image: &Image<'_>) {
    let mut adapted = image.adapted_initial().to_vec();
    for kind in PlanKind::ALL {
        let Some(plan) = image.plan(kind) else { continue };
        let sizes = plan.sizes();
        // An image may ask for more memory than there is; whoever gives it the memory refuses.
        if sizes.0.iter().any(|&elements| elements > 1 << 20) {
            return;
        }
        let space = |space| vec![0.5; sizes.get(space) as usize];
        use pliant_runtime::image::record::Space;
        let (input, mut arena) = (space(Space::Input), space(Space::Arena));
        let (mut state, mut output) = (space(Space::State), space(Space::Output));
        let mut accumulator = space(Space::Accumulator);
        let mut spaces = Spaces {
            constants: image.constants(),
            input: &input,
            bank: image.bank().task(0).unwrap_or(&[]),
            adapted: AdaptedRef::Exclusive(&mut adapted),
            arena: &mut arena,
            state: &mut state,
            output: &mut output,
            accumulator: &mut accumulator,
        };
        plan.run::<Exact>(&mut spaces).unwrap();
    }
}

#[test]
fn a_whole_image_is_read() {
    let bytes = image();
    let image = Image::new_checked(&bytes).unwrap();
    assert_eq!(image.adapted_initial(), [0.5, -0.25]);
    assert_eq!(image.adaptation().unwrap().step_scales(), [1.0, 0.5]);
    assert_eq!(image.workspace().adapted, 2);
    assert_eq!(
        pliant_runtime::image::Workspace::of_image(&bytes).as_ref(),
        Some(image.workspace())
    );
    run_all(&image);
}

#[test]
fn bytes_after_the_image_do_not_matter_but_missing_ones_do() {
    let bytes = image();
    let mut longer = bytes.to_vec();
    longer.extend_from_slice(&[0xFF; 64]);
    let longer = Memory::of(&longer);
    assert_eq!(longer.check().unwrap().bytes(), &*bytes);
    for length in 0..bytes.len() {
        assert_eq!(
            Image::new_checked(&bytes[..length]).unwrap_err(),
            ImageError::Truncated,
            "{length}"
        );
    }
}

#[test]
fn alignment_magic_version_and_checksum() {
    let bytes = image();
    let mut shifted = vec![0];
    shifted.extend_from_slice(&bytes);
    let shifted = Memory::of(&shifted);
    assert_eq!(
        Image::new_checked(&shifted.bytes()[1..]).unwrap_err(),
        ImageError::Misaligned
    );

    let changed = |at: usize, value: u8| {
        let mut memory = Memory::of(&bytes);
        memory.bytes_mut()[at] = value;
        memory
    };
    assert_eq!(changed(0, b'p').check().unwrap_err(), ImageError::Magic);
    assert_eq!(changed(8, 2).check().unwrap_err(), ImageError::Version(2));
    assert_eq!(changed(12, 1).check().unwrap_err(), ImageError::Length);
    for at in [16, 24, 40, 127, 200, bytes.len() - 1] {
        assert_eq!(changed(at, bytes[at] ^ 4).check().unwrap_err(), ImageError::Crc, "{at}");
    }
    let mut reserved = changed(24, 1);
    reserved.fix_crc();
    assert_eq!(reserved.check().unwrap_err(), ImageError::Reserved);
    let mut workspace = changed(36, 9);
    workspace.fix_crc();
    assert_eq!(workspace.check().unwrap_err(), ImageError::Workspace);
}

#[test]
fn unknown_sections() {
    let mut pieces = Pieces::of(&image());
    let hash = pieces.write().check().unwrap().hash();
    pieces.push(1000, 0, b"from the future");
    let memory = pieces.write();
    let image = memory.check().unwrap();
    run_all(&image);
    assert_eq!(image.hash(), hash, "optional sections do not change the identity");
    pieces.push(1001, SectionEntry::REQUIRED, b"needed");
    assert_eq!(pieces.problem(), ImageError::UnknownRequired(1001));
}

#[test]
fn the_card_is_text_and_changes_no_identity() {
    let mut pieces = Pieces::of(&image());
    let hash = pieces.write().check().unwrap().hash();
    pieces.push(SectionKind::Card as u16, 0, "Schwerkraft 9,81 m/s²".as_bytes());
    let memory = pieces.write();
    let with_card = memory.check().unwrap();
    assert_eq!(with_card.card(), Some("Schwerkraft 9,81 m/s²"));
    assert_eq!(with_card.hash(), hash);
    *pieces.find(SectionKind::Card, 0) = vec![0xFF];
    assert_eq!(pieces.problem(), ImageError::Contents(SectionKind::Card));

    let mut other = Pieces::of(&image());
    other.find(SectionKind::AdaptedInitial, 0)[0] ^= 1;
    assert_ne!(other.write().check().unwrap().hash(), hash);
}

#[test]
fn missing_double_and_malformed_sections() {
    let whole = Pieces::of(&image());
    let without = |kind: SectionKind, instance: u16| {
        let mut pieces = whole.clone();
        pieces
            .sections
            .retain(|(entry, _)| (entry.kind, entry.instance) != (kind as u16, instance));
        pieces.problem()
    };
    assert_eq!(
        without(SectionKind::Contract, 0),
        ImageError::Missing(SectionKind::Contract)
    );
    for kind in [
        PlanKind::Act,
        PlanKind::Begin,
        PlanKind::Accumulate,
        PlanKind::Apply,
        PlanKind::Score,
    ] {
        assert_eq!(without(SectionKind::Plan, kind as u16), ImageError::MissingPlan(kind));
    }

    let mut double = whole.clone();
    double.sections.push(whole.sections[0].clone());
    assert_eq!(double.problem(), ImageError::Duplicate(SectionKind::Contract));

    let mut odd = whole.clone();
    odd.find(SectionKind::AdaptedInitial, 0).push(0);
    assert_eq!(odd.problem(), ImageError::Contents(SectionKind::AdaptedInitial));

    let mut spec = whole.clone();
    spec.find(SectionKind::Adaptation, 0)[core::mem::offset_of!(AdaptationSpec, steps)] = 17;
    assert!(matches!(spec.problem(), ImageError::Adaptation(_)));

    let mut header = whole.clone();
    header.find(SectionKind::Plan, PlanKind::Act as u16)[core::mem::offset_of!(PlanHeader, macs)] ^= 1;
    assert_eq!(header.problem(), ImageError::PlanHeader(PlanKind::Act));

    let mut record = whole.clone();
    record.find(SectionKind::Plan, PlanKind::Act as u16)[PlanHeader::BYTES] = 99;
    assert!(matches!(record.problem(), ImageError::Plan(PlanKind::Act, _)));

    let mut optional = whole.clone();
    optional.sections[0].0.flags = 0;
    assert_eq!(optional.problem(), ImageError::Section(0));

    let mut golden = whole.clone();
    golden.push(SectionKind::Golden as u16, 0, &[0; 40]);
    assert_eq!(golden.problem(), ImageError::Contents(SectionKind::Golden));
}

/// Every single bit, with the checksum made right again: refused with an error, or accepted and then run.
#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    let bytes = image();
    let mut memory = Memory::of(&bytes);
    let (mut accepted, mut refused) = (0, 0);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            memory.bytes_mut()[at] ^= 1 << bit;
            memory.fix_crc();
            match memory.check() {
                Ok(image) => {
                    run_all(&image);
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
            memory.bytes_mut()[at] ^= 1 << bit;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(refused > accepted);
}

/// Many changes at once, some of them words that look like sizes.
#[test]
fn wild_bytes_never_panic() {
    let bytes = image();
    let mut random = Random(3);
    for _ in 0..20_000 {
        let mut memory = Memory::of(&bytes);
        for _ in 0..1 + random.below(6) {
            let at = random.below(bytes.len() / 4) * 4;
            let value = match random.below(4) {
                0 => random.next() as u32,
                1 => random.below(256) as u32,
                2 => u32::MAX - random.below(16) as u32,
                _ => (random.below(9) as u32) << 28 | random.below(64) as u32,
            };
            memory.bytes_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        // Most get past the header this way.
        memory.bytes_mut()[..16].copy_from_slice(&bytes[..16]);
        memory.fix_crc();
        if let Ok(image) = memory.check() {
            run_all(&image);
            assert_eq!(image.golden_steps().count(), 0);
        }
    }
    for length in 0..300 {
        let noise: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        assert!(Memory::of(&noise).check().is_err());
    }
}

/// What only learning needs is neither looked at nor there; what acting needs is checked as ever.
#[test]
fn an_image_to_act_holds_what_acts() {
    let bytes = linear::supervised([2.0, 0.25], &[1.0, 0.5], 8).write();
    let (whole, acting) = (Image::new_checked(&bytes).unwrap(), Image::new_to_act(&bytes).unwrap());
    assert!(whole.adaptation().is_some() && acting.adaptation().is_none());
    for kind in PlanKind::ALL {
        let there = acting.plan(kind).is_some();
        assert_eq!(there, kind == PlanKind::Act, "{kind:?}");
    }
    assert_eq!(acting.hash(), whole.hash());
    let mut memory = vec![0.0; 1000];
    assert_eq!(acting.self_test(&mut memory), Ok(0), "it brings no golden steps");
    // A learning plan that is broken does not matter here, a plan to act that is broken does.
    for (kind, refused) in [(PlanKind::Apply, false), (PlanKind::Act, true)] {
        let mut parts = linear::supervised([2.0, 0.25], &[1.0], 8);
        let plan = parts.plans.iter_mut().find(|plan| plan.kind == kind).unwrap();
        plan.records[0].words[15] = 1;
        let bytes = parts.write();
        assert!(Image::new_checked(&bytes).is_err());
        assert_eq!(Image::new_to_act(&bytes).is_err(), refused);
    }
}
