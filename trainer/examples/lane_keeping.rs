//! Unlike vehicles in one lane: the table of docs/lane-keeping.md.
//!
//! `cargo run --release -p pliant-trainer --example lane_keeping` scores the bundle `models/vehicle` on held-out vehicles of each
//! class, beside a policy without memory that it trains alike (about a minute). `cargo xtask measure lane-keeping` puts the table
//! into the page.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use pliant_compiler::image::AlignedBytes;
use pliant_trainer::algorithms::learner;
use pliant_trainer::bundle::{export, read_image};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::{EvalOptions, Evaluation, evaluate};
use pliant_trainer::recipe::{Recipe, Source};

type Failure = Box<dyn Error>;

/// Vehicles, and what is narrowed of the family that was trained on.
const CLASSES: [(&str, &[&str]); 7] = [
    ("any of the family", &[]),
    (
        "small car on soft tyres",
        &["mass=[1000.0, 1200.0]", "stiffness=[50e3, 65e3]", "delay=[0.0, 0.03]"],
    ),
    (
        "sports car",
        &["mass=[1200.0, 1500.0]", "stiffness=[130e3, 150e3]", "grip=[0.95, 1.0]"],
    ),
    ("loaded van", &["mass=[2300.0, 2500.0]", "stiffness=[50e3, 65e3]"]),
    ("wet road", &["grip=[0.6, 0.65]"]),
    ("slow steering", &["delay=[0.12, 0.15]"]),
    ("bent axle and side wind", &["offset=[0.04, 0.05]", "camber=[1.2, 1.5]"]),
];

/// What makes the same policy one that remembers nothing.
const WITHOUT_MEMORY: [&str; 2] = ["policy.memory=0", "policy.changes=0"];

/// A class that no training met.
const UNSEEN: (&str, &[&str]) = (
    "lorry, never trained on",
    &["mass=[3500.0, 4500.0]", "stiffness=[150e3, 250e3]", "grip=[0.5, 0.6]"],
);

fn main() -> Result<(), Failure> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/vehicle");
    let adaptive = read_image(&models)?;
    let plain = without_memory()?;
    println!("| vehicle | without memory | one recurrent policy | lost, without memory | lost, recurrent |");
    println!("|---|---|---|---|---|");
    for (name, sets) in CLASSES.into_iter().chain([UNSEEN]) {
        let cells = [
            score(&recipe(sets, &WITHOUT_MEMORY)?, &plain)?,
            score(&recipe(sets, &[])?, &adaptive)?,
        ];
        let cost = cells.each_ref().map(|cell| {
            let step = cell.adaptation.last();
            step.map_or(String::new(), |step| {
                format!("{:.2} [{:.2}, {:.2}]", -step.mean, -step.ci95[1], -step.ci95[0])
            })
        });
        let lost = cells.each_ref().map(|cell| {
            let found = cell.also.iter().find(|also| also.name.contains("terminated"));
            let share = found.and_then(|also| also.adaptation.first());
            share.map_or("-".to_owned(), |step| format!("{:.2} %", step.mean))
        });
        println!("| {name} | {} | {} | {} | {} |", cost[0], cost[1], lost[0], lost[1]);
    }
    Ok(())
}

fn recipe(sets: &[&str], more: &[&str]) -> Result<Recipe, Failure> {
    let mut source = Source::find("vehicle")?;
    for set in sets {
        source.set(&format!("family.vehicle.{set}"))?;
    }
    for set in more {
        source.set(set)?;
    }
    Ok(source.parse()?)
}

/// The image of a policy that sees the same and remembers nothing.
fn without_memory() -> Result<AlignedBytes, Failure> {
    let recipe = recipe(&[], &WITHOUT_MEMORY)?;
    let mut learner = learner(&recipe, &(Arc::new(PlanEngine::fast()) as _), 1)?;
    while learner.completed() < learner.iterations() {
        learner.step()?;
    }
    let exported = export(&recipe, &learner.learned()?, 1)?;
    let image = exported.files.iter().find(|(name, _)| *name == "policy.pliant");
    Ok(AlignedBytes::new(&image.ok_or("an export has an image")?.1))
}

fn score(recipe: &Recipe, image: &AlignedBytes) -> Result<Evaluation, Failure> {
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads: 1,
    };
    Ok(evaluate(recipe, image, options)?)
}
