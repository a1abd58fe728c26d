//! `pliant eval`

use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::{print_json, print_text, threads};
use crate::bundle::Bundle;
use crate::eval::{EvalOptions, evaluate};
use crate::report::adaptation_table;

const AFTER_HELP: &str = "\
The device image acts and adapts through the same runtime that a microcontroller
runs, with the same bits. Held-out tasks come from a stream that training never
draws from.

Examples:
  pliant eval models/sinusoid
  pliant eval runs/sinusoid --tasks 500 --seed 7 --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct EvalArgs {
    /// A bundle's folder, or the device image in it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Held-out tasks [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    tasks: Option<u64>,
    /// Seed of the held-out tasks [default: the recipe's]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Worker threads; they change nothing but the time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvalArgs) -> Result<(), CliError> {
    let bundle = Bundle::open(&args.bundle)?;
    let options = EvalOptions {
        tasks: args.tasks.unwrap_or(bundle.recipe.evaluation.tasks),
        seed: args.seed.unwrap_or(bundle.recipe.evaluation.seed),
        threads: threads(args.threads),
    };
    let evaluation = evaluate(&bundle.recipe, &bundle.image, options)?;
    if args.json {
        print_json(&evaluation)
    } else {
        print_text(&adaptation_table(&evaluation))
    }
}
