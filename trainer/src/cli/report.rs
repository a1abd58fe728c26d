//! `pliant report`

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use crate::bundle::{BundleError, RECIPE_FILE};
use crate::checkpoint::write_atomically;
use crate::recipe::{Recipe, Source};
use crate::report::{self, Page, Results};
use crate::run::{MetricsLine, RunRecord};

const AFTER_HELP: &str = "\
`pliant train` writes both when it is done; this is for a run trained by an older
version, or whose pages were deleted. Nothing is trained or evaluated.

Examples:
  pliant report runs/sinusoid";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReportArgs {
    /// The folder of a finished run
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

pub(super) fn run(args: &ReportArgs) -> Result<(), CliError> {
    let record = RunRecord::read(&args.run)?;
    let results = Results::read(&args.run)?.ok_or_else(|| CliError::NotEvaluated { path: args.run.clone() })?;
    let source = Source::read(&args.run.join(RECIPE_FILE))?;
    let recipe = source.parse()?;
    let metrics = RunRecord::metrics(&args.run)?;
    write_pages(&args.run, &recipe, &source.text, &record, &metrics, &results)?;
    eprintln!("wrote {}", args.run.join("report.html").display());
    Ok(())
}

/// Writes `plot.svg` and `report.html`.
pub(super) fn write_pages(
    folder: &Path,
    recipe: &Recipe,
    recipe_text: &str,
    record: &RunRecord,
    metrics: &[MetricsLine],
    results: &Results,
) -> Result<(), BundleError> {
    let title = format!(
        "{} (seed {}, {:.0} s)",
        recipe.name, recipe.seed, results.training.seconds
    );
    let page = report::page(&Page {
        recipe,
        recipe_text,
        record,
        metrics,
        results,
    });
    for (name, text) in [
        ("plot.svg", report::plot(&title, metrics, results)),
        ("report.html", page),
    ] {
        let path = folder.join(name);
        write_atomically(&path, text.as_bytes()).map_err(|source| BundleError::Write { path, source })?;
    }
    Ok(())
}
