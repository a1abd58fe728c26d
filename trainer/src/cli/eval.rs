//! `pliant eval`

use std::path::PathBuf;

use clap::Args;

use std::time::Instant;

use pliant_compiler::image::inspect;

use super::error::CliError;
use super::{print_json, print_text, threads};
use crate::bundle::{Bundle, BundleError};
use crate::eval::{EvalOptions, evaluate};
use crate::report::{DeviceCost, adaptation_table, baselines, comparison};
use crate::tasks::Tasks;

const AFTER_HELP: &str = "\
The device image acts and adapts through the same runtime that a microcontroller
runs, with the same bits. Held-out tasks come from a stream that training never
draws from.

Examples:
  pliant eval models/sinusoid
  pliant eval runs/sinusoid --tasks 500 --seed 7 --json
  pliant eval models/half-circle --compare";

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
    /// Do not measure what to compare it with (supervised families: some seconds)
    #[arg(long)]
    score_only: bool,
    /// Measure what to compare it with for environments too: minutes
    #[arg(long, conflicts_with_all = ["score_only", "json"])]
    compare: bool,
    /// Print the scores as one JSON object on standard output, without the comparison
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
    let started = Instant::now();
    let evaluation = evaluate(&bundle.recipe, &bundle.image, options)?;
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        return print_json(&evaluation);
    }
    let inspected = inspect(&bundle.image).map_err(|source| BundleError::Inspect {
        path: args.bundle.clone(),
        source,
    })?;
    // Environments take minutes; what `pliant train` measured of them stands on the card, unless it is asked for anew.
    let compared = match Tasks::of(&bundle.recipe).map_err(crate::eval::EvalError::from)? {
        Some(Tasks::Supervised(_)) if !args.score_only => baselines(&bundle.recipe, &evaluation, options)?,
        _ if args.compare => baselines(&bundle.recipe, &evaluation, options)?,
        _ => Vec::new(),
    };
    let comparison = comparison(&evaluation, &DeviceCost::of(&inspected), &compared, seconds);
    print_text(&(adaptation_table(&evaluation) + &comparison))
}
