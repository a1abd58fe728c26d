//! How a meta-step's time grows with tasks, inner steps and width.

use std::path::Path;
use std::time::{Duration, Instant};

use pliant_trainer::engine::Engine;
use plotters::prelude::*;

use crate::training::Training;
use crate::{Outcome, engine, work};

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

/// Rounds, and how long a turn is: a round gives every engine in every size of chunk its turn, so that a clock that drifts bends
/// all of them alike.
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_millis(40);

/// Milliseconds of a step on each engine, in the chunks that suit it best.
fn milliseconds(tasks: usize, steps: usize, hidden: usize, engines: &[&dyn Engine]) -> Outcome<Vec<f64>> {
    let chunks = CHUNKS
        .into_iter()
        .map(|most| (1..=most.min(tasks)).rev().find(|chunk| tasks % chunk == 0));
    let mut chunks: Vec<usize> = chunks.map(|chunk| chunk.unwrap_or(1)).collect();
    chunks.dedup();
    let mut contenders = Vec::new();
    for (index, engine) in engines.iter().enumerate() {
        for &chunk in &chunks {
            let mut training = Training::new(work::maml(tasks, steps, hidden, chunk)?, *engine)?;
            training.step()?;
            contenders.push((index, training, Vec::new()));
        }
    }
    for _ in 0..ROUNDS {
        for (_, training, times) in &mut contenders {
            let (start, mut count) = (Instant::now(), 0);
            while count == 0 || start.elapsed() < TURN {
                training.step()?;
                count += 1;
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(count) * 1e3);
        }
    }
    let mut best = vec![f64::INFINITY; engines.len()];
    for (index, _, mut times) in contenders {
        times.sort_by(f64::total_cmp);
        best[index] = best[index].min(times[times.len() / 2]);
    }
    Ok(best)
}

/// Measures on one thread, prints a table, and draws the figure.
pub fn run(figure: &Path) -> Outcome<()> {
    let mut engines: Vec<(&'static str, RGBColor, Box<dyn Engine>)> = Vec::new();
    for (name, colour) in ENGINES {
        match engine(name) {
            Ok(engine) => engines.push((name, colour, engine)),
            Err(error) => eprintln!("without {name}: {error}"),
        }
    }
    let mut curves = Vec::new();
    for (name, values) in CURVES {
        let mut new: Vec<Curve> = engines
            .iter()
            .map(|&(engine, colour, _)| Curve {
                name,
                engine,
                colour,
                points: Vec::new(),
            })
            .collect();
        for &value in values {
            let (tasks, steps, hidden) = match name {
                "tasks" => (value, 1, 40),
                "inner steps" => (25, value, 40),
                _ => (25, 1, value),
            };
            let engines: Vec<&dyn Engine> = engines.iter().map(|(_, _, engine)| &**engine).collect();
            for (curve, time) in new.iter_mut().zip(milliseconds(tasks, steps, hidden, &engines)?) {
                curve.points.push((value as f64, time));
            }
        }
        curves.extend(new);
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
