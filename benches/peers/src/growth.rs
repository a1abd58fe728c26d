//! How a meta-step's time grows with tasks, inner steps and width.

use std::path::Path;
use std::time::Duration;

use pliant_trainer::engine::PlanEngine;
use plotters::prelude::*;

use crate::training::Training;
use crate::{Outcome, median, work};

/// One curve: what varies, and the milliseconds of a step at each value.
struct Curve {
    name: &'static str,
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

/// Measures with the plan engine on one thread, prints the points, and draws the figure.
pub fn run(figure: &Path) -> Outcome<()> {
    let mut curves = Vec::new();
    let values = |name, values: &[usize]| (name, values.to_vec());
    for (name, values) in [
        values("tasks", &[1, 4, 16, 64, 256, 1024, 4096]),
        values("inner steps", &[1, 2, 3, 4, 6, 8, 10]),
        values("width", &[16, 32, 64, 128, 256, 512]),
    ] {
        let mut points = Vec::new();
        for value in values {
            let (tasks, steps, hidden) = match name {
                "tasks" => (value, 1, 40),
                "inner steps" => (25, value, 40),
                _ => (25, 1, value),
            };
            // Chunks that stay in the cache.
            let chunk = (1..=tasks)
                .rev()
                .find(|chunk| tasks % chunk == 0 && chunk * hidden * hidden <= 40_000);
            let mut training = Training::new(
                work::maml(tasks, steps, hidden, chunk.unwrap_or(1))?,
                &PlanEngine::fast(),
            )?;
            let seconds = median(Duration::from_millis(700), || training.step())?;
            points.push((value as f64, seconds * 1e3));
        }
        let curve = Curve { name, points };
        println!("{}: slope {:.2}", curve.name, curve.slope());
        for (value, milliseconds) in &curve.points {
            println!("  {value:>5} {milliseconds:>10.3} ms");
        }
        curves.push(curve);
    }
    draw(figure, &curves)
}

fn draw(figure: &Path, curves: &[Curve]) -> Outcome<()> {
    let root = SVGBackend::new(figure, (960, 340)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, curve) in root.split_evenly((1, curves.len())).iter().zip(curves) {
        let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
        let caption = format!("{}, slope {:.2} at the end", curve.name, curve.slope());
        let mut chart = ChartBuilder::on(area)
            .caption(caption, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(52)
            .build_cartesian_2d(
                (first.0 * 0.9..last.0 * 1.1).log_scale(),
                (first.1 * 0.7..last.1 * 1.4).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(curve.name)
            .y_desc("milliseconds a meta-step")
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&|value| format!("{value}"))
            .draw()?;
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), BLUE.stroke_width(2)))?;
        chart.draw_series(curve.points.iter().map(|&point| Circle::new(point, 3, BLUE.filled())))?;
    }
    root.present()?;
    Ok(())
}
