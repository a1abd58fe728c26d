//! `pliant gap`

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use serde::{Deserialize, Serialize};

mod kept;
mod scratch;

use super::error::CliError;
use super::{print_json, print_text, threads};
use crate::algorithms::{self, Algorithm, Learned};
use crate::bundle::{self, BundleError, IMAGE_FILE};
use crate::engine::{ENGINE_NAMES, Engine, select};
use crate::eval::{EvalOptions, Gap, Returns, returns, roll_out, terminated};
use crate::recipe::{Recipe, Source};
use crate::tasks::{Split, simulator};

const AFTER_HELP: &str = "\
Trains the recipe three times over for each seed: as it is (adaptive), without
memory (non-adaptive: policy.memory=0, policy.changes=0), and with the true
parameters of the task beside the observation (oracle: policy.privileged=true).
Each device image then controls the same held-out systems. The share of the gap
that is closed is (adaptive - non-adaptive) / (oracle - non-adaptive). Another
recipe of the same family can take the adaptive policy's place.

With --scratch the adaptive recipe is also trained from nothing on each of the
first systems alone, with more and more steps of that very system: what it takes
to learn what the adaptive policy finds out as it acts.

Examples:
  pliant gap pendulum
  pliant gap my-recipe.toml --seeds 0,1 --set family.cart-pole.push=[0.0,0.0]
  pliant gap cart-pole --adaptive cart-pole-student
  pliant gap arm --scratch 8
  pliant gap arm --keep gap-arm         interrupted, the same command goes on";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct GapArgs {
    /// Name of a recipe that comes with pliant, or the path of one
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Recipe of the adaptive policy, of the same family [default: RECIPE itself]
    #[arg(long, value_name = "RECIPE")]
    adaptive: Option<String>,
    /// Seeds of training
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(i64).range(0..))]
    seeds: Vec<i64>,
    /// Set a field of the recipe, and where it is of `family` or `evaluation` of the other one too; may be given again
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// What runs the training graphs
    #[arg(long, value_name = "ENGINE", default_value = "plan", value_parser = clap::builder::PossibleValuesParser::new(ENGINE_NAMES))]
    engine: String,
    /// Worker threads; they change nothing but the time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Keep what each training came to in this folder, and do not repeat a training that is there
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Train also from scratch on each of the first N held-out systems alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    scratch: Option<u64>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The way that another recipe may take.
const ADAPTIVE: &str = "adaptive";

/// The three ways a recipe is trained, worst first, and the fields in which they differ from it.
const WAYS: [(&str, &[&str]); 3] = [
    // What has changed would be remembered.
    ("non-adaptive", &["policy.memory=0", "policy.changes=0"]),
    (ADAPTIVE, &[]),
    ("oracle", &["policy.privileged=true"]),
];

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    recipe: &'a str,
    /// The recipe of the adaptive policy.
    adaptive: &'a str,
    /// Held-out tasks, and the seed that draws them.
    tasks: u64,
    evaluation_seed: u64,
    episodes: usize,
    threads: usize,
    seeds: &'a [OneSeed],
    /// Over the mean of the seeds.
    overall: Gap,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_scratch: Option<scratch::Comparison>,
}

#[derive(Serialize)]
struct OneSeed {
    seed: i64,
    gap: Gap,
    /// Of training: non-adaptive, adaptive, oracle.
    seconds: [f64; 3],
    /// Episodes that were terminated, percent.
    terminated: [f64; 3],
}

pub(super) fn run(args: &GapArgs) -> Result<(), CliError> {
    let mut source = Source::find(&args.recipe)?;
    for assignment in &args.set {
        source.set(assignment)?;
    }
    let recipe = source.parse()?;
    let adaptive = match &args.adaptive {
        None => source.clone(),
        Some(name) => {
            let mut other = Source::find(name)?;
            let shared = |field: &&String| field.starts_with("family.") || field.starts_with("evaluation.");
            args.set.iter().filter(shared).try_for_each(|field| other.set(field))?;
            other
        }
    };
    let other = adaptive.parse()?;
    if other.family != recipe.family || other.evaluation != recipe.evaluation {
        return Err(CliError::NoGapBetween {
            recipe: recipe.name,
            adaptive: other.name,
        });
    }
    if args.scratch.is_some() {
        scratch::check(&other)?;
    }
    let threads = threads(args.threads);
    let (mut seeds, mut all) = (Vec::new(), Vec::new());
    for &seed in &args.seeds {
        let (mut found, mut seconds, mut terminated) = (Returns::default(), [0.0; 3], [0.0; 3]);
        let columns = [&mut found.non_adaptive, &mut found.adaptive, &mut found.oracle];
        for (index, ((way, fields), column)) in WAYS.into_iter().zip(columns).enumerate() {
            let mut source = if way == ADAPTIVE {
                adaptive.clone()
            } else {
                source.clone()
            };
            source.set(&format!("seed={seed}"))?;
            fields.iter().try_for_each(|field| source.set(field))?;
            let recipe = source.parse()?;
            let path = args
                .keep
                .as_ref()
                .map(|folder| folder.join(format!("{way}-{seed}.json")));
            let kept = path
                .as_deref()
                .map(|path| kept::read::<Score>(path, &recipe))
                .transpose()?
                .flatten();
            let score = match kept {
                Some(score) => score,
                None => {
                    let score = score(&recipe, &args.engine, threads)?;
                    path.as_deref().map_or(Ok(()), |path| kept::write(&score, path))?;
                    score
                }
            };
            (*column, seconds[index], terminated[index]) = (score.returns, score.seconds, score.terminated);
            eprintln!(
                "seed {seed}, {way}: return {:.3}, {:.2} % terminated, trained in {:.1} s",
                mean(column),
                terminated[index],
                seconds[index]
            );
        }
        let gap = found.gap(recipe.evaluation.seed);
        seeds.push(OneSeed {
            seed,
            gap,
            seconds,
            terminated,
        });
        all.push(found);
    }
    let overall = Returns::mean(&all).gap(recipe.evaluation.seed);
    let from_scratch = match args.scratch {
        None => None,
        Some(systems) => Some(scratch::compare(args, &adaptive, systems, &all, threads)?),
    };
    if args.json {
        print_json(&Outcome {
            recipe: &recipe.name,
            adaptive: &other.name,
            tasks: recipe.evaluation.tasks,
            evaluation_seed: recipe.evaluation.seed,
            episodes: recipe.evaluation.episodes,
            threads,
            seeds: &seeds,
            overall,
            from_scratch,
        })
    } else {
        let mut text = table(&recipe, &seeds, &overall);
        if let Some(comparison) = from_scratch {
            text += &comparison.table();
        }
        print_text(&text)
    }
}

/// What one training came to.
#[derive(Serialize, Deserialize)]
struct Score {
    /// What was trained and scored.
    recipe: Recipe,
    /// Of the device image, `[task]`.
    returns: Vec<f64>,
    /// Episodes terminated, percent.
    terminated: f64,
    /// Of training.
    seconds: f64,
}

impl kept::Kept for Score {
    fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The engine that a recipe is trained on.
fn engine_of(recipe: &Recipe, engine: &str) -> Result<Arc<dyn Engine>, CliError> {
    let (probe, options) = algorithms::probe(recipe)?;
    Ok(select(engine, None, &probe, &options)?.engine)
}

/// Trains to the end.
fn learned(learner: &mut dyn Algorithm) -> Result<Learned, CliError> {
    while learner.completed() < learner.iterations() {
        learner.step()?;
    }
    Ok(learner.learned()?)
}

/// The device image.
fn image_of(recipe: &Recipe, learned: &Learned, threads: usize) -> Result<AlignedBytes, CliError> {
    let exported = bundle::export(recipe, learned, threads).map_err(BundleError::from)?;
    let bytes = exported.files.iter().find(|(name, _)| *name == IMAGE_FILE);
    Ok(AlignedBytes::new(bytes.map_or(&[], |(_, bytes)| bytes)))
}

/// Trains a recipe and scores its device image on held-out tasks.
fn score(recipe: &Recipe, engine: &str, threads: usize) -> Result<Score, CliError> {
    let simulator = simulator(recipe).ok_or(CliError::NoGap {
        family: recipe.family.name(),
    })?;
    let engine = engine_of(recipe, engine)?;
    let began = Instant::now();
    let learned = learned(algorithms::learner(recipe, &engine, threads)?.as_mut())?;
    let seconds = began.elapsed().as_secs_f64();
    let bytes = image_of(recipe, &learned, threads)?;
    let image = Image::new_checked(&bytes).map_err(crate::eval::EvalError::from)?;
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads,
    };
    let range = options.range(Split::Test);
    let rollouts = roll_out(&image, simulator.as_ref(), range, recipe.evaluation.episodes, threads)?;
    Ok(Score {
        recipe: recipe.clone(),
        returns: returns(&rollouts),
        terminated: mean(&terminated(&rollouts)),
        seconds,
    })
}

fn table(recipe: &Recipe, seeds: &[OneSeed], overall: &Gap) -> String {
    let mut text = String::new();
    let evaluation = &recipe.evaluation;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}: return of the device image, {} held-out systems (seed {}), {} episodes each",
        recipe.name, evaluation.tasks, evaluation.seed, evaluation.episodes
    );
    let _ = write!(text, "{:22}", "seed");
    for one in seeds {
        let _ = write!(text, "{:>10}", one.seed);
    }
    let _ = writeln!(text, "{:>10}   95 % interval over systems", "mean");
    type Row = (&'static str, fn(&Gap) -> crate::eval::Estimate);
    let rows: [Row; 6] = [
        ("non-adaptive", |gap| gap.non_adaptive),
        ("adaptive", |gap| gap.adaptive),
        ("oracle", |gap| gap.oracle),
        ("gap closed, %", |gap| gap.closed),
        ("of the middle half, %", |gap| gap.closed_middle),
        ("gap to oracle, %", |gap| gap.width),
    ];
    for (name, of) in rows {
        let _ = write!(text, "{name:22}");
        for one in seeds {
            let _ = write!(text, "{:10.2}", of(&one.gap).mean);
        }
        let [low, high] = of(overall).ci95;
        let _ = writeln!(text, "{:10.2}   [{low:.2}, {high:.2}]", of(overall).mean);
    }
    for (what, of) in [
        ("% lost", (|one| one.terminated) as fn(&OneSeed) -> [f64; 3]),
        ("s", |one| one.seconds),
    ] {
        for (way, (name, _)) in WAYS.iter().enumerate() {
            let _ = write!(text, "{:22}", format!("{what}, {name}"));
            for one in seeds {
                let _ = write!(text, "{:10.2}", of(one)[way]);
            }
            text.push('\n');
        }
    }
    text
}
