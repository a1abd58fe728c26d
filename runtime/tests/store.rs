//! The store with policies: what is kept, tried, confirmed, reverted, refused. Power cuts: `power_cut.rs`.

mod flash;
mod linear;
mod sections;
mod support;

use embedded_storage::nor_flash::NorFlashErrorKind;
use flash::Flash;
use linear::supervised;
use pliant_runtime::image::{Image, SectionEntry, SectionKind, SignatureSection};
use pliant_runtime::policy::{Policy, RestoreError, workspace_len};
use pliant_runtime::store::{
    DeltaHeader, Layout, LayoutError, MAX_DELTA_SLOTS, State, Store, StoreError, Trust, delta_bytes,
};

type TestFlash = Flash<4, 8, 1024>;

const LAYOUT: Layout = Layout {
    start: 2048,
    journal_pages: 2,
    delta_slots: 4,
    delta_slot_bytes: 1024,
    image_slot_bytes: 8 * 1024,
};

fn flash() -> TestFlash {
    TestFlash::new(64 * 1024, 3)
}

fn image() -> sections::Aligned {
    sections::Aligned::new(&supervised([2.0, 0.25], &[1.0, 0.5], 8).write())
}

/// With an optional section that says its release.
fn released(release: u32) -> sections::Aligned {
    let image = image();
    let section = SignatureSection {
        algorithm: SignatureSection::ED25519,
        release,
        key: [1; 8],
        signature: [2; 64],
    };
    let mut all = sections::sections(&image);
    all.push((
        SectionKind::Signature as u16,
        0,
        0,
        bytemuck::bytes_of(&section).to_vec(),
    ));
    sections::join(&image, &all)
}

/// A policy of the image in memory of its own.
fn with_policy<T>(test: impl FnOnce(u64, &mut Policy<'_>) -> T) -> T {
    let bytes = image();
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![f32::NAN; workspace_len(&bytes)];
    test(image.hash(), &mut Policy::new(&image, None, &mut memory).unwrap())
}

fn open(flash: &mut TestFlash) -> Store<&mut TestFlash> {
    Store::open(flash, LAYOUT).unwrap()
}

fn write_image(store: &mut Store<&mut TestFlash>, bytes: &[u8]) -> Result<pliant_runtime::store::Stored, StoreError> {
    let mut update = store.begin_image()?;
    for piece in bytes.chunks(77) {
        store.write(&mut update, piece)?;
    }
    assert_eq!(update.written() as usize, bytes.len());
    store.finish(update, Trust::Unsigned)
}

#[test]
fn what_is_learned_survives_and_acts_the_same() {
    let mut flash = flash();
    let learned = with_policy(|hash, policy| {
        let (mut actor, mut learner) = policy.split();
        for example in [(1.0, 2.0), (3.0, -1.0), (-2.0, 0.5)] {
            learner.observe_example(&[example.0], &[example.1]).unwrap();
        }
        assert!(learner.adapt().is_accepted());
        let mut store = open(&mut flash);
        let id = store.commit(hash, &learner).unwrap();
        assert_eq!(store.state(id), State::Trial);
        store.confirm(id).unwrap();
        store.confirm(id).unwrap();
        assert_eq!(store.state(id), State::Confirmed);
        let mut action = [0.0];
        let _status = actor.act(&[0.7], &mut action);
        (learner.parameters().to_vec(), learner.steps(), action)
    });
    with_policy(|hash, policy| {
        let (mut actor, mut learner) = policy.split();
        let delta = open(&mut flash).boot_delta(hash, &mut learner).unwrap().unwrap();
        let mut action = [0.0];
        let _status = actor.act(&[0.7], &mut action);
        assert_eq!((learner.parameters().to_vec(), learner.steps(), action), learned);
        assert_eq!((delta.on_trial, delta.parameters, delta.steps), (false, 2, 2));
        // Back to the image's own, as without a store.
        let _reverted = learner.revert();
        assert_eq!((learner.parameters(), learner.steps()), (&[2.0, 0.25][..], 0));
    });
}

#[test]
fn a_trial_has_one_boot() {
    let mut flash = flash();
    let first = open(&mut flash).commit_parameters(7, 1, &[1.0]).unwrap();
    open(&mut flash).confirm(first).unwrap();
    let second = open(&mut flash).commit_parameters(7, 1, &[2.0]).unwrap();

    let mut store = open(&mut flash);
    for _ in 0..2 {
        // Asking twice in one boot gives the same.
        let tried = store.select_delta(7).unwrap().unwrap();
        assert_eq!((tried.id, tried.on_trial), (second, true));
    }
    assert_eq!(store.state(second), State::Tried);
    // Nobody confirmed it.
    let mut store = open(&mut flash);
    let back = store.select_delta(7).unwrap().unwrap();
    assert_eq!((back.id, back.on_trial), (first, false));
    assert_eq!(store.state(second), State::Reverted);
    assert_eq!(store.confirm(second), Err(StoreError::NotOnTrial));
    // The way back goes on to the image's own parameters.
    store.revert(first).unwrap();
    assert_eq!(store.select_delta(7), Ok(None));
}

#[test]
fn a_newer_trial_takes_the_place_of_an_older_one() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let first = store.commit_parameters(7, 0, &[1.0]).unwrap();
    let second = store.commit_parameters(7, 0, &[2.0]).unwrap();
    let other = store.commit_parameters(8, 0, &[3.0]).unwrap();
    assert_eq!(
        [first, second, other].map(|id| store.state(id)),
        [State::Reverted, State::Trial, State::Trial]
    );
    assert_eq!(store.select_delta(8).unwrap().unwrap().id, other);
    assert_eq!(store.select_delta(9), Ok(None));
    store.forget_deltas().unwrap();
    assert_eq!((store.select_delta(7), store.select_delta(8)), (Ok(None), Ok(None)));
}

#[test]
fn damage_leads_to_the_older_one_and_then_to_the_image() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let ids = [1.0, 2.0].map(|value| {
        let id = store.commit_parameters(7, 0, &[value; 9]).unwrap();
        store.confirm(id).unwrap();
        id
    });
    let deltas = (LAYOUT.start + 2 * 1024) as usize;
    for (slot, expected) in [(1, Some(ids[0])), (0, None)] {
        flash.damage(deltas + slot * 1024 + DeltaHeader::BYTES + 5);
        let found = open(&mut flash).select_delta(7).unwrap();
        assert_eq!(found.map(|delta| delta.id), expected);
    }
    // A header, too.
    let mut store = open(&mut flash);
    let id = store.commit_parameters(7, 0, &[3.0]).unwrap();
    assert_eq!(store.select_delta(7).unwrap().unwrap().id, id);
    flash.damage(deltas + 2 * 1024 + 40);
    assert_eq!(open(&mut flash).select_delta(7), Ok(None));
}

#[test]
fn slots_are_used_in_turn() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let mut last = None;
    for round in 0..200u32 {
        let id = store.commit_parameters(7, 0, &[round as f32; 200]).unwrap();
        if round % 3 != 0 {
            store.confirm(id).unwrap();
            last = Some(round as f32);
        }
        if round % 7 == 0 {
            store = open(&mut flash);
        }
    }
    let mut values = [0.0; 200];
    let mut store = open(&mut flash);
    let found = store.select_delta(7).unwrap().unwrap();
    store.read_delta(found.id, &mut values).unwrap();
    assert_eq!(values, [last.unwrap(); 200]);
    assert_eq!(store.read_delta(found.id, &mut values[1..]), Err(StoreError::TooLong));
}

#[test]
fn what_does_not_belong_is_refused() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let too_many = vec![0.0; 1024];
    assert_eq!(store.commit_parameters(7, 0, &too_many), Err(StoreError::TooLong));

    let parameters = [1.0f32, 2.0];
    let header = DeltaHeader::new(7, 3, &parameters);
    assert_eq!(header.length as usize, delta_bytes(2));
    let bytes = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&parameters)].concat();
    assert_eq!(DeltaHeader::new_checked(&bytes), Some(header));
    let mut install = |bytes: &[u8], hash: u64| {
        let mut writing = store.begin_delta(hash).unwrap();
        store.write(&mut writing, bytes).unwrap();
        store.finish(writing, Trust::Unsigned).map(|id| store.state(id))
    };
    assert_eq!(install(&bytes, 7), Ok(State::Trial));
    assert_eq!(install(&bytes, 8), Err(StoreError::OtherImage));
    for length in [0, 1, 127, 128, bytes.len() - 1] {
        assert_eq!(install(&bytes[..length], 7), Err(StoreError::Malformed), "{length}");
        assert_eq!(DeltaHeader::new_checked(&bytes[..length]), None);
    }
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = install(&flipped, 7);
        assert!(
            matches!(refused, Err(StoreError::Malformed | StoreError::Damaged)),
            "bit {bit}: {refused:?}"
        );
        assert_eq!(DeltaHeader::new_checked(&flipped), None, "bit {bit}");
    }
    // What was there before is still what counts.
    assert_eq!(store.select_delta(7).unwrap().unwrap().parameters, 2);
}

#[test]
fn an_older_writing_is_refused() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let mut first = store.begin_delta(7).unwrap();
    store.write(&mut first, &[0; 10]).unwrap();
    // Another kind of slot does not matter, nor a change of state.
    let _update = store.begin_image().unwrap();
    store.write(&mut first, &[0; 10]).unwrap();
    store.commit_parameters(7, 0, &[1.0]).unwrap();
    assert_eq!(store.write(&mut first, &[0; 10]), Err(StoreError::Superseded));
    assert_eq!(store.finish(first, Trust::Unsigned), Err(StoreError::Superseded));
    let mut long = store.begin_image().unwrap();
    assert_eq!(store.write(&mut long, &vec![0; 8 * 1024 + 1]), Err(StoreError::TooLong));
}

#[test]
fn an_image_is_tried_confirmed_and_returned_from() {
    let mut flash = flash();
    let (old, new) = (released(1), released(2));
    assert_eq!(open(&mut flash).boot_image(), Ok(None));
    let first = write_image(&mut open(&mut flash), &old).unwrap();

    let mut store = open(&mut flash);
    let booted = store.boot_image().unwrap().unwrap();
    assert_eq!((booted.id, booted.on_trial, booted.release), (first, true, 1));
    assert_eq!(booted.length as usize, old.len());
    // Its slot is in use and nothing is confirmed yet.
    assert_eq!(write_image(&mut store, &new), Err(StoreError::OnTrial));
    assert_eq!(store.retire(1), Err(StoreError::OnTrial));
    store.confirm(first).unwrap();
    let (from, length) = (booted.offset as usize, booted.length as usize);
    let stored = sections::Aligned::new(&flash.bytes()[from..from + length]);
    assert!(Image::new_checked(&stored).is_ok());

    let second = write_image(&mut open(&mut flash), &new).unwrap();
    assert_eq!(open(&mut flash).boot_image().unwrap().unwrap().id, second);
    // It hung: not confirmed.
    let mut store = open(&mut flash);
    let back = store.boot_image().unwrap().unwrap();
    assert_eq!((back.id, back.on_trial), (first, false));
    assert_eq!(store.state(second), State::Reverted);

    // An image that does not load is given back in the same boot.
    let third = write_image(&mut store, &new).unwrap();
    assert_eq!(store.boot_image().unwrap().unwrap().id, third);
    store.revert(third).unwrap();
    assert_eq!(store.boot_image().unwrap().unwrap().id, first);
}

#[test]
fn retired_releases_do_not_come_back() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    for release in [3, 4] {
        let id = write_image(&mut store, &released(release)).unwrap();
        store.confirm(id).unwrap();
    }
    assert_eq!(store.retire(5), Err(StoreError::InUse { release: 4 }));
    assert_eq!(store.minimum_release(), 0);
    store.retire(4).unwrap();
    store.retire(4).unwrap();
    assert_eq!(store.retire(3), Err(StoreError::Retired { minimum: 4 }));
    let retired = Err(StoreError::Retired { minimum: 4 });
    assert_eq!(write_image(&mut store, &released(3)), retired);
    // Unsigned images have no release, and so are below all.
    assert_eq!(write_image(&mut store, &image()), retired);
    let mut store = open(&mut flash);
    assert_eq!(store.minimum_release(), 4);
    let newest = store.boot_image().unwrap().unwrap();
    assert_eq!(newest.release, 4);
    // The older one was confirmed, but is retired.
    store.revert(newest.id).unwrap();
    assert_eq!(store.boot_image(), Ok(None));
    // What this robot learned itself has no release.
    assert!(store.commit_parameters(7, 0, &[1.0]).is_ok());
    assert!(store.select_delta(7).unwrap().is_some());
}

#[test]
fn a_damaged_update_is_refused() {
    let mut flash = flash();
    let mut store = open(&mut flash);
    let bytes = image();
    let id = write_image(&mut store, &bytes).unwrap();
    store.confirm(id).unwrap();
    for length in [0, 20, 127, 128, bytes.len() - 64, bytes.len() - 1] {
        assert_eq!(write_image(&mut store, &bytes[..length]), Err(StoreError::Malformed));
    }
    for at in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 4;
        let refused = write_image(&mut store, &flipped);
        assert!(
            matches!(refused, Err(StoreError::Malformed | StoreError::Damaged)),
            "byte {at}: {refused:?}"
        );
    }
    // A signature section that reaches past the end.
    let mut outside = released(1).to_vec();
    let entry = outside.len() - 64; // Somewhere to find it: the last entry of the table.
    let table = 128..entry;
    let last = table
        .step_by(SectionEntry::BYTES)
        .find(|&at| outside[at] == SectionKind::Signature as u8 && outside[at + 12] == 80)
        .unwrap();
    outside[last + 8..last + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    sections::seal(&mut outside);
    assert_eq!(write_image(&mut store, &outside), Err(StoreError::Malformed));
    assert_eq!(open(&mut flash).boot_image().unwrap().unwrap().id, id);
}

#[test]
fn a_learner_refuses_what_it_would_not_have_learned() {
    with_policy(|hash, policy| {
        let (mut actor, mut learner) = policy.split();
        let mut flash = flash();
        let mut store = open(&mut flash);
        for (values, steps, expected) in [
            (&[f32::NAN, 0.0][..], 0, RestoreError::NotFinite),
            (&[1.0, f32::INFINITY], 0, RestoreError::NotFinite),
            (&[1.0, 2.0], 3, RestoreError::Steps),
            (&[1.0, 2.0, 3.0], 0, RestoreError::Source),
        ] {
            let restored = learner.restore(steps, |parameters| {
                let fits = parameters.len() == values.len();
                parameters.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                fits
            });
            assert_eq!(restored, Err(expected));
            let id = store.commit_parameters(hash, steps, values).unwrap();
            assert_eq!(store.boot_delta(hash, &mut learner), Ok(None));
            assert_eq!(store.state(id), State::Reverted);
            let mut action = [0.0];
            let _status = actor.act(&[2.0], &mut action);
            assert_eq!(action, [5.5], "the image's own parameters");
        }
        let good = store.commit_parameters(hash, 1, &[1.0, 2.0]).unwrap();
        assert_eq!(store.boot_delta(hash, &mut learner).unwrap().unwrap().id, good);
        assert_eq!((learner.parameters(), learner.steps()), (&[1.0, 2.0][..], 1));
    });
    let bytes = image();
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(&bytes)];
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (_, mut learner) = policy.split();
    assert_eq!(learner.restore(0, |_| true), Err(RestoreError::NotAdaptive));
}

#[test]
fn a_layout_must_suit_the_flash() {
    let refused = |layout| match Store::open(&mut flash(), layout) {
        Err(StoreError::Layout(error)) => Some(error),
        _ => None,
    };
    assert_eq!(refused(LAYOUT), None);
    let all = |change: fn(&mut Layout)| {
        let mut layout = LAYOUT;
        change(&mut layout);
        refused(layout)
    };
    assert_eq!(all(|l| l.start = 8), Some(LayoutError::Alignment));
    assert_eq!(all(|l| l.delta_slot_bytes = 1000), Some(LayoutError::Alignment));
    assert_eq!(all(|l| l.image_slot_bytes = 1), Some(LayoutError::Alignment));
    assert_eq!(all(|l| l.journal_pages = 1), Some(LayoutError::JournalPages));
    assert_eq!(all(|l| l.journal_pages = u32::MAX), Some(LayoutError::JournalPages));
    assert_eq!(all(|l| l.delta_slots = 2), Some(LayoutError::DeltaSlots));
    assert_eq!(
        all(|l| l.delta_slots = MAX_DELTA_SLOTS as u32 + 1),
        Some(LayoutError::DeltaSlots)
    );
    assert_eq!(all(|l| l.delta_slot_bytes = 0), Some(LayoutError::SlotSize));
    assert_eq!(all(|l| l.start = 63 * 1024), Some(LayoutError::Capacity));
    assert_eq!(
        all(|l| l.image_slot_bytes = u32::MAX - 1023),
        Some(LayoutError::Capacity)
    );
    let coarse = Store::open(Flash::<256, 256, 1024>::new(65536, 1), LAYOUT);
    assert!(matches!(coarse, Err(StoreError::Layout(LayoutError::Unit))));
    // Without slots of a kind there is nothing to write or to boot.
    let mut flash = flash();
    let journal_only = Layout {
        delta_slots: 0,
        image_slot_bytes: 0,
        ..LAYOUT
    };
    let mut store = Store::open(&mut flash, journal_only).unwrap();
    assert_eq!(store.begin_image().err(), Some(StoreError::NoSlots));
    assert_eq!(store.begin_delta(1).err(), Some(StoreError::NoSlots));
    assert_eq!((store.boot_image(), store.select_delta(1)), (Ok(None), Ok(None)));
    store.retire(9).unwrap();
    assert_eq!(Store::open(&mut flash, journal_only).unwrap().minimum_release(), 9);
}

#[test]
fn a_dead_flash_is_an_error_not_a_loop() {
    let mut flash = flash();
    open(&mut flash).commit_parameters(7, 0, &[1.0]).unwrap();
    flash.cut_at(0, 1);
    let mut store = open(&mut flash);
    let dead = StoreError::Flash(NorFlashErrorKind::Other);
    assert_eq!(store.commit_parameters(7, 0, &[2.0]), Err(dead));
    assert_eq!(store.retire(1), Err(dead));
    assert!(matches!(Store::open(&mut flash, LAYOUT), Err(error) if error == dead));
}
