//! `pliant gap`

use std::fmt::Write;
use std::time::Instant;

use clap::Args;
use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text, threads};
use crate::algorithms;
use crate::bundle::{self, BundleError, IMAGE_FILE};
use crate::engine::{ENGINE_NAMES, select};
use crate::eval::{EvalOptions, Gap, Returns, returns, roll_out};
use crate::recipe::{Recipe, Source};
use crate::tasks::{Split, simulator};

const AFTER_HELP: &str = "\
Trains the recipe three times over for each seed: as it is (adaptive), without
memory (non-adaptive: policy.memory=0), and with the true parameters of the task
beside the observation (oracle: policy.privileged=true). Each device image then
controls the same held-out systems. The share of the gap that is closed is
(adaptive - non-adaptive) / (oracle - non-adaptive).

Examples:
  pliant gap pendulum
  pliant gap my-recipe.toml --seeds 0,1 --set family.cart-pole.push=[0.0,0.0]";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct GapArgs {
    /// Name of a recipe that comes with pliant, or the path of one
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Seeds of training
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(i64).range(0..))]
    seeds: Vec<i64>,
    /// Set a field of the recipe; may be given again
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// What runs the training graphs
    #[arg(long, value_name = "ENGINE", default_value = "plan", value_parser = clap::builder::PossibleValuesParser::new(ENGINE_NAMES))]
    engine: String,
    /// Worker threads; they change nothing but the time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The three ways a recipe is trained, worst first, and the field in which they differ from it.
const WAYS: [(&str, Option<&str>); 3] = [
    ("non-adaptive", Some("policy.memory=0")),
    ("adaptive", None),
    ("oracle", Some("policy.privileged=true")),
];

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    recipe: &'a str,
    /// Held-out tasks, and the seed that draws them.
    tasks: u64,
    evaluation_seed: u64,
    episodes: usize,
    threads: usize,
    seeds: &'a [OneSeed],
    /// Over the mean of the seeds.
    overall: Gap,
}

#[derive(Serialize)]
struct OneSeed {
    seed: i64,
    gap: Gap,
    /// Of training: non-adaptive, adaptive, oracle.
    seconds: [f64; 3],
}

pub(super) fn run(args: &GapArgs) -> Result<(), CliError> {
    let mut source = Source::find(&args.recipe)?;
    for assignment in &args.set {
        source.set(assignment)?;
    }
    let recipe = source.parse()?;
    let threads = threads(args.threads);
    let (mut seeds, mut all) = (Vec::new(), Vec::new());
    for &seed in &args.seeds {
        let (mut found, mut seconds) = (Returns::default(), [0.0; 3]);
        let columns = [&mut found.non_adaptive, &mut found.adaptive, &mut found.oracle];
        for (((way, field), column), seconds) in WAYS.into_iter().zip(columns).zip(&mut seconds) {
            let mut source = source.clone();
            source.set(&format!("seed={seed}"))?;
            field.map_or(Ok(()), |field| source.set(field))?;
            (*column, *seconds) = score(&source.parse()?, &args.engine, threads)?;
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            eprintln!("seed {seed}, {way}: return {mean:.3}, trained in {seconds:.1} s");
        }
        let gap = found.gap(recipe.evaluation.seed);
        seeds.push(OneSeed { seed, gap, seconds });
        all.push(found);
    }
    let overall = Returns::mean(&all).gap(recipe.evaluation.seed);
    if args.json {
        print_json(&Outcome {
            recipe: &recipe.name,
            tasks: recipe.evaluation.tasks,
            evaluation_seed: recipe.evaluation.seed,
            episodes: recipe.evaluation.episodes,
            threads,
            seeds: &seeds,
            overall,
        })
    } else {
        print_text(&table(&recipe, &seeds, &overall))
    }
}

/// Trains a recipe and gives the returns of its device image on held-out tasks, and the seconds of training.
fn score(recipe: &Recipe, engine: &str, threads: usize) -> Result<(Vec<f64>, f64), CliError> {
    let simulator = simulator(recipe).ok_or(CliError::NoGap {
        family: recipe.family.name(),
    })?;
    let (probe, options) = algorithms::probe(recipe)?;
    let engine = select(engine, None, &probe, &options)?.engine;
    let began = Instant::now();
    let mut learner = algorithms::learner(recipe, &engine, threads)?;
    while learner.completed() < learner.iterations() {
        learner.step()?;
    }
    let learned = learner.learned()?;
    let seconds = began.elapsed().as_secs_f64();
    let exported = bundle::export(recipe, &learned, threads).map_err(BundleError::from)?;
    let bytes = exported.files.iter().find(|(name, _)| *name == IMAGE_FILE);
    let bytes = AlignedBytes::new(bytes.map_or(&[], |(_, bytes)| bytes));
    let image = Image::new_checked(&bytes).map_err(crate::eval::EvalError::from)?;
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads,
    };
    let range = options.range(Split::Test);
    let rollouts = roll_out(&image, simulator.as_ref(), range, recipe.evaluation.episodes, threads)?;
    Ok((returns(&rollouts), seconds))
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
    let rows: [Row; 5] = [
        ("non-adaptive", |gap| gap.non_adaptive),
        ("adaptive", |gap| gap.adaptive),
        ("oracle", |gap| gap.oracle),
        ("gap closed, %", |gap| gap.closed),
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
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let _ = write!(text, "{:22}", format!("s, {name}"));
        for one in seeds {
            let _ = write!(text, "{:10.1}", one.seconds[way]);
        }
        text.push('\n');
    }
    text
}
