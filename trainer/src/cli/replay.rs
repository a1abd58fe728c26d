//! `pliant replay`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::read_image;
use crate::telemetry::{ReplayReport, replay};

const AFTER_HELP: &str = "\
Gives the learner of this machine what the device's was given, and compares the
checksum of the parameters and every figure after each adaptation: all bits are
the same, or the first difference is named. A log that is cut off, damaged or has
lost records is replayed up to there.

Examples:
  pliant replay run.log --bundle models/point-navigation
  pliant replay run.log --bundle runs/mine/policy.pliant --json

Exit codes: 0 all of it was replayed with the same bits; 1 a bit differs, or the
log is not whole; 2 refused.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReplayArgs {
    /// The telemetry that the device wrote
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The bundle that ran on the device, or the device image in it
    #[arg(long, value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Result<(), CliError> {
    let image = read_image(&args.bundle)?;
    let log = std::fs::read(&args.log).map_err(|source| CliError::Source {
        path: args.log.clone(),
        source,
    })?;
    let report = replay(&image, &log)?;
    if args.json {
        print_json(&report)?;
    } else {
        print_text(&describe(&report))?;
    }
    match report.is_exact() {
        true => Ok(()),
        false => Err(CliError::NotExact),
    }
}

fn describe(report: &ReplayReport) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "image      {}", report.image);
    if report.before_start > 0 {
        let _ = writeln!(
            text,
            "skipped    {} records before the first start",
            report.before_start
        );
    }
    for (session, number) in report.sessions.iter().zip(1..) {
        let _ = writeln!(
            text,
            "\nsession {number}  {} records, {} steps, {} examples",
            session.records, session.steps, session.examples
        );
        for (check, number) in session.adaptations.iter().zip(1..) {
            let outcome = check
                .reason
                .map_or("accepted".to_owned(), |reason| format!("rejected ({reason})"));
            let verdict = if check.same { "the same bits" } else { "DIFFERENT" };
            let _ = writeln!(
                text,
                "  adaptation {number:3}  {outcome}, parameters {:#010x} on the device, {:#010x} here: {verdict}",
                check.parameters, check.replayed
            );
        }
        let actions = &session.actions;
        if actions.same + actions.differ + actions.unchecked > 0 {
            let _ = writeln!(
                text,
                "  actions         {} with the same bits, {} different, {} not checked",
                actions.same, actions.differ, actions.unchecked
            );
        }
        let rest = match session.not_replayed {
            0 => String::new(),
            records => format!("; {records} records after it were not replayed"),
        };
        let _ = writeln!(text, "  replayed        {}{rest}", session.stop);
    }
    text
}
