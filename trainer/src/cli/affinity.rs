//! `pliant affinity`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::algorithms::{Algorithm, Lookahead, MultiTaskTraining, group_tasks, grouping_score};
use crate::checkpoint::write_atomically;
use crate::engine::PlanEngine;
use crate::error::TrainError;
use crate::recipe::{self, Source};
use crate::report::{affinity_plot, affinity_table};
use crate::tasks::task_set;

const AFTER_HELP: &str = "\
Trains a recipe whose tasks are learned together and looks one step ahead at times:
how much does a step of the shared layers for one task take off the loss of another
(Fifty et al. 2021)? Below zero it harms. The mean over the training says which tasks
belong into one network; the tasks are grouped so that they help each other most.

Examples:
  pliant affinity task-conflict
  pliant affinity models/diagnosis --groups 2 --plot affinity.svg
  pliant affinity my-recipe.toml --measurements 100 --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct AffinityArgs {
    /// Name of a recipe that comes with pliant, or the path of one
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Set a field of the recipe; may be given again
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Seed of training [default: the recipe's]
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    /// Times to look ahead, evenly over the training
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    measurements: u32,
    /// How far to look: the length of the step over that of the shared parameters
    #[arg(long, value_name = "SHARE", default_value_t = 0.001, value_parser = reach)]
    reach: f32,
    /// Groups at most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    groups: u8,
    /// Write the matrix as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    recipe: &'a str,
    seed: u64,
    tasks: &'a [String],
    /// A row a task: what a step for it takes off the loss of each, as a share.
    affinities: Vec<&'a [f64]>,
    measurements: u32,
    reach: f32,
    groups: Vec<Vec<&'a str>>,
    /// Sum over tasks of the mean affinity of its group to it.
    score: f64,
    /// The same with all tasks in one group.
    score_together: f64,
}

pub(super) fn run(args: &AffinityArgs) -> Result<(), CliError> {
    let mut source = Source::find(&args.recipe)?;
    for assignment in &args.set {
        source.set(assignment)?;
    }
    if let Some(seed) = args.seed {
        source.set(&format!("seed={seed}"))?;
    }
    let recipe = source.parse()?;
    let tables = task_set(&recipe).map_err(TrainError::from)?;
    let (recipe::Algorithm::MultiTask(settings), Some(tables)) = (&recipe.algorithm, tables) else {
        return Err(CliError::NotTogether {
            algorithm: recipe.algorithm.name(),
        });
    };
    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    let engine = PlanEngine::fast();
    let mut training = MultiTaskTraining::new(settings, &recipe.policy, recipe.seed, tables, &engine)?;
    let mut lookahead = Lookahead::new(training.learner().settings(), &engine)?;
    let every = (training.iterations() / u64::from(args.measurements)).max(1);
    let mut sums = vec![0.0; names.len() * names.len()];
    let mut count = 0u32;
    while training.completed() < training.iterations() {
        if training.completed().is_multiple_of(every) && count < args.measurements {
            let now = training.affinities(&mut lookahead, args.reach)?;
            sums.iter_mut().zip(now).for_each(|(sum, value)| *sum += value);
            count += 1;
        }
        training.step()?;
    }
    let affinities: Vec<f64> = sums.iter().map(|sum| sum / f64::from(count.max(1))).collect();
    let groups = group_tasks(&affinities, usize::from(args.groups));
    if let Some(path) = &args.plot {
        let title = format!("{}: affinity of tasks", recipe.name);
        let plot = affinity_plot(&title, &names, &affinities, &groups);
        write_atomically(path, plot.as_bytes()).map_err(|source| CliError::WriteFile {
            path: path.clone(),
            source,
        })?;
    }
    if args.json {
        let together = vec![(0..names.len()).collect()];
        return print_json(&Outcome {
            recipe: &recipe.name,
            seed: recipe.seed,
            tasks: &names,
            affinities: affinities.chunks_exact(names.len().max(1)).collect(),
            measurements: count,
            reach: args.reach,
            groups: groups
                .iter()
                .map(|group| group.iter().map(|&task| names[task].as_str()).collect())
                .collect(),
            score: grouping_score(&affinities, &groups),
            score_together: grouping_score(&affinities, &together),
        });
    }
    print_text(&affinity_table(&names, &affinities, &groups))
}

/// A share above 0 and at most 1.
fn reach(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("a number greater than 0, at most 1".to_owned()),
    }
}
