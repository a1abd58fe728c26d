//! `pliant inspect`

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use pliant_compiler::image::{ImageReport, inspect};
use pliant_runtime::contract::Channel;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::{BundleError, read_image};

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
    let report = inspect(&bytes).map_err(|source| BundleError::Inspect {
        path: args.bundle.clone(),
        source,
    })?;
    if args.json {
        print_json(&report)
    } else {
        print_text(&describe(&report))
    }
}

/// The report as text, at most 80 columns wide for channels with short names.
fn describe(report: &ImageReport) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "image     {} bytes, format {}, hash {}",
        report.image_bytes, report.format_version, report.hash
    );
    let _ = writeln!(
        text,
        "memory    {} bytes to act and adapt, {} bytes to act only",
        report.policy_ram_bytes, report.act_only_ram_bytes
    );
    let _ = writeln!(
        text,
        "adapts    {} parameters; {} bytes of constants; {} golden steps",
        report.adapted_parameters, report.constant_bytes, report.golden_steps
    );
    let _ = writeln!(
        text,
        "\nplan        flash bytes  RAM bytes       macs  records  largest"
    );
    for (name, plan) in &report.plans {
        let _ = writeln!(
            text,
            "{name:10} {:12} {:10} {:10} {:8} {:8}",
            plan.flash_bytes, plan.ram_bytes, plan.macs, plan.records, plan.largest_record_macs
        );
    }
    let kernels: BTreeSet<&str> = report
        .plans
        .values()
        .flat_map(|plan| plan.kernels.iter().copied())
        .collect();
    let _ = writeln!(text, "kernels   {}", kernels.into_iter().collect::<Vec<_>>().join(", "));
    if let Some(adaptation) = &report.adaptation {
        let _ = writeln!(
            text,
            "\nadaptation {}, {} steps, up to {} rows, {} at a time",
            adaptation.objective.replace('_', " "),
            adaptation.steps,
            adaptation.capacity,
            adaptation.chunk_rows
        );
        let open = |limit: Option<f32>| limit.map_or("open".to_owned(), |limit| format!("{limit:.4}"));
        let (region, divergence) = (open(adaptation.trust_region), open(adaptation.kl_limit));
        let clip = open(adaptation.gradient_clip);
        let held_out = match adaptation.holdout_every {
            0 => "no rows".to_owned(),
            every => format!("one row in {every}"),
        };
        let _ = writeln!(
            text,
            "guards     trust region {region}, divergence {divergence}, gradient clip {clip}\n           {held_out} held out"
        );
    }
    let contract = &report.contract;
    let _ = writeln!(text, "\ncontract   {} Hz", contract.control_rate_hz);
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
            let unit = if unit.is_empty() {
                String::new()
            } else {
                format!(" {unit}")
            };
            let range = if (*low, *high) == (f32::MIN, f32::MAX) {
                "any value".to_owned()
            } else {
                format!("from {low} to {high}{unit}")
            };
            let _ = writeln!(text, "  {side:11} {name}: {range}, mean {mean}, scale {scale}");
        }
    }
    text
}
