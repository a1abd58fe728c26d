//! Tasks learned together, on the deployed image: select, identify, fit a new head, and follow a sensor that changed.

use pliant_compiler::image::{AlignedBytes, ImageOptions};
use pliant_compiler::policy::TargetLoss;
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, Image, Objective};
use pliant_runtime::policy::{Policy, SelectError, workspace_len};
use pliant_trainer::algorithms::{Algorithm, MultiTaskTraining};
use pliant_trainer::bundle::{banked_image, banked_network, export};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::{DeviceRows, EvalOptions, evaluate, test_error};
use pliant_trainer::random::{fill_standard_normal, stream};
use pliant_trainer::recipe::{self, Adam, HeadAdaptation, Recipe, Source};
use pliant_trainer::tasks::{Split, TaskConflictFamily, TaskRows, TaskTable, task_set};

/// The recipe with fewer rows and steps.
fn small(iterations: u64) -> Recipe {
    let mut source = Source::find("task-conflict").unwrap();
    for set in [
        "family.task-conflict.rows=[256, 256, 256, 256]".to_owned(),
        "family.task-conflict.test_rows=500".to_owned(),
        format!("algorithm.multi-task.iterations={iterations}"),
        "algorithm.multi-task.optimizer.rate=0.02".to_owned(),
    ] {
        source.set(&set).unwrap();
    }
    source.parse().unwrap()
}

fn settings(recipe: &Recipe) -> &recipe::MultiTask {
    match &recipe.algorithm {
        recipe::Algorithm::MultiTask(settings) => settings,
        other => panic!("{}", other.name()),
    }
}

fn trained(settings: &recipe::MultiTask, recipe: &Recipe, tables: Vec<TaskTable>) -> MultiTaskTraining {
    let mut training =
        MultiTaskTraining::new(settings, &recipe.policy, recipe.seed, tables, &PlanEngine::fast()).unwrap();
    while training.completed() < training.iterations() {
        training.step().unwrap();
    }
    training
}

/// The image of a training, with channels by number.
fn image(settings: &recipe::MultiTask, recipe: &Recipe, training: &mut MultiTaskTraining) -> AlignedBytes {
    let learned = training.learned().unwrap();
    let network = banked_network(settings, &recipe.policy, training.tables(), &learned.parameters).unwrap();
    let rows = settings.adaptation.rows as u32;
    let spec = AdaptationSpec::new(Objective::Supervised)
        .with_rows(rows, 8)
        .with_step_scales(&learned.step_scales);
    let mut contract = Contract::new(1.0);
    for index in 0..network.policy.inputs {
        contract
            .observe(Channel::observation(&format!("x{index}"), ""))
            .unwrap();
    }
    for index in 0..network.policy.outputs {
        contract.actuate(Channel::action(&format!("y{index}"), "")).unwrap();
    }
    AlignedBytes::new(&banked_image(&network, &learned, spec, &contract, &ImageOptions::default()).unwrap())
}

/// The whole way of the recipe: train, export, evaluate; tasks are told apart, and one that does not exist is refused.
#[test]
fn a_recipe_becomes_an_image_whose_tasks_can_be_selected_and_identified() {
    let recipe = small(400);
    let mut training = trained(settings(&recipe), &recipe, task_set(&recipe).unwrap().unwrap());
    let learned = training.learned().unwrap();
    let exported = export(&recipe, &learned, 1).unwrap();
    let names: Vec<&str> = exported.files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["policy.onnx", "adapt.onnx", "score.onnx", "policy.pliant"]);
    let bytes = AlignedBytes::new(&exported.files[3].1);
    let options = EvalOptions {
        tasks: 4,
        seed: 0,
        threads: 1,
    };
    let evaluation = evaluate(&recipe, &bytes, options).unwrap();
    assert!(evaluation.adaptation[0].mean < 0.3, "{:?}", evaluation.adaptation);
    let identified = evaluation.also.last().unwrap();
    assert!(identified.adaptation[0].mean > 0.9, "{identified:?}");

    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    // Four tasks and a spare slot.
    assert_eq!(policy.tasks(), 5);
    assert_eq!(policy.select(5), Err(SelectError::NoSuchTask { tasks: 5 }));
    let (_, mut learner) = policy.split();
    assert_eq!(learner.identify(), Err(SelectError::EmptySupport));

    // What the image answers is what the workstation's network says.
    let tables = training.tables().to_vec();
    for (task, table) in tables.iter().enumerate() {
        let inputs = &table.test.inputs[..32 * 20];
        let expected = training.learner().predict(task, inputs).unwrap();
        policy.select(task as u32).unwrap();
        let (mut actor, _) = policy.split();
        let scale = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (input, expected) in inputs.chunks_exact(32).zip(expected) {
            let mut answer = [0.0];
            assert!(!actor.act(input, &mut answer).is_safe_action());
            assert!((answer[0] - expected).abs() < 1e-4 * scale, "{} {expected}", answer[0]);
        }
    }
}

/// However the trunk is told the task, the image answers as the network that was trained, for every task and the spare
/// slot too: embeddings and what makes scales and shifts of them are folded into the bank.
#[test]
fn conditioning_is_folded_into_the_bank() {
    for (sets, numbers) in [
        (["conditioning=\"one-hot\"", "shared_head=true"], 12),
        (["conditioning=\"embedding\"", "shared_head=true"], 12),
        (["conditioning=\"film\"", "shared_head=false"], 24),
        (["conditioning=\"experts-by-task\"", "shared_head=true"], 12),
        (["conditioning=\"experts-by-input\"", "shared_head=false"], 0),
    ] {
        let mut source = Source::find("task-conflict").unwrap();
        for set in sets {
            source.set(&format!("algorithm.multi-task.{set}")).unwrap();
        }
        source.set("family.task-conflict.rows=[64, 64, 64]").unwrap();
        source.set("algorithm.multi-task.iterations=50").unwrap();
        source.set("algorithm.multi-task.optimizer.rate=0.05").unwrap();
        let recipe = source.parse().unwrap();
        let mut training = trained(settings(&recipe), &recipe, task_set(&recipe).unwrap().unwrap());
        let learned = training.learned().unwrap();
        let network = banked_network(
            settings(&recipe),
            &recipe.policy,
            training.tables(),
            &learned.parameters,
        )
        .unwrap();
        let modulated = |name: &str| name.starts_with("layer0.s") || name == "layer0.gate";
        let bank = network.policy.bank();
        let own = bank.iter().filter(|parameter| modulated(&parameter.name));
        assert_eq!(
            own.map(|parameter| parameter.elements()).sum::<usize>(),
            numbers,
            "{sets:?}"
        );
        let layers: Vec<_> = network.tasks[..3].iter().map(|task| &task.modulation).collect();
        assert!(
            numbers == 0 || layers[0] != layers[1] && layers[1] != layers[2],
            "{sets:?}"
        );
        let bytes = image(settings(&recipe), &recipe, &mut training);
        let image = Image::new_checked(&bytes).unwrap();
        let mut memory = vec![0.0; workspace_len(image.bytes())];
        let mut policy = Policy::new(&image, None, &mut memory).unwrap();
        for task in 0..3 {
            let inputs = training.tables()[task].test.inputs[..32 * 20].to_vec();
            let (scale, offset) = training.tables()[task].target[0];
            let expected = training.learner().predict(task, &inputs).unwrap();
            policy.select(task as u32).unwrap();
            let (mut actor, _) = policy.split();
            let size = expected.iter().fold(0.1f32, |most, value| most.max(value.abs()));
            for (input, expected) in inputs.chunks_exact(32).zip(expected) {
                let mut answer = [0.0];
                assert!(!actor.act(input, &mut answer).is_safe_action());
                let answer = (answer[0] - offset) / scale;
                assert!(
                    (answer - expected).abs() < 1e-4 * size,
                    "{sets:?} {task}: {answer} {expected}"
                );
            }
        }
        policy.select(3).unwrap();
        let (mut actor, _) = policy.split();
        let mut answer = [1.0];
        assert!(!actor.act(&[0.3; 32], &mut answer).is_safe_action());
        assert_eq!(answer, [0.0]);
    }
}

/// What docs/algorithms/multi-task.md says of the tasks.
#[test]
fn conflicting_tasks_are_those_of_the_protocol() {
    let settings = recipe::TaskConflict {
        rows: vec![64, 128, 256, 512, 1024, 2048, 2048, 2048],
        validation_rows: 256,
        test_rows: 4096,
    };
    let family = TaskConflictFamily::new(&settings, 3);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for task in 0..8 {
        let own = family.direction(task);
        assert!((dot(own, own) - 1.0).abs() < 1e-9);
        if task % 2 == 1 {
            assert!((dot(own, family.direction(task - 1)) + 0.8).abs() < 1e-9);
        }
    }
    assert!((family.scale(0) - 0.1).abs() < 1e-12 && (family.scale(7) - 10.0).abs() < 1e-9);
    let tables = family.tables();
    let rows: Vec<usize> = tables.iter().map(|table| table.count(Split::Train)).collect();
    assert_eq!(rows, settings.rows);
    assert!(tables.iter().all(|table| table.count(Split::Test) == 4096));
    // Tests and training draw from different streams.
    assert_ne!(tables[7].train.inputs[..32], tables[7].test.inputs[..32]);
    assert_eq!(TaskConflictFamily::new(&settings, 3).tables(), tables);
    assert_ne!(TaskConflictFamily::new(&settings, 4).tables(), tables);
}

/// A task that nobody trained on: its head is fitted on the device by a few gradient steps over the frozen trunk of the
/// other seven, and explains at least 90 % of what a jointly trained head does.
#[test]
fn a_new_head_is_fitted_on_the_device() {
    let mut recipe = small(1000);
    if let recipe::Family::TaskConflict(family) = &mut recipe.family {
        family.rows = vec![512; 8];
    }
    // A trunk with room beyond the tasks it was trained on.
    recipe.policy.hidden = vec![64];
    let mut settings = settings(&recipe).clone();
    settings.adaptation.rows = 512;
    let tables = task_set(&recipe).unwrap().unwrap();
    let joint = image(&settings, &recipe, &mut trained(&settings, &recipe, tables.clone()));
    let without = tables[..7].to_vec();
    let frozen = image(&settings, &recipe, &mut trained(&settings, &recipe, without));
    let explained = |bytes: &AlignedBytes, fit: bool| {
        let image = Image::new_checked(bytes).unwrap();
        let mut memory = vec![0.0; workspace_len(image.bytes())];
        let mut policy = Policy::new(&image, None, &mut memory).unwrap();
        // Slot 7 is the eighth task's, or spare.
        policy.select(7).unwrap();
        if fit {
            let (_, mut learner) = policy.split();
            let rows = DeviceRows::new(&tables[7], Split::Train, (32, 1));
            for row in 0..512 {
                let (input, target) = rows.row(row);
                learner.observe_example(input, target).unwrap();
            }
            let report = learner.adapt();
            assert!(report.is_accepted(), "{report:?}");
        }
        1.0 - test_error(&mut policy, &tables[7], 7, (32, 1)).unwrap()
    };
    let (trained, blank, fitted) = (
        explained(&joint, false),
        explained(&frozen, false),
        explained(&frozen, true),
    );
    println!("explained: jointly trained {trained:.3}, spare {blank:.3}, fitted on the device {fitted:.3}");
    assert!(blank < 0.05, "{blank}");
    assert!(fitted >= 0.9 * trained, "{fitted} {trained}");
}

/// A number of two inputs, two labels of three, one of three classes of four: everything unlike.
fn unlike_tables() -> Vec<TaskTable> {
    let rows = |task: u64, split: Split, inputs: usize, target: &dyn Fn(&[f32]) -> Vec<f32>| {
        let mut x = vec![0.0; 300 * inputs];
        fill_standard_normal(&mut stream(task, "unlike", &[split as u64]), &mut x);
        TaskRows {
            targets: x.chunks_exact(inputs).flat_map(target).collect(),
            inputs: x,
        }
    };
    let table = |task, name: &str, inputs, outputs, loss, unit, target: &dyn Fn(&[f32]) -> Vec<f32>| TaskTable {
        name: name.to_owned(),
        features: (0..inputs).map(|index| format!("x{index}")).collect(),
        outputs,
        loss,
        target: vec![unit; outputs],
        logarithm: false,
        prepared: None,
        train: rows(task, Split::Train, inputs, target),
        validation: rows(task, Split::Validation, inputs, target),
        test: rows(task, Split::Test, inputs, target),
    };
    let label = |yes: bool| f32::from(u8::from(yes));
    vec![
        table(0, "number", 2, 1, TargetLoss::SquaredError, (20.0, 100.0), &|x| {
            vec![(x[0] - 0.5 * x[1]).tanh()]
        }),
        table(1, "labels", 3, 2, TargetLoss::BinaryCrossEntropy, (1.0, 0.0), &|x| {
            vec![label(x[0] > 0.0), label(x[1] + x[2] > 0.5)]
        }),
        table(2, "class", 4, 3, TargetLoss::CrossEntropy, (1.0, 0.0), &|x| {
            let class = if x[0] > 0.5 { 0 } else { 1 + usize::from(x[1] > x[2]) };
            (0..3).map(|index| label(index == class)).collect()
        }),
    ]
}

/// Unlike inputs and targets in one image: answers are numbers in their unit and probabilities, and after every sensor of
/// a task has been recalibrated, 32 labelled rows bring at least 80 % of the lost score back, whatever the task, in the mean of
/// five seeds.
#[test]
fn unlike_tasks_share_an_image_and_follow_their_sensors() {
    const SEEDS: u64 = 5;
    let mut recovered = [0.0; 3];
    for seed in 0..SEEDS {
        for (mean, share) in recovered.iter_mut().zip(follows_its_sensors(seed)) {
            *mean += share / SEEDS as f64;
        }
    }
    println!("recovered: {recovered:.3?}");
    assert!(recovered.iter().all(|&share| share > 0.8), "{recovered:?}");
}

/// The share of the score lost to recalibrated sensors that adaptation brings back, for each task.
fn follows_its_sensors(seed: u64) -> [f64; 3] {
    let mut recipe = small(1000);
    recipe.seed = seed;
    recipe.policy.hidden = vec![24];
    let settings = recipe::MultiTask {
        encoder: 24,
        // Targets are of one size here; the recipe's small start is for those that are not.
        head_start: 1.0,
        balance: recipe::Balance::with(recipe::Balancing::Uncertainty),
        optimizer: Adam::new(0.005),
        weight_decay: 0.01,
        adaptation: HeadAdaptation {
            rows: 32,
            input_rate: 0.015,
            rate: 0.1,
            ..HeadAdaptation::default()
        },
        ..settings(&recipe).clone()
    };
    let tables = unlike_tables();
    let bytes = image(&settings, &recipe, &mut trained(&settings, &recipe, tables.clone()));
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let mut recovered = [0.0; 3];
    for (task, table) in tables.iter().enumerate() {
        policy.select(task as u32).unwrap();
        let error = test_error(&mut policy, table, task as u64, (4, 3)).unwrap();
        assert!(error < 0.15, "{}: {error}", table.name);
        // Probabilities of what the task has, zero elsewhere.
        let rows = DeviceRows::new(table, Split::Test, (4, 3));
        let mut answer = [0.0; 3];
        let (mut actor, _) = policy.split();
        let _status = actor.act(rows.row(0).0, &mut answer);
        match table.loss {
            TargetLoss::SquaredError => assert!((70.0..130.0).contains(&answer[0]) && answer[1..] == [0.0; 2]),
            TargetLoss::BinaryCrossEntropy => {
                assert!(answer[2] == 0.0 && answer.iter().all(|p| (0.0..=1.0).contains(p)));
            }
            TargetLoss::CrossEntropy => assert!((answer.iter().sum::<f32>() - 1.0).abs() < 1e-5),
        }

        // Recalibrated: every input times 0.6 and moved by 0.8.
        let moved = |rows: &TaskRows| TaskRows {
            inputs: rows.inputs.iter().map(|x| 0.6 * x + 0.8).collect(),
            targets: rows.targets.clone(),
        };
        let shifted = TaskTable {
            validation: moved(&table.validation),
            test: moved(&table.test),
            ..table.clone()
        };
        let before = test_error(&mut policy, &shifted, task as u64, (4, 3)).unwrap();
        let (_, mut learner) = policy.split();
        let support = DeviceRows::new(&shifted, Split::Validation, (4, 3));
        for row in 0..32 {
            let (input, target) = support.row(row);
            learner.observe_example(input, target).unwrap();
        }
        assert!(learner.adapt().is_accepted());
        let after = test_error(&mut policy, &shifted, task as u64, (4, 3)).unwrap();
        println!("{}: {error:.3}, shifted {before:.3}, adapted {after:.3}", table.name);
        assert!(
            before > error + 0.1,
            "{}: the shift costs {error} to {before}",
            table.name
        );
        recovered[task] = (before - after) / (before - error);
    }
    recovered
}

/// A run that was saved and restored goes on with the same bits: sampling, noise and early stopping included.
#[test]
fn training_resumes_exactly() {
    resumes_exactly(recipe::Sampling::Difficulty);
}

/// So does a curriculum, whose order is measured.
#[test]
fn a_curriculum_resumes_exactly() {
    resumes_exactly(recipe::Sampling::Curriculum);
}

/// All tasks until they have been measured, then the easiest by the schedule; a step says how many took part.
#[test]
fn a_curriculum_opens_tasks_by_its_schedule() {
    let recipe = small(200);
    let settings = recipe::MultiTask {
        sampling: recipe::Sampling::Curriculum,
        curriculum: recipe::Curriculum {
            start: 0.25,
            until: 1.0,
            every: 20,
        },
        ..settings(&recipe).clone()
    };
    let tables = task_set(&recipe).unwrap().unwrap();
    let mut training = MultiTaskTraining::new(&settings, &recipe.policy, 0, tables, &PlanEngine::fast()).unwrap();
    let counts: Vec<f32> = (0..200)
        .map(|_| {
            let metrics = training.step().unwrap().metrics;
            metrics.iter().find(|(name, _)| *name == "tasks in a step").unwrap().1
        })
        .collect();
    let at = [0, 19, 20, 60, 80, 120, 140, 199].map(|step| counts[step]);
    assert_eq!(at, [4.0, 4.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
}

fn resumes_exactly(sampling: recipe::Sampling) {
    let recipe = small(60);
    let settings = recipe::MultiTask {
        batch_rows: 32,
        tasks: 2,
        sampling,
        curriculum: recipe::Curriculum {
            every: 7,
            ..recipe::Curriculum::default()
        },
        input_noise: 0.1,
        mixup: 0.2,
        dropout: 0.1,
        validate_every: 10,
        patience: 50,
        ..settings(&recipe).clone()
    };
    let new = || {
        let tables = task_set(&recipe).unwrap().unwrap();
        MultiTaskTraining::new(&settings, &recipe.policy, 0, tables, &PlanEngine::fast()).unwrap()
    };
    let steps =
        |training: &mut MultiTaskTraining, count: usize| (0..count).for_each(|_| drop(training.step().unwrap()));
    let mut whole = new();
    steps(&mut whole, 25);
    let saved = whole.state().unwrap();
    steps(&mut whole, 35);
    let mut resumed = new();
    resumed.restore(&saved).unwrap();
    steps(&mut resumed, 35);
    assert_eq!(resumed.state().unwrap(), whole.state().unwrap());
    assert_eq!(resumed.learned().unwrap(), whole.learned().unwrap());
}
