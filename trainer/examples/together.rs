//! Multi-task pre-training followed by meta-training, against each alone: the table of docs/together.md.
//!
//! `cargo run --release -p pliant-trainer --example together [SEED...]` trains on sinusoids with three seeds (others, where
//! given: for choosing), and scores each deployed image on the recipe's held-out tasks. `cargo xtask measure together` puts the
//! table into the page. On the command line one row is
//! `pliant train MULTI-TASK-RECIPE` and then `pliant train sinusoid --init-from runs/NAME`.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use pliant_compiler::image::AlignedBytes;
use pliant_trainer::algorithms::{Algorithm, NamedTensor, learner, start_from};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::eval::{EvalOptions, evaluate};
use pliant_trainer::recipe::{Recipe, Source};

type Failure = Box<dyn Error>;

/// Meta-learners, and the iterations that they get: few, where a start can matter, and more.
const LEARNERS: [(&str, &[u64]); 2] = [("sinusoid-ridge", &[300, 3000]), ("sinusoid-meta-sgd", &[1000])];

/// Tasks that are learned together, rows of each, and steps.
const TOGETHER: [(&str, &str); 3] = [
    ("family.sinusoid.together", "64"),
    ("family.sinusoid.rows", "100"),
    ("algorithm.multi-task.iterations", "3000"),
];

fn main() -> Result<(), Failure> {
    let seeds: Vec<u64> = std::env::args()
        .skip(1)
        .map(|seed| seed.parse())
        .collect::<Result<_, _>>()?;
    let seeds = if seeds.is_empty() { vec![0, 1, 2] } else { seeds };
    println!(
        "| rule | meta-iterations | none before: error | after multi-task: error | each seed, none before | each seed, after multi-task |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, lengths) in LEARNERS {
        let mut pretrained = Vec::new();
        for &seed in &seeds {
            let started = Instant::now();
            pretrained.push(together(name, seed)?);
            eprintln!(
                "{name}, seed {seed}: learned together in {:.1} s",
                started.elapsed().as_secs_f64()
            );
        }
        for iterations in [0].into_iter().chain(lengths.iter().copied()) {
            let mut columns = [Vec::new(), Vec::new()];
            for (seed, start) in seeds.iter().zip(&pretrained) {
                for (column, start) in columns.iter_mut().zip([None, Some(start)]) {
                    column.push(score(name, *seed, iterations, start.map(Vec::as_slice))?);
                }
                eprintln!("{name}, {iterations} iterations, seed {seed}: {columns:?}");
            }
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let each = |values: &[f64]| values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(", ");
            let [alone, after] = &columns;
            println!(
                "| {name} | {iterations} | {} | {} | {} | {} |",
                number(mean(alone)),
                number(mean(after)),
                each(alone),
                each(after)
            );
        }
    }
    Ok(())
}

/// Three significant digits, as the page writes them.
fn number(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-6).log10().floor() as i32).clamp(0, 6);
    format!("{value:.*}", decimals as usize)
}

/// The parameters of a trunk that many tasks shared, each with a head of its own: the meta-learner's network.
fn together(name: &str, seed: u64) -> Result<Vec<NamedTensor>, Failure> {
    let mut source = Source::find(name)?;
    let mut document: toml::Table = source.text.parse()?;
    document.remove("algorithm");
    source.text = toml::to_string(&document)?;
    source.set(&format!("seed={seed}"))?;
    source.set("algorithm.multi-task.optimizer.rate=0.003")?;
    source.set("algorithm.multi-task.optimizer.schedule=cosine")?;
    source.set("evaluation.tasks=64")?;
    for (field, value) in TOGETHER {
        source.set(&format!("{field}={value}"))?;
    }
    let recipe = source.parse()?;
    let mut learner = learner(&recipe, &engine(), 1)?;
    train(learner.as_mut(), u64::MAX)?;
    Ok(learner.learned()?.parameters)
}

/// The mean squared error of a meta-learner's image on the held-out tasks, after so many iterations.
fn score(name: &str, seed: u64, iterations: u64, start: Option<&[NamedTensor]>) -> Result<f64, Failure> {
    let mut source = Source::find(name)?;
    source.set(&format!("seed={seed}"))?;
    let algorithm = source.parse()?.algorithm.name();
    source.set(&format!("algorithm.{algorithm}.iterations={}", iterations.max(1)))?;
    let recipe = source.parse()?;
    let mut learner = learner(&recipe, &engine(), 1)?;
    if let Some(start) = start {
        let _names = start_from(learner.as_mut(), start)?;
    }
    train(learner.as_mut(), iterations)?;
    deployed(&recipe, learner.as_mut())
}

fn train(learner: &mut dyn Algorithm, most: u64) -> Result<(), Failure> {
    while learner.completed() < learner.iterations().min(most) {
        learner.step()?;
    }
    Ok(())
}

/// The score after adapting, through the device runtime.
fn deployed(recipe: &Recipe, learner: &mut dyn Algorithm) -> Result<f64, Failure> {
    let exported = export(recipe, &learner.learned()?, 1)?;
    let image = exported.files.iter().find(|(name, _)| *name == "policy.pliant");
    let (_, image) = image.ok_or("an export has an image")?;
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads: 1,
    };
    let evaluation = evaluate(recipe, &AlignedBytes::new(image), options)?;
    Ok(evaluation.adaptation.last().ok_or("an evaluation has steps")?.mean)
}

fn engine() -> Arc<dyn Engine> {
    Arc::new(PlanEngine::fast())
}
