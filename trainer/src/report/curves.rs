//! Learning curves and adaptation curves as charts.

use super::chart::{Chart, Mark, Series, standalone};
use super::references::WHOLE_TRIAL;
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
                let (name, summary) = line.metrics.0.get(metric)?;
                // A validation that was not made yet.
                if summary.greatest == 0.0 && summary.least == 0.0 && name.contains("validation") {
                    return None;
                }
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

/// Words by which metrics are of one measure, and share a chart.
const MEASURES: [&str; 3] = ["return", "loss", "cost"];

/// What a metric measures: one of [`MEASURES`] or, of others, its name.
fn measure(name: &str) -> &str {
    let named = |measure: &&str| name.split(' ').any(|word| word == *measure);
    MEASURES.into_iter().find(named).unwrap_or(name)
}

/// Where the greatest value is so many times the least, powers of ten show more.
const SPREAD: f64 = 30.0;

/// The learning curves of a run, a chart a measure, the headline's first; the band is one standard deviation over
/// meta-iterations to each side.
pub fn learning_curves(lines: &[MetricsLine]) -> Vec<Chart> {
    let colours = [
        colour::ADAPTED,
        colour::SCRATCH,
        colour::TRUTH,
        colour::ALSO,
        colour::DATA,
        colour::BETWEEN,
    ];
    let mut charts: Vec<Chart> = Vec::new();
    for (name, curve) in merged(lines).into_iter().filter(|(_, curve)| !curve.is_empty()) {
        let measure = measure(&name).to_owned();
        let index = charts
            .iter()
            .position(|chart| chart.y_label == measure)
            .unwrap_or_else(|| {
                let title = match charts.is_empty() {
                    true => "Meta-training".to_owned(),
                    false => format!("Meta-training: {measure}"),
                };
                let mut chart = Chart::new(title, "meta-iteration", measure);
                chart.size = SIZE;
                charts.push(chart);
                charts.len() - 1
            });
        let series = &mut charts[index].series;
        series.push(Series {
            name,
            colour: colours[series.len() % colours.len()],
            mark: Mark::Line,
            band: curve
                .iter()
                .map(|(_, mean, deviation)| [mean - deviation, mean + deviation])
                .collect(),
            points: curve.iter().map(|&(iteration, mean, _)| [iteration, mean]).collect(),
        });
    }
    for chart in &mut charts {
        let values = chart
            .series
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| point[1]);
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(0.0, f64::max);
        chart.logarithmic = least > 0.0 && greatest > SPREAD * least && MEASURES[1..].contains(&chart.y_label.as_str());
    }
    charts
}

/// What held-out tasks score: the adaptation curves against the baselines, bars being 95 % intervals over tasks; where nothing
/// adapts by steps, the scores of the parts that the evaluation tells apart; nothing where it is one figure.
pub fn score_chart(evaluation: &Evaluation, baselines: &[Baseline]) -> Option<Chart> {
    match evaluation.adaptation.len() {
        0 | 1 => parts(evaluation),
        _ => Some(adaptation_curves(evaluation, baselines)),
    }
}

/// A dot a part, and the mean of all.
fn parts(evaluation: &Evaluation) -> Option<Chart> {
    let parts = evaluation.also.iter().filter(|also| also.part);
    let scores: Vec<f64> = parts.filter_map(|part| Some(part.adaptation.first()?.mean)).collect();
    let mean = evaluation.adaptation.first()?;
    if scores.len() < 2 {
        return None;
    }
    let mut chart = Chart::new("The deployed image, task by task", "task", evaluation.metric.clone());
    chart.size = SIZE;
    chart.counts = true;
    let last = (scores.len() - 1) as f64;
    let points = scores.iter().enumerate().map(|(task, &score)| [task as f64, score]);
    chart.series = vec![
        Series::new("one task", colour::ADAPTED, Mark::Scatter, points.collect()),
        Series::new(
            "mean",
            colour::BEFORE,
            Mark::Dashed,
            vec![[0.0, mean.mean], [last, mean.mean]],
        ),
    ];
    Some(chart)
}

/// The adaptation curves of an evaluation against its baselines; bars are 95 % intervals over tasks.
fn adaptation_curves(evaluation: &Evaluation, baselines: &[Baseline]) -> Chart {
    let mut chart = Chart::new(
        "The deployed image on held-out tasks",
        match evaluation.unit() {
            "episode" => "episodes of the trial before",
            _ => "adaptation steps on the device",
        },
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
    let mut others = 1;
    // What a whole trial comes to is no return of an episode: the tables have it.
    for baseline in baselines.iter().filter(|one| !one.name.ends_with(WHOLE_TRIAL)) {
        let name = baseline.name.as_str();
        let begins = |kind: &str| name.starts_with(kind);
        let colour = match () {
            () if begins("no adaptation") => colour::BEFORE,
            () if begins("trained from scratch") || begins("from scratch") => colour::SCRATCH,
            () if begins("oracle") => colour::TRUTH,
            () if begins("multi-task") => colour::BETWEEN,
            () => {
                // Players that the family brings: as many as there are colours left are told apart.
                others += 1;
                [colour::DATA, colour::OTHER][others % 2]
            }
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

/// `plot.svg`: the headline's learning curve beside what held-out tasks score, or how they go where that is one figure.
pub fn plot(title: &str, lines: &[MetricsLine], results: &Results) -> String {
    let mut charts = learning_curves(lines);
    charts.truncate(1);
    let scores = score_chart(&results.evaluation, &results.baselines);
    charts.extend(scores.or_else(|| results.samples.first().cloned()));
    standalone(title, &charts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Named, Summary};

    fn line(metrics: &[(&str, f64)]) -> MetricsLine {
        let summary = |mean| Summary {
            mean,
            deviation: 0.0,
            least: mean,
            greatest: mean,
        };
        MetricsLine {
            iteration: 1,
            iterations: 1,
            environment_steps: 0,
            seconds: 0.0,
            metrics: Named(
                metrics
                    .iter()
                    .map(|&(name, mean)| (name.to_owned(), summary(mean)))
                    .collect(),
            ),
        }
    }

    #[test]
    fn a_chart_holds_one_measure_and_says_which() {
        let charts = learning_curves(&[
            line(&[("loss", 4.0), ("conflict rate", 0.6), ("best validation loss", 0.0)]),
            line(&[("loss", 0.1), ("conflict rate", 0.9), ("best validation loss", 0.2)]),
        ]);
        assert_eq!(charts[0].series[1].points.len(), 1, "what was not measured is no zero");
        let names = |chart: &Chart| {
            chart
                .series
                .iter()
                .map(|series| series.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(charts.len(), 2);
        assert_eq!((charts[0].y_label.as_str(), charts[0].logarithmic), ("loss", true));
        assert_eq!(names(&charts[0]), ["loss", "best validation loss"]);
        assert_eq!(
            (charts[1].y_label.as_str(), charts[1].logarithmic),
            ("conflict rate", false)
        );
    }

    #[test]
    fn what_does_not_adapt_by_steps_has_no_axis_of_steps() {
        let step = |scores: &[f64]| vec![AdaptationStep::over_tasks(0, scores, 0)];
        let mut evaluation = Evaluation {
            family: "f".into(),
            engine: "device runtime".into(),
            tasks: 2,
            seed: 0,
            metric: "error".into(),
            lower_is_better: true,
            adaptation: step(&[1.0, 2.0]),
            also: vec![],
            refused: 0,
            env_steps: 0,
        };
        assert_eq!(score_chart(&evaluation, &[]), None);
        for (name, part) in [("task 0", true), ("task 1", true), ("share right", false)] {
            evaluation.also.push(crate::eval::AlsoScored {
                name: name.into(),
                adaptation: step(&[1.0]),
                part,
            });
        }
        let chart = score_chart(&evaluation, &[]).unwrap();
        assert_eq!((chart.x_label.as_str(), chart.series[0].points.len()), ("task", 2));
        evaluation.adaptation.extend(step(&[0.5, 0.5]));
        assert_eq!(
            score_chart(&evaluation, &[]).unwrap().x_label,
            "adaptation steps on the device"
        );
    }

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
