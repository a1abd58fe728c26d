//! `pliant sweep`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{interrupt, print_json, print_text, threads};
use crate::algorithms;
use crate::checkpoint::write_atomically;
use crate::engine::{ENGINE_NAMES, select};
use crate::recipe::Source;
use crate::report::{sweep_plot, sweep_table};
use crate::run::{RunDirectory, shell_word};
use crate::sweep::{Seen, Sweep, SweepError, Trial, Vary, configurations, run as race, rungs};

/// Where the plot lies in the folder of a sweep.
const PLOT_FILE: &str = "sweep.svg";

const AFTER_HELP: &str = "\
Every configuration trains for a short time, the best third of them three times
as long, and so on until a few are trained to the end (successive halving). Scores
are of the deployed image on validation tasks: a sweep never looks at the tasks
that test. A trial that goes on goes on from its checkpoint, and so does a sweep:
after Ctrl-C, a crash or a kill, --resume does what is left.

Values:
  FIELD=A,B,C       a list; without --trials every combination is tried
  FIELD=A..B        a range; whole numbers where both ends are
  FIELD=log:A..B    a range over orders of magnitude

Examples:
  pliant sweep sinusoid --vary algorithm.maml.optimizer.rate=3e-4,1e-3,3e-3
  pliant sweep task-conflict --vary algorithm.multi-task.balance.method=uniform,uncertainty,nash-mtl
  pliant sweep my-recipe.toml --trials 27 --vary algorithm.maml.inner_rate=log:1e-3..1 \\
      --vary policy.hidden=[32],[64],[64,64] --jobs 4
  pliant sweep my-recipe.toml ... --resume          the same command goes on";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SweepArgs {
    /// Name of a recipe that comes with pliant, or the path of one
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// A field of the recipe and what it may be; may be given again
    #[arg(long, value_name = "FIELD=VALUES", required = true)]
    vary: Vec<String>,
    /// Set a field of the recipe for all trials; may be given again
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Configurations, drawn by the recipe's seed [default: every combination of the lists]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9999))]
    trials: Option<u16>,
    /// One in so many trials goes on to the next rung
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=10))]
    keep: u8,
    /// Validation tasks that score [default: as many as the recipe's evaluation has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    tasks: Option<u64>,
    /// Trials at a time, each on one thread [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// What runs the training graphs: auto measures those present and takes the fastest
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = clap::builder::PossibleValuesParser::new(ENGINE_NAMES))]
    engine: String,
    /// Folder of the sweep: sweep.json, sweep.svg, a run for each trial [default: runs/sweep- and the recipe's name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Go on with the sweep in the folder
    #[arg(long)]
    resume: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What a sweep found, as `--json` prints it.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    sweep: &'a Sweep,
    /// Numbers of the trials, the best first.
    ranking: Vec<usize>,
    /// The command that trains the best configuration, and tests it.
    best: Option<String>,
    folder: &'a Path,
    plot: &'a Path,
    interrupted: bool,
}

pub(super) fn run(args: &SweepArgs) -> Result<(), CliError> {
    interrupt::listen()?;
    let mut source = Source::find(&args.recipe)?;
    for set in &args.set {
        source.set(set)?;
    }
    if let Some(tasks) = args.tasks {
        source.set(&format!("evaluation.tasks={tasks}"))?;
    }
    let recipe = source.parse()?;
    let vary = args
        .vary
        .iter()
        .map(|text| Vary::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let sets = configurations(&vary, args.trials.map(usize::from), recipe.seed)?;
    let keep = usize::from(args.keep);
    let (probe, options) = algorithms::probe(&recipe)?;
    let choice = select(&args.engine, None, &probe, &options)?;
    let iterations = algorithms::learner(&recipe, &choice.engine, 1)?.iterations();
    let mut sweep = Sweep {
        recipe: recipe.name.clone(),
        text: source.text.clone(),
        keep,
        tasks: recipe.evaluation.tasks,
        rungs: rungs(sets.len(), keep, iterations),
        trials: sets.into_iter().map(Trial::new).collect(),
        ..Sweep::default()
    };
    let default = || Path::new("runs").join(format!("sweep-{}", recipe.name));
    let folder = args.out.clone().unwrap_or_else(default);
    // Held while the sweep works: nobody else races there.
    let directory = RunDirectory::claim(&folder)?;
    match (args.resume, Sweep::read(&folder)?) {
        (true, Some(before)) if before.is_same(&sweep) => sweep = before,
        (true, Some(_)) => return Err(SweepError::Other { path: folder }.into()),
        (true, None) => return Err(SweepError::NoSweep { path: folder }.into()),
        (false, Some(_)) => eprintln!(
            "note: the sweep that was in {} is replaced; --resume would have gone on with it",
            folder.display()
        ),
        (false, None) => {}
    }
    sweep.write(directory.path())?;
    eprintln!("{}", choice.reason);

    let trials = sweep.trials.len();
    let seen = |seen: Seen<'_>| match seen {
        Seen::Rung(rung, until, racing) => {
            eprintln!(
                "rung {}: {racing} of {trials} trials train to {until} iterations",
                rung + 1
            );
        }
        Seen::Scored(trial) => match (&trial.failed, trial.scores.last()) {
            (Some(why), _) => eprintln!("  {}: out, {why}", trial.sets.join(" ")),
            (None, Some(score)) => eprintln!("  {}: {:.4}", trial.sets.join(" "), score.mean),
            (None, None) => {}
        },
    };
    let jobs = threads(args.jobs);
    let finished = race(
        &mut sweep,
        &source,
        &folder,
        &choice.engine,
        jobs,
        &interrupt::requested,
        &seen,
    )?;
    let plot = folder.join(PLOT_FILE);
    write_atomically(&plot, sweep_plot(&sweep).as_bytes()).map_err(|source| CliError::WriteFile {
        path: plot.clone(),
        source,
    })?;
    let ranking = sweep.ranking();
    let best = ranking.first().map(|&trial| train_command(args, &sweep.trials[trial]));
    if args.json {
        print_json(&Found {
            ranking,
            best: best.clone(),
            folder: &folder,
            plot: &plot,
            interrupted: !finished,
            sweep: &sweep,
        })?;
    } else {
        print_text(&sweep_table(&sweep))?;
    }
    if !finished {
        return Err(CliError::SweepInterrupted { path: folder });
    }
    eprintln!("plot: {}; every trial is a run in {}", plot.display(), folder.display());
    if let Some(best) = best {
        eprintln!("to train the best and test it: {best}");
    }
    Ok(())
}

fn train_command(args: &SweepArgs, trial: &Trial) -> String {
    let sets = args.set.iter().chain(&trial.sets);
    let words = ["pliant".to_owned(), "train".to_owned(), args.recipe.clone()]
        .into_iter()
        .chain(sets.flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.map(|word| shell_word(&word)).collect::<Vec<_>>().join(" ")
}
