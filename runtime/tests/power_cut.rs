//! The power is cut in every write and every erase of every change of state, over random histories: after each cut a boot
//! finds the old state or the new, whole. And cut again in every step of the boot that follows.
//!
//! What a boot finds is compared in full: every parameter of the delta it chooses for each of two images, every byte of
//! the image, what is on trial, and the lowest release accepted. On the main line of a history, where nothing is cut, it
//! is compared with a model that knows nothing of flash.
//!
//! The same with an order of writes that is wrong must fail, and does.

mod flash;
mod support;

use embedded_storage::nor_flash::NorFlash;
use flash::{Cuttable, Flash, Reordered};
use pliant_runtime::image::{
    CRC_START, FORMAT_VERSION, Header, MAGIC, SectionEntry, SectionKind, SignatureSection, Workspace, crc32,
};
use pliant_runtime::store::{DeltaHeader, Layout, State, Store, StoreError, Stored, Trust};
use support::Random;

const IMAGES: [u64; 2] = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];
const PARAMETERS: usize = 23;

fn layout(erase: u32, delta_slots: u32) -> Layout {
    Layout {
        start: erase,
        journal_pages: 2,
        delta_slots,
        delta_slot_bytes: 256_u32.next_multiple_of(erase),
        image_slot_bytes: 512_u32.next_multiple_of(erase),
    }
}

/// The parameters of the delta with this number.
fn parameters(number: u32) -> Vec<f32> {
    Random(number.into()).values(PARAMETERS)
}

/// The release of the image with this number.
fn release(number: u32) -> u32 {
    number / 8
}

/// The bytes of the image with this number: header, release and noise, which is all that the store looks at.
fn image(number: u32) -> Vec<u8> {
    let mut random = Random(u64::from(number) << 32);
    let length = 320 + 64 * (number % 4);
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    let section = SectionEntry {
        kind: SectionKind::Signature as u16,
        instance: 0,
        flags: 0,
        offset: 192,
        length: SignatureSection::BYTES as u32,
    };
    bytes[128..144].copy_from_slice(bytemuck::bytes_of(&section));
    bytes[196..200].copy_from_slice(&release(number).to_le_bytes());
    let mut header = Header {
        magic: MAGIC,
        version: FORMAT_VERSION,
        length,
        crc: 0,
        section_count: 1,
        reserved: [0; 2],
        workspace: Workspace::default(),
        reserved_end: [0; 8],
    };
    bytes[..128].copy_from_slice(bytemuck::bytes_of(&header));
    header.crc = crc32(&bytes[CRC_START..]);
    bytes[..128].copy_from_slice(bytemuck::bytes_of(&header));
    bytes
}

/// What a boot finds.
#[derive(Clone, Debug, PartialEq)]
struct View {
    /// For each image: parameters and whether they are on trial.
    deltas: [Option<(Vec<f32>, bool)>; 2],
    image: Option<(Vec<u8>, bool)>,
    minimum_release: u32,
}

/// Boots, and says what it found.
fn boot<F: NorFlash>(flash: &mut F, layout: Layout) -> Result<View, StoreError> {
    let mut store = Store::open(&mut *flash, layout)?;
    let mut deltas = [None, None];
    for (image_hash, found) in IMAGES.into_iter().zip(&mut deltas) {
        if let Some(delta) = store.select_delta(image_hash)? {
            let mut parameters = vec![0.0; delta.parameters as usize];
            store.read_delta(delta.id, &mut parameters)?;
            *found = Some((parameters, delta.on_trial));
        }
    }
    let image = store.boot_image()?;
    let minimum_release = store.minimum_release();
    let flash = store.close();
    let image = match image {
        None => None,
        Some(image) => {
            let mut bytes = vec![0; image.length as usize];
            flash.read(image.offset, &mut bytes).map_err(|_| StoreError::Unknown)?;
            Some((bytes, image.on_trial))
        }
    };
    Ok(View {
        deltas,
        image,
        minimum_release,
    })
}

/// What the next boot of this flash would find.
fn view<F: Cuttable>(flash: &F, layout: Layout) -> Result<View, StoreError> {
    boot(&mut flash.clone(), layout)
}

/// A change of state.
#[derive(Clone, Copy, Debug)]
enum Change {
    Commit { image: usize, number: u32 },
    ConfirmDelta(Stored),
    RevertDelta(Stored),
    Update { number: u32, piece: usize },
    ConfirmImage(Stored),
    RevertImage(Stored),
    Retire(u32),
    ForgetDeltas,
    BootDelta(usize),
    BootImage,
}

/// Makes the change, as firmware that has booted would.
fn make<F: Cuttable>(change: Change, flash: &mut F, layout: Layout) -> Result<Option<Stored>, StoreError> {
    let mut store = Store::open(flash, layout)?;
    match change {
        Change::Commit { image, number } => store
            .commit_parameters(IMAGES[image], number % 4, &parameters(number))
            .map(Some),
        Change::ConfirmDelta(id) | Change::ConfirmImage(id) => store.confirm(id).map(|()| None),
        Change::RevertDelta(id) | Change::RevertImage(id) => store.revert(id).map(|()| None),
        Change::Update { number, piece } => {
            let mut update = store.begin_image()?;
            for piece in image(number).chunks(piece) {
                store.write(&mut update, piece)?;
            }
            store.finish(update, Trust::Unsigned).map(Some)
        }
        Change::Retire(release) => store.retire(release).map(|()| None),
        Change::ForgetDeltas => store.forget_deltas().map(|()| None),
        Change::BootDelta(image) => store.select_delta(IMAGES[image]).map(|_| None),
        Change::BootImage => store.boot_image().map(|_| None),
    }
}

/// The specification, without flash.
#[derive(Clone, Default)]
struct Model {
    deltas: Vec<Entry>,
    images: Vec<Entry>,
    minimum_release: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Stored,
    number: u32,
    /// Index of the image, of deltas.
    of: usize,
    state: State,
}

/// One boot of one kind of entries, in the order in which they were written.
fn boot_entries(entries: &mut [Entry], of: usize) -> Option<(u32, bool)> {
    for entry in entries.iter_mut().filter(|entry| entry.of == of) {
        if entry.state == State::Tried {
            entry.state = State::Reverted;
        }
    }
    let mut own = entries.iter_mut().rev().filter(|entry| entry.of == of);
    if let Some(trial) = own.find(|entry| entry.state == State::Trial) {
        trial.state = State::Tried;
        return Some((trial.number, true));
    }
    let mut own = entries.iter().rev().filter(|entry| entry.of == of);
    own.find(|entry| entry.state == State::Confirmed)
        .map(|entry| (entry.number, false))
}

impl Model {
    fn boot(&mut self) -> View {
        View {
            deltas: [self.boot_delta(0), self.boot_delta(1)],
            image: self.boot_image(),
            minimum_release: self.minimum_release,
        }
    }

    fn boot_delta(&mut self, of: usize) -> Option<(Vec<f32>, bool)> {
        boot_entries(&mut self.deltas, of).map(|(number, on_trial)| (parameters(number), on_trial))
    }

    fn boot_image(&mut self) -> Option<(Vec<u8>, bool)> {
        for entry in &mut self.images {
            if release(entry.number) < self.minimum_release {
                entry.state = State::Reverted;
            }
        }
        boot_entries(&mut self.images, 0).map(|(number, on_trial)| (image(number), on_trial))
    }

    fn set(entries: &mut [Entry], id: Stored, state: State) {
        for entry in entries.iter_mut().filter(|entry| entry.id == id) {
            entry.state = state;
        }
    }

    /// The change was made; `id` is what it wrote.
    fn make(&mut self, change: Change, id: Option<Stored>) {
        let supersede = |entries: &mut Vec<Entry>, id: Stored, number, of| {
            for entry in entries.iter_mut() {
                if entry.of == of && matches!(entry.state, State::Trial | State::Tried) {
                    entry.state = State::Reverted;
                }
            }
            let state = State::Trial;
            entries.push(Entry { id, number, of, state });
        };
        match change {
            Change::Commit { image, number } => supersede(&mut self.deltas, id.unwrap(), number, image),
            Change::Update { number, .. } => supersede(&mut self.images, id.unwrap(), number, 0),
            Change::ConfirmDelta(id) => Self::set(&mut self.deltas, id, State::Confirmed),
            Change::RevertDelta(id) => Self::set(&mut self.deltas, id, State::Reverted),
            Change::ConfirmImage(id) => Self::set(&mut self.images, id, State::Confirmed),
            Change::RevertImage(id) => Self::set(&mut self.images, id, State::Reverted),
            Change::Retire(release) => self.minimum_release = release,
            Change::ForgetDeltas => self.deltas.clear(),
            Change::BootDelta(image) => drop(self.boot_delta(image)),
            Change::BootImage => drop(self.boot_image()),
        }
    }

    /// Drops what the store has no room for any more.
    fn forget_evicted<F: Cuttable>(&mut self, flash: &F, layout: Layout) {
        let mut flash = flash.clone();
        let store = Store::open(&mut flash, layout).unwrap();
        for entries in [&mut self.deltas, &mut self.images] {
            entries.retain(|entry| store.state(entry.id) != State::Empty);
        }
    }
}

/// A change that makes sense now.
fn propose(random: &mut Random, model: &Model, number: u32) -> Change {
    let pick = |random: &mut Random, entries: &[Entry], states: &[State]| {
        let fitting: Vec<Entry> = entries.iter().filter(|e| states.contains(&e.state)).copied().collect();
        (!fitting.is_empty()).then(|| random.pick(&fitting).id)
    };
    let on_trial = [State::Trial, State::Tried];
    let any = [State::Trial, State::Tried, State::Confirmed];
    loop {
        let change = match random.below(20) {
            0..5 => Some(Change::Commit {
                image: random.below(2),
                number,
            }),
            5..9 => pick(random, &model.deltas, &on_trial).map(Change::ConfirmDelta),
            9 => pick(random, &model.deltas, &any).map(Change::RevertDelta),
            10..13 => Some(Change::Update {
                number,
                piece: 1 + random.below(300),
            }),
            13..15 => pick(random, &model.images, &on_trial).map(Change::ConfirmImage),
            15 => pick(random, &model.images, &any).map(Change::RevertImage),
            16 => propose_retiring(model, number),
            17 if random.below(8) == 0 => Some(Change::ForgetDeltas),
            18 => Some(Change::BootDelta(random.below(2))),
            19 => Some(Change::BootImage),
            _ => None,
        };
        if let Some(change) = change {
            return change;
        }
    }
}

/// The highest release that can be retired, if that retires anything.
fn propose_retiring(model: &Model, number: u32) -> Option<Change> {
    let images = || model.images.iter().rev();
    if images().any(|entry| matches!(entry.state, State::Trial | State::Tried)) {
        return None;
    }
    let confirmed = images().find(|entry| entry.state == State::Confirmed);
    let highest = release(confirmed.map_or(number, |entry| entry.number));
    (highest > model.minimum_release).then_some(Change::Retire(highest))
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    changes: u64,
    /// Power cuts in a change of state.
    cuts: u64,
    /// Power cuts in the boot after another cut.
    in_recovery: u64,
    /// After which a boot found neither the old state nor the new.
    failures: u64,
}

/// What was found, and what was not found but should have been, in numbers of their checksums.
fn describe(found: &Result<View, StoreError>, allowed: &[View]) -> String {
    let short = |view: &View| {
        let delta = |found: &Option<(Vec<f32>, bool)>| {
            let summary = |(values, trial): &(Vec<f32>, bool)| (crc32(bytemuck::cast_slice(values)), *trial);
            found.as_ref().map(summary)
        };
        let image = view.image.as_ref().map(|(bytes, trial)| (crc32(bytes), *trial));
        format!(
            "{:?} {image:?} {}",
            view.deltas.each_ref().map(delta),
            view.minimum_release
        )
    };
    let found = found.as_ref().map(short);
    let allowed: Vec<String> = allowed.iter().map(short).collect();
    format!("found {found:?}, not one of {allowed:#?}")
}

impl Counts {
    /// Counts a failure; the first few are shown.
    fn fail(&mut self, what: core::fmt::Arguments<'_>) {
        self.failures += 1;
        if self.failures <= 3 {
            println!("{what}");
        }
    }

    fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.cuts += other.cuts;
        self.in_recovery += other.in_recovery;
        self.failures += other.failures;
    }
}

/// Histories until there were `wanted` cuts.
fn cut_histories<F: Cuttable>(seed: u64, slots: u32, wanted: u64) -> Counts {
    let mut counts = Counts::default();
    let mut random = Random(seed);
    while counts.cuts < wanted {
        history::<F>(&mut random, slots, &mut counts);
    }
    counts
}

fn history<F: Cuttable>(random: &mut Random, slots: u32, counts: &mut Counts) {
    let (erase, write) = (F::ERASE_SIZE as u32, F::WRITE_SIZE as u32);
    let layout = layout(erase, slots);
    let end = layout.start + layout.total_bytes(erase, write);
    let journal = Layout {
        delta_slots: 0,
        image_slot_bytes: 0,
        ..layout
    };
    let journal_end = layout.start + journal.total_bytes(erase, write);
    let mut flash = F::with_capacity(end as usize + F::ERASE_SIZE, random.next(), journal_end);
    let mut model = Model::default();
    for number in 0..40 {
        let change = propose(random, &model, number);
        let old = view(&flash, layout).expect("a store that can be read");
        let mut after = flash.clone();
        let made = make(change, &mut after, layout);
        match made {
            // Refused, and nothing is changed: a running image is on trial.
            Err(StoreError::OnTrial) => {
                assert!(matches!(change, Change::Update { .. }), "{change:?}");
                assert_eq!(view(&after, layout), Ok(old));
                continue;
            }
            Err(error) => panic!("{change:?}: {error}"),
            Ok(id) => model.make(change, id),
        }
        model.forget_evicted(&after, layout);
        let new = view(&after, layout).expect("a store that can be read");
        assert_eq!(new, model.clone().boot(), "after {change:?}");

        let allowed = [&[old.clone(), new][..], &begun(&flash, layout, change, &old)].concat();
        counts.changes += 1;
        let steps = after.steps() - flash.steps();
        for step in 0..steps {
            cut::<F>(&flash, layout, change, step, &allowed, random, counts);
        }
        flash = after;
    }
}

/// To begin writing is a change of its own where it gives something up, which it may in two cases only: an image that
/// waited for its trial, and with less than five slots a delta of another image.
fn begun<F: Cuttable>(flash: &F, layout: Layout, change: Change, old: &View) -> Vec<View> {
    let mut begun = flash.clone();
    let mut store = Store::open(&mut begun, layout).unwrap();
    let on_trial = |image: &Option<(Vec<u8>, bool)>| image.as_ref().is_some_and(|(_, on_trial)| *on_trial);
    match change {
        Change::Update { .. } => drop(store.begin_image().unwrap()),
        Change::Commit { image, .. } => drop(store.begin_delta(IMAGES[image]).unwrap()),
        _ => return Vec::new(),
    }
    let begun = view(&begun, layout).unwrap();
    match change {
        Change::Commit { image, .. } => {
            assert_eq!(begun.deltas[image], old.deltas[image]);
            assert!(begun.deltas == old.deltas || layout.delta_slots < 5);
            assert_eq!(begun.image, old.image);
        }
        _ => {
            assert!(begun.image == old.image || on_trial(&old.image));
            assert_eq!(begun.deltas, old.deltas);
        }
    }
    vec![begun]
}

/// Cuts the change in this step, and the recovery from it in one of its: over all cuts, in every one.
fn cut<F: Cuttable>(
    flash: &F,
    layout: Layout,
    change: Change,
    step: u64,
    allowed: &[View],
    random: &mut Random,
    counts: &mut Counts,
) {
    let is_whole = |found: &Result<View, StoreError>| found.as_ref().is_ok_and(|found| allowed.contains(found));
    let mut torn = flash.clone();
    torn.cut_at(step, random.next());
    let outcome = make(change, &mut torn, layout);
    assert!(torn.is_off(), "{change:?} is cut in step {step}");
    assert!(outcome.is_err(), "{change:?} cannot have been done");
    torn.power_on();
    counts.cuts += 1;
    let mut recovered = torn.clone();
    let found = boot(&mut recovered, layout);
    if !is_whole(&found) {
        counts.fail(format_args!(
            "{change:?} cut in step {step}: {}",
            describe(&found, allowed)
        ));
    }

    // The boot may write (a trial begins or ends): cut that too. What is on trial then has had its boot, perhaps.
    let recovery = recovered.steps() - torn.steps();
    if recovery == 0 {
        return;
    }
    let later = match view(&recovered, layout) {
        Ok(later) => later,
        Err(error) => return counts.fail(format_args!("recovery from {change:?}: {error}")),
    };
    let mut again = torn.clone();
    again.cut_at(random.next() % recovery, random.next());
    assert!(boot(&mut again, layout).is_err() && again.is_off());
    again.power_on();
    counts.in_recovery += 1;
    let found = view(&again, layout);
    // A boot records the fate of each image's deltas and of the images one after the other.
    let fits = found.as_ref().is_ok_and(|found| {
        allowed.iter().any(|before| {
            let either = |a: bool, b: bool| a || b;
            found.minimum_release == before.minimum_release
                && either(found.image == before.image, found.image == later.image)
                && (0..2).all(|i| either(found.deltas[i] == before.deltas[i], found.deltas[i] == later.deltas[i]))
        })
    });
    if !fits {
        counts.fail(format_args!("recovery from {change:?}: {}", describe(&found, allowed)));
    }
    // And it still works.
    assert!(make(Change::Commit { image: 0, number: 7 }, &mut again, layout).is_ok());
}

/// Byte-wise internal flash; words of 4, 8 and 32 bytes; pages written whole.
type Bytes = Flash<1, 1, 256>;
type Words = Flash<4, 4, 512>;
type DoubleWords = Flash<1, 8, 1024>;
type Lines = Flash<4, 32, 512>;
type Pages = Flash<1, 256, 1024>;

#[test]
fn every_cut_leaves_the_old_state_or_the_new() {
    let mut total = Counts::default();
    std::thread::scope(|scope| {
        let histories: [fn() -> Counts; 5] = [
            || cut_histories::<Bytes>(1, 3, 20_000),
            || cut_histories::<Words>(2, 5, 30_000),
            || cut_histories::<DoubleWords>(3, 3, 25_000),
            || cut_histories::<Lines>(4, 8, 20_000),
            || cut_histories::<Pages>(5, 5, 5_000),
        ];
        let running = histories.map(|run| scope.spawn(run));
        running.into_iter().for_each(|run| total.add(run.join().unwrap()));
    });
    println!(
        "{} power cuts in {} changes of state, and {} more in the boots after them: {} failures",
        total.cuts, total.changes, total.in_recovery, total.failures
    );
    assert!(total.cuts >= 100_000 && total.in_recovery >= 20_000);
    assert_eq!(total.failures, 0);
}

#[test]
fn a_marker_written_before_the_contents_is_found() {
    let counts = cut_histories::<Reordered<Words, true>>(2, 5, 5_000);
    println!("marker first: {} failures in {} cuts", counts.failures, counts.cuts);
    assert!(counts.failures > 0);
}

#[test]
fn a_marker_that_reaches_the_flash_late_is_found() {
    let counts = cut_histories::<Reordered<Words, false>>(2, 5, 5_000);
    println!("marker late: {} failures in {} cuts", counts.failures, counts.cuts);
    assert!(counts.failures > 0);
}

#[test]
fn the_header_of_the_test_is_the_one_of_the_format() {
    let header = DeltaHeader::new(IMAGES[0], 1, &parameters(1));
    assert_eq!(header.length as usize, DeltaHeader::BYTES + 4 * PARAMETERS);
}
