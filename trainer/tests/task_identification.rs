//! Which of eight control tasks is at hand, told by the deployed image from ten transitions: what docs/algorithms/multi-task-ppo.md
//! says under "Which task is it?".

use pliant_compiler::image::{AlignedBytes, ImageOptions};
use pliant_compiler::policy::{FeatureMap, InputScaling, TargetLoss};
use pliant_runtime::contract::{Channel, Contract, MAX_ACTIONS};
use pliant_runtime::experience::End;
use pliant_runtime::image::{AdaptationSpec, Image, Objective};
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, MultiTaskTraining};
use pliant_trainer::bundle::{banked_image, banked_network};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::DeviceRows;
use pliant_trainer::random::{stream, uniform};
use pliant_trainer::recipe::{self, Adam, Balance, Balancing, Family, Source, SystemTask};
use pliant_trainer::tasks::{Prepared, Split, TaskRows, TaskTable, task_stream};

/// Transitions by which a task is told.
const TRANSITIONS: usize = 10;
/// Of training.
const SEEDS: [u64; 3] = [0, 1, 2];

/// Steps for which an action is held.
const HOLD: usize = 5;

/// Numbers of the observation whose change is predicted: the first ones, as many as a contract can have outputs.
fn predicted(system: &SystemTask) -> usize {
    system.widths().0.min(MAX_ACTIONS)
}

/// Transitions of one instance after the other, `steps` each, under actions at random: observation and action (as a share of the
/// greatest), then the change of the observation. Also where an episode begins.
fn transitions(
    number: u64,
    system: &SystemTask,
    split: Split,
    (instances, steps): (usize, usize),
) -> (TaskRows, Vec<usize>) {
    let (mut rows, mut begins) = (TaskRows::default(), Vec::new());
    for instance in 0..instances as u64 {
        let mut environment = system.environment(1);
        let (seen, done) = (environment.observation_width(), environment.actions().width());
        let targets = predicted(system);
        let mut random = stream(number, "actions at random", &[split as u64, instance]);
        let mut draws = 0;
        let mut renew = |environment: &mut Box<dyn pliant_trainer::envs::VectorEnvironment>| {
            let mut random = task_stream(7, split, &[number, instance, draws]);
            draws += 1;
            environment.new_task(0, &mut random);
            environment.new_episode(0, &mut random);
        };
        renew(&mut environment);
        let (mut before, mut after) = (vec![0.0; seen], vec![0.0; seen]);
        let mut action = vec![0.0; done];
        let (mut reward, mut end) = ([0.0], [End::Continue]);
        for step in 0..steps {
            if step == 0 || end[0].is_last() {
                begins.push(rows.targets.len() / targets);
            }
            if step % HOLD == 0 {
                action.fill_with(|| uniform(&mut random, -1.0, 1.0));
            }
            environment.observe(&mut before);
            let physical: Vec<f32> = action.iter().map(|share| environment.action_scale() * share).collect();
            environment.step(&physical, &mut reward, &mut end);
            environment.observe(&mut after);
            rows.inputs.extend(before.iter().chain(&action));
            rows.targets.extend(
                after
                    .iter()
                    .zip(&before)
                    .map(|(after, before)| after - before)
                    .take(targets),
            );
            if end[0].is_last() {
                renew(&mut environment);
            }
        }
    }
    (rows, begins)
}

/// Mean and deviation of every column.
fn moments(values: &[f32], width: usize) -> Vec<(f32, f32)> {
    let column = |at: usize| values.iter().skip(at).step_by(width).map(|&value| f64::from(value));
    let count = (values.len() / width) as f64;
    let one = |at: usize| {
        let mean = column(at).sum::<f64>() / count;
        let variance = column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        // What never varies stays as it is.
        let deviation = if variance > 1e-12 { variance.sqrt() } else { 1.0 };
        (mean as f32, deviation as f32)
    };
    (0..width).map(one).collect()
}

fn table(number: u64, name: &str, system: &SystemTask, widest: usize) -> (TaskTable, Vec<usize>) {
    let (seen, done) = system.widths();
    let (own, targets) = (seen + done, predicted(system));
    let gather = |split, size| transitions(number, system, split, size);
    let (train, _) = gather(Split::Train, (32, 250));
    let (validation, _) = gather(Split::Validation, (4, 100));
    let (test, begins) = gather(Split::Test, (10, 100));
    let scales = moments(&train.inputs, own);
    let units = moments(&train.targets, targets);
    let padded = |rows: &TaskRows| TaskRows {
        inputs: rows
            .inputs
            .chunks_exact(own)
            .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, widest - own)))
            .collect(),
        targets: rows.targets.clone(),
    };
    let scaled = |rows: &TaskRows| {
        let input = |(at, value): (usize, &f32)| {
            scales
                .get(at % widest)
                .map_or(0.0, |(mean, deviation)| (value - mean) / deviation)
        };
        let target = |(at, value): (usize, &f32)| {
            let (mean, deviation) = units[at % targets];
            (value - mean) / deviation
        };
        let rows = padded(rows);
        TaskRows {
            inputs: rows.inputs.iter().enumerate().map(input).collect(),
            targets: rows.targets.iter().enumerate().map(target).collect(),
        }
    };
    let spread = |value: fn(&(f32, f32)) -> f32| -> Vec<f32> {
        let own = scales.iter().map(value);
        own.chain(std::iter::repeat_n(0.0, widest - scales.len())).collect()
    };
    let names: Vec<String> = (0..widest).map(|index| format!("x{index}")).collect();
    let table = TaskTable {
        name: name.to_owned(),
        features: names.clone(),
        outputs: targets,
        loss: TargetLoss::SquaredError,
        target: units.iter().map(|&(mean, deviation)| (deviation, mean)).collect(),
        logarithm: false,
        train: scaled(&train),
        validation: scaled(&validation),
        test: scaled(&test),
        prepared: Some(Prepared {
            map: FeatureMap::new(widest),
            scaling: InputScaling {
                mean: spread(|scale| scale.0),
                factor: spread(|scale| scale.1.recip()),
                mask: spread(|_| 1.0),
            },
            channels: names,
            substitutes: vec![None; widest],
            raw: [padded(&train), padded(&validation), padded(&test)],
        }),
    };
    (table, begins)
}

/// Trains the image of one seed; how many it tells right of how many.
fn identified(seed: u64, all: &[(TaskTable, Vec<usize>)], (widest, outputs): (usize, usize)) -> (usize, usize) {
    let tables: Vec<TaskTable> = all.iter().map(|(table, _)| table.clone()).collect();
    let mut recipe = Source::find("task-conflict").unwrap().parse().unwrap();
    recipe.policy.hidden = vec![64];
    let recipe::Algorithm::MultiTask(settings) = &recipe.algorithm else {
        panic!("not multi-task")
    };
    let mut settings = settings.clone();
    settings.encoder = 64;
    settings.iterations = 3000;
    settings.batch_rows = 128;
    settings.head_start = 1.0;
    settings.balance = Balance::with(Balancing::Uncertainty);
    settings.optimizer = Adam::new(0.005);
    settings.adaptation.spare_heads = 0;
    settings.adaptation.rows = TRANSITIONS;
    let engine = PlanEngine::fast();
    let mut training = MultiTaskTraining::new(&settings, &recipe.policy, seed, tables, &engine).unwrap();
    while training.completed() < training.iterations() {
        training.step().unwrap();
    }
    let learned = training.learned().unwrap();
    let network = banked_network(&settings, &recipe.policy, training.tables(), &learned.parameters).unwrap();
    let spec = AdaptationSpec::new(Objective::Supervised)
        .with_rows(TRANSITIONS as u32, TRANSITIONS as u32)
        .with_step_scales(&learned.step_scales);
    let mut contract = Contract::new(50.0);
    for index in 0..widest {
        contract
            .observe(Channel::observation(&format!("x{index}"), ""))
            .unwrap();
    }
    for index in 0..outputs {
        contract
            .actuate(Channel::action(&format!("change {index}"), ""))
            .unwrap();
    }
    let bytes = banked_image(&network, &learned, spec, &contract, &ImageOptions::default()).unwrap();
    let bytes = AlignedBytes::new(&bytes);
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();

    let (mut right, mut count) = (0, 0);
    for (task, (table, begins)) in all.iter().enumerate() {
        let rows = DeviceRows::new(table, Split::Test, (widest, outputs));
        let mut own = [0; 2];
        // Ten transitions in a row, of one episode.
        for start in (0..rows.len() - TRANSITIONS).step_by(TRANSITIONS) {
            if begins
                .iter()
                .any(|begin| (start + 1..start + TRANSITIONS).contains(begin))
            {
                continue;
            }
            let (_, mut learner) = policy.split();
            learner.clear();
            for row in start..start + TRANSITIONS {
                let (input, target) = rows.row(row);
                learner.observe_example(input, target).unwrap();
            }
            own[0] += usize::from(learner.identify().unwrap().task as usize == task);
            own[1] += 1;
        }
        println!("{}: {} of {}", table.name, own[0], own[1]);
        right += own[0];
        count += own[1];
    }
    (right, count)
}

#[test]
fn a_control_task_is_identified_from_ten_transitions() {
    let source = Source::find("unlike-systems").unwrap().parse().unwrap();
    let Family::Systems(family) = &source.family else {
        panic!("not systems")
    };
    let widths: Vec<_> = family.tasks.values().map(SystemTask::widths).collect();
    let widest = widths.iter().map(|(seen, done)| seen + done).max().unwrap();
    let outputs = family.tasks.values().map(predicted).max().unwrap();
    let all: Vec<_> = (0..)
        .zip(&family.tasks)
        .map(|(number, (name, system))| table(number, name, system, widest))
        .collect();

    let mut shares = 0.0;
    for seed in SEEDS {
        let (right, count) = identified(seed, &all, (widest, outputs));
        let share = right as f64 / count as f64;
        println!("seed {seed}: {right} of {count}, {:.1} %", 100.0 * share);
        assert!(count >= 400, "{count}");
        shares += share / SEEDS.len() as f64;
    }
    println!("right: {:.1} %", 100.0 * shares);
    assert!(shares >= 0.95, "{shares}");
}
