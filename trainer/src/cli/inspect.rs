//! `pliant inspect`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use pliant_runtime::contract::Channel;
use pliant_runtime::image::Image;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::{BundleError, Inspection, inspect, read_image};

const AFTER_HELP: &str = "\
Examples:
  pliant inspect models/sinusoid
  pliant inspect models/sinusoid/policy.pliant --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct InspectArgs {
    /// A bundle's folder, or a device image
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs) -> Result<(), CliError> {
    let bytes = read_image(&args.bundle)?;
    let refuse = |source| BundleError::Image {
        path: args.bundle.clone(),
        source,
    };
    let image = Image::new_checked(&bytes).map_err(refuse)?;
    let inspection = inspect(&image).map_err(|source| BundleError::Contract {
        path: args.bundle.clone(),
        source,
    })?;
    if args.json {
        print_json(&inspection)
    } else {
        print_text(&describe(&inspection))
    }
}

/// The inspection as text, at most 80 columns wide.
fn describe(inspection: &Inspection) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "image {} bytes, hash {}", inspection.image_bytes, inspection.hash);
    let _ = writeln!(text, "memory {} bytes for everything", inspection.workspace_bytes);
    let (fixed, adapted) = (inspection.constant_parameters, inspection.adapted_parameters);
    let _ = writeln!(text, "{adapted} parameters adapt, {fixed} constants");
    let _ = writeln!(text, "\nplan         flash bytes   RAM bytes        macs   kernels");
    for (name, plan) in &inspection.plans {
        let kernels: Vec<String> = plan
            .kernels
            .iter()
            .map(|(kernel, count)| format!("{count} {kernel}"))
            .collect();
        let (flash, ram, macs) = (plan.flash_bytes, plan.ram_bytes, plan.macs);
        let _ = writeln!(text, "{name:12} {flash:11} {ram:11} {macs:11}   {}", kernels.join(", "));
    }
    if let Some(adaptation) = &inspection.adaptation {
        let _ = writeln!(
            text,
            "\nadapts: {}, up to {} steps on up to {} rows, {} at a time",
            adaptation.objective, adaptation.steps, adaptation.capacity, adaptation.chunk_rows
        );
        let region = adaptation
            .trust_region
            .map_or("none".to_owned(), |region| format!("{region:.4}"));
        let _ = writeln!(text, "trust region {region}, {} macs a step", adaptation.macs_per_step);
    }
    let contract = &inspection.contract;
    let _ = writeln!(text, "\ncontract: {} Hz", contract.control_rate_hz);
    for (side, channels) in [
        ("observation", &contract.observations[..]),
        ("action", &contract.actions[..]),
    ] {
        for Channel {
            name,
            unit,
            range: [low, high],
            mean,
            scale,
            ..
        } in channels
        {
            let _ = writeln!(
                text,
                "  {side:11} {name} [{unit}] from {low} to {high}, mean {mean}, scale {scale}"
            );
        }
    }
    text
}
