//! `pliant train`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use pliant_compiler::image::inspect;
use serde::Serialize;

use super::error::CliError;
use super::progress::Progress;
use super::{interrupt, print_json, print_text, threads};
use crate::algorithms::{self, Algorithm, Iteration};
use crate::bundle::{self, BundleError, RECIPE_FILE};
use crate::checkpoint::{Checkpoint, write_atomically};
use crate::engine::{ENGINE_NAMES, select};
use crate::eval::{EvalOptions, Evaluation, evaluate};
use crate::recipe::{Recipe, Source};
use crate::report::{self, History, adaptation_table};

/// Points of the learning curve that are kept.
const CURVE_POINTS: usize = 400;
/// The training state, in the output folder.
const CHECKPOINT_FILE: &str = "training.checkpoint";
const PLOT_FILE: &str = "plot.svg";
const CARD_FILE: &str = "card.md";

const AFTER_HELP: &str = "\
Recipes that come with pliant: point-navigation, sinusoid. A recipe is one TOML
file; copy one from models/ to write your own. Unknown fields and values out of
range are refused by name.

Examples:
  pliant train point-navigation
  pliant train sinusoid --set family.sinusoid.shots=5 --out runs/five-shots
  pliant train sinusoid --resume               go on after Ctrl-C
  pliant train my-recipe.toml --engine ort --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct TrainArgs {
    /// Name of a recipe that comes with pliant, or the path of one
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Folder for bundle, checkpoint and plot [default: runs/ and the recipe's name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What runs the training graphs: auto measures those present and takes the fastest
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = clap::builder::PossibleValuesParser::new(ENGINE_NAMES))]
    engine: String,
    /// Seed of everything random, in place of the recipe's
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    /// Set a field of the recipe; may be given again
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Stop after this many meta-iterations; the recipe's schedules stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,
    /// Held-out tasks of the evaluation after training [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    tasks: Option<u64>,
    /// Worker threads; they change nothing but the time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Go on from the checkpoint in the output folder
    #[arg(long)]
    resume: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The result of a run, as `--json` prints it.
#[derive(Serialize)]
struct Outcome<'a> {
    recipe: &'a str,
    algorithm: &'a str,
    seed: u64,
    engine: String,
    threads: usize,
    iterations: u64,
    /// Training, without export and evaluation.
    seconds: f64,
    /// Of meta-training and of the calibration of the guards; the evaluation counts its own.
    train_env_steps: u64,
    bundle: &'a Path,
    /// Of the deployed image; absent for a run that was interrupted.
    evaluation: Option<&'a Evaluation>,
    interrupted: bool,
}

pub(super) fn run(args: &TrainArgs) -> Result<(), CliError> {
    interrupt::listen()?;
    let mut source = Source::find(&args.recipe)?;
    for assignment in &args.set {
        source.set(assignment)?;
    }
    if let Some(seed) = args.seed {
        source.set(&format!("seed={seed}"))?;
    }
    let recipe = source.parse()?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(&recipe.name));
    std::fs::create_dir_all(&out).map_err(|source| CliError::OutputFolder {
        path: out.clone(),
        source,
    })?;
    let threads = threads(args.threads);

    let mut run = Run::start(args, &source, &recipe, &out, threads)?;
    let finished = run.train()?;
    let mut training = report::Training {
        engine: run.learner.engine(),
        completed: run.learner.completed(),
        iterations: run.learner.iterations(),
        environment_steps: run.learner.environment_steps(),
        seconds: run.seconds(),
        threads,
    };
    let mut outcome = Outcome {
        recipe: &recipe.name,
        algorithm: recipe.algorithm.name(),
        seed: recipe.seed,
        engine: training.engine.clone(),
        threads,
        iterations: training.completed,
        seconds: training.seconds,
        train_env_steps: training.environment_steps,
        bundle: &out,
        evaluation: None,
        interrupted: !finished,
    };
    if !finished {
        if args.json {
            print_json(&outcome)?;
        }
        return Err(CliError::Interrupted {
            completed: training.completed,
            iterations: training.iterations,
            path: run.checkpoint_path(),
            command: run.resume_command(),
        });
    }

    eprintln!(
        "trained {} iterations in {:.1} s; exporting",
        training.completed, training.seconds
    );
    let learned = run.learner.learned()?;
    let exported = bundle::export(&recipe, &learned, threads).map_err(BundleError::from)?;
    training.environment_steps += exported.env_steps;
    outcome.train_env_steps = training.environment_steps;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        write_atomically(&path, bytes).map_err(|source| BundleError::Write { path, source })
    };
    write(RECIPE_FILE, source.text.as_bytes())?;
    for (name, bytes) in &exported.files {
        write(name, bytes)?;
    }

    let bytes = bundle::read_image(&out)?;
    let inspected = inspect(&bytes).map_err(|source| BundleError::Inspect {
        path: out.clone(),
        source,
    })?;
    let options = EvalOptions {
        tasks: args.tasks.unwrap_or(recipe.evaluation.tasks),
        seed: recipe.evaluation.seed,
        threads,
    };
    eprintln!("adapting the deployed image on {} held-out tasks", options.tasks);
    let evaluation = evaluate(&recipe, &bytes, options)?;
    write(
        CARD_FILE,
        report::card(&recipe, &training, &inspected, &evaluation).as_bytes(),
    )?;
    let title = format!("{} (seed {}, {:.0} s)", recipe.name, recipe.seed, training.seconds);
    write(PLOT_FILE, report::plot(&title, &run.history, &evaluation)?.as_bytes())?;
    eprintln!("bundle, card and plot are in {}", out.display());
    outcome.evaluation = Some(&evaluation);
    if args.json {
        print_json(&outcome)
    } else {
        print_text(&adaptation_table(&evaluation))
    }
}

/// A training run under way.
struct Run<'a> {
    args: &'a TrainArgs,
    source: &'a Source,
    out: &'a Path,
    save_every: Duration,
    learner: Box<dyn Algorithm>,
    history: History,
    /// Seconds of the sittings before this one.
    seconds_before: f64,
    started: Instant,
}

impl<'a> Run<'a> {
    fn start(
        args: &'a TrainArgs,
        source: &'a Source,
        recipe: &Recipe,
        out: &'a Path,
        threads: usize,
    ) -> Result<Self, CliError> {
        let path = out.join(CHECKPOINT_FILE);
        // Before anything slow, so that a mistake shows at once.
        let saved = if args.resume { Some(load(&path, recipe)?) } else { None };
        if saved.is_none() && path.exists() {
            eprintln!(
                "note: {} is of an earlier run and will be replaced; --resume goes on with it",
                path.display()
            );
        }
        let (probe, options) = algorithms::probe(recipe)?;
        let choice = select(&args.engine, None, &probe, &options)?;
        eprintln!("{}", choice.reason);
        let mut learner = algorithms::learner(recipe, &choice.engine, threads)?;
        let (mut history, mut seconds_before) = (History::default(), 0.0);
        if let Some(saved) = saved {
            learner.restore(&saved.state)?;
            (history, seconds_before) = (saved.history, saved.seconds);
            eprintln!(
                "going on after {} of {} iterations",
                learner.completed(),
                learner.iterations()
            );
        }
        let save_every = Duration::from_secs(recipe.checkpoint.every_seconds);
        Ok(Self {
            args,
            source,
            out,
            save_every,
            learner,
            history,
            seconds_before,
            started: Instant::now(),
        })
    }

    /// Trains to the end, or until it is interrupted; saves either way. Whether it came to the end.
    fn train(&mut self) -> Result<bool, CliError> {
        let whole = self.learner.iterations();
        let total = self.args.iterations.map_or(whole, |limit| limit.min(whole));
        let mut progress = Progress::new(self.learner.completed(), total);
        let mut last_save = Instant::now();
        let mut stopped = false;
        while self.learner.completed() < total && !stopped {
            let iteration = self.learner.step()?;
            self.record(&iteration);
            progress.update(self.learner.completed(), &iteration);
            stopped = interrupt::requested();
            if last_save.elapsed() >= self.save_every {
                // Training may outlive a full disk: say so and go on.
                if let Err(error) = self.save() {
                    progress.say(&format!("warning: {error}"));
                }
                last_save = Instant::now();
            }
        }
        progress.finish();
        self.save()?;
        Ok(self.learner.completed() >= total)
    }

    fn record(&mut self, iteration: &Iteration) {
        if self.history.names().is_empty() {
            let names: Vec<&str> = iteration.metrics.iter().map(|(name, _)| *name).collect();
            self.history = History::new(&names, CURVE_POINTS);
        }
        let values: Vec<f32> = iteration.metrics.iter().map(|(_, value)| *value).collect();
        self.history.record(self.learner.completed(), &values);
    }

    fn save(&mut self) -> Result<(), CliError> {
        let checkpoint = Checkpoint {
            recipe: self.source.text.clone(),
            engine: self.learner.engine(),
            seconds: self.seconds(),
            history: self.history.clone(),
            state: self.learner.state()?,
        };
        Ok(checkpoint.save(&self.checkpoint_path())?)
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.out.join(CHECKPOINT_FILE)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// The command that goes on with this run.
    fn resume_command(&self) -> String {
        let mut words = vec!["pliant".to_owned(), "train".to_owned(), self.args.recipe.clone()];
        words.extend(
            self.args
                .set
                .iter()
                .flat_map(|assignment| ["--set".to_owned(), assignment.clone()]),
        );
        words.extend(
            self.args
                .seed
                .iter()
                .flat_map(|seed| ["--seed".to_owned(), seed.to_string()]),
        );
        words.extend(
            self.args
                .iterations
                .iter()
                .flat_map(|limit| ["--iterations".to_owned(), limit.to_string()]),
        );
        words.extend([
            "--out".to_owned(),
            self.out.display().to_string(),
            "--resume".to_owned(),
        ]);
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// Loads the checkpoint of a run with exactly this recipe.
fn load(path: &Path, recipe: &Recipe) -> Result<Checkpoint, CliError> {
    let saved = Checkpoint::load(path)?;
    let of = Source {
        origin: path.display().to_string(),
        text: saved.recipe.clone(),
    };
    if of.parse()? != *recipe {
        return Err(CliError::OtherRecipe { path: path.to_owned() });
    }
    Ok(saved)
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
