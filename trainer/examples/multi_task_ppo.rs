//! Unlike systems learned together against each alone: the table of docs/algorithms/multi-task-ppo.md.
//!
//! `cargo run --release -p pliant-trainer --example multi_task_ppo -- KEPT` trains the recipe `unlike-systems` with three seeds,
//! and each of its tasks alone with the same network, settings and steps; scores the device images on test draws and prints
//! Markdown. What is done is kept in the file KEPT, so that it can be interrupted. `cargo xtask measure multi-task-ppo` puts the
//! table into the page.
//!
//! A task alone has the plain width [`ALONE`]: one network for all may have up to twice the parameters of one of them.
//!
//! To choose settings: `validation` scores on validation draws, `seeds=100..101` takes other seeds, `together` leaves single tasks out,
//! `alone=NAME` trains that one task only, and fields of the recipe may be set (`algorithm.multi-task-ppo.returns="raw"`). Keep those outcomes in a file of their own.

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_trainer::algorithms::learner;
use pliant_trainer::bundle::export;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::eval::{EvalOptions, bootstrap_mean, system_returns};
use pliant_trainer::recipe::{Family, Recipe, Source};
use pliant_trainer::tasks::Split;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Of a task by itself.
const ALONE: &str = "policy.hidden=[64, 64]";

/// What one training came to.
#[derive(Clone, Serialize, Deserialize)]
struct Outcome {
    seed: u64,
    /// None: all tasks together.
    alone: Option<String>,
    /// Returns of the test episodes of each task, by its name.
    returns: Vec<(String, Vec<f64>)>,
    /// Numbers that the policy learned, without normalisers and deviations.
    parameters: usize,
    seconds: f64,
    steps: u64,
}

struct Choice {
    seeds: Range<u64>,
    split: Split,
    together_only: bool,
    only: Option<String>,
    sets: Vec<String>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let kept = arguments.next().ok_or("name the file to keep outcomes in")?;
    let mut choice = Choice {
        seeds: 0..3,
        split: Split::Test,
        together_only: false,
        only: None,
        sets: Vec::new(),
    };
    for argument in arguments {
        match argument.split_once('=') {
            Some(("seeds", range)) => {
                let (from, to) = range.split_once("..").ok_or("write seeds as seeds=100..105")?;
                choice.seeds = from.parse()?..to.parse()?;
            }
            Some(("alone", name)) => choice.only = Some(name.to_owned()),
            Some(_) => choice.sets.push(argument),
            None if argument == "validation" => choice.split = Split::Validation,
            None if argument == "together" => choice.together_only = true,
            None => {
                return Err(format!("`{argument}` is neither validation, together, seeds=A..B nor FIELD=VALUE").into());
            }
        }
    }
    let kept = Path::new(&kept);
    let mut outcomes: Vec<Outcome> = match std::fs::read_to_string(kept) {
        Ok(text) => text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(kept)?;
    for seed in choice.seeds.clone() {
        let Family::Systems(all) = recipe(&choice, seed, None)?.family else {
            return Err("the recipe has no systems".into());
        };
        let single = all.tasks.keys().map(|name| Some(name.clone()));
        for alone in std::iter::once(None).chain(single.filter(|_| !choice.together_only)) {
            if choice.only.is_some() && alone != choice.only {
                continue;
            }
            if outcomes
                .iter()
                .any(|outcome| outcome.seed == seed && outcome.alone == alone)
            {
                continue;
            }
            let outcome = train(&recipe(&choice, seed, alone.as_deref())?, alone, choice.split)?;
            for (name, returns) in &outcome.returns {
                let alone = if outcome.alone.is_some() { "alone" } else { "together" };
                eprintln!(
                    "seed {seed}, {name}, {alone}: {:.2} ({:.0} s)",
                    mean(returns),
                    outcome.seconds
                );
            }
            writeln!(file, "{}", serde_json::to_string(&outcome)?)?;
            outcomes.push(outcome);
        }
    }
    outcomes.retain(|outcome| choice.seeds.contains(&outcome.seed));
    if choice.only.is_some() {
        return Ok(());
    }
    table(&outcomes, choice.seeds.clone())
}

/// The recipe, of one of its tasks alone where that is asked for.
fn recipe(choice: &Choice, seed: u64, alone: Option<&str>) -> Result<Recipe, Failure> {
    let mut source = Source::find("unlike-systems")?;
    source.set(&format!("seed={seed}"))?;
    if alone.is_some() {
        source.set(ALONE)?;
    }
    for set in &choice.sets {
        source.set(set)?;
    }
    let mut recipe = source.parse()?;
    if let (Family::Systems(family), Some(name)) = (&mut recipe.family, alone) {
        family.tasks.retain(|task, _| task == name);
    }
    Ok(recipe)
}

fn train(recipe: &Recipe, alone: Option<String>, split: Split) -> Result<Outcome, Failure> {
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    let threads = std::thread::available_parallelism()?.get();
    let start = Instant::now();
    let mut training = learner(recipe, &engine, threads)?;
    while training.completed() < training.iterations() {
        training.step()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let learned = training.learned()?;
    let weights = learned.parameters.iter().filter(|tensor| tensor.name.contains("layer"));
    let parameters = weights.map(|tensor| tensor.values.len()).sum();
    let exported = export(recipe, &learned, threads)?;
    let image = exported.files.iter().find(|(name, _)| *name == "policy.pliant");
    let bytes = AlignedBytes::new(&image.ok_or("no image was exported")?.1);
    let image = Image::new_checked(&bytes)?;
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: 0,
        threads,
    };
    let Family::Systems(family) = &recipe.family else {
        return Err("the recipe has no systems".into());
    };
    let mut returns = Vec::new();
    for name in family.tasks.keys() {
        // The same draws alone and together.
        returns.push((name.clone(), system_returns(&image, family, name, options, split)?));
    }
    Ok(Outcome {
        seed: recipe.seed,
        alone,
        returns,
        parameters,
        seconds,
        steps: training.environment_steps(),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// One row a task. All returns are negative: what a policy pays; the share is what the policy of the task alone pays over what the
/// common one pays.
fn table(outcomes: &[Outcome], seeds: Range<u64>) -> Result<(), Failure> {
    let first = outcomes
        .iter()
        .find(|outcome| outcome.alone.is_none())
        .ok_or("nothing was trained")?;
    println!("| task | alone | together | share, 95 % interval | each seed |");
    println!("|---|---|---|---|---|");
    for (name, _) in &first.returns {
        let of = |seed: u64, together: bool| -> Vec<f64> {
            let mut own = outcomes
                .iter()
                .filter(|outcome| outcome.seed == seed && outcome.alone.is_none() == together);
            let found = own.find_map(|outcome| outcome.returns.iter().find(|(task, _)| task == name));
            found.map_or(Vec::new(), |(_, returns)| returns.clone())
        };
        let all = |together: bool| seeds.clone().flat_map(|seed| of(seed, together)).collect::<Vec<f64>>();
        let (alone, together) = (all(false), all(true));
        if alone.is_empty() {
            println!("| {name} | - | {:.2} | - | - |", mean(&together));
            continue;
        }
        // The difference paired by seed and draw, relative to what the common policy pays.
        let difference: Vec<f64> = alone.iter().zip(&together).map(|(a, b)| b - a).collect();
        let interval = bootstrap_mean(&difference, 0).ci95;
        let share = |difference: f64| 100.0 * (1.0 + difference / -mean(&together));
        let each: Vec<String> = seeds
            .clone()
            .map(|seed| format!("{:.0} %", 100.0 * mean(&of(seed, false)) / mean(&of(seed, true))))
            .collect();
        println!(
            "| {name} | {:.2} | {:.2} | {:.1} % [{:.1}, {:.1}] | {} |",
            mean(&alone),
            mean(&together),
            share(mean(&difference)),
            share(interval[0]),
            share(interval[1]),
            each.join(", ")
        );
    }
    let largest = outcomes.iter().filter(|outcome| outcome.alone.is_some());
    if let Some(single) = largest.map(|outcome| outcome.parameters).max() {
        println!();
        println!(
            "Parameters: {} together, {single} alone at most ({:.2} times). Steps: {:.1} million together, seconds of training {:.0}; alone {:.0} a task.",
            first.parameters,
            first.parameters as f64 / single as f64,
            first.steps as f64 / 1e6,
            mean(&seconds(outcomes, true)),
            mean(&seconds(outcomes, false)),
        );
    }
    Ok(())
}

fn seconds(outcomes: &[Outcome], together: bool) -> Vec<f64> {
    let own = outcomes.iter().filter(|outcome| outcome.alone.is_none() == together);
    own.map(|outcome| outcome.seconds).collect()
}
