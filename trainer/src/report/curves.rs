//! Learning curves and adaptation curves as charts.

use super::chart::{Chart, Mark, Series, standalone};
use super::samples::colour;
use super::{Baseline, Results};
use crate::eval::{AdaptationStep, Evaluation};
use crate::run::MetricsLine;

/// Points of a learning curve at most, and lines of metrics that make one at least.
const POINTS: usize = 80;
const LINES: usize = 5;
const SIZE: [f64; 2] = [520.0, 340.0];

/// A measurement over training: `(iteration, mean, standard deviation over the iterations of the point)`.
pub(super) type Curve = Vec<(f64, f64, f64)>;

/// What each metric did, in few enough points to be drawn: neighbouring lines are merged, means and deviations pooled.
pub(super) fn merged(lines: &[MetricsLine]) -> Vec<(String, Curve)> {
    let Some(first) = lines.first() else {
        return Vec::new();
    };
    let together = lines.len().div_ceil(POINTS).max(LINES.min(lines.len().div_ceil(12)));
    let curve = |metric: usize| {
        lines.chunks(together).filter_map(move |lines| {
            let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for line in lines {
                let (_, summary) = line.metrics.0.get(metric)?;
                let weight = line.iterations as f64;
                count += weight;
                sum += weight * summary.mean;
                squares += weight * (summary.deviation.powi(2) + summary.mean.powi(2));
            }
            let mean = sum / count;
            let middle = lines.iter().map(|line| line.iteration as f64).sum::<f64>() / lines.len() as f64;
            Some((middle, mean, (squares / count - mean * mean).max(0.0).sqrt()))
        })
    };
    let names = first.metrics.0.iter().enumerate();
    names
        .map(|(metric, (name, _))| (name.clone(), curve(metric).collect()))
        .collect()
}

/// The learning curves of a run, the band one standard deviation over meta-iterations to each side.
pub fn learning_curves(lines: &[MetricsLine], metric: &str) -> Chart {
    let mut chart = Chart::new("Meta-training", "meta-iteration", metric);
    chart.size = SIZE;
    let colours = [
        colour::ADAPTED,
        colour::SCRATCH,
        colour::TRUTH,
        colour::ALSO,
        colour::DATA,
        colour::BETWEEN,
    ];
    for ((name, curve), colour) in merged(lines).into_iter().zip(colours) {
        chart.series.push(Series {
            name,
            colour,
            mark: Mark::Line,
            band: curve
                .iter()
                .map(|(_, mean, deviation)| [mean - deviation, mean + deviation])
                .collect(),
            points: curve.iter().map(|&(iteration, mean, _)| [iteration, mean]).collect(),
        });
    }
    chart
}

/// The adaptation curves of an evaluation against its baselines; bars are 95 % intervals over tasks.
pub fn adaptation_curves(evaluation: &Evaluation, baselines: &[Baseline]) -> Chart {
    let mut chart = Chart::new(
        "The deployed image on held-out tasks",
        "adaptation steps on the device",
        evaluation.metric.clone(),
    );
    chart.size = SIZE;
    chart.counts = true;
    // What has a figure at each step is the same score of other actions; the rest are other measures, which tables show.
    let curves = || evaluation.also.iter().filter(|also| also.adaptation.len() > 1);
    let main = match curves().next() {
        None => "meta-learned",
        Some(_) => "meta-learned, sampled actions",
    };
    chart.series.push(steps(main, colour::ADAPTED, &evaluation.adaptation));
    for also in curves() {
        chart.series.push(steps(
            &format!("meta-learned, {}", also.name),
            colour::ALSO,
            &also.adaptation,
        ));
    }
    let last = evaluation.adaptation.last().map_or(1, |step| step.step);
    for baseline in baselines {
        let name = baseline.name.as_str();
        let colour = match name {
            "no adaptation" => colour::BEFORE,
            "trained from scratch" => colour::SCRATCH,
            name if name.starts_with("oracle") => colour::TRUTH,
            _ => colour::DATA,
        };
        chart.series.push(match baseline.adaptation[..] {
            [level] => level_line(name, colour, last, level),
            _ => steps(name, colour, &baseline.adaptation),
        });
    }
    chart
}

fn steps(name: &str, colour: usize, steps: &[AdaptationStep]) -> Series {
    Series {
        name: name.to_owned(),
        colour,
        mark: Mark::Dots,
        points: steps.iter().map(|step| [f64::from(step.step), step.mean]).collect(),
        band: steps.iter().map(|step| step.ci95).collect(),
    }
}

fn level_line(name: &str, colour: usize, last: u32, level: AdaptationStep) -> Series {
    let points = vec![[0.0, level.mean], [f64::from(last), level.mean]];
    Series::new(name, colour, Mark::Dashed, points)
}

/// `plot.svg`: learning curve beside adaptation curve.
pub fn plot(title: &str, lines: &[MetricsLine], results: &Results) -> String {
    let Results {
        evaluation, baselines, ..
    } = results;
    let mut charts = Vec::new();
    if !lines.is_empty() {
        charts.push(learning_curves(lines, &evaluation.metric));
    }
    charts.push(adaptation_curves(evaluation, baselines));
    standalone(title, &charts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Named, Summary};

    #[test]
    fn merging_pools_means_and_deviations() {
        let line = |iteration: u64, iterations, mean: f64, deviation| MetricsLine {
            iteration,
            iterations,
            environment_steps: 0,
            seconds: 0.0,
            metrics: Named(vec![(
                "loss".into(),
                Summary {
                    mean,
                    deviation,
                    least: mean,
                    greatest: mean,
                },
            )]),
        };
        let few = merged(&[line(1, 1, 2.0, 0.0), line(2, 1, 4.0, 0.0)]);
        assert_eq!(few[0].1, [(1.0, 2.0, 0.0), (2.0, 4.0, 0.0)]);
        let many: Vec<MetricsLine> = (1..=10 * POINTS as u64)
            .map(|iteration| {
                line(
                    iteration,
                    1 + 2 * (iteration % 2),
                    if iteration % 2 == 1 { 0.0 } else { 4.0 },
                    1.0,
                )
            })
            .collect();
        let (_, curve) = &merged(&many)[0];
        assert!(curve.len() <= POINTS);
        // Lines of 3 iterations at 0 and of 1 at 4, each with deviation 1: mean 1, variance 1 + 3.
        let (_, mean, deviation) = curve[0];
        assert!(
            (mean - 1.0).abs() < 1e-9 && (deviation - 2.0).abs() < 1e-9,
            "{mean} {deviation}"
        );
    }
}
