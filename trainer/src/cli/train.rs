//! `pliant train`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pliant_compiler::image::inspect;
use serde::Serialize;

use super::error::CliError;
use super::progress::Progress;
use super::report::write_pages;
use super::{interrupt, print_json, print_text, threads};
use crate::algorithms;
use crate::bundle::{self, BundleError, RECIPE_FILE};
use crate::checkpoint::{Checkpoint, write_atomically};
use crate::engine::{ENGINE_NAMES, select};
use crate::eval::{EvalOptions, Evaluation, evaluate};
use crate::recipe::{Recipe, Source};
use crate::report::{self, Baseline, DeviceCost, RESULTS_FILE, Results, TrainingCost, adaptation_table};
use crate::run::{Outcome as Ending, RunDirectory, RunLog, RunRecord, Session, Watched, shell_word};

const CARD_FILE: &str = "card.md";

const AFTER_HELP: &str = "\
Recipes that come with pliant: arm, bandit, cart-pole, mdp, motifs, pendulum,
point-navigation, quadrotor, quadrotor-robust, quadrotor-small, sinusoid,
sinusoid-anil, sinusoid-cavia, sinusoid-fomaml, sinusoid-meta-sgd,
sinusoid-reptile, sinusoid-ridge, task-conflict, vehicle. A recipe is one
TOML file; copy one from models/ to write your own. Unknown fields and values
out of range are refused by name.

Examples:
  pliant train point-navigation
  pliant train sinusoid --set family.sinusoid.shots=5 --out runs/five-shots
  pliant train sinusoid-anil --init-from runs/sinusoid    start where another ended
  pliant train runs/sinusoid --resume          go on after Ctrl-C, a crash, a kill
  pliant train my-recipe.toml --engine ort --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct TrainArgs {
    /// Name of a recipe that comes with pliant, the path of one, or (with --resume) the folder of a run
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Folder of the run: checkpoints, metrics, bundle, report [default: runs/ and the recipe's name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What runs the training graphs: auto measures those present and takes the fastest; resuming, it keeps the engine
    /// of the checkpoint
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
    /// Start from the parameters of another run or bundle, as far as names and shapes agree: pre-training
    #[arg(long, value_name = "FOLDER", conflicts_with = "resume")]
    init_from: Option<PathBuf>,
    /// Go on from the newest checkpoint in the folder of the run
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
    /// What it is compared with.
    baselines: &'a [Baseline],
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
    let out = args.out.clone().unwrap_or_else(|| default_folder(args, &recipe));
    let mut run = Run::start(args, source, recipe, &out)?;
    let done = run.carry_out();
    if let Err(error) = &done {
        let message = error.report();
        run.log.add(&message);
        // The error that matters is the one being returned; an interruption is none.
        let note = (!matches!(error, CliError::Interrupted { .. })).then_some(message);
        let _ = run.session.note(Ending::Stopped, note);
    }
    done
}

/// Where the run is when nothing is said: resumed where it was, begun under its recipe's name.
fn default_folder(args: &TrainArgs, recipe: &Recipe) -> PathBuf {
    let named = Path::new(&args.recipe);
    if args.resume && named.join("run.json").is_file() {
        named.to_owned()
    } else {
        Path::new("runs").join(&recipe.name)
    }
}

/// A training run under way.
struct Run<'a> {
    args: &'a TrainArgs,
    source: Source,
    recipe: Recipe,
    out: &'a Path,
    threads: usize,
    log: RunLog,
    session: Session,
}

impl<'a> Run<'a> {
    fn start(args: &'a TrainArgs, source: Source, recipe: Recipe, out: &'a Path) -> Result<Self, CliError> {
        // What may be a mistake comes before anything slow.
        if args.resume {
            RunDirectory::newest(out)?;
        }
        let start = args.init_from.as_deref().map(bundle::parameters).transpose()?;
        let directory = RunDirectory::claim(out)?;
        let before = RunRecord::read(out).ok();
        let saved = if args.resume { load(out, &recipe)? } else { None };
        let mut notes = Vec::new();
        if !args.resume {
            if !RunDirectory::checkpoints(out).is_empty() {
                notes.push(format!(
                    "note: the run that was in {} is replaced; --resume would have gone on with it",
                    out.display()
                ));
            }
            directory.clear()?;
        }
        let log = RunLog::open(&directory.join("log.txt"));
        notes.iter().for_each(|note| say(&log, note));

        let (saved, damaged) = saved.map_or_else(Default::default, |(saved, damaged)| (Some(saved), damaged));
        for error in damaged {
            say(
                &log,
                &format!("warning: {error}; going back to the checkpoint before it"),
            );
        }
        let engine = match &saved {
            Some(saved) if args.engine == "auto" => saved.engine.as_str(),
            _ => args.engine.as_str(),
        };
        let (probe, options) = algorithms::probe(&recipe)?;
        let choice = select(engine, None, &probe, &options)?;
        say(&log, &choice.reason);
        let threads = threads(args.threads);
        let mut learner = algorithms::learner(&recipe, &choice.engine, threads)?;
        if let (Some(start), Some(path)) = (&start, &args.init_from) {
            let taken = algorithms::start_from(learner.as_mut(), start)?.join(", ");
            say(&log, &format!("starting from {}: {taken}", path.display()));
        }
        if let Some(saved) = &saved {
            if saved.engine != learner.engine() {
                let (old, new) = (&saved.engine, learner.engine());
                say(
                    &log,
                    &format!("note: trained by `{old}` so far: going on with `{new}` gives other bits"),
                );
            }
            if before
                .as_ref()
                .is_some_and(|before| before.version != env!("CARGO_PKG_VERSION"))
            {
                say(
                    &log,
                    "note: trained by another version of pliant so far: going on may give other bits",
                );
            }
        } else if args.resume {
            say(&log, "the run was stopped before its first checkpoint: beginning again");
        }
        let mut record = RunRecord::new(&recipe, &learner.engine(), threads);
        if let Some(before) = before.filter(|_| args.resume) {
            record.started = before.started;
        }
        write(&out.join(RECIPE_FILE), source.text.as_bytes())?;
        let save_every = Duration::from_secs_f32(recipe.checkpoint.every_seconds);
        let resumed = saved.is_some();
        let mut session = Session::begin(directory, learner, source.text.clone(), record, saved, save_every)?;
        if resumed {
            let learner = session.learner();
            let (completed, iterations) = (learner.completed(), learner.iterations());
            say(&log, &format!("going on after {completed} of {iterations} iterations"));
        }
        Ok(Self {
            args,
            source,
            recipe,
            out,
            threads,
            log,
            session,
        })
    }

    fn carry_out(&mut self) -> Result<(), CliError> {
        let whole = self.session.learner().iterations();
        let until = self.args.iterations.map_or(whole, |limit| limit.min(whole));
        let mut progress = Progress::new(self.session.learner().completed(), until);
        let log = &self.log;
        let finished = self
            .session
            .train(until, &interrupt::requested, &mut |completed, watched| match watched {
                Watched::Iteration(iteration) => {
                    if let Some(line) = progress.update(completed, iteration) {
                        log.add(&line);
                    }
                }
                Watched::Warning(warning) => {
                    let text = format!("warning: {warning}");
                    log.add(&text);
                    progress.say(&text);
                }
            });
        progress.finish();
        let finished = finished?;
        let completed = self.session.learner().completed();
        if !finished {
            self.session.note(Ending::Stopped, None)?;
            if self.args.json {
                print_json(&self.outcome(None))?;
            }
            return Err(CliError::Interrupted {
                completed,
                iterations: whole,
                path: self.out.to_owned(),
                command: self.resume_command(),
            });
        }
        let seconds = self.session.seconds();
        self.say(&format!("trained {completed} iterations in {seconds:.1} s; exporting"));
        let results = self.export_and_evaluate()?;
        self.session.note(Ending::Finished, None)?;
        self.say(&format!("bundle, card and report.html are in {}", self.out.display()));
        if self.args.json {
            print_json(&self.outcome(Some(&results)))
        } else {
            let seconds = results.training.seconds;
            let compared = report::comparison(&results.evaluation, &results.cost, &results.baselines, seconds);
            print_text(&(adaptation_table(&results.evaluation) + &compared))
        }
    }

    /// Writes the bundle, scores it, and writes card and report.
    fn export_and_evaluate(&mut self) -> Result<Results, CliError> {
        let learned = self.session.learner().learned()?;
        let exported = bundle::export(&self.recipe, &learned, self.threads).map_err(BundleError::from)?;
        for (name, bytes) in &exported.files {
            write(&self.out.join(name), bytes)?;
        }
        let bytes = bundle::read_image(self.out)?;
        let inspected = inspect(&bytes).map_err(|source| BundleError::Inspect {
            path: self.out.to_owned(),
            source,
        })?;
        let options = EvalOptions {
            tasks: self.args.tasks.unwrap_or(self.recipe.evaluation.tasks),
            seed: self.recipe.evaluation.seed,
            threads: self.threads,
        };
        self.say(&format!(
            "adapting the deployed image on {} held-out tasks",
            options.tasks
        ));
        let evaluation = evaluate(&self.recipe, &bytes, options)?;
        self.say(
            "measuring what to compare it with: no adaptation, training from scratch, all tasks together, an oracle",
        );
        let baselines = report::baselines(&self.recipe, &evaluation, options)?;
        let samples = report::samples(&self.recipe, &bytes, options)?;
        let learner = self.session.learner();
        let environment_steps = learner.environment_steps() + exported.env_steps;
        let iterations = learner.completed();
        let results = Results {
            baselines,
            samples,
            cost: DeviceCost::of(&inspected),
            training: TrainingCost {
                iterations,
                seconds: self.session.seconds(),
                environment_steps,
            },
            evaluation,
        };
        let text = serde_json::to_string(&results).map_err(|error| CliError::Output(error.into()))?;
        write(&self.out.join(RESULTS_FILE), text.as_bytes())?;
        let tag = format!("held-out/{} by adaptation step", results.evaluation.metric);
        let steps = results.evaluation.adaptation.iter();
        self.session
            .curve(&tag, steps.map(|step| (u64::from(step.step), step.mean as f32)))?;
        let record = self.session.record();
        let card = report::card(&self.recipe, record, &inspected, &results);
        write(&self.out.join(CARD_FILE), card.as_bytes())?;
        let metrics = RunRecord::metrics(self.out)?;
        write_pages(self.out, &self.recipe, &self.source.text, record, &metrics, &results)?;
        Ok(results)
    }

    fn outcome<'b>(&'b mut self, results: Option<&'b Results>) -> Outcome<'b> {
        let learner = self.session.learner();
        let (engine, iterations, environment_steps) =
            (learner.engine(), learner.completed(), learner.environment_steps());
        Outcome {
            recipe: &self.recipe.name,
            algorithm: self.recipe.algorithm.name(),
            seed: self.recipe.seed,
            engine,
            threads: self.threads,
            iterations,
            seconds: self.session.seconds(),
            train_env_steps: results.map_or(environment_steps, |results| results.training.environment_steps),
            bundle: self.out,
            evaluation: results.map(|results| &results.evaluation),
            baselines: results.map_or(&[], |results| &results.baselines),
            interrupted: results.is_none(),
        }
    }

    fn say(&self, text: &str) {
        say(&self.log, text);
    }

    /// The command that goes on with this run: its folder holds the recipe with all overrides.
    fn resume_command(&self) -> String {
        let mut words = vec!["pliant".to_owned(), "train".to_owned(), self.out.display().to_string()];
        words.extend(
            self.args
                .iterations
                .iter()
                .flat_map(|limit| ["--iterations".to_owned(), limit.to_string()]),
        );
        words.extend(
            self.args
                .tasks
                .iter()
                .flat_map(|tasks| ["--tasks".to_owned(), tasks.to_string()]),
        );
        words.push("--resume".to_owned());
        words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
    }
}

/// Says something to the user and to the log.
fn say(log: &RunLog, text: &str) {
    eprintln!("{text}");
    log.add(text);
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    write_atomically(path, bytes).map_err(|source| BundleError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The newest whole checkpoint of a run with exactly this recipe, and what is wrong with newer ones.
fn load(out: &Path, recipe: &Recipe) -> Result<Option<(Checkpoint, Vec<impl std::error::Error>)>, CliError> {
    let Some((saved, damaged)) = RunDirectory::newest(out)? else {
        return Ok(None);
    };
    let of = Source {
        origin: out.display().to_string(),
        text: saved.recipe.clone(),
    };
    if of.parse()? != *recipe {
        return Err(CliError::OtherRecipe { path: out.to_owned() });
    }
    Ok(Some((saved, damaged)))
}
