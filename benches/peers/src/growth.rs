//! How a meta-step's time grows with tasks, inner steps and width.

use std::path::Path;
use std::time::Duration;

use pliant_trainer::engine::{Engine, PlanEngine};
use plotters::prelude::*;

use crate::training::Training;
use crate::{Outcome, engine, median, work};

/// What varies, and at which values; the rest as in the recipe `sinusoid`.
const CURVES: [(&str, &[usize]); 3] = [
    ("tasks", &[1, 4, 16, 64, 256, 1024, 4096]),
    ("inner steps", &[1, 2, 3, 4, 6, 8, 10]),
    ("width", &[16, 32, 64, 128, 256, 512]),
];

/// Who is drawn.
const ENGINES: [(&str, RGBColor); 2] = [("plan", RGBColor(0, 114, 178)), ("ort", RGBColor(213, 94, 0))];

/// Chunks of tasks to choose from by measuring.
const CHUNKS: [usize; 3] = [25, 8, 1];

/// One curve: what varies, on which engine, and the milliseconds of a step at each value.
struct Curve {
    name: &'static str,
    engine: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Exponent of the power law through the last three points: 1 is linear.
    fn slope(&self) -> f64 {
        let tail = &self.points[self.points.len().saturating_sub(3)..];
        let (first, last) = (tail[0], tail[tail.len() - 1]);
        (last.1 / first.1).ln() / (last.0 / first.0).ln()
    }
}

/// Milliseconds of a step in the chunks that suit best.
fn milliseconds(tasks: usize, steps: usize, hidden: usize, engine: &dyn Engine) -> Outcome<f64> {
    let mut best = f64::INFINITY;
    let chunks = CHUNKS
        .into_iter()
        .map(|most| (1..=most.min(tasks)).rev().find(|chunk| tasks % chunk == 0));
    let mut chunks: Vec<usize> = chunks.map(|chunk| chunk.unwrap_or(1)).collect();
    chunks.dedup();
    for chunk in chunks {
        let mut training = Training::new(work::maml(tasks, steps, hidden, chunk)?, engine)?;
        best = best.min(median(Duration::from_millis(250), || training.step())?);
    }
    Ok(best * 1e3)
}

/// Measures on one thread, prints a table, and draws the figure.
pub fn run(figure: &Path) -> Outcome<()> {
    let mut curves = Vec::new();
    for (name, values) in CURVES {
        for (engine_name, colour) in ENGINES {
            let engine: Box<dyn Engine> = match engine_name {
                "plan" => Box::new(PlanEngine::fast()),
                other => match engine(other) {
                    Ok(engine) => engine,
                    Err(error) => {
                        eprintln!("without {other}: {error}");
                        continue;
                    }
                },
            };
            let mut points = Vec::new();
            for &value in values {
                let (tasks, steps, hidden) = match name {
                    "tasks" => (value, 1, 40),
                    "inner steps" => (25, value, 40),
                    _ => (25, 1, value),
                };
                points.push((value as f64, milliseconds(tasks, steps, hidden, &*engine)?));
            }
            curves.push(Curve {
                name,
                engine: engine_name,
                colour,
                points,
            });
        }
    }
    println!("| varied | engine | milliseconds a meta-step | slope at the end |\n|---|---|---|---:|");
    for curve in &curves {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(value, time)| format!("{value}: {time:.3}"))
            .collect();
        println!(
            "| {} | {} | {} | {:.2} |",
            curve.name,
            curve.engine,
            points.join(", "),
            curve.slope()
        );
    }
    draw(figure, &curves)
}

fn draw(figure: &Path, curves: &[Curve]) -> Outcome<()> {
    let root = SVGBackend::new(figure, (1020, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (name, _)) in root.split_evenly((1, CURVES.len())).iter().zip(CURVES) {
        let shown: Vec<&Curve> = curves.iter().filter(|curve| curve.name == name).collect();
        let points = || shown.iter().flat_map(|curve| &curve.points);
        let span = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| {
                (low.min(value), high.max(value))
            })
        };
        let (x, y) = (span(&mut points().map(|p| p.0)), span(&mut points().map(|p| p.1)));
        let mut chart = ChartBuilder::on(area)
            .caption(format!("A meta-step against {name}"), ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(56)
            // Room for the legend above the curves.
            .build_cartesian_2d((x.0 * 0.9..x.1 * 1.1).log_scale(), (y.0 * 0.7..y.1 * 8.0).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(name)
            .y_desc("milliseconds")
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&|value| format!("{value}"))
            .draw()?;
        for curve in shown {
            let colour = curve.colour;
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)))?
                .label(format!("{}, slope {:.2} at the end", curve.engine, curve.slope()))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(curve.points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .label_font(("sans-serif", 13))
            .draw()?;
    }
    root.present()?;
    Ok(())
}
