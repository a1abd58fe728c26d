//! The adaptation table and the comparison, at most 80 columns wide.

use std::fmt::Write;

use super::{Baseline, DeviceCost};
use crate::eval::{AdaptationStep, Evaluation};

/// The evaluation as a table: one line a number of adaptation steps.
///
/// ```
/// use pliant_trainer::eval::{AdaptationStep, Evaluation};
/// let evaluation = Evaluation {
///     family: "sinusoid".into(), engine: "device image".into(), tasks: 3, seed: 0,
///     metric: "mean squared error".into(), lower_is_better: true,
///     adaptation: vec![AdaptationStep::over_tasks(0, &[3.0, 2.0, 4.0], 0)],
///     also: vec![], refused: 0, env_steps: 0,
/// };
/// assert!(pliant_trainer::report::adaptation_table(&evaluation).contains("   0       3.000"));
/// ```
pub fn adaptation_table(evaluation: &Evaluation) -> String {
    let mut table = String::new();
    let Evaluation {
        family,
        engine,
        tasks,
        seed,
        metric,
        ..
    } = evaluation;
    // Writing to a String cannot fail.
    let _ = writeln!(table, "{family}: {metric}, {tasks} held-out tasks (seed {seed})");
    let _ = writeln!(table, "adapted by: {engine}");
    let _ = writeln!(
        table,
        "step        mean   95 % interval over tasks   interquartile mean"
    );
    rows(&mut table, &evaluation.adaptation);
    for also in &evaluation.also {
        let _ = writeln!(table, "{}:", also.name);
        rows(&mut table, &also.adaptation);
    }
    if evaluation.refused > 0 {
        let _ = writeln!(table, "{} adaptations were refused by the guards", evaluation.refused);
    }
    if evaluation.env_steps > 0 {
        let _ = writeln!(table, "{} environment steps", evaluation.env_steps);
    }
    table
}

fn rows(table: &mut String, steps: &[AdaptationStep]) {
    for AdaptationStep {
        step,
        mean,
        ci95: [low, high],
        interquartile,
    } in steps
    {
        let interval = format!("[{}, {}]", score(*low), score(*high));
        let middle = interquartile.map_or_else(String::new, |middle| {
            let [low, high] = middle.ci95.map(score);
            format!("{} [{low}, {high}]", score(middle.mean))
        });
        let line = format!("{step:4}  {:>10}   {interval:<24}   {middle}", score(*mean));
        let _ = writeln!(table, "{}", line.trim_end());
    }
}

/// A score with three digits behind the point, or three that count where it is small.
pub(super) fn score(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 {
        format!("{value:.5}")
    } else {
        format!("{value:.3}")
    }
}

/// Columns of a name in the comparison.
const NAME: usize = 26;

/// What the scores cost on the device, and what they are compared with: the score after the last step, the interquartile
/// mean, bytes of flash and RAM, multiply-accumulates of one adaptation step, seconds of wall time to train and score.
///
/// `seconds` is what the evaluation itself took.
pub fn comparison(evaluation: &Evaluation, cost: &DeviceCost, baselines: &[Baseline], seconds: f64) -> String {
    let mut table = String::new();
    let _ = writeln!(
        table,
        "\n{:<NAME$}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}",
        "compared on the same tasks", "mean", "middle", "flash", "RAM", "MACs", "time"
    );
    let mut row = |name: &str, steps: &[AdaptationStep], cost: Option<&DeviceCost>, seconds: f64| {
        let Some(last) = steps.last() else {
            return;
        };
        // A long name has a line of its own: the table is at most 80 columns wide.
        let name = if name.chars().count() > NAME {
            let _ = writeln!(table, "{name}");
            ""
        } else {
            name
        };
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let _ = writeln!(
            table,
            "{name:<NAME$}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}",
            score(last.mean),
            last.interquartile.map_or_else(String::new, |middle| score(middle.mean)),
            number(cost.map(|cost| cost.flash_bytes)),
            number(cost.map(|cost| cost.ram_bytes)),
            number(cost.map(|cost| cost.adaptation_step_macs)),
            format!("{seconds:.1} s"),
        );
    };
    row("this policy, adapted", &evaluation.adaptation, Some(cost), seconds);
    for baseline in baselines {
        row(
            &baseline.name,
            &baseline.adaptation,
            baseline.cost.as_ref(),
            baseline.seconds,
        );
    }
    table
}
