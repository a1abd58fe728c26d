//! A few held-out tasks before and after adaptation, as the device runtime acts on them.

use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};

use super::chart::{Chart, Mark, Series};
use crate::envs::Simulator;
use crate::eval::{Episode, EvalError, EvalOptions, TaskRange, trace_environment, trace_errors};
use crate::recipe::Recipe;
use crate::tasks::{ControlFamily, Rows, Split, SupervisedFamily, Tasks, simulator};

/// Tasks that are drawn.
const SAMPLES: u64 = 6;
const SIZE: [f64; 2] = [340.0, 300.0];
/// Of charts over time.
const WIDE: f64 = 480.0;

/// Colours of the reports: the same thing has the same one in every chart.
pub(super) mod colour {
    pub(crate) const ADAPTED: usize = 0;
    pub(crate) const SCRATCH: usize = 1;
    pub(crate) const TRUTH: usize = 2;
    pub(crate) const ALSO: usize = 3;
    pub(crate) const DATA: usize = 4;
    pub(crate) const BETWEEN: usize = 5;
    pub(crate) const BEFORE: usize = 6;
    pub(crate) const OTHER: usize = 7;
}

/// Charts of the first held-out tasks of an evaluation.
///
/// # Errors
/// As the evaluation.
pub fn samples(recipe: &Recipe, image: &[u8], options: EvalOptions) -> Result<Vec<Chart>, EvalError> {
    let image = Image::new_checked(image)?;
    let indices = 0..SAMPLES.min(options.tasks);
    let Some(tasks) = Tasks::of(recipe)? else {
        return match simulator(recipe) {
            Some(simulator) => errors_over_time(&image, simulator.as_ref(), options),
            None => Ok(Vec::new()),
        };
    };
    match tasks {
        Tasks::Supervised(family) => indices
            .map(|index| fit(&image, family.as_ref(), options.seed, index))
            .collect(),
        Tasks::Control { family, trajectories } => indices
            .map(|index| {
                let range = TaskRange {
                    split: Split::Test,
                    seed: options.seed,
                    tasks: options.tasks,
                };
                let episodes = trace_environment(&image, family.as_ref(), range, index, trajectories)?;
                Ok(episodes_chart(family.as_ref(), options.seed, index, &episodes))
            })
            .collect(),
    }
}

/// A supervised task: target and predictions over the input where it is one number, otherwise prediction over target.
fn fit(image: &Image<'_>, family: &dyn SupervisedFamily, seed: u64, index: u64) -> Result<Chart, EvalError> {
    let (width, targets) = (family.input_width(), family.target_width());
    let (support, scored) = (family.support_rows(), family.evaluation_rows());
    let mut support_x = vec![0.0; support * width];
    let mut support_y = vec![0.0; support * targets];
    let mut x = vec![0.0; scored * width];
    let mut y = vec![0.0; scored * targets];
    family.sample_for_evaluation(
        seed,
        Split::Test,
        index,
        Rows {
            inputs: &mut support_x,
            targets: &mut support_y,
        },
        Rows {
            inputs: &mut x,
            targets: &mut y,
        },
    );
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(image, None, &mut memory)?;
    let (mut actor, mut learner) = policy.split();
    let mut predict = || {
        let mut predictions = vec![0.0; y.len()];
        for (input, prediction) in x.chunks_exact(width).zip(predictions.chunks_exact_mut(targets)) {
            // A refused input shows as the safe action, which is what a device would do.
            let _ = actor.act(input, prediction);
        }
        predictions
    };
    let before = predict();
    for (input, target) in support_x.chunks_exact(width).zip(support_y.chunks_exact(targets)) {
        learner.observe_example(input, target)?;
    }
    // Refused, the old parameters act on: that is what the picture shows.
    let _ = learner.adapt();
    let after = predict();

    let first = |values: &[f32], width: usize| {
        values
            .iter()
            .step_by(width)
            .map(|&value| tidy(value))
            .collect::<Vec<_>>()
    };
    let pairs = |x: Vec<f64>, y: Vec<f64>| x.into_iter().zip(y).map(|(x, y)| [x, y]).collect::<Vec<_>>();
    let title = format!("held-out task {}", index + 1);
    let mut chart;
    if width == 1 {
        chart = Chart::new(title, "input", "output");
        let over = |values: &[f32]| pairs(first(&x, 1), first(values, targets));
        let data = pairs(first(&support_x, 1), first(&support_y, targets));
        chart.series = vec![
            Series::new("truth", colour::TRUTH, Mark::Dashed, over(&y)),
            Series::new("before", colour::BEFORE, Mark::Line, over(&before)),
            Series::new("after", colour::ADAPTED, Mark::Line, over(&after)),
            Series::new("support set", colour::DATA, Mark::Scatter, data),
        ];
    } else {
        chart = Chart::new(title, "target", "prediction");
        let over = |values: &[f32]| pairs(first(&y, targets), first(values, targets));
        chart.series = vec![
            Series::new("before", colour::BEFORE, Mark::Scatter, over(&before)),
            Series::new("after", colour::ADAPTED, Mark::Scatter, over(&after)),
        ];
    }
    chart.size = SIZE;
    Ok(chart)
}

/// Episodes of one task: paths where the family moves on a plane, otherwise reward over steps.
fn episodes_chart(family: &dyn ControlFamily, seed: u64, index: u64, episodes: &[Episode]) -> Chart {
    let title = format!("held-out task {}", index + 1);
    let last = episodes.len() - 1;
    let named = |step: usize| match step {
        0 => ("before".to_owned(), colour::BEFORE),
        step if step == last => ("after".to_owned(), colour::ADAPTED),
        1 => ("step 1".to_owned(), colour::BETWEEN),
        step => (format!("step {step}"), colour::ALSO),
    };
    // First, last, and the first step between them: more lines hide each other.
    let mut shown = vec![0, 1, last];
    shown.retain(|&step| step <= last);
    shown.dedup();
    let mut chart;
    if let Some(plane) = family.plane(seed, Split::Test, index) {
        let [x_label, y_label] = plane.axes;
        chart = Chart::new(title, x_label, y_label);
        chart.plane = true;
        for step in shown {
            let (name, colour) = named(step);
            let at = |observation: &Vec<f32>| plane.position.map(|channel| tidy(observation[channel]));
            let path = episodes[step].observations.iter().map(at).collect();
            chart.series.push(Series::new(name, colour, Mark::Line, path));
        }
        let goal = vec![plane.goal.map(tidy)];
        chart
            .series
            .push(Series::new("goal", colour::SCRATCH, Mark::Cross, goal));
    } else {
        chart = Chart::new(title, "step", "reward");
        for step in shown {
            let (name, colour) = named(step);
            let rewards = episodes[step].rewards.iter().enumerate();
            let points = rewards.map(|(step, &reward)| [step as f64, tidy(reward)]).collect();
            chart.series.push(Series::new(name, colour, Mark::Line, points));
        }
    }
    chart.size = SIZE;
    chart
}

/// Systems of which the error over time is drawn.
const SYSTEMS: u64 = 100;
/// Points of a curve over time at most.
const TIMES: usize = 100;

/// How the error of simulated systems goes over an episode: of many held-out ones the median and quartiles, and the first few.
/// Where a recurrent policy comes to know its system by acting, this is where it shows.
fn errors_over_time(
    image: &Image<'_>,
    simulator: &dyn Simulator,
    options: EvalOptions,
) -> Result<Vec<Chart>, EvalError> {
    let range = TaskRange {
        split: Split::Test,
        seed: options.seed,
        tasks: options.tasks.min(SYSTEMS),
    };
    let traces = trace_errors(image, simulator, range)?;
    let rate = simulator.rate_hz();
    let steps = (0..simulator.horizon()).step_by(simulator.horizon().div_ceil(TIMES).max(1));
    let at = |step: usize| tidy((step + 1) as f32 / rate);
    let chart = |title: String| {
        let mut chart = Chart::new(title, "seconds", simulator.error_name());
        chart.size = [WIDE, SIZE[1]];
        chart.logarithmic = true;
        chart
    };
    let mut together = chart(format!("Error over time, {} held-out systems", traces.len()));
    let mut median = Series::new("median, quartiles", colour::ADAPTED, Mark::Line, Vec::new());
    for step in steps.clone() {
        let mut errors: Vec<f64> = traces.iter().filter_map(|trace| trace.get(step).copied()).collect();
        errors.sort_by(f64::total_cmp);
        let quarter = |quarter: usize| errors.get(errors.len().saturating_sub(1) * quarter / 4);
        if let (Some(&low), Some(&middle), Some(&high)) = (quarter(1), quarter(2), quarter(3)) {
            median.points.push([at(step), tidy(middle as f32)]);
            median.band.push([tidy(low as f32), tidy(high as f32)]);
        }
    }
    together.series.push(median);
    let mut few = chart(format!("The first {} of them", SAMPLES.min(range.tasks)));
    for (index, trace) in traces.iter().take(SAMPLES as usize).enumerate() {
        let points = steps
            .clone()
            .filter_map(|step| Some([at(step), tidy(*trace.get(step)? as f32)]));
        few.series.push(Series::new("", index, Mark::Line, points.collect()));
    }
    Ok(vec![together, few])
}

/// A number with four significant digits: the file is read by people too.
fn tidy(value: f32) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(f64::NAN)
}
