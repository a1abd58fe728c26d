//! A sweep as a table and as a plot.

use std::fmt::Write;

use super::chart::{Chart, Mark, Series, standalone};
use super::html::{duration, number};
use crate::sweep::Sweep;

/// Trials that are drawn by name, the best ones.
const NAMED: usize = 5;
/// The colour of the others.
const OTHERS: usize = 7;

/// The trials of a sweep, the best first: what each sets, its score after every rung it reached, and its time.
pub fn sweep_table(sweep: &Sweep) -> String {
    let better = match sweep.lower_is_better {
        Some(true) => "lower is better",
        Some(false) => "higher is better",
        None => "nothing scored yet",
    };
    let metric = sweep.metric.as_deref().unwrap_or("score");
    let wide = sweep
        .trials
        .iter()
        .map(|trial| trial.sets.join(" ").chars().count())
        .max()
        .unwrap_or(0)
        .max(8);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}: {metric} on validation tasks ({better}), after so many iterations",
        sweep.recipe
    );
    let _ = write!(text, "trial  {:wide$}", "settings");
    for until in &sweep.rungs {
        let _ = write!(text, "  {until:>9}");
    }
    let _ = writeln!(text, "  {:>20}  {:>8}", "95 % interval", "time");
    for trial in sweep.ranking() {
        let one = &sweep.trials[trial];
        let _ = write!(text, "{trial:>5}  {:wide$}", one.sets.join(" "));
        for rung in 0..sweep.rungs.len() {
            let score = match (one.scores.get(rung), &one.failed) {
                (Some(score), _) => number(score.mean),
                (None, Some(_)) if rung == one.scores.len() => "failed".to_owned(),
                _ => String::new(),
            };
            let _ = write!(text, "  {score:>9}");
        }
        let last = one.scores.last();
        let interval = last.map_or_else(String::new, |score| {
            format!("{} to {}", number(score.ci95[0]), number(score.ci95[1]))
        });
        let time = last.map_or_else(String::new, |score| duration(score.seconds));
        let _ = writeln!(text, "  {interval:>20}  {time:>8}");
    }
    for trial in &sweep.trials {
        if let Some(why) = &trial.failed {
            let _ = writeln!(text, "{}: {why}", trial.sets.join(" "));
        }
    }
    text
}

/// Score over iterations, a line a trial, the best by name. An SVG file.
pub fn sweep_plot(sweep: &Sweep) -> String {
    let metric = sweep.metric.clone().unwrap_or_else(|| "score".to_owned());
    let mut chart = Chart::new("", "iterations trained", metric);
    chart.size = [760.0, 420.0];
    let ranking = sweep.ranking();
    let means = || {
        sweep
            .trials
            .iter()
            .flat_map(|trial| &trial.scores)
            .map(|score| score.mean)
    };
    let (least, most) = means()
        .filter(|mean| mean.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| {
            (low.min(mean), high.max(mean))
        });
    chart.logarithmic = least > 0.0 && most > 10.0 * least;
    // Intervals are over tasks, whose scores differ more than those of trials: they would hide what there is to see.
    let series = |(place, &trial): (usize, &usize)| {
        let one = &sweep.trials[trial];
        let points = one
            .scores
            .iter()
            .map(|score| [score.iterations as f64, score.mean])
            .collect();
        match place < NAMED {
            true => Series::new(short(&one.sets), place, Mark::Dots, points),
            false => Series::new("", OTHERS, Mark::Dots, points),
        }
    };
    let (named, others): (Vec<_>, Vec<_>) = ranking.iter().enumerate().partition(|(place, _)| *place < NAMED);
    // Those that matter lie on top.
    chart.series = others.into_iter().chain(named).map(series).collect();
    if let Some(other) = chart.series.first_mut().filter(|series| series.name.is_empty()) {
        other.name = "others".to_owned();
    }
    standalone(&format!("{}: trials on validation tasks", sweep.recipe), &[chart])
}

/// Settings by the last part of their paths.
fn short(sets: &[String]) -> String {
    let last = |set: &String| {
        let (path, value) = set.split_once('=').unwrap_or((set, ""));
        format!("{}={value}", path.rsplit('.').next().unwrap_or(path))
    };
    sets.iter().map(last).collect::<Vec<_>>().join(" ")
}
