//! The golden files of format version 1: small images of every feature, a delta and a store, as bytes. Every later version
//! must read them.
//!
//! The files are committed. What writes them is here too, so that a change of the format shows as a difference of bytes;
//! to write a file that is missing:
//!
//! ```sh
//! cargo test -p pliant-runtime --features store,signatures --test golden -- --ignored
//! ```

mod flash;
mod linear;
mod sections;
mod support;

use std::path::PathBuf;

use ed25519_dalek::{Signer, SigningKey};
use flash::Flash;
use linear::{gated, policy_gradient, supervised};
use pliant_runtime::image::record::{Binary, Opcode, Record, Reduce, Space, Ternary, Unary, flags};
use pliant_runtime::image::{
    BankHeader, FORMAT_VERSION, GoldenHeader, Header, Image, ImageError, MAGIC, PlanHeader, PlanKind, ResetRule,
    SectionEntry, SectionKind, SelfTestError, SignatureSection, StateEntry, TestBench, Workspace,
};
use pliant_runtime::signature::{Keys, Signed};
use pliant_runtime::store::{DeltaHeader, Layout, State, Store};
use sections::{Aligned, Section};
use support::{operand, record, unary};

/// Kinds that this version does not know: optional, so skipped.
const LATER_KIND: u16 = 900;

const LAYOUT: Layout = Layout {
    start: 0,
    journal_pages: 2,
    delta_slots: 3,
    delta_slot_bytes: 256,
    image_slot_bytes: 0,
};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[0x42; 32])
}

/// The images by name, with the [hash](Image::hash) that stored deltas are bound to.
const IMAGES: [(&str, u64); 4] = [
    ("supervised.pliant", 0xa08d_8a63_5606_ff7e),
    ("policy-gradient.pliant", 0x3df3_da8f_eced_3bba),
    ("every-record.pliant", 0x9048_d7ac_3b54_e1fd),
    // Opcode 11, which came later.
    ("gated.pliant", 0xe3c3_e8ee_fa59_d903),
];

fn write_image(name: &str) -> Aligned {
    let unfinished = match name {
        "supervised.pliant" => Aligned::new(&supervised([2.0, 0.25], &[1.0, 0.5], 8).write()),
        "gated.pliant" => Aligned::new(&gated().write()),
        "policy-gradient.pliant" => Aligned::new(&policy_gradient([0.5, -0.25, -1.0], 2, 16).write()),
        _ => every_record(),
    };
    sign(&with_golden_steps(&unfinished))
}

/// The image with golden steps, a card and a section that only a later version knows.
fn with_golden_steps(bytes: &Aligned) -> Aligned {
    let image = Image::new_checked(bytes).unwrap();
    let workspace = image.workspace();
    let adapts = image.adaptation().is_some();
    let kinds = if adapts {
        &PlanKind::ALL[..5]
    } else {
        &PlanKind::ALL[..1]
    };
    let mut memory = vec![0.0; 64 * 1024];
    let mut bench = TestBench::new(&image, &mut memory).unwrap();
    let mut golden = Vec::new();
    assert!(workspace.act_input > 0);
    // Acts twice, so that the state of the first call is in the second; then a whole adaptation; then acts again.
    for &kind in [PlanKind::Act].iter().chain(kinds).chain(&[PlanKind::Act]) {
        let elements = image.plan(kind).unwrap().sizes().get(Space::Input) as usize;
        let input: Vec<f32> = (0..elements).map(|i| 0.75 - 0.25 * (i % 7) as f32).collect();
        let output = bench.run(kind, &input).unwrap().to_vec();
        assert!(output.iter().all(|value| !value.is_nan()), "{kind:?}: {output:?}");
        let [adapted_crc, state_crc, accumulator_crc] = bench.checksums();
        let header = GoldenHeader {
            plan: kind as u32,
            input: input.len() as u32,
            output: output.len() as u32,
            adapted_crc,
            state_crc,
            accumulator_crc,
            reserved: [0; 2],
        };
        golden.extend_from_slice(bytemuck::bytes_of(&header));
        golden.extend_from_slice(bytemuck::cast_slice(&input));
        golden.extend_from_slice(bytemuck::cast_slice(&output));
    }
    let mut all = sections::sections(bytes);
    all.push((SectionKind::Golden as u16, 0, 0, golden));
    all.push((SectionKind::Card as u16, 0, 0, "Golden file, µ-sized.".into()));
    all.push((LATER_KIND, 3, 0, vec![1, 2, 3]));
    sections::join(bytes, &all)
}

fn sign(bytes: &Aligned) -> Aligned {
    let key = key();
    let section = SignatureSection {
        algorithm: SignatureSection::ED25519,
        release: 9,
        key: key.verifying_key().to_bytes()[..8].try_into().unwrap(),
        signature: [0; 64],
    };
    let mut all = sections::sections(bytes);
    all.push((
        SectionKind::Signature as u16,
        0,
        0,
        bytemuck::bytes_of(&section).to_vec(),
    ));
    let mut signed = sections::join(bytes, &all);
    let at = Image::new_checked(&signed).unwrap().signature().unwrap().0 as usize + 16;
    signed[16..20].fill(0);
    let signature = key.sign(&signed).to_bytes();
    signed[at..at + 64].copy_from_slice(&signature);
    sections::seal(&mut signed);
    signed
}

/// An image of one plan with every opcode, every function and every flag, a state of each kind, and a bank.
fn every_record() -> Aligned {
    const CONSTANTS: [f32; 8] = [0.5, 1.5, -0.25, 0.75, 2.0, -1.0, 0.0, 1.0];
    let (input, constants, bank) = (Space::Input, Space::Const, Space::Bank);
    let a = operand(input, 0);
    let b = operand(constants, 0);
    let mut records: Vec<Record> = Vec::new();
    let mut arena = 0;
    let mut place = |elements: usize| {
        arena += elements;
        operand(Space::Arena, arena - elements)
    };
    for &function in Unary::ALL {
        // Where a negative argument has no value, the square before.
        let needs_positive = matches!(function, Unary::Sqrt | Unary::Log);
        let parameters = if matches!(function, Unary::Clip | Unary::Affine) {
            [-0.5, 0.5]
        } else {
            [0.0; 2]
        };
        let from = if needs_positive {
            let squares = place(4);
            records.push(unary(Unary::Square, squares, a, 4, [0.0; 2]));
            squares
        } else {
            a
        };
        records.push(unary(function, place(4), from, 4, parameters));
    }
    for &function in Binary::ALL {
        // [2][2] with a row of the constants; the power of positive ones.
        let left = if function == Binary::Pow { operand(bank, 0) } else { a };
        let words = [place(4), left, b, 1, 2, 2, 0, 2, 1, 0, 0, 1];
        records.push(record(Opcode::Binary, function as u8, 0, &words));
    }
    for &function in Ternary::ALL {
        let words = [place(4), a, b, operand(bank, 0), 2, 2, 2, 1, 0, 1, 2, 1];
        records.push(record(Opcode::Ternary, function as u8, 0, &words));
    }
    for &function in Reduce::ALL {
        let out = place(2);
        let words = |scale: f32| [out, a, 1, 2, 2, scale.to_bits()];
        records.push(record(Opcode::Reduce, function as u8, 0, &words(0.5)));
        records.push(record(Opcode::Reduce, function as u8, flags::ACCUMULATE, &words(1.0)));
    }
    let none = u32::MAX;
    for activation in Unary::ALL.iter().take(Unary::Relu as usize + 1) {
        // Square roots and logarithms of positive sums.
        let needs_positive = matches!(activation, Unary::Sqrt | Unary::Log);
        let (left, right) = if needs_positive {
            (operand(bank, 0), operand(bank, 2))
        } else {
            (a, operand(constants, 2))
        };
        let words = [
            place(4),
            left,
            right,
            operand(constants, 4),
            none,
            1,
            2,
            1,
            2,
            0,
            0,
            0,
            1,
        ];
        records.push(record(Opcode::MatMul, *activation as u8, 0, &words));
    }
    let product = place(4);
    for flag in [
        0,
        flags::ACCUMULATE,
        flags::TRANSPOSE_A,
        flags::ACCUMULATE | flags::TRANSPOSE_A,
    ] {
        let words = [product, a, b, none, none, 1, 2, 2, 2, 0, 0, 0, 2];
        records.push(record(Opcode::MatMul, 0, flag, &words));
    }
    let words = [
        place(4),
        a,
        b,
        operand(constants, 0),
        operand(constants, 4),
        2,
        1,
        2,
        2,
        2,
        4,
        2,
        2,
        Binary::TanhGradient as u32,
    ];
    records.push(record(Opcode::MatMul, Unary::Tanh as u8, 0, &words));
    let words = [place(8), a, 1, 2, 2, 1, 0, 1, 4, 1, 0, 2, 1, 1];
    records.push(record(Opcode::Copy, 0, 0, &words));
    records.push(record(
        Opcode::Gather,
        0,
        0,
        &[place(4), b, operand(constants, 6), 1, 4, 2, 2],
    ));
    let scattered = place(8);
    records.push(record(Opcode::Fill, 0, 0, &[scattered, 8, 0.125_f32.to_bits()]));
    records.push(record(
        Opcode::ScatterAdd,
        0,
        0,
        &[scattered, a, operand(constants, 6), 1, 4, 2, 2],
    ));
    // The states: read into the output, then moved on.
    let states = place(4);
    records.push(unary(Unary::Identity, states, operand(Space::State, 0), 4, [0.0; 2]));
    records.push(unary(Unary::Affine, operand(Space::State, 0), a, 4, [0.5, 1.0]));
    let elements = arena as u32;
    records.push(unary(
        Unary::Identity,
        operand(Space::Output, 0),
        operand(Space::Arena, 0),
        arena,
        [0.0; 2],
    ));

    let macs: u64 = records.iter().map(Record::macs).sum();
    let plan = PlanHeader {
        kind: PlanKind::Act as u32,
        records: records.len() as u32,
        input: 8,
        output: elements,
        arena: elements,
        flags: 0,
        macs: [macs as u32, (macs >> 32) as u32],
    };
    let state = |reset: ResetRule, offset, initial, shape| StateEntry {
        dtype: 0,
        reset: reset as u32,
        offset,
        initial,
        shape,
    };
    let states = [
        state(ResetRule::Episode, 0, 1, [1, 1, 1, 2]),
        state(ResetRule::Task, 2, StateEntry::ZERO, [1, 1, 1, 1]),
        state(ResetRule::Never, 3, 0, [1, 1, 1, 1]),
    ];
    let bank = BankHeader {
        tasks: 2,
        slice: 4,
        reserved: [0; 2],
    };
    let bank_values: [f32; 8] = [1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0];
    // The contract of another image: what an image holds is checked against it when a policy is loaded.
    let contract = sections::sections(&supervised([0.0; 2], &[1.0], 4).write()).remove(0);
    let required = SectionEntry::REQUIRED;
    let section = |kind: SectionKind, parts: &[&[u8]]| -> Section { (kind as u16, 0, required, parts.concat()) };
    let header = Header {
        magic: MAGIC,
        version: FORMAT_VERSION,
        length: 0,
        crc: 0,
        section_count: 0,
        reserved: [0; 2],
        workspace: Workspace {
            constants: 8,
            bank: 4,
            state: 4,
            act_arena: elements,
            act_input: 8,
            act_output: elements,
            ..Workspace::default()
        },
        reserved_end: [0; 8],
    };
    sections::join(
        bytemuck::bytes_of(&header),
        &[
            contract,
            section(SectionKind::Constants, &[bytemuck::cast_slice(&CONSTANTS)]),
            section(
                SectionKind::Plan,
                &[bytemuck::bytes_of(&plan), bytemuck::cast_slice(&records)],
            ),
            section(SectionKind::States, &[bytemuck::cast_slice(&states)]),
            section(
                SectionKind::Bank,
                &[bytemuck::bytes_of(&bank), bytemuck::cast_slice(&bank_values)],
            ),
        ],
    )
}

const DELTA_FILE: &str = "signed.delta";
const STORE_FILE: &str = "store.bin";
const PARAMETERS: [f32; 3] = [1.0, -2.5, 3.25];

fn write_delta() -> Vec<u8> {
    let key = key();
    let mut header = DeltaHeader::new(0x0123_4567_89ab_cdef, 2, &PARAMETERS);
    (header.key, header.release) = (key.verifying_key().to_bytes()[..8].try_into().unwrap(), 9);
    let mut bytes = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&PARAMETERS)].concat();
    bytes[16..20].fill(0);
    let signature = key.sign(&bytes).to_bytes();
    bytes[64..128].copy_from_slice(&signature);
    sections::seal(&mut bytes);
    bytes
}

type TestFlash = Flash<1, 4, 256>;

/// A store with a delta confirmed, one reverted, one on trial, and releases below 3 retired.
fn write_store() -> Vec<u8> {
    let mut flash = TestFlash::new(5 * 256, 1);
    let mut store = Store::open(&mut flash, LAYOUT).unwrap();
    store.retire(3).unwrap();
    for (value, state) in [(1.0, State::Confirmed), (2.0, State::Reverted), (3.0, State::Trial)] {
        let id = store.commit_parameters(7, 1, &[value, -value]).unwrap();
        match state {
            State::Confirmed => store.confirm(id).unwrap(),
            State::Reverted => store.revert(id).unwrap(),
            _ => {}
        }
    }
    flash.bytes().to_vec()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

fn read(name: &str) -> Aligned {
    Aligned::new(&std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Every golden file and what writes it today.
fn all() -> Vec<(&'static str, Vec<u8>)> {
    let images = IMAGES.map(|(name, _)| (name, write_image(name).to_vec()));
    let others = [(DELTA_FILE, write_delta()), (STORE_FILE, write_store())];
    images.into_iter().chain(others).collect()
}

#[test]
fn images_are_read_and_give_the_same_bits() {
    let keys = [key().verifying_key().to_bytes()];
    for (name, hash) in IMAGES {
        let bytes = read(name);
        let image = Image::new_checked(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(image.header().version, 1);
        assert_eq!(image.hash(), hash, "{name}: {:#018x}", image.hash());
        let mut memory = vec![0.0; 64 * 1024];
        let steps = image
            .self_test(&mut memory)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(steps as usize, image.golden_steps().count());
        assert!(steps >= 3);
        assert_eq!(image.card(), Some("Golden file, µ-sized."));
        assert_eq!(
            Keys::new(&keys).verify_image(&image, 9),
            Ok(Signed { key: 0, release: 9 })
        );
        assert!(image.sections().iter().any(|entry| entry.kind == LATER_KIND));
    }
}

/// A board that computes something else finds the first step and the space that differ; padding is no place for secrets.
#[test]
fn a_self_test_names_what_differs() {
    let bytes = read("supervised.pliant");
    let image = Image::new_checked(&bytes).unwrap();
    let first = image.golden_steps().next().unwrap();
    let (plan, outputs) = (first.plan, GoldenHeader::BYTES + 4 * first.input.len());
    let changed = |at: usize| {
        let mut all = sections::sections(&bytes);
        let golden = all.iter_mut().find(|section| section.0 == SectionKind::Golden as u16);
        golden.unwrap().3[at] ^= 1;
        sections::join(&bytes, &all)
    };
    let mut memory = vec![0.0; 64 * 1024];
    for (at, space) in [
        (outputs, Space::Output),
        (core::mem::offset_of!(GoldenHeader, adapted_crc), Space::Adapted),
        (core::mem::offset_of!(GoldenHeader, state_crc), Space::State),
        (core::mem::offset_of!(GoldenHeader, accumulator_crc), Space::Accumulator),
    ] {
        let bytes = changed(at);
        let image = Image::new_checked(&bytes).unwrap();
        let differs = SelfTestError::Differs { step: 0, plan, space };
        assert_eq!(image.self_test(&mut memory), Err(differs), "byte {at}");
    }
    let short = image.self_test(&mut [0.0; 1]);
    assert!(
        matches!(short, Err(SelfTestError::Memory { given: 1, .. })),
        "{short:?}"
    );
    let bytes = changed(core::mem::offset_of!(GoldenHeader, reserved));
    let refused = Image::new_checked(&bytes).err();
    assert_eq!(refused, Some(ImageError::Contents(SectionKind::Golden)));
    // Read to act, it runs the steps before the first of a plan that is not there.
    let acting = Image::new_to_act(&read("supervised.pliant")).map(|image| image.self_test(&mut memory));
    assert!(matches!(acting, Ok(Ok(steps)) if steps >= 1 && (steps as usize) < image.golden_steps().count()));
}

#[test]
fn the_delta_is_read() {
    let bytes = read(DELTA_FILE);
    let header = DeltaHeader::new_checked(&bytes).unwrap();
    assert_eq!((header.image_hash(), header.steps), (0x0123_4567_89ab_cdef, 2));
    assert_eq!(&bytes[128..], bytemuck::cast_slice::<f32, u8>(&PARAMETERS));
    let keys = [key().verifying_key().to_bytes()];
    assert!(Keys::new(&keys).verify_delta(&header, &bytes, 9).is_ok());
}

#[test]
fn the_store_is_read() {
    let mut flash = TestFlash::with_bytes(&read(STORE_FILE));
    let mut store = Store::open(&mut flash, LAYOUT).unwrap();
    assert_eq!(store.minimum_release(), 3);
    for (on_trial, expected) in [(true, [3.0, -3.0]), (false, [1.0, -1.0])] {
        let delta = store.select_delta(7).unwrap().unwrap();
        let mut parameters = [0.0; 2];
        store.read_delta(delta.id, &mut parameters).unwrap();
        assert_eq!((delta.on_trial, delta.steps, parameters), (on_trial, 1, expected));
        store = Store::open(store.close(), LAYOUT).unwrap();
    }
}

#[test]
fn the_same_bytes_are_written_today() {
    for (name, bytes) in all() {
        assert!(*read(name) == bytes[..], "{name} is written differently");
    }
}

#[test]
#[ignore = "writes golden files that are missing"]
fn write() {
    std::fs::create_dir_all(path("")).unwrap();
    for (name, bytes) in all() {
        if !path(name).exists() {
            std::fs::write(path(name), bytes).unwrap();
        }
    }
}
