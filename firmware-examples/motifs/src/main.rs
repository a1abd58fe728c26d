//! Finds a motif that no training ever saw, on a Cortex-M4F, emulated: adapts to ten sequences with it and ten without, and
//! then tells two hundred others apart.
//!
//! `cargo xtask firmware` builds and runs it, and compares what it prints with the workstation's
//! `cargo run --release -p pliant-trainer --example motif_task -- run`, bit for bit.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use mps2::counter::Counter;
use mps2::semihosting::Console;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy};

/// The policy.
const IMAGE: &[u8] = pliant_runtime::include_image!("../../../models/motifs/policy.pliant");

/// The task, as `--example motif_task -- write` draws it: the sequences to adapt to, then those that score. One byte for the
/// answer, 1 with the motif, then a byte a base.
const TASK: &[u8] = include_bytes!("task.bin");

const BASES: usize = 60;
const SUPPORT: usize = 20;
const ROW: usize = BASES + 1;

/// Elements of memory that the program needs.
const MEMORY: usize = pliant_runtime::policy::workspace_len(IMAGE);

#[entry]
fn main() -> ! {
    static mut WORKSPACE: [f32; MEMORY] = [0.0; MEMORY];

    mps2::program::run(WORKSPACE, run)
}

/// Scores, adapts, scores again; `None` when the image is refused, or the adaptation.
fn run(memory: &mut [f32], console: &mut Console, counter: &Counter) -> Option<()> {
    let image = Image::new_checked(black_box(IMAGE)).ok()?;
    let steps = image.self_test(memory).ok()?;
    console.figure("golden steps", steps.into());
    let mut policy = Policy::new(&image, None, memory).ok()?;
    let (mut actor, mut learner) = policy.split();
    let (support, scored) = black_box(TASK).split_at_checked(SUPPORT * ROW)?;
    console.figure("right of the others, before", right(&mut actor, scored)?);
    for row in support.chunks_exact(ROW) {
        let (sequence, answer) = decode(row)?;
        learner.observe_example(&sequence, &[answer]).ok()?;
    }
    let start = counter.instructions();
    let report = learner.adapt();
    console.figure("instructions of adapting", counter.instructions() - start);
    if !report.is_accepted() {
        return None;
    }
    console.figure("checksum of what adapted", checksum(learner.parameters()).into());
    let start = counter.instructions();
    let after = right(&mut actor, scored)?;
    let sequences = (scored.len() / ROW) as u64;
    console.figure(
        "instructions of a sequence",
        (counter.instructions() - start) / sequences.max(1),
    );
    console.figure("right of the others, after", after);
    Some(())
}

/// How many sequences it takes for what they are; `None` when it does not act.
fn right(actor: &mut Actor<'_, '_>, rows: &[u8]) -> Option<u64> {
    let mut count = 0;
    for row in rows.chunks_exact(ROW) {
        let (sequence, answer) = decode(row)?;
        let mut logit = [0.0];
        if actor.act(&sequence, &mut logit).is_safe_action() {
            return None;
        }
        count += u64::from((logit[0] > 0.0) == (answer > 0.0));
    }
    Some(count)
}

/// A sequence and its answer, 1 or -1.
fn decode(row: &[u8]) -> Option<([f32; BASES], f32)> {
    let (answer, bases) = row.split_first()?;
    let mut sequence = [0.0; BASES];
    for (value, base) in sequence.iter_mut().zip(bases) {
        *value = f32::from(*base);
    }
    Some((sequence, if *answer == 1 { 1.0 } else { -1.0 }))
}

/// FNV-1a over the bits.
fn checksum(values: &[f32]) -> u32 {
    let bytes = values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
