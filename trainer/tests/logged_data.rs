//! Logged data: files become tasks, features travel into the image and the ONNX models, and what is wrong is named.

use std::path::Path;

use pliant_compiler::image::AlignedBytes;
use pliant_compiler::policy::TargetLoss;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, Maml, MetaSettings, MultiTaskTraining, supervised};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::{DeviceRows, EvalOptions, evaluate, test_error};
use pliant_trainer::recipe::{self, Recipe, Source};
use pliant_trainer::tasks::{Split, Tasks, task_set};

const MULTI_TASK: &str = r#"
name = "logged"
description = "a test"
[family.logged]
folder = "FOLDER"
files = FILES
MORE
[policy]
hidden = [16]
activation = "tanh"
[algorithm.multi-task]
iterations = 300
encoder = 16
[algorithm.multi-task.adaptation]
rate = 0.02
standardise_inputs = true
[algorithm.multi-task.balance]
method = "uncertainty"
[algorithm.multi-task.optimizer]
rate = 0.02
[evaluation]
tasks = 2
"#;

const RIDGE: &str = r#"
name = "logged-ridge"
description = "a test"
[family.logged]
folder = "FOLDER"
files = FILES
MORE
[policy]
hidden = [16, 8]
activation = "tanh"
[algorithm.ridge]
iterations = 300
tasks = 8
ridge = 0.1
[algorithm.ridge.optimizer]
rate = 0.01
[evaluation]
tasks = 40
"#;

fn recipe(text: &str, folder: &Path, files: &str, more: &str) -> Recipe {
    let text = text
        .replace("FOLDER", &folder.display().to_string().replace('\\', "/"))
        .replace("FILES", files)
        .replace("MORE", more);
    let source = Source {
        origin: "test".to_owned(),
        text,
    };
    source.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The message of a recipe whose files are refused.
fn refusal(folder: &Path, file: &str, content: &str, more: &str) -> String {
    std::fs::write(folder.join(file), content).unwrap();
    let recipe = recipe(MULTI_TASK, folder, &format!("[{file:?}]"), more);
    match task_set(&recipe) {
        Ok(_) => panic!("{file} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Numbers that look drawn, from -1 to 1.
fn wave(index: usize, step: f64) -> f64 {
    (index as f64 * step).sin()
}

fn options(tasks: u64) -> EvalOptions {
    EvalOptions {
        tasks,
        seed: 0,
        threads: 1,
    }
}

#[test]
fn unlike_files_become_tasks_of_one_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut pump = String::from("speed;load;power;split\n");
    let mut fan = String::from("speed,noise,balance,fault\n");
    for row in 0..240 {
        let (a, b) = (wave(row, 1.7), wave(row, 2.9));
        // A target over decades, some cells empty.
        let power = if row % 40 == 7 {
            String::new()
        } else {
            format!("{}", (1.5 * a + b + 2.0).exp())
        };
        let load = if row % 30 == 5 {
            "NA".to_owned()
        } else {
            format!("{}", 50.0 + 10.0 * b)
        };
        let split = ["train", "train", "train", "validation", "test"][row % 5];
        pump += &format!("{};{load};{power};{split}\n", 1000.0 + 300.0 * a);
        let fault = ["none", "bearing", "blade"][if a > 0.4 { 1 } else { 2 * usize::from(b > 0.0) }];
        fan += &format!("{},{},{},{fault}\n", 100.0 * a, 0.1 * b, wave(row, 0.3));
    }
    std::fs::write(folder.path().join("pump.csv"), pump.replace("split", "part")).unwrap();
    std::fs::write(folder.path().join("fan.csv"), fan).unwrap();
    let more = r#"
        missing_markers = ["NA"]
        [family.logged.tasks.pump]
        inputs = ["speed", "load"]
        targets = ["power"]
        redefine = "logarithm"
        [family.logged.tasks.fan]
        targets = ["fault"]
        kind = "class"
        [family.logged.features]
        degree = 2
    "#;
    let recipe = recipe(MULTI_TASK, folder.path(), r#"["pump.csv", "fan.csv"]"#, more);
    let tables = task_set(&recipe).unwrap().unwrap();
    assert_eq!(
        tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(),
        ["pump", "fan"]
    );
    assert_eq!(
        (tables[0].loss, tables[1].loss),
        (TargetLoss::SquaredError, TargetLoss::CrossEntropy)
    );
    assert_eq!((tables[0].outputs, tables[1].outputs), (1, 3));
    // Three inputs at most, and their six products.
    assert_eq!(tables[0].inputs(), 9);
    // Rows without any target are left out; 60 % of the others train.
    let rows: usize = [Split::Train, Split::Validation, Split::Test]
        .iter()
        .map(|split| tables[0].count(*split))
        .sum();
    assert_eq!(rows, 234);
    assert_eq!(tables[0].count(Split::Test), 47);
    // Classes are in proportion in every split.
    for split in [Split::Train, Split::Test] {
        let share = |split| {
            let targets = &tables[1].rows(split).targets;
            targets.iter().step_by(3).sum::<f32>() / (targets.len() / 3) as f32
        };
        assert!((share(split) - share(Split::Validation)).abs() < 0.03);
    }
    // Training inputs are standardised, the missing included.
    let loads: Vec<f64> = tables[0]
        .train
        .inputs
        .iter()
        .skip(1)
        .step_by(9)
        .map(|value| f64::from(*value))
        .collect();
    let mean = loads.iter().sum::<f64>() / loads.len() as f64;
    assert!(
        mean.abs() < 1e-3 && loads.iter().all(|value| value.abs() < 2.0),
        "{mean}"
    );

    let recipe::Algorithm::MultiTask(settings) = &recipe.algorithm else {
        panic!()
    };
    let mut training =
        MultiTaskTraining::new(settings, &recipe.policy, 0, tables.clone(), &PlanEngine::fast()).unwrap();
    while training.completed() < training.iterations() {
        training.step().unwrap();
    }
    let exported = export(&recipe, &training.learned().unwrap(), 1).unwrap();
    let bytes = AlignedBytes::new(&exported.files[3].1);
    let evaluation = evaluate(&recipe, &bytes, options(2)).unwrap();
    let score = |index: usize| evaluation.also[index].adaptation[0].mean;
    assert!(score(0) < 0.1 && score(1) < 0.15, "{evaluation:?}");

    // Raw rows in, the target's own unit out: the image scales, makes products, undoes the logarithm.
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    policy.select(0).unwrap();
    let inputs = tables[0].test.inputs[..9].to_vec();
    let unit = tables[0].target[0];
    let expected = (training.learner().predict(0, &inputs).unwrap()[0] * unit.0 + unit.1).exp();
    let mut answer = [0.0; 3];
    let raw = tables[0].device_rows(Split::Test);
    let (mut actor, _) = policy.split();
    assert!(!actor.act(&raw.inputs[..3], &mut answer).is_safe_action());
    assert!(
        (answer[0] / expected - 1.0).abs() < 1e-3 && answer[1..] == [0.0; 2],
        "{answer:?} {expected}"
    );
    // A recalibrated instrument: mean and deviation of 32 rows bring most of the lost score back, whatever the targets.
    for (task, table) in tables.iter().enumerate() {
        let mut shifted = table.clone();
        for rows in &mut shifted.prepared.as_mut().unwrap().raw {
            for row in rows.inputs.chunks_exact_mut(3) {
                row[0] = 1.7 * row[0] + 60.0;
                row[1] *= 0.6;
            }
        }
        policy.select(task as u32).unwrap();
        let error = test_error(&mut policy, table, task as u64, (3, 3)).unwrap();
        let before = test_error(&mut policy, &shifted, task as u64, (3, 3)).unwrap();
        let (_, mut learner) = policy.split();
        let support = DeviceRows::new(&shifted, Split::Validation, (3, 3));
        for row in 0..32 {
            let (input, target) = support.row(row);
            learner.observe_example(input, target).unwrap();
        }
        assert!(learner.adapt().is_accepted());
        let after = test_error(&mut policy, &shifted, task as u64, (3, 3)).unwrap();
        println!("{}: {error:.3}, shifted {before:.3}, adapted {after:.3}", table.name);
        assert!(
            before > error + 0.1 && before - after > 0.6 * (before - error),
            "{error} {before} {after}"
        );
    }
}

#[test]
fn a_column_names_the_task_and_the_past_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = String::from("machine,run,heading,speed,drift\n");
    for row in 0..200 {
        let (machine, run) = (["a", "b"][row % 2], row / 20);
        log += &format!(
            "{machine},{run},{},{},{}\n",
            row * 30 % 360,
            wave(row, 1.3),
            wave(row, 0.7)
        );
    }
    std::fs::write(folder.path().join("log.csv"), log).unwrap();
    let more = r#"
        task_column = "machine"
        sequence_column = "run"
        targets = ["drift"]
        [family.logged.features]
        angles = ["heading"]
        degrees = true
        history = 2
        differences = true
        fourier = 3
    "#;
    let recipe = recipe(MULTI_TASK, folder.path(), r#"["log.csv"]"#, more);
    let tables = task_set(&recipe).unwrap().unwrap();
    assert_eq!(
        tables[0].channels(),
        ["heading", "speed", "heading -1", "speed -1", "heading -2", "speed -2"]
    );
    // Six inputs, sine and cosine of three angles, one difference, six waves.
    assert_eq!(tables[0].inputs(), 6 + 6 + 1 + 6);
    for table in &tables {
        let raw = table.device_rows(Split::Train);
        for (row, seen) in raw.inputs.chunks_exact(6).zip(table.train.inputs.chunks_exact(19)) {
            let angle = f64::from(row[0]).to_radians();
            assert!((f64::from(seen[6]) - angle.sin()).abs() < 1e-5 && (f64::from(seen[9]) - angle.cos()).abs() < 1e-5);
            // An angle is no plain input, and the change is that of the scaled one.
            assert_eq!((seen[0], seen[2]), (0.0, 0.0));
            assert!((seen[12] - (seen[1] - seen[3])).abs() < 1e-5);
            // The row before is 60 degrees back (two machines in turn), or the first of its run stands for it.
            assert!([60.0, 300.0, 0.0].contains(&(row[0] - row[2]).abs()), "{row:?}");
        }
    }
    // Runs stay whole: 10 of them, 2 are for tests.
    assert_eq!(tables[0].count(Split::Test), 20);
}

#[test]
fn labels_miss_where_nobody_looked() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = String::from("x,hot,loud\n");
    for row in 0..100 {
        let x = wave(row, 1.1);
        let loud = if row % 3 == 0 {
            ""
        } else if x > 0.2 {
            "yes"
        } else {
            "no"
        };
        log += &format!("{x},{},{loud}\n", u8::from(x > 0.0));
    }
    std::fs::write(folder.path().join("log.csv"), log).unwrap();
    let recipe = recipe(
        MULTI_TASK,
        folder.path(),
        r#"["log.csv"]"#,
        "targets = [\"hot\", \"loud\"]\nkind = \"label\"",
    );
    let tables = task_set(&recipe).unwrap().unwrap();
    assert_eq!((tables[0].loss, tables[0].outputs), (TargetLoss::BinaryCrossEntropy, 2));
    let missing = tables[0]
        .train
        .targets
        .iter()
        .skip(1)
        .step_by(2)
        .filter(|value| value.is_nan())
        .count();
    assert!((10..30).contains(&missing), "{missing}");
    assert!(
        tables[0]
            .train
            .targets
            .iter()
            .step_by(2)
            .all(|value| *value == 0.0 || *value == 1.0)
    );
}

/// Lines through the origin by the square of an input, one slope a task: the ridge head learns a new one from 5 rows.
#[test]
fn a_ridge_head_learns_to_learn_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = String::from("site,x,y\n");
    for task in 0..20 {
        for row in 0..30 {
            let x = 10.0 + 3.0 * wave(task * 31 + row, 1.9);
            let scaled = (x - 10.0) / 3.0;
            log += &format!("site {task},{x},{}\n", 500.0 + 40.0 * wave(task, 2.3) * scaled * scaled);
        }
    }
    std::fs::write(folder.path().join("sites.csv"), log).unwrap();
    let more = r#"
        task_column = "site"
        inputs = ["x"]
        targets = ["y"]
        shots = 5
        queries = 20
        [family.logged.features]
        degree = 2
    "#;
    let recipe = recipe(RIDGE, folder.path(), r#"["sites.csv"]"#, more);
    let Some(Tasks::Supervised(family)) = Tasks::of(&recipe).unwrap() else {
        panic!()
    };
    let settings = MetaSettings::of(&recipe.algorithm).unwrap();
    let mut training: Maml = supervised(&recipe, settings, family, &PlanEngine::fast(), 1).unwrap();
    while training.completed() < training.iterations() {
        training.step().unwrap();
    }
    let exported = export(&recipe, &training.learned().unwrap(), 1).unwrap();
    let (_, image) = exported
        .files
        .iter()
        .find(|(name, _)| *name == "policy.pliant")
        .unwrap();
    let evaluation = evaluate(&recipe, &AlignedBytes::new(image), options(40)).unwrap();
    let [before, after] = [0, 1].map(|step| evaluation.adaptation[step].mean);
    assert!(after < 0.1 * before, "{before} {after}, {} refused", evaluation.refused);
    assert_eq!(evaluation.refused, 0, "the guards know how far tasks lie apart");
}

/// A bundle trained a few steps from files of one kind, but for the recipe and the card, which name them.
#[cfg(feature = "columnar")]
fn bundle(folder: &Path, files: &[String], task_column: &str) -> Vec<(String, Vec<u8>)> {
    let more = format!(
        "{task_column}\ninputs = [\"x\"]\ntargets = [\"y\"]\nmissing = \"mean\"\nshots = 4\nqueries = 6\nsplit = [0.5, 0.25, 0.25]"
    );
    let recipe = recipe(RIDGE, folder, &format!("{files:?}"), &more);
    let Some(Tasks::Supervised(family)) = Tasks::of(&recipe).unwrap() else {
        panic!()
    };
    let settings = MetaSettings::of(&recipe.algorithm).unwrap();
    let mut training: Maml = supervised(&recipe, settings, family, &PlanEngine::fast(), 1).unwrap();
    while training.completed() < 5 {
        training.step().unwrap();
    }
    let exported = export(&recipe, &training.learned().unwrap(), 1).unwrap();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in exported.files {
        if name != "recipe.toml" && name != "card.md" {
            files.push((name.to_owned(), bytes));
        }
    }
    files
}

#[cfg(feature = "columnar")]
#[test]
fn parquet_and_arrow_train_the_same_bundle_as_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logged");
    let column = "task_column = \"site\"";
    let one = |file: &str| bundle(&folder, &[file.to_owned()], column);
    let text = one("table.csv");
    assert!(text.iter().any(|(name, _)| name == "policy.pliant"));
    for file in ["pandas.parquet", "groups.parquet", "lz4.feather", "stream.arrows"] {
        assert!(one(file) == text, "{file}");
    }
    let each = |ending: &str| {
        let sites = ["north", "south", "east", "west", "mid", "far"];
        bundle(&folder.join("tasks"), &sites.map(|site| format!("{site}.{ending}")), "")
    };
    // The same tasks, in the same order; and other rows make another bundle.
    assert!(each("parquet") == each("csv") && each("csv") == text);
    assert!(
        one("table.csv")
            != bundle(
                &folder.join("tasks"),
                &["far", "mid", "east", "west"].map(|site| format!("{site}.csv")),
                ""
            )
    );
}

#[cfg(not(feature = "columnar"))]
#[test]
fn a_build_without_parquet_says_how_to_build_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let target = "targets = [\"y\"]";
    let message = refusal(folder.path(), "table.parquet", "PAR1", target);
    assert!(
        message.contains("table.parquet: this build of pliant reads no Parquet; build with `--features columnar`"),
        "{message}"
    );
    let message = refusal(folder.path(), "table.feather", "ARROW1", target);
    assert!(message.contains("reads no Arrow"), "{message}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let target = "targets = [\"y\"]";
    let message = refusal(folder, "text.csv", "x,y\n1,2\n3,4\nabc,5\n", target);
    assert!(
        message.contains("text.csv, line 4, column `x`: `abc` is not a number; correct it"),
        "{message}"
    );
    let message = refusal(folder, "marker.csv", "x,y\n1,2\nNA,4\n5,6\n", target);
    assert!(
        message.contains("line 3, column `x`: `NA` is not a number") && message.contains("`missing_markers`"),
        "{message}"
    );
    let message = refusal(folder, "nan.csv", "x,y\n1,2\n3,nan\n5,6\n", target);
    assert!(
        message.contains("line 3, column `y`: `nan` is not a number"),
        "{message}"
    );
    let message = refusal(folder, "short.csv", "x,y\n1,2\n3\n", target);
    assert!(message.contains("line 3 has 1 cells, the header 2"), "{message}");
    let message = refusal(folder, "column.csv", "x,z\n1,2\n", target);
    assert!(message.contains("no column `y`; it has `x`, `z`"), "{message}");
    let message = refusal(folder, "empty.csv", "x,y\n", target);
    assert!(message.contains("no rows below its header"), "{message}");
    let message = refusal(folder, "few.csv", "x,y\n1,2\n3,4\n5,6\n", target);
    assert!(message.contains("at least 2 are needed"), "{message}");
    let message = refusal(folder, "twice.csv", "x,x,y\n1,2,3\n", target);
    assert!(message.contains("two columns are called `x`"), "{message}");
    let message = refusal(
        folder,
        "log.csv",
        "x,y\n1,2\n3,-4\n5,6\n",
        "targets = [\"y\"]\nredefine = \"logarithm\"",
    );
    assert!(message.contains("line 3, column `y`: -4 is not above 0"), "{message}");
    let message = refusal(
        folder,
        "class.csv",
        "x,y\n1,2\n3,2\n5,2\n",
        "targets = [\"y\"]\nkind = \"class\"",
    );
    assert!(message.contains("holds 1 classes, not 2 to 16"), "{message}");
    let message = refusal(folder, "label.csv", "x,y\n1,2\n", "targets = [\"y\"]\nkind = \"label\"");
    assert!(message.contains("`2` is not a label"), "{message}");
    let message = refusal(
        folder,
        "hole.csv",
        "x,y\n1,2\n,4\n",
        "targets = [\"y\"]\nmissing = \"refuse\"",
    );
    assert!(
        message.contains("line 3, column `x`: an empty cell is not a number"),
        "{message}"
    );
    let message = refusal(
        folder,
        "split.csv",
        "x,y,s\n1,2,tset\n",
        "targets = [\"y\"]\nsplit_column = \"s\"",
    );
    assert!(message.contains("`tset` is not train, validation or test"), "{message}");
    let message = refusal(folder, "big.csv", "x,y\n1e300,2\n1,2\n", target);
    assert!(
        message.contains("is not a finite number of single precision"),
        "{message}"
    );
    let message = refusal(folder, "notes.doc", "x", target);
    assert!(message.contains("save the table as .csv, .tsv"), "{message}");
    let message = refusal(
        folder,
        "angle.csv",
        "x,y\n1,2\n3,4\n",
        "targets = [\"y\"]\n[family.logged.features]\nangles = [\"z\"]",
    );
    assert!(message.contains("names `z`"), "{message}");
    let message = refusal(
        folder,
        "task.csv",
        "x,y\n1,2\n",
        "targets = [\"y\"]\n[family.logged.tasks.other]\nkind = \"label\"",
    );
    assert!(message.contains("the files hold `task`"), "{message}");
    let away = recipe(MULTI_TASK, folder, r#"["away.csv"]"#, target);
    let message = task_set(&away).unwrap_err().to_string();
    assert!(
        message.contains("cannot read") && message.contains("family.logged.folder"),
        "{message}"
    );
}

#[test]
fn recipes_that_cannot_be_are_refused_before_a_file_is_read() {
    let parse = |text: &str, more: &str| {
        let text = text
            .replace("FOLDER", ".")
            .replace("FILES", r#"["a.csv"]"#)
            .replace("MORE", more);
        Source {
            origin: "test".to_owned(),
            text,
        }
        .parse()
        .map(|_| ())
        .unwrap_err()
        .to_string()
    };
    assert!(parse(MULTI_TASK, "").contains("family.logged.targets"));
    assert!(parse(RIDGE, "targets = [\"y\"]").contains("family.logged.inputs"));
    let class = "inputs = [\"x\"]\ntargets = [\"y\"]\nkind = \"class\"";
    assert!(parse(RIDGE, class).contains("to learn to learn"));
    let differences = "targets = [\"y\"]\n[family.logged.features]\ndifferences = true";
    assert!(parse(MULTI_TASK, differences).contains("a change needs the row before"));
    assert!(parse(MULTI_TASK, "targets = [\"y\"]\nsplit = [1.0, 0.0, 0.0]").contains("family.logged.split"));
}
