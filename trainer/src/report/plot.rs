//! The plot of a run: learning curve beside adaptation curve, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::History;
use crate::eval::{AdaptationStep, Evaluation};

/// Drawing failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the plot: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

const SIZE: (u32, u32) = (1000, 420);
/// Okabe and Ito (2008): told apart with every kind of colour vision.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// Draws the learning curve of `history` beside the adaptation curve of `evaluation`, and returns the SVG.
///
/// # Errors
/// Where the drawing library refuses, which it does for no finite input.
pub fn plot(title: &str, history: &History, evaluation: &Evaluation) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(title, ("sans-serif", 20))?;
        let (left, right) = area.split_horizontally(620);
        learning_curve(&left, history, evaluation)?;
        adaptation_curve(&right, evaluation)?;
        area.present()?;
    }
    Ok(svg)
}

fn learning_curve(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    history: &History,
    evaluation: &Evaluation,
) -> Result<(), PlotError> {
    let last = history.points().last().map_or(1, |point| point.iteration).max(1);
    let values = history
        .points()
        .iter()
        .flat_map(|point| point.values.iter().map(|&value| f64::from(value)));
    let range = padded(values);
    let mut chart = ChartBuilder::on(area)
        .caption("Meta-training", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..last as f64, range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("iteration")
        .y_desc(evaluation.metric.as_str())
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| short(*y))
        .draw()?;
    for (index, name) in history.names().iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let line = history
            .points()
            .iter()
            .map(|point| (point.iteration as f64, f64::from(point.values[index])))
            .filter(|(_, value)| value.is_finite());
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}

fn adaptation_curve(area: &DrawingArea<SVGBackend<'_>, Shift>, evaluation: &Evaluation) -> Result<(), PlotError> {
    let main = ("", evaluation.adaptation.as_slice());
    let also = evaluation
        .also
        .iter()
        .map(|also| (also.name.as_str(), also.adaptation.as_slice()));
    let curves: Vec<(&str, &[AdaptationStep])> = core::iter::once(main).chain(also).collect();
    let last = curves
        .iter()
        .flat_map(|(_, steps)| steps.iter())
        .map(|step| step.step)
        .max()
        .unwrap_or(1)
        .max(1);
    let range = padded(
        curves
            .iter()
            .flat_map(|(_, steps)| steps.iter().flat_map(|step| step.ci95)),
    );
    let mut chart = ChartBuilder::on(area)
        .caption("Deployed image, held-out tasks", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(-0.2..f64::from(last) + 0.2, range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("adaptation steps on the device")
        .x_labels(last.min(10) as usize + 1)
        .x_label_formatter(&|x| {
            if (x - x.round()).abs() < 1e-6 {
                format!("{x:.0}")
            } else {
                String::new()
            }
        })
        .y_label_formatter(&|y| short(*y))
        .draw()?;
    for (index, (name, steps)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let finite = steps.iter().filter(|step| step.mean.is_finite());
        let points: Vec<(f64, &AdaptationStep)> = finite.map(|step| (f64::from(step.step), step)).collect();
        let line = points.iter().map(|(x, step)| (*x, step.mean));
        let series = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(4))?;
        if curves.len() > 1 {
            let label = if name.is_empty() {
                evaluation.metric.as_str()
            } else {
                name
            };
            series
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart.draw_series(
            points.iter().map(|(x, step)| {
                ErrorBar::new_vertical(*x, step.ci95[0], step.mean, step.ci95[1], colour.filled(), 10)
            }),
        )?;
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
    }
    Ok(())
}

/// The span of the finite values with a margin; never empty.
fn padded(values: impl Iterator<Item = f64>) -> core::ops::Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if low > high {
        return 0.0..1.0;
    }
    // A curve that only touches zero (a loss) keeps zero as its floor.
    let margin = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
    let floor = if low >= 0.0 && low < (high - low) {
        0.0
    } else {
        low - margin
    };
    floor..high + margin
}

/// Axis labels of few characters at any magnitude.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        magnitude if !(1e-3..1e5).contains(&magnitude) => format!("{value:.0e}"),
        magnitude if magnitude >= 10.0 => format!("{value:.0}"),
        magnitude if magnitude >= 1.0 => format!("{value:.1}"),
        magnitude if magnitude >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
