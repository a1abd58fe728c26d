//! `pliant repack`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::{Bundle, BundleError, Repacked, image_path, repack};
use crate::checkpoint::write_atomically;
use crate::report;

const AFTER_HELP: &str = "\
A newer compiler may write a smaller or faster plan for the same policy. The
parameters come from policy.onnx, the contract from the old image; both images
act on the same thousand observations, and nothing is written unless every bit
is the same. A signature is lost: sign again. The image's hash changes, so what
devices stored for the old one does not fit the new one. Bundles that adapt on
the device are refused: train them again.

Examples:
  pliant repack models/quadrotor
  pliant repack models/quadrotor --out /tmp/policy.pliant";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RepackArgs {
    /// A bundle's folder, or the image in it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Write the image here, and leave the bundle as it is
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    changed: bool,
    bytes: [usize; 2],
    hash: [String; 2],
    /// Kernel calls of `act`.
    kernel_calls: [usize; 2],
}

pub(super) fn run(args: &RepackArgs) -> Result<(), CliError> {
    let bundle = Bundle::open(&args.bundle)?;
    let Repacked { image, before, after } = repack(&bundle).map_err(BundleError::Repack)?;
    let file = args.out.clone().unwrap_or_else(|| image_path(&args.bundle));
    write(&file, &image)?;
    if args.out.is_none() {
        write_card(&bundle.directory, &report::cost(&after, None))?;
    }
    let calls = |report: &pliant_compiler::image::ImageReport| report.plans.get("act").map_or(0, |plan| plan.records);
    let report = Report {
        file,
        changed: image[..] != bundle.image[..],
        bytes: [before.image_bytes, after.image_bytes],
        kernel_calls: [calls(&before), calls(&after)],
        hash: [before.hash, after.hash],
    };
    if args.json {
        return print_json(&report);
    }
    print_text(&format!(
        "{}: {} to {} bytes, {} to {} kernel calls; the same actions, bit for bit",
        report.file.display(),
        report.bytes[0],
        report.bytes[1],
        report.kernel_calls[0],
        report.kernel_calls[1]
    ))
}

/// Puts the new cost into the card, where there is one.
fn write_card(folder: &Path, cost: &str) -> Result<(), CliError> {
    let path = folder.join("card.md");
    let Ok(card) = std::fs::read_to_string(&path) else {
        return Ok(());
    };
    match report::with_cost(&card, cost) {
        Some(card) => write(&path, card.as_bytes()),
        None => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_atomically(path, bytes).map_err(|source| {
        CliError::Bundle(BundleError::Write {
            path: path.to_owned(),
            source,
        })
    })
}
