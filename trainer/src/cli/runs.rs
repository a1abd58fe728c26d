//! `pliant runs`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::run::{MetricsLine, RunError, RunRecord, Status, find_runs};

const AFTER_HELP: &str = "\
A run is `interrupted` when it was stopped, killed or failed: the command
`pliant train RUN --resume` goes on with it.

Examples:
  pliant runs
  pliant runs experiments --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RunsArgs {
    /// The folder to look in, to a depth of three
    #[arg(value_name = "FOLDER", default_value = "runs")]
    folder: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed {
    path: PathBuf,
    /// None where the record cannot be read; `error` says why.
    status: Option<Status>,
    #[serde(flatten)]
    record: Option<RunRecord>,
    /// The newest line of the metrics.
    newest: Option<MetricsLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    runs: Vec<Listed>,
}

pub(super) fn run(args: &RunsArgs) -> Result<(), CliError> {
    let runs: Vec<Listed> = find_runs(&args.folder)
        .into_iter()
        .map(|(path, record)| listed(path, record))
        .collect();
    if args.json {
        return print_json(&Listing { runs });
    }
    if runs.is_empty() {
        return Err(CliError::NoRuns {
            path: args.folder.clone(),
        });
    }
    print_text(&table(&runs))
}

fn listed(path: PathBuf, record: Result<RunRecord, RunError>) -> Listed {
    match record {
        Ok(record) => {
            let status = Some(record.status(&path));
            let (newest, problem) = match RunRecord::metrics(&path) {
                Ok(lines) => (lines.into_iter().next_back(), None),
                Err(error) => (None, Some(error.to_string())),
            };
            Listed {
                path,
                status,
                record: Some(record),
                newest,
                problem,
            }
        }
        Err(error) => Listed {
            path,
            status: None,
            record: None,
            newest: None,
            problem: Some(error.to_string()),
        },
    }
}

fn table(runs: &[Listed]) -> String {
    let name = |path: &Path| path.display().to_string();
    let wide = runs
        .iter()
        .map(|run| name(&run.path).chars().count())
        .max()
        .unwrap_or(0)
        .max(3);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:wide$}  {:11}  {:>4}  {:>17}  {:>7}  newest measurement",
        "run", "status", "seed", "iterations", "time"
    );
    for run in runs {
        let Some(record) = &run.record else {
            let _ = writeln!(text, "{:wide$}  unreadable", name(&run.path));
            continue;
        };
        // While it runs the metrics are newer than the record.
        let completed = run
            .newest
            .as_ref()
            .map_or(0, |line| line.iteration)
            .max(record.completed);
        let newest = run.newest.as_ref().and_then(|line| line.metrics.0.first());
        let newest = newest.map_or_else(
            || "-".to_owned(),
            |(name, summary)| format!("{name} {:.3}", summary.mean),
        );
        let _ = writeln!(
            text,
            "{:wide$}  {:11}  {:>4}  {:>17}  {:>6.0}s  {newest}",
            name(&run.path),
            run.status.map_or("?", Status::name),
            record.seed,
            format!("{completed}/{}", record.iterations),
            record.seconds,
        );
    }
    for problem in runs.iter().filter_map(|run| run.problem.as_ref()) {
        let _ = writeln!(text, "{problem}");
    }
    for run in runs {
        if let Some(error) = run.record.as_ref().and_then(|record| record.error.as_ref()) {
            let _ = writeln!(text, "{}: {error}", name(&run.path));
        }
    }
    text
}
