//! One unseen motif for the firmware example `motifs`, and the same program on this machine.
//!
//! ```text
//! cargo run --release -p pliant-trainer --example motif_task -- write FILE    # test task 0, as bytes
//! cargo run --release -p pliant-trainer --example motif_task -- run           # adapts to it: the board's lines
//! ```

use std::error::Error;
use std::path::Path;

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy, workspace_len};
use pliant_trainer::recipe::{Family, Source};
use pliant_trainer::tasks::{MotifFamily, Rows, Split, SupervisedFamily};

type Failure = Box<dyn Error>;

const BASES: usize = 60;
const ROW: usize = BASES + 1;
const SUPPORT: usize = 20;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/motifs");
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("write"), Some(file)) => Ok(std::fs::write(file, task()?)?),
        (Some("run"), None) => run(&std::fs::read(models.join("policy.pliant"))?, &task()?),
        _ => Err("usage: motif_task write FILE | run".into()),
    }
}

/// The first test task of the recipe: the sequences to adapt to, then those that score; a byte for the answer, a byte a base.
fn task() -> Result<Vec<u8>, Failure> {
    let recipe = Source::find("motifs")?.parse()?;
    let Family::Motifs(settings) = &recipe.family else {
        return Err("the recipe is not of motifs".into());
    };
    let family = MotifFamily::new(settings);
    let (support, scored) = (family.support_rows(), family.evaluation_rows());
    let mut x = vec![0.0; (support + scored) * BASES];
    let mut y = vec![0.0; support + scored];
    let (support_x, scored_x) = x.split_at_mut(support * BASES);
    let (support_y, scored_y) = y.split_at_mut(support);
    let support = Rows {
        inputs: support_x,
        targets: support_y,
    };
    let scored = Rows {
        inputs: scored_x,
        targets: scored_y,
    };
    family.sample_for_evaluation(recipe.evaluation.seed, Split::Test, 0, support, scored);
    let rows = x.chunks_exact(BASES).zip(&y);
    Ok(rows
        .flat_map(|(sequence, answer)| {
            let bases = sequence.iter().map(|base| *base as u8);
            std::iter::once(u8::from(*answer > 0.0))
                .chain(bases)
                .collect::<Vec<u8>>()
        })
        .collect())
}

fn run(bytes: &[u8], task: &[u8]) -> Result<(), Failure> {
    let bytes = AlignedBytes::new(bytes);
    let image = Image::new_checked(&bytes)?;
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    println!("memory bytes: {}", 4 * memory.len());
    let steps = image.self_test(&mut memory).map_err(|error| format!("{error:?}"))?;
    println!("golden steps: {steps}");
    let mut policy = Policy::new(&image, None, &mut memory)?;
    let (mut actor, mut learner) = policy.split();
    let (support, scored) = task.split_at(SUPPORT * ROW);
    println!("right of the others, before: {}", right(&mut actor, scored)?);
    for row in support.chunks_exact(ROW) {
        let (sequence, answer) = decode(row);
        learner
            .observe_example(&sequence, &[answer])
            .map_err(|error| format!("{error:?}"))?;
    }
    if !learner.adapt().is_accepted() {
        return Err("the adaptation was rejected".into());
    }
    println!("checksum of what adapted: {}", checksum(learner.parameters()));
    println!("right of the others, after: {}", right(&mut actor, scored)?);
    Ok(())
}

fn right(actor: &mut Actor<'_, '_>, rows: &[u8]) -> Result<u64, Failure> {
    let mut count = 0;
    for row in rows.chunks_exact(ROW) {
        let (sequence, answer) = decode(row);
        let mut logit = [0.0];
        if actor.act(&sequence, &mut logit).is_safe_action() {
            return Err("it did not act".into());
        }
        count += u64::from((logit[0] > 0.0) == (answer > 0.0));
    }
    Ok(count)
}

fn decode(row: &[u8]) -> (Vec<f32>, f32) {
    let sequence = row[1..].iter().map(|base| f32::from(*base)).collect();
    (sequence, if row[0] == 1 { 1.0 } else { -1.0 })
}

/// FNV-1a over the bits.
fn checksum(values: &[f32]) -> u32 {
    let bytes = values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
