//! `card.md`: what a bundle was trained on, how it scores and what it costs.

use std::fmt::Write;

use pliant_compiler::image::ImageReport;

use crate::eval::{AdaptationStep, Evaluation};
use crate::recipe::Recipe;

/// What the card says about the training run.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The engine that ran the training graphs.
    pub engine: String,
    /// Meta-iterations done.
    pub completed: u64,
    /// Meta-iterations of the recipe.
    pub iterations: u64,
    /// Environment steps simulated.
    pub environment_steps: u64,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
    /// Threads it ran on.
    pub threads: usize,
}

/// The card, Markdown.
pub fn card(recipe: &Recipe, training: &Training, report: &ImageReport, evaluation: &Evaluation) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# {}\n\n{}.\n",
        recipe.name,
        recipe.description.trim_end_matches('.')
    );

    let _ = writeln!(text, "## Training\n");
    let _ = writeln!(text, "| | |\n|---|---|");
    let _ = writeln!(text, "| task family | {} |", recipe.family.name());
    let _ = writeln!(text, "| algorithm | {} |", recipe.algorithm.name());
    let _ = writeln!(text, "| seed | {} |", recipe.seed);
    let cut = if training.completed < training.iterations {
        " (stopped early)"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "| meta-iterations | {} of {}{cut} |",
        training.completed, training.iterations
    );
    if training.environment_steps > 0 {
        let _ = writeln!(text, "| environment steps | {} |", training.environment_steps);
    }
    let _ = writeln!(text, "| engine | `{}`, {} threads |", training.engine, training.threads);
    let _ = writeln!(text, "| time | {:.0} s |", training.seconds);
    let _ = writeln!(text, "| pliant | {} |", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "\nEverything else is in `recipe.toml`.\n");

    let _ = writeln!(text, "## Scores\n");
    let Evaluation {
        tasks,
        seed,
        metric,
        engine,
        ..
    } = evaluation;
    let better = if evaluation.lower_is_better {
        "lower is better"
    } else {
        "higher is better"
    };
    let _ = writeln!(
        text,
        "{} ({better}) of the deployed image, adapted by the {engine} on {tasks} held-out tasks (seed {seed}).\n",
        capitalised(metric)
    );
    let _ = writeln!(
        text,
        "| adaptation steps | mean | 95 % interval over tasks |\n|---|---|---|"
    );
    scores(&mut text, &evaluation.adaptation);
    for also in &evaluation.also {
        let _ = writeln!(text, "\n{}:\n", capitalised(&also.name));
        let _ = writeln!(
            text,
            "| adaptation steps | mean | 95 % interval over tasks |\n|---|---|---|"
        );
        scores(&mut text, &also.adaptation);
    }
    if evaluation.refused > 0 {
        let _ = writeln!(text, "\nThe guards refused {} adaptations.", evaluation.refused);
    }

    let _ = writeln!(text, "\n## Cost on the device\n");
    let _ = writeln!(
        text,
        "Flash {} bytes; RAM {} bytes to act and adapt, {} bytes to act only. {} parameters adapt. Image hash `{}`.\n",
        report.image_bytes, report.policy_ram_bytes, report.act_only_ram_bytes, report.adapted_parameters, report.hash
    );
    let _ = writeln!(
        text,
        "| plan | flash bytes | RAM bytes | multiply-accumulates | kernel calls |\n|---|---|---|---|---|"
    );
    for (name, plan) in &report.plans {
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {} |",
            plan.flash_bytes, plan.ram_bytes, plan.macs, plan.records
        );
    }
    let macs = |plan: &str| report.plans.get(plan).map_or(0, |plan| plan.macs);
    if let Some(adaptation) = &report.adaptation {
        let chunks = u64::from(adaptation.capacity.div_ceil(adaptation.chunk_rows));
        let step = macs("begin") + chunks * macs("accumulate") + macs("apply");
        let _ = writeln!(
            text,
            "\nOne adaptation step over a full support set ({} rows): {step} multiply-accumulates.",
            adaptation.capacity
        );
    }
    text
}

fn scores(text: &mut String, steps: &[AdaptationStep]) {
    for AdaptationStep {
        step,
        mean,
        ci95: [low, high],
    } in steps
    {
        let _ = writeln!(text, "| {step} | {mean:.3} | {low:.3} to {high:.3} |");
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
