//! Every balancing method on conflicting tasks, and what it costs: the tables of docs/algorithms/multi-task.md.
//!
//! `cargo run --release -p pliant-trainer --example task_conflict -- scores KEPT` trains the recipe `task-conflict` with plain
//! averaging, with every method, and each task alone, with ten seeds, and scores the device images; about ten minutes on
//! two cores. What is done is kept in the file KEPT, so that it can be interrupted. `-- costs` times a step with 3, 10 and 50
//! tasks against plain averaging, alone on the machine. `-- conditioning KEPT` trains with Nash-MTL and every way of telling the
//! trunk which task it is, three seeds each, kept in files beside KEPT; so do `-- experts KEPT` with mixtures of experts and `-- sampling
//! KEPT` with the orders that tasks can come in, four a step. All print Markdown; `cargo xtask measure task-conflict`
//! puts it into the page.
//!
//! To choose settings, `scores` takes names of methods (`alone` among them), other seeds (`seeds=100..105`; those of the
//! table are 0 to 9) and fields of the recipe (`algorithm.multi-task.head_start=0`); keep those outcomes in a file of their own.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use pliant_compiler::image::{AlignedBytes, ImageOptions};
use pliant_compiler::policy::{Activation, Conditioning, MultiTask, TargetLoss, TaskHead};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, MultiTaskLearner, MultiTaskSettings, MultiTaskTraining, TaskBatch};
use pliant_trainer::bundle::{banked_image, banked_network};
use pliant_trainer::deployment;
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::test_error;
use pliant_trainer::random::{fill_standard_normal, stream};
use pliant_trainer::recipe::{self, Adam, Balance, Balancing, Source};
use pliant_trainer::tasks::{TaskConflictFamily, TaskTable, task_set};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The seeds of the table.
const SEEDS: Range<u64> = 0..10;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("scores") => {
            let kept = arguments.next().ok_or("name the file to keep outcomes in")?;
            scores(Path::new(&kept), &Choice::of(arguments)?)
        }
        Some("conditioning") => {
            let kept = arguments.next().ok_or("name the file to keep outcomes beside")?;
            ways(Path::new(&kept), "conditioning", "told by", &WAYS)
        }
        Some("experts") => {
            let kept = arguments.next().ok_or("name the file to keep outcomes beside")?;
            ways(Path::new(&kept), "experts", "experts", &EXPERTS)
        }
        Some("sampling") => {
            let kept = arguments.next().ok_or("name the file to keep outcomes beside")?;
            ways(Path::new(&kept), "sampling", "which four tasks a step", &ORDERS)
        }
        Some("costs") => costs(),
        _ => Err(
            "usage: task_conflict scores KEPT [METHOD...] [seeds=A..B] [FIELD=VALUE...] | conditioning KEPT | experts KEPT | sampling KEPT | costs"
                .into(),
        ),
    }
}

/// What to train.
struct Choice {
    /// None: each task alone.
    methods: Vec<Option<Balancing>>,
    seeds: Range<u64>,
    /// Fields of the recipe.
    sets: Vec<String>,
}

impl Choice {
    fn of(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut choice = Self {
            methods: Vec::new(),
            seeds: SEEDS,
            sets: Vec::new(),
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("seeds", range)) => {
                    let (from, to) = range.split_once("..").ok_or("write seeds as seeds=100..105")?;
                    choice.seeds = from.parse()?..to.parse()?;
                }
                Some(_) => choice.sets.push(argument),
                None if argument == "alone" => choice.methods.push(None),
                None => {
                    let method = Balancing::ALL.into_iter().find(|method| method.name() == argument);
                    let method = method.ok_or_else(|| format!("`{argument}` is no method of balancing"))?;
                    choice.methods.push(Some(method));
                }
            }
        }
        if choice.methods.is_empty() {
            choice.methods = std::iter::once(None).chain(Balancing::ALL.map(Some)).collect();
        }
        Ok(choice)
    }

    fn recipe(&self, seed: u64) -> Result<recipe::Recipe, Failure> {
        let mut source = Source::find("task-conflict")?;
        source.set(&format!("seed={seed}"))?;
        for set in &self.sets {
            source.set(set)?;
        }
        Ok(source.parse()?)
    }
}

/// What one training came to.
#[derive(Clone, Serialize, Deserialize)]
struct Outcome {
    seed: u64,
    /// None: each task alone.
    method: Option<Balancing>,
    error: f64,
    each: Vec<f64>,
    /// Measured every hundred steps; none where there is one task.
    conflict_rate: Option<f64>,
}

/// Trains these tasks by this method and scores the device image, task by task.
fn train(choice: &Choice, seed: u64, method: Balancing, tables: Vec<TaskTable>) -> Result<Outcome, Failure> {
    let mut recipe = choice.recipe(seed)?;
    let recipe::Algorithm::MultiTask(settings) = &mut recipe.algorithm else {
        return Err("the recipe is not multi-task".into());
    };
    settings.balance = Balance::with(method);
    let settings = settings.clone();
    let mut training = MultiTaskTraining::new(&settings, &recipe.policy, seed, tables, &PlanEngine::fast())?;
    let mut conflicts = Vec::new();
    while training.completed() < training.iterations() {
        training.step()?;
        let rate = training.learner().conflict_rate();
        if training.completed() % settings.conflict_every == 1 && !rate.is_nan() {
            conflicts.push(rate);
        }
    }
    let learned = training.learned()?;
    let network = banked_network(&settings, &recipe.policy, training.tables(), &learned.parameters)?;
    let spec = deployment::adaptation_spec(&recipe, &learned.step_scales).ok_or("the recipe does not adapt")?;
    let contract = deployment::contract(&recipe)?;
    let image = banked_image(&network, &learned, spec, &contract, &ImageOptions::default())?;
    let bytes = AlignedBytes::new(&image);
    let image = Image::new_checked(&bytes)?;
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory)?;
    let mut each = Vec::new();
    for (task, table) in training.tables().iter().enumerate() {
        policy.select(task as u32)?;
        each.push(test_error(
            &mut policy,
            table,
            task as u64,
            (TaskConflictFamily::INPUTS, 1),
        )?);
    }
    Ok(Outcome {
        seed,
        method: Some(method),
        error: mean(&each),
        each,
        conflict_rate: (!conflicts.is_empty()).then(|| mean(&conflicts)),
    })
}

/// Ways of telling the trunk the task: how the table calls them, and fields of the recipe.
const WAYS: [(&str, &[&str]); 6] = [
    ("a head a task", &[]),
    ("one-hot, one head", &["conditioning=\"one-hot\"", "shared_head=true"]),
    (
        "embedding of 4, one head",
        &["conditioning=\"embedding\"", "shared_head=true"],
    ),
    ("FiLM from 4, one head", &["conditioning=\"film\"", "shared_head=true"]),
    ("one-hot, a head a task", &["conditioning=\"one-hot\""]),
    ("FiLM from 4, a head a task", &["conditioning=\"film\""]),
];

/// Mixtures of experts, likewise: the trunk of 12 units is split up.
const EXPERTS: [(&str, &[&str]); 4] = [
    ("none", &[]),
    ("4, gates by task", &["conditioning=\"experts-by-task\""]),
    ("4, gates by input", &["conditioning=\"experts-by-input\""]),
    ("2, gates by input", &["conditioning=\"experts-by-input\"", "experts=2"]),
];

/// Orders that the tasks come in, likewise: four of the eight in a step.
const ORDERS: [(&str, &[&str]); 4] = [
    ("uniform", &["tasks=4"]),
    ("proportional", &["tasks=4", "sampling=\"proportional\""]),
    ("difficulty", &["tasks=4", "sampling=\"difficulty\""]),
    ("curriculum", &["tasks=4", "sampling=\"curriculum\""]),
];

/// A table of ways to train the eight tasks, three seeds each.
fn ways(kept: &Path, part: &str, title: &str, ways: &[(&str, &[&str])]) -> Result<(), Failure> {
    println!("| {title} | parameters | error | easiest task | hardest task |");
    println!("|---|---|---|---|---|");
    // A method that needs every task's gradient has no say in which tasks come.
    let method = match part {
        "sampling" => Balancing::Uncertainty,
        _ => Balancing::NashMtl,
    };
    for (number, (name, sets)) in ways.iter().enumerate() {
        let choice = Choice {
            methods: vec![Some(method)],
            seeds: 0..3,
            sets: sets.iter().map(|set| format!("algorithm.multi-task.{set}")).collect(),
        };
        let recipe = choice.recipe(0)?;
        let recipe::Algorithm::MultiTask(settings) = &recipe.algorithm else {
            return Err("the recipe is not multi-task".into());
        };
        let tables = task_set(&recipe)?.ok_or("the recipe has no tasks")?;
        let mut training = MultiTaskTraining::new(settings, &recipe.policy, 0, tables, &PlanEngine::fast())?;
        let shapes = training.learner().settings().network.parameters();
        let parameters: usize = shapes.iter().map(|parameter| parameter.elements()).sum();
        let file = kept.with_extension(format!("{part}-{number}.jsonl"));
        let (_, outcomes) = train_all(&file, &choice)?;
        let tasks = outcomes.first().map_or(0, |outcome| outcome.each.len());
        let task = |task: usize| mean(&outcomes.iter().map(|outcome| outcome.each[task]).collect::<Vec<_>>());
        let (least, most) = range((0..tasks).map(task));
        let errors: Vec<f64> = outcomes.iter().map(|outcome| outcome.error).collect();
        println!(
            "| {name} | {parameters} | {:.4} | {least:.3} | {most:.3} |",
            mean(&errors)
        );
    }
    Ok(())
}

/// The least and the greatest.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)))
}

/// A training: each task alone where there is no method.
type Job = (Option<Balancing>, u64);

/// What there is to do, and what came of it, from the file where it is there.
fn train_all(kept: &Path, choice: &Choice) -> Result<(Vec<Job>, Vec<Outcome>), Failure> {
    let before: Vec<Outcome> = match std::fs::read_to_string(kept) {
        Ok(text) => text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    let file = Mutex::new(std::fs::OpenOptions::new().create(true).append(true).open(kept)?);
    let jobs: Vec<Job> = (choice.seeds.clone())
        .flat_map(|seed| choice.methods.iter().map(move |method| (*method, seed)))
        .collect();
    let outcomes: Vec<Outcome> = jobs
        .par_iter()
        .map(|&(method, seed)| {
            let known = before
                .iter()
                .find(|outcome| (outcome.method, outcome.seed) == (method, seed));
            if let Some(outcome) = known {
                return Ok(outcome.clone());
            }
            let tables = task_set(&choice.recipe(seed)?)?.ok_or("the recipe has no tasks")?;
            let Some(method) = method else {
                // Each task alone, with the same network for itself.
                let mut each = Vec::new();
                for table in tables {
                    each.extend(train(choice, seed, Balancing::Uniform, vec![table])?.each);
                }
                let outcome = Outcome {
                    seed,
                    method: None,
                    error: mean(&each),
                    each,
                    conflict_rate: None,
                };
                keep(&file, &outcome)?;
                return Ok(outcome);
            };
            let outcome = train(choice, seed, method, tables)?;
            keep(&file, &outcome)?;
            Ok(outcome)
        })
        .collect::<Result<_, Failure>>()?;
    Ok((jobs, outcomes))
}

fn scores(kept: &Path, choice: &Choice) -> Result<(), Failure> {
    let (jobs, outcomes) = train_all(kept, choice)?;
    let of = |method: Option<Balancing>| -> Vec<&Outcome> {
        let own = jobs.iter().zip(&outcomes).filter(|((other, _), _)| *other == method);
        own.map(|(_, outcome)| outcome).collect()
    };
    let errors = |outcomes: &[&Outcome]| outcomes.iter().map(|outcome| outcome.error).collect::<Vec<_>>();
    let uniform = errors(&of(Some(Balancing::Uniform)));
    println!("| method | error | minus uniform's, 95 % interval | conflict rate | easiest task | hardest task |");
    println!("|---|---|---|---|---|---|");
    for method in choice.methods.iter().copied() {
        let own = of(method);
        let error = errors(&own);
        let difference: Vec<f64> = error.iter().zip(&uniform).map(|(own, uniform)| own - uniform).collect();
        let paired = match method {
            Some(Balancing::Uniform) => "-".to_owned(),
            _ if difference.len() < 2 => "-".to_owned(),
            _ => {
                let (low, high) = interval(&difference);
                format!("{:+.3} [{low:+.3}, {high:+.3}]", mean(&difference))
            }
        };
        let conflicts: Vec<f64> = own.iter().filter_map(|outcome| outcome.conflict_rate).collect();
        let conflict = match conflicts.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.0} %", 100.0 * mean(&conflicts)),
        };
        let tasks = own.first().map_or(0, |outcome| outcome.each.len());
        let task = |task: usize| mean(&own.iter().map(|outcome| outcome.each[task]).collect::<Vec<_>>());
        let (least, most) = range((0..tasks).map(task));
        let name = method.map_or("each task alone", Balancing::name);
        println!(
            "| {name} | {:.4} | {paired} | {conflict} | {least:.3} | {most:.3} |",
            mean(&error)
        );
    }
    Ok(())
}

/// Adds an outcome to the file.
fn keep(file: &Mutex<File>, outcome: &Outcome) -> Result<(), Failure> {
    let line = serde_json::to_string(outcome)?;
    let mut file = file.lock().map_err(|_| "another thread failed")?;
    writeln!(file, "{line}")?;
    eprintln!("{line}");
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Student's 95 % interval of the mean of differences.
fn interval(differences: &[f64]) -> (f64, f64) {
    let (n, centre) = (differences.len() as f64, mean(differences));
    let variance = differences.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (n - 1.0);
    // 97.5th percentile of Student's t, from one degree of freedom on.
    const T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let t = T.get(differences.len() - 2).copied().unwrap_or(2.262);
    let half = t * (variance / n).sqrt();
    (centre - half, centre + half)
}

/// Steps of each method as a multiple of plain averaging's time: 64 rows a task, 32-64-64 trunk, median of five.
fn costs() -> Result<(), Failure> {
    const TASKS: [usize; 3] = [3, 10, 50];
    const ROWS: usize = 64;
    let mut columns = Vec::new();
    for tasks in TASKS {
        let head = TaskHead {
            inputs: 32,
            outputs: 1,
            loss: TargetLoss::SquaredError,
        };
        let network = MultiTask {
            encoder: None,
            conditioning: Conditioning::None,
            shared_head: false,
            hidden: vec![64, 64],
            activation: Activation::Tanh,
            tasks: vec![head; tasks],
        };
        let mut x = vec![0.0; tasks * ROWS * 32];
        let mut y = vec![0.0; tasks * ROWS];
        fill_standard_normal(&mut stream(0, "cost, inputs", &[]), &mut x);
        fill_standard_normal(&mut stream(0, "cost, targets", &[]), &mut y);
        let rows = x.chunks_exact(ROWS * 32).zip(y.chunks_exact(ROWS));
        let batches: Vec<TaskBatch<'_>> = rows.map(|(inputs, targets)| TaskBatch { inputs, targets }).collect();
        let steps = 600 / tasks;
        let mut learners = Vec::new();
        for method in Balancing::ALL {
            let settings = MultiTaskSettings {
                balance: Balance::with(method),
                ..MultiTaskSettings::new(network.clone(), ROWS, Adam::new(1e-3), 1_000_000)
            };
            learners.push((MultiTaskLearner::new(&settings, &PlanEngine::fast())?, Vec::new()));
        }
        // In turn, so that what else the machine does meets all alike.
        for _ in 0..6 {
            for (learner, times) in &mut learners {
                let start = Instant::now();
                for _ in 0..steps {
                    learner.train_on_batch(&batches)?;
                }
                times.push(start.elapsed().as_secs_f64() / steps as f64);
            }
        }
        let median = |times: &[f64]| {
            // The first round warms up.
            let mut times = times[1..].to_vec();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        columns.push(learners.iter().map(|(_, times)| median(times)).collect::<Vec<f64>>());
    }
    println!("| method | 3 tasks | 10 tasks | 50 tasks |");
    println!("|---|---|---|---|");
    for (index, method) in Balancing::ALL.into_iter().enumerate() {
        let cell = |column: &Vec<f64>| match index {
            0 => format!("{:.2} ms", 1e3 * column[0]),
            _ => format!("{:.2}", column[index] / column[0]),
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        println!("| {} | {} |", method.name(), cells.join(" | "));
    }
    Ok(())
}
