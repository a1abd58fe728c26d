//! Runs side by side: one table, one page.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::Results;
use super::chart::{Chart, Mark, Series, escape_text as escape, standalone};
use super::curves::merged;
use super::html::{document, duration, gallery, number};
use crate::eval::AdaptationStep;
use crate::run::MetricsLine;

/// A run, or a bundle, as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contestant {
    /// How it is called: its folder.
    pub name: String,
    /// The recipe's name.
    pub recipe: String,
    /// The seed.
    pub seed: u64,
    /// Runs of one group differ by their seed alone.
    pub group: String,
    /// Meta-iterations done; none where only the bundle is there.
    pub completed: Option<u64>,
    /// Seconds trained.
    pub seconds: Option<f64>,
    /// Environment steps of training.
    pub environment_steps: Option<u64>,
    /// The newest value of the headline metric of training, with its name.
    pub newest: Option<(String, f64)>,
    /// Scores; none before the evaluation.
    pub results: Option<Results>,
    /// Lines of metrics.
    #[serde(skip)]
    pub metrics: Vec<MetricsLine>,
}

/// The table, and the mean over seeds of each group that has several.
pub fn comparison_table(contestants: &[Contestant]) -> String {
    let wide = contestants
        .iter()
        .map(|one| one.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:wide$}  {:>4}  {:>10}  {:>8}  {:>9}  {:>22}  {:>8}",
        "run", "seed", "iterations", "time", "before", "after (95 % interval)", "flash"
    );
    for one in contestants {
        let dash = || "-".to_owned();
        let ends = one.results.as_ref().and_then(|results| {
            let steps = &results.evaluation.adaptation;
            Some((steps.first()?, steps.last()?))
        });
        let _ = writeln!(
            text,
            "{:wide$}  {:>4}  {:>10}  {:>8}  {:>9}  {:>22}  {:>8}",
            one.name,
            one.seed,
            one.completed.map_or_else(dash, |count| count.to_string()),
            one.seconds.map_or_else(dash, duration),
            ends.map_or_else(dash, |(first, _)| number(first.mean)),
            ends.map_or_else(dash, |(_, last)| format!(
                "{} ({} to {})",
                number(last.mean),
                number(last.ci95[0]),
                number(last.ci95[1])
            )),
            one.results
                .as_ref()
                .map_or_else(dash, |results| results.cost.flash_bytes.to_string()),
        );
    }
    for metric in metrics_of(contestants) {
        let _ = writeln!(text, "\nscore: {metric}");
    }
    for (group, members) in groups(contestants) {
        let last: Vec<f64> = members.iter().filter_map(|one| Some(after(one)?.mean)).collect();
        if last.len() > 1 {
            let mean = last.iter().sum::<f64>() / last.len() as f64;
            let (least, greatest) = last
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
                    (low.min(value), high.max(value))
                });
            let _ = writeln!(
                text,
                "{group}: {} over {} seeds, from {} to {}",
                number(mean),
                last.len(),
                number(least),
                number(greatest)
            );
        }
    }
    text
}

fn after(one: &Contestant) -> Option<AdaptationStep> {
    one.results.as_ref()?.evaluation.adaptation.last().copied()
}

fn metrics_of(contestants: &[Contestant]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for results in contestants.iter().filter_map(|one| one.results.as_ref()) {
        let better = if results.evaluation.lower_is_better {
            "lower"
        } else {
            "higher"
        };
        let metric = format!("{} ({better} is better)", results.evaluation.metric);
        if !found.contains(&metric) {
            found.push(metric);
        }
    }
    found
}

fn groups(contestants: &[Contestant]) -> BTreeMap<&str, Vec<&Contestant>> {
    let mut groups: BTreeMap<&str, Vec<&Contestant>> = BTreeMap::new();
    for one in contestants {
        groups.entry(&one.group).or_default().push(one);
    }
    groups
}

/// Learning curves of the headline metric and adaptation curves, one colour a run. Runs that differ by their seed alone
/// are one curve: the mean, in the band from the least to the greatest.
pub fn comparison_charts(contestants: &[Contestant]) -> Vec<Chart> {
    let mut learning = Chart::new("Meta-training", "meta-iteration", "");
    let mut adapting = Chart::new(
        "The deployed image on held-out tasks",
        "adaptation steps on the device",
        "",
    );
    adapting.counts = true;
    for (colour, (group, members)) in groups(contestants).into_iter().enumerate() {
        let colour = colour % 8;
        let name = match members[..] {
            [one] => one.name.clone(),
            _ => format!("{group} ({} seeds)", members.len()),
        };
        let headline = |one: &&Contestant| merged(&one.metrics).into_iter().next();
        let curves: Vec<_> = members.iter().filter_map(headline).collect();
        if let Some((metric, _)) = curves.first() {
            learning.y_label.clone_from(metric);
            let points: Vec<Vec<[f64; 2]>> = curves
                .iter()
                .map(|(_, curve)| curve.iter().map(|&(iteration, mean, _)| [iteration, mean]).collect())
                .collect();
            let mut series = together(&name, colour, Mark::Line, &points);
            if let [(_, curve)] = &curves[..] {
                series.band = curve
                    .iter()
                    .map(|(_, mean, deviation)| [mean - deviation, mean + deviation])
                    .collect();
            }
            learning.series.push(series);
        }
        let adapted: Vec<_> = members.iter().filter_map(|one| one.results.as_ref()).collect();
        if let Some(first) = adapted.first() {
            adapting.y_label.clone_from(&first.evaluation.metric);
            if first.evaluation.unit() == "episode" {
                adapting.x_label = "episodes of the trial before".to_owned();
            }
            let points: Vec<Vec<[f64; 2]>> = adapted
                .iter()
                .map(|results| {
                    let steps = results.evaluation.adaptation.iter();
                    steps.map(|step| [f64::from(step.step), step.mean]).collect()
                })
                .collect();
            let mut series = together(&name, colour, Mark::Dots, &points);
            if let [one] = adapted[..] {
                series.band = one.evaluation.adaptation.iter().map(|step| step.ci95).collect();
            }
            adapting.series.push(series);
        }
    }
    let charts = [learning, adapting];
    charts
        .into_iter()
        .filter(|chart| !chart.series.is_empty())
        .map(|chart| Chart {
            size: [520.0, 360.0],
            ..chart
        })
        .collect()
}

/// Curves as one: the mean where all have a point, in the band from the least to the greatest.
fn together(name: &str, colour: usize, mark: Mark, curves: &[Vec<[f64; 2]>]) -> Series {
    let shortest = curves.iter().map(Vec::len).min().unwrap_or(0);
    let column = |index: usize| curves.iter().map(move |curve| curve[index][1]);
    let mean = |index: usize| [curves[0][index][0], column(index).sum::<f64>() / curves.len() as f64];
    let span = |index: usize| {
        [
            column(index).fold(f64::INFINITY, f64::min),
            column(index).fold(f64::NEG_INFINITY, f64::max),
        ]
    };
    Series {
        name: name.to_owned(),
        colour,
        mark,
        points: (0..shortest).map(mean).collect(),
        band: if curves.len() > 1 {
            (0..shortest).map(span).collect()
        } else {
            Vec::new()
        },
    }
}

/// The comparison as a page.
pub fn comparison_page(contestants: &[Contestant]) -> String {
    let names: Vec<&str> = contestants.iter().map(|one| one.name.as_str()).collect();
    let body = format!(
        "<h1>Comparison</h1><p class=\"faint\">{}</p>{}<p class=\"faint\">Runs that differ by their seed alone are one curve: \
         the mean, in the band from the least to the greatest. A single run has the band of its report.</p>\
         <h2>Table</h2><pre>{}</pre>",
        escape(&names.join(" \u{b7} ")),
        gallery(&comparison_charts(contestants)),
        escape(&comparison_table(contestants))
    );
    document("Comparison", &body)
}

/// The charts of a comparison as one SVG file.
pub fn comparison_plot(contestants: &[Contestant]) -> String {
    standalone("Comparison", &comparison_charts(contestants))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_become_one_curve() {
        let curves = [vec![[0.0, 1.0], [1.0, 3.0]], vec![[0.0, 3.0], [1.0, 3.0], [2.0, 9.0]]];
        let series = together("a", 0, Mark::Line, &curves);
        assert_eq!(series.points, [[0.0, 2.0], [1.0, 3.0]]);
        assert_eq!(series.band, [[1.0, 3.0], [3.0, 3.0]]);
    }
}
