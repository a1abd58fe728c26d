//! `card.md`: what a bundle was trained on, how it scores and what it costs.

use std::fmt::Write;

use pliant_compiler::image::ImageReport;

use super::table::score;
use super::{Baseline, Results};
use crate::eval::{AdaptationStep, Estimate, Evaluation};
use crate::recipe::Recipe;
use crate::run::RunRecord;

/// The card, Markdown.
pub fn card(recipe: &Recipe, record: &RunRecord, report: &ImageReport, results: &Results) -> String {
    let (training, evaluation) = (&results.training, &results.evaluation);
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
    let cut = if training.iterations < record.iterations {
        " (stopped early)"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "| meta-iterations | {} of {}{cut} |",
        training.iterations, record.iterations
    );
    if training.environment_steps > 0 {
        let _ = writeln!(text, "| environment steps | {} |", training.environment_steps);
    }
    let _ = writeln!(text, "| engine | `{}`, {} threads |", record.engine, record.threads);
    let decimals = if training.seconds < 10.0 { 2 } else { 0 };
    let _ = writeln!(text, "| time | {:.decimals$} s |", training.seconds);
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
    // A policy that adapts as it acts, or not at all, has no steps to count.
    let by_steps = evaluation.adaptation.len() > 1;
    let _ = writeln!(
        text,
        "{} ({better}) of the deployed image, {} by the {engine} on {tasks} held-out tasks (seed {seed}).\n",
        capitalised(metric),
        if by_steps && evaluation.unit() != "episode" {
            "adapted"
        } else {
            "run"
        }
    );
    if by_steps {
        let unit = evaluation.unit();
        scores(&mut text, unit, &evaluation.adaptation);
        for also in evaluation.also.iter().filter(|also| also.adaptation.len() > 1) {
            let _ = writeln!(text, "\n{}:\n", capitalised(&also.name));
            scores(&mut text, unit, &also.adaptation);
        }
    }
    let also = evaluation.also.iter().filter(|also| also.adaptation.len() == 1);
    let also = also.map(|also| (also.name.as_str(), &also.adaptation[0]));
    let main = evaluation.adaptation.first().filter(|_| !by_steps);
    if by_steps {
        text.push('\n');
    }
    figures(
        &mut text,
        main.map(|step| (metric.as_str(), step)).into_iter().chain(also),
    );
    compared(&mut text, &results.baselines);
    if evaluation.refused > 0 {
        let _ = writeln!(text, "\nThe guards refused {} adaptations.", evaluation.refused);
    }

    let macs = results.cost.adaptation_step_macs;
    text + &cost(report, Some(macs))
}

/// How the part about cost begins.
const COST: &str = "\n## Cost on the device\n";

/// The part about cost; with the multiply-accumulates of one adaptation step, if it adapts.
pub fn cost(report: &ImageReport, step_macs: Option<u64>) -> String {
    let mut text = format!("{COST}\n");
    // Writing to a String cannot fail.
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
    if let (Some(adaptation), Some(macs)) = (&report.adaptation, step_macs) {
        let _ = writeln!(
            text,
            "\nOne adaptation step over a full support set ({} rows): {macs} multiply-accumulates.",
            adaptation.capacity
        );
    }
    text
}

/// A card with another part about cost, which is its last; `None` where there is none.
pub fn with_cost(card: &str, cost: &str) -> Option<String> {
    let (before, _) = card.split_once(COST)?;
    Some(format!("{before}{cost}"))
}

/// The table of baselines; nothing where there are none.
fn compared(text: &mut String, baselines: &[Baseline]) {
    if baselines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nCompared with, on the same tasks:\n");
    let _ = writeln!(
        text,
        "| | tasks | adaptation steps | mean | 95 % interval over tasks | interquartile mean | flash, RAM bytes | \
         multiply-accumulates a step | seconds here |\n|---|---|---|---|---|---|---|---|---|"
    );
    for Baseline {
        name,
        tasks,
        adaptation,
        cost,
        seconds,
        ..
    } in baselines
    {
        let Some(AdaptationStep {
            step,
            mean,
            ci95,
            interquartile,
        }) = adaptation.last()
        else {
            continue;
        };
        let steps = if adaptation.len() == 1 && *step == 0 {
            "-".to_owned()
        } else {
            step.to_string()
        };
        let _ = writeln!(
            text,
            "| {name} | {tasks} | {steps} | {} | {} to {} | {} | {} | {} | {seconds:.1} |",
            score(*mean),
            score(ci95[0]),
            score(ci95[1]),
            middle(*interquartile),
            cost.map_or_else(String::new, |cost| format!("{}, {}", cost.flash_bytes, cost.ram_bytes)),
            cost.map_or_else(String::new, |cost| cost.adaptation_step_macs.to_string()),
        );
    }
}

/// A table of scores by adaptation steps, or by episodes before.
fn scores(text: &mut String, unit: &str, steps: &[AdaptationStep]) {
    let before = if unit == "episode" { " before" } else { "" };
    let _ = writeln!(
        text,
        "| {unit}s{before} | mean | 95 % interval over tasks | interquartile mean |\n|---|---|---|---|"
    );
    for step in steps {
        row(text, &step.step.to_string(), step);
    }
}

/// A table of scores by name; nothing where there are none.
fn figures<'a>(text: &mut String, figures: impl Iterator<Item = (&'a str, &'a AdaptationStep)>) {
    for (index, (name, step)) in figures.enumerate() {
        if index == 0 {
            let _ = writeln!(
                text,
                "| | mean | 95 % interval over tasks | interquartile mean |\n|---|---|---|---|"
            );
        }
        row(text, name, step);
    }
}

fn row(text: &mut String, name: &str, step: &AdaptationStep) {
    let [low, high] = step.ci95;
    // A single value has no interval.
    if low.total_cmp(&high).is_eq() {
        let _ = writeln!(text, "| {name} | {} | | |", score(step.mean));
        return;
    }
    let _ = writeln!(
        text,
        "| {name} | {} | {} to {} | {} |",
        score(step.mean),
        score(low),
        score(high),
        middle(step.interquartile)
    );
}

/// An interquartile mean with its interval, where there is one.
fn middle(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(
        String::new,
        |Estimate {
             mean,
             ci95: [low, high],
         }| { format!("{} ({} to {})", score(mean), score(low), score(high)) },
    )
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
