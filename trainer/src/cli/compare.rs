//! `pliant compare`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::RECIPE_FILE;
use crate::checkpoint::write_atomically;
use crate::recipe::Source;
use crate::report::{Contestant, Results, comparison_page, comparison_plot, comparison_table};
use crate::run::RunRecord;

const AFTER_HELP: &str = "\
The table goes to standard output, learning and adaptation curves into a file: a
page, or with a name that ends in .svg the plot alone. Runs that differ by their
seed alone are one curve, in the band from the least to the greatest.

Examples:
  pliant compare runs/sinusoid models/sinusoid
  pliant compare runs/seed-0 runs/seed-1 runs/seed-2 --out seeds.svg
  pliant compare runs/* --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompareArgs {
    /// Folders of runs or bundles
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Where the page (.html) or the plot (.svg) goes
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    out: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Comparison<'a> {
    runs: &'a [Contestant],
    plot: &'a Path,
}

pub(super) fn run(args: &CompareArgs) -> Result<(), CliError> {
    let contestants = args
        .runs
        .iter()
        .map(|path| contestant(path))
        .collect::<Result<Vec<_>, _>>()?;
    let plot = if args.out.extension().is_some_and(|extension| extension == "svg") {
        comparison_plot(&contestants)
    } else {
        comparison_page(&contestants)
    };
    write_atomically(&args.out, plot.as_bytes()).map_err(|source| CliError::WriteFile {
        path: args.out.clone(),
        source,
    })?;
    eprintln!("wrote {}", args.out.display());
    if args.json {
        print_json(&Comparison {
            runs: &contestants,
            plot: &args.out,
        })
    } else {
        print_text(&comparison_table(&contestants))
    }
}

fn contestant(path: &Path) -> Result<Contestant, CliError> {
    let record = path
        .join("run.json")
        .is_file()
        .then(|| RunRecord::read(path))
        .transpose()?;
    let results = Results::read(path)?;
    if record.is_none() && results.is_none() {
        return Err(CliError::NothingToCompare { path: path.to_owned() });
    }
    let mut source = Source::read(&path.join(RECIPE_FILE))?;
    let recipe = source.parse()?;
    // The recipe without its seed, its name and its comments tells groups apart; the name is for people.
    source.set("seed=0")?;
    let seedless = source.parse()?;
    let group = format!(
        "{} [{:08x}]",
        recipe.name,
        crc32fast::hash(format!("{seedless:?}").as_bytes())
    );
    let metrics = RunRecord::metrics(path)?;
    let newest = metrics.last().and_then(|line| line.metrics.0.first());
    Ok(Contestant {
        name: path.display().to_string(),
        recipe: recipe.name,
        seed: recipe.seed,
        group,
        completed: record.as_ref().map(|record| record.completed),
        seconds: record
            .as_ref()
            .map(|record| record.seconds)
            .or(results.as_ref().map(|results| results.training.seconds)),
        environment_steps: record.as_ref().map(|record| record.environment_steps),
        newest: newest.map(|(name, summary)| (name.clone(), summary.mean)),
        results,
        metrics,
    })
}
