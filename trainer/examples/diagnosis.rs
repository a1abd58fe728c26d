//! The figures of `docs/diagnosis.md`: trains the recipe with three seeds, scores each task through the device image beside
//! the baselines of scikit-learn, shifts every input, and lets the image adapt to 32 labelled rows.
//!
//! ```text
//! cargo xtask data
//! cargo run --release -p pliant-trainer --example diagnosis -- target/diagnosis [validation] [SET...]
//! ```
//!
//! With `validation` the validation rows score in place of the test rows, other rows of them than those adapted to, over
//! eight other recalibrations for each seed: for choosing a recipe.

use std::error::Error;
use std::path::Path;

use pliant_compiler::image::AlignedBytes;
use pliant_compiler::policy::TargetLoss;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, MultiTaskTraining};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::{DeviceRows, bootstrap_mean, row_errors};
use pliant_trainer::random::{stream, uniform};
use pliant_trainer::recipe::{self, Source};
use pliant_trainer::tasks::{Split, TaskTable, task_set};
use rand_core::Rng;

type Failure = Box<dyn Error>;

const SEEDS: [u64; 3] = [0, 1, 2];
/// Labelled rows of the recalibrated instrument.
const LABELLED: usize = 32;
/// Recalibrations of each seed where a recipe is chosen; one where it is tested.
const DEVELOPMENT_DRAWS: u64 = 8;

/// What became of one task with one seed: errors of each scored row.
struct Outcome {
    seed: u64,
    task: String,
    /// Squared errors are over this.
    variance: f64,
    unshifted: Vec<f64>,
    unadapted: Vec<f64>,
    adapted: Vec<f64>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).peekable();
    let folder = arguments
        .next()
        .ok_or("name the folder that `cargo xtask data` wrote")?;
    let validation = arguments.next_if(|argument| argument == "validation").is_some();
    let sets: Vec<String> = arguments.collect();
    let mut outcomes = Vec::new();
    for seed in SEEDS {
        outcomes.extend(run(Path::new(&folder), seed, validation, &sets)?);
    }
    let baselines = match validation {
        true => Vec::new(),
        false => baselines(&Path::new(&folder).join("baselines.csv"))?,
    };
    print(&outcomes, &baselines);
    Ok(())
}

fn run(folder: &Path, seed: u64, validation: bool, sets: &[String]) -> Result<Vec<Outcome>, Failure> {
    let mut source = Source {
        origin: "diagnosis".to_owned(),
        text: include_str!("../../models/diagnosis/recipe.toml").to_owned(),
    };
    source.set(&format!("seed={seed}"))?;
    source.set(&format!(
        "family.logged.folder={}",
        folder.join(format!("seed{seed}")).display()
    ))?;
    sets.iter().try_for_each(|set| source.set(set))?;
    let recipe = source.parse()?;
    let recipe::Algorithm::MultiTask(settings) = &recipe.algorithm else {
        return Err("the recipe is not multi-task".into());
    };
    let tables = task_set(&recipe)?.ok_or("the recipe has no tasks")?;
    let mut training = MultiTaskTraining::new(settings, &recipe.policy, seed, tables.clone(), &PlanEngine::fast())?;
    while training.completed() < training.iterations() {
        training.step()?;
    }
    let exported = export(&recipe, &training.learned()?, 1)?;
    let (_, image) = exported
        .files
        .iter()
        .find(|(name, _)| *name == "policy.pliant")
        .ok_or("no image")?;
    let bytes = AlignedBytes::new(image);
    let image = Image::new_checked(&bytes)?;
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory)?;
    let widths = (
        tables.iter().map(|table| table.channels().len()).max().unwrap_or(0),
        tables.iter().map(|table| table.outputs).max().unwrap_or(0),
    );
    let mut outcomes = Vec::new();
    for (task, table) in tables.iter().enumerate() {
        policy.select(task as u32)?;
        let (mut unshifted, mut unadapted, mut adapted) = (Vec::new(), Vec::new(), Vec::new());
        for draw in 0..if validation { DEVELOPMENT_DRAWS } else { 1 } {
            let name = if validation { "development" } else { "test" };
            let shifted = recalibrated(
                table,
                &format!("recalibrated instrument, {name}"),
                [seed, task as u64, draw],
            );
            // The labelled rows are drawn; where validation rows score, the others do.
            let mut rows: Vec<usize> = (0..table.count(Split::Validation)).collect();
            let name = format!("labelled rows of a recalibrated instrument, {name}");
            let mut random = stream(seed, &name, &[task as u64, draw]);
            for index in 0..LABELLED.min(rows.len()) {
                let other = index + (random.next_u64() % (rows.len() - index) as u64) as usize;
                rows.swap(index, other);
            }
            let (labelled, rest) = rows.split_at(LABELLED.min(rows.len()));
            let split = if validation { Split::Validation } else { Split::Test };
            let scored = |errors: Vec<f64>| -> Vec<f64> {
                match validation && !rest.is_empty() {
                    true => rest.iter().map(|&row| errors[row]).collect(),
                    false => errors,
                }
            };
            unshifted.extend(scored(row_errors(&mut policy, table, split, task as u64, widths)?));
            unadapted.extend(scored(row_errors(&mut policy, &shifted, split, task as u64, widths)?));
            let (_, mut learner) = policy.split();
            let support = DeviceRows::new(&shifted, Split::Validation, widths);
            for &row in labelled {
                let (input, target) = support.row(row);
                learner.observe_example(input, target)?;
            }
            let report = learner.adapt();
            if !report.is_accepted() {
                println!(
                    "seed {seed}, {}: the runtime refused the adaptation ({report:?})",
                    table.name
                );
            }
            adapted.extend(scored(row_errors(&mut policy, &shifted, split, task as u64, widths)?));
            let (_, mut learner) = policy.split();
            learner.revert_to_base();
            learner.clear();
        }
        outcomes.push(Outcome {
            seed,
            task: table.name.clone(),
            variance: variance(table, if validation { Split::Validation } else { Split::Test }),
            unshifted,
            unadapted,
            adapted,
        });
    }
    Ok(outcomes)
}

/// Every input j becomes `a_j x_j + b_j sd_j`: `a_j` uniform from 0.5 to 2, `b_j` from -1 to 1, the deviation of training.
fn recalibrated(table: &TaskTable, name: &str, [seed, task, draw]: [u64; 3]) -> TaskTable {
    let mut shifted = table.clone();
    let Some(prepared) = &mut shifted.prepared else {
        return shifted;
    };
    let width = prepared.channels.len();
    let mut random = stream(seed, name, &[task, draw]);
    let gains: Vec<(f32, f32)> = (0..width)
        .map(|_| (uniform(&mut random, 0.5, 2.0), uniform(&mut random, -1.0, 1.0)))
        .collect();
    let train = prepared.raw[0].inputs.clone();
    let deviation = |channel: usize| {
        let values: Vec<f64> = train
            .iter()
            .skip(channel)
            .step_by(width)
            .map(|value| f64::from(*value))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt() as f32
    };
    let deviations: Vec<f32> = (0..width).map(deviation).collect();
    for rows in &mut prepared.raw {
        for (place, value) in rows.inputs.iter_mut().enumerate() {
            let (gain, offset) = gains[place % width];
            *value = gain * *value + offset * deviations[place % width];
        }
    }
    shifted
}

fn variance(table: &TaskTable, split: Split) -> f64 {
    if table.loss != TargetLoss::SquaredError {
        return 1.0;
    }
    let targets = table.device_rows(split).targets;
    let mean = targets.iter().map(|target| f64::from(*target)).sum::<f64>() / targets.len() as f64;
    targets
        .iter()
        .map(|target| (f64::from(*target) - mean).powi(2))
        .sum::<f64>()
        / targets.len() as f64
}

/// What a model of scikit-learn came to on one row.
struct Baseline {
    seed: u64,
    task: String,
    model: String,
    wrong: f64,
}

fn baselines(path: &Path) -> Result<Vec<Baseline>, Failure> {
    let text = std::fs::read_to_string(path)?;
    let mut rows = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [seed, task, model, _, wrong] = cells[..] else {
            return Err(format!("{}: a line has {} cells", path.display(), cells.len()).into());
        };
        rows.push(Baseline {
            seed: seed.parse()?,
            task: task.to_owned(),
            model: model.to_owned(),
            wrong: wrong.parse()?,
        });
    }
    Ok(rows)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn print(outcomes: &[Outcome], baselines: &[Baseline]) {
    let mut tasks: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !tasks.contains(&outcome.task.as_str()) {
            tasks.push(&outcome.task);
        }
    }
    println!(
        "| task | multi-task | better baseline | difference, 95 % interval | shifted | adapted | recovered | each seed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for task in tasks {
        let own: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.task == task).collect();
        // Accuracy, or the share of variance explained.
        let score = |errors: &dyn Fn(&Outcome) -> Vec<f64>| {
            let of = |outcome: &&Outcome| 1.0 - mean(&errors(outcome)) / outcome.variance;
            own.iter().map(of).collect::<Vec<f64>>()
        };
        let unshifted = score(&|outcome| outcome.unshifted.clone());
        let unadapted = score(&|outcome| outcome.unadapted.clone());
        let adapted = score(&|outcome| outcome.adapted.clone());
        let recovered: Vec<f64> = (0..own.len())
            .map(|seed| (adapted[seed] - unadapted[seed]) / (unshifted[seed] - unadapted[seed]))
            .collect();
        let lost = mean(&unshifted) - mean(&unadapted);
        let whole = (mean(&adapted) - mean(&unadapted)) / lost;
        let (best, difference) = compared(task, &own, baselines);
        let each: Vec<String> = recovered
            .iter()
            .map(|share| format!("{:.0} %", 100.0 * share))
            .collect();
        println!(
            "| {task} | {:.3} | {best} | {difference} | {:.3} | {:.3} | {:.0} % | {} |",
            mean(&unshifted),
            mean(&unadapted),
            mean(&adapted),
            100.0 * whole,
            each.join(", ")
        );
    }
}

/// The better model of a task over the seeds, and the multi-task score minus its, paired by row.
fn compared(task: &str, own: &[&Outcome], baselines: &[Baseline]) -> (String, String) {
    let mut models: Vec<&str> = Vec::new();
    for row in baselines.iter().filter(|row| row.task == task) {
        if !models.contains(&row.model.as_str()) {
            models.push(&row.model);
        }
    }
    let rows = |model: &str, outcome: &Outcome| -> Vec<f64> {
        let rows = baselines
            .iter()
            .filter(|row| row.task == task && row.model == model && row.seed == outcome.seed);
        rows.map(|row| row.wrong / outcome.variance).collect()
    };
    let score = |model: &str| {
        mean(
            &own.iter()
                .map(|outcome| 1.0 - mean(&rows(model, outcome)))
                .collect::<Vec<_>>(),
        )
    };
    let Some(best) = models.into_iter().max_by(|a, b| score(a).total_cmp(&score(b))) else {
        return ("-".to_owned(), "-".to_owned());
    };
    let differences: Vec<f64> = own
        .iter()
        .flat_map(|outcome| {
            let errors: Vec<f64> = outcome.unshifted.iter().map(|error| error / outcome.variance).collect();
            let pairs: Vec<f64> = rows(best, outcome)
                .into_iter()
                .zip(errors)
                .map(|(theirs, ours)| theirs - ours)
                .collect();
            pairs
        })
        .collect();
    let estimate = bootstrap_mean(&differences, 0);
    (
        format!("{:.3} ({best})", score(best)),
        format!(
            "{:+.3} [{:+.3}, {:+.3}]",
            estimate.mean, estimate.ci95[0], estimate.ci95[1]
        ),
    )
}
