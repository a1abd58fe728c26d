//! The `pliant` program from outside: train, evaluate, inspect, and everything that can go wrong on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PLIANT: &str = env!("CARGO_BIN_EXE_pliant");

/// A sinusoid so small that it trains in a second.
const SMALL: [&str; 6] = [
    "--set",
    "policy.hidden=[12]",
    "--set",
    "algorithm.maml.iterations=60",
    "--engine",
    "plan",
];

fn pliant(args: &[&str]) -> Output {
    Command::new(PLIANT).args(args).output().expect("the program starts")
}

/// `pliant train sinusoid` with the small settings, into `out`.
fn train(out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().expect("a temporary path is text");
    let fixed = ["train", "sinusoid", "--tasks", "20", "--out", out];
    pliant(&[&fixed, &SMALL[..], more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
fn succeeds(output: Output) -> Output {
    assert!(output.status.success(), "{}\n{}", output.status, stderr(&output));
    output
}

#[track_caller]
fn fails(output: &Output, code: i32, saying: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for words in saying {
        assert!(message.contains(words), "`{words}` not in:\n{message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty(), "standard output is for results");
}

/// The whole of standard output is one JSON object.
#[track_caller]
fn json(output: &Output) -> Value {
    let value: Value = serde_json::from_str(&stdout(output)).expect("one JSON value and nothing else");
    assert!(value.is_object());
    value
}

#[track_caller]
fn has_adaptation(value: &Value, tasks: u64, seed: u64) {
    assert_eq!(value["family"], "sinusoid");
    assert_eq!(
        (value["tasks"].as_u64(), value["seed"].as_u64()),
        (Some(tasks), Some(seed))
    );
    assert!(value["engine"].is_string());
    assert_eq!(value["env_steps"].as_u64(), Some(0));
    let steps = value["adaptation"].as_array().expect("a list of steps");
    assert_eq!(steps.len(), 2);
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["step"].as_u64(), Some(index as u64));
        let [low, mean, high] =
            [&step["ci95"][0], &step["mean"], &step["ci95"][1]].map(|number| number.as_f64().expect("a number"));
        assert!(low <= mean && mean <= high, "{step}");
    }
}

#[test]
fn a_bundle_is_trained_evaluated_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    let trained = succeeds(train(&out, &["--json", "--seed", "3"]));
    let result = json(&trained);
    assert_eq!(result["iterations"].as_u64(), Some(60));
    assert_eq!(result["interrupted"], false);
    assert!(result["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    has_adaptation(&result["evaluation"], 20, 0);
    assert!(stderr(&trained).contains("engine `plan`"), "{}", stderr(&trained));

    for file in [
        "recipe.toml",
        "policy.onnx",
        "adapt.onnx",
        "score.onnx",
        "policy.pliant",
        "card.md",
        "plot.svg",
        "report.html",
        "evaluation.json",
        "run.json",
        "log.txt",
        "metrics.jsonl",
    ] {
        assert!(
            fs::metadata(out.join(file)).is_ok_and(|data| data.len() > 100),
            "{file}"
        );
    }
    let recipe = fs::read_to_string(out.join("recipe.toml")).unwrap();
    assert!(
        recipe.contains("seed = 3") && recipe.contains("hidden = [12]"),
        "overrides are kept:\n{recipe}"
    );
    let card = fs::read_to_string(out.join("card.md")).unwrap();
    for words in ["| seed | 3 |", "60 of 60", "held-out tasks", "RAM", "`accumulate`"] {
        assert!(card.contains(words), "`{words}` not in:\n{card}");
    }

    // The same tasks give the same scores, from the folder or the image in it, on any number of threads.
    let evaluated = |bundle: &Path, threads: &str| {
        let path = bundle.to_str().unwrap();
        json(&succeeds(pliant(&[
            "eval",
            path,
            "--tasks",
            "20",
            "--threads",
            threads,
            "--json",
        ])))
    };
    assert_eq!(evaluated(&out, "1"), result["evaluation"]);
    assert_eq!(evaluated(&out.join("policy.pliant"), "3"), result["evaluation"]);
    let other = json(&succeeds(pliant(&[
        "eval",
        out.to_str().unwrap(),
        "--tasks",
        "30",
        "--seed",
        "9",
        "--json",
    ])));
    has_adaptation(&other, 30, 9);
    let table = stdout(&succeeds(pliant(&["eval", out.to_str().unwrap(), "--tasks", "20"])));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("step") && table.contains("20 held-out tasks"), "{table}");

    let inspected = json(&succeeds(pliant(&["inspect", out.to_str().unwrap(), "--json"])));
    assert_eq!(
        inspected["image_bytes"].as_u64(),
        Some(fs::metadata(out.join("policy.pliant")).unwrap().len())
    );
    assert_eq!(inspected["contract"]["observations"][0]["name"], "x");
    for plan in ["act", "begin", "accumulate", "apply", "score"] {
        let cost = &inspected["plans"][plan];
        for field in ["flash_bytes", "ram_bytes", "macs"] {
            assert!(cost[field].is_u64(), "{plan} {field}");
        }
        assert!(!cost["kernels"].is_null(), "{plan}");
    }
    let text = stdout(&succeeds(pliant(&["inspect", out.to_str().unwrap()])));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// What a policy that learns in context is compared with, measured by training and again by evaluating: the same figures.
#[test]
fn a_comparison_with_environments_is_measured_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mdp");
    let path = out.to_str().unwrap();
    let mut arguments = vec!["train", "mdp", "--out", path];
    for set in [
        "family.tabular.states=3",
        "family.tabular.actions=2",
        "family.tabular.horizon=4",
        "algorithm.rl2.episodes=2",
        "algorithm.rl2.ppo.iterations=2",
        "algorithm.rl2.ppo.environments=16",
        "algorithm.rl2.ppo.steps=8",
        "algorithm.rl2.ppo.minibatches=4",
        "evaluation.tasks=4",
    ] {
        arguments.extend(["--set", set]);
    }
    succeeds(pliant(&arguments));
    let plain = stdout(&succeeds(pliant(&["eval", path])));
    assert!(!plain.contains("from scratch"), "{plain}");
    let compared = stdout(&succeeds(pliant(&["eval", path, "--compare"])));
    assert!(compared.lines().all(|line| line.chars().count() <= 80), "{compared}");
    let card = fs::read_to_string(out.join("card.md")).unwrap();
    for row in ["multi-task, no adaptation", "from scratch, 1000 trials"] {
        let line = compared.lines().find(|line| line.starts_with(row)).expect(row);
        let score = line[row.len()..].split_whitespace().next().unwrap();
        let on_card = card.lines().find(|line| line.contains(row)).expect(row);
        assert!(on_card.contains(&format!("| {score} |")), "{line}\n{on_card}");
    }
    let refused = pliant(&["eval", path, "--compare", "--score-only"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let image = |name: &str| fs::read(folder.path().join(name).join("policy.pliant")).unwrap();
    let chunks = ["--set", "algorithm.maml.chunks=3"];
    succeeds(train(
        &folder.path().join("one"),
        &[&chunks[..], &["--threads", "1"]].concat(),
    ));
    succeeds(train(
        &folder.path().join("two"),
        &[&chunks[..], &["--threads", "2"]].concat(),
    ));
    assert!(image("one") == image("two"), "the number of threads changed the image");

    // Stopped on the way, exported, and taken up again.
    let out = folder.path().join("resumed");
    succeeds(train(&out, &[&chunks[..], &["--iterations", "25"]].concat()));
    assert!(
        fs::read_to_string(out.join("card.md"))
            .unwrap()
            .contains("25 of 60 (stopped early)")
    );
    assert!(image("resumed") != image("one"));
    let resumed = succeeds(train(&out, &[&chunks[..], &["--resume"]].concat()));
    assert!(
        stderr(&resumed).contains("going on after 25 of 60"),
        "{}",
        stderr(&resumed)
    );
    assert!(image("resumed") == image("one"), "resuming changed the image");

    // Another seed is another run, and cannot resume this one.
    fails(
        &train(&out, &[&chunks[..], &["--resume", "--seed", "1"]].concat()),
        2,
        &["another recipe", "--resume"],
    );
}

#[test]
fn training_improves_the_adapted_loss() {
    let folder = tempfile::tempdir().unwrap();
    let score = |iterations: &str| {
        let out = folder.path().join(iterations);
        let more = [
            "--json",
            "--iterations",
            iterations,
            "--set",
            "algorithm.maml.iterations=1500",
            "--tasks",
            "200",
        ];
        let mut args = vec![
            "train",
            "sinusoid",
            "--engine",
            "plan",
            "--set",
            "policy.hidden=[20, 20]",
        ];
        args.extend(more);
        args.extend(["--out", out.to_str().unwrap()]);
        let result = json(&succeeds(pliant(&args)));
        result["evaluation"]["adaptation"][1]["mean"].as_f64().unwrap()
    };
    let (untrained, trained) = (score("1"), score("1500"));
    assert!(
        trained < 0.6 * untrained,
        "{trained} after training, {untrained} before"
    );
}

/// The checkpoints of a run, the newest last.
fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    found.sort();
    found
}

/// Starts a long run and waits until it has written its first checkpoint.
fn start_long_run(out: &Path) -> Child {
    let mut command = Command::new(PLIANT);
    command
        .args(["train", "sinusoid", "--engine", "plan", "--tasks", "20", "--out"])
        .arg(out);
    command.args(["--set", "policy.hidden=[12]", "--set", "checkpoint.every_seconds=1"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let start = Instant::now();
    while checkpoints(out).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let child = start_long_run(&out);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    fails(&output, 130, &["interrupted after", "of 60000 iterations", "--resume"]);

    // The very command that was printed goes on.
    let message = stderr(&output);
    let command = message
        .lines()
        .find_map(|line| line.strip_prefix("to go on: pliant "))
        .expect("a command");
    let resumed = Command::new("sh")
        .args([
            "-c",
            &format!("exec \"$0\" {command} --engine plan --iterations 1"),
            PLIANT,
        ])
        .output()
        .unwrap();
    let resumed = succeeds(resumed);
    assert!(stderr(&resumed).contains("going on after"), "{}", stderr(&resumed));
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_a_whole_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = start_long_run(&out);
    child.kill().unwrap();
    child.wait().unwrap();
    let more = [
        "--set",
        "checkpoint.every_seconds=1",
        "--resume",
        "--iterations",
        "1",
        "--tasks",
        "20",
    ];
    let mut args = vec!["train", "sinusoid", "--engine", "plan", "--set", "policy.hidden=[12]"];
    args.extend(more);
    args.extend(["--out", out.to_str().unwrap()]);
    let resumed = succeeds(pliant(&args));
    assert!(stderr(&resumed).contains("going on after"), "{}", stderr(&resumed));
}

/// A file size limit stands for a full disk: writing past it fails, as it does there, in the middle of the file.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_previous_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    succeeds(train(&out, &["--iterations", "10"]));
    let saved = checkpoints(&out);
    let before = fs::read(&saved[0]).unwrap();
    assert!(before.len() > 1024, "the limit below must be in the middle of the file");

    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let full = Command::new("bash")
        .args([
            "-c", script, PLIANT, "train", "sinusoid", "--tasks", "20", "--resume", "--out",
        ])
        .arg(&out)
        .args(SMALL)
        .output()
        .unwrap();
    fails(&full, 1, &["cannot write", "untouched", "free some space"]);
    assert_eq!(checkpoints(&out), saved);
    assert!(fs::read(&saved[0]).unwrap() == before, "the checkpoint changed");
    let litter = fs::read_dir(&out).unwrap().filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".part"))
    });
    assert_eq!(litter.count(), 0, "temporary files stay");
    succeeds(train(&out, &["--resume"]));
}

#[test]
fn what_cannot_be_trained_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    fails(
        &pliant(&["train", "no-such-recipe"]),
        2,
        &["no-such-recipe", "sinusoid", "point-navigation"],
    );
    let wrong = train(&out, &["--set", "algorithm.maml.inner_rate=-1"]);
    fails(
        &wrong,
        2,
        &[
            "`algorithm.maml.inner_rate` = -1",
            "greater than 0, at most 10",
            "line ",
        ],
    );
    fails(
        &train(&out, &["--set", "family.sinusoid.shot=3"]),
        2,
        &["unknown field `shot`", "shots"],
    );
    fails(&train(&out, &["--set", "seed"]), 2, &["path=value"]);
    fails(
        &train(&out, &["--resume"]),
        2,
        &["is no run", "run.json", "pliant train"],
    );
    assert!(!out.exists(), "a mistake leaves nothing behind");
    fs::create_dir_all(out.join("checkpoints")).unwrap();
    fs::write(out.join("run.json"), "{}").unwrap();
    fs::write(
        out.join("checkpoints").join("iteration-0000000001.safetensors"),
        "not one",
    )
    .unwrap();
    fails(
        &train(&out, &["--resume"]),
        1,
        &["none of the checkpoints", "not a usable checkpoint", "without --resume"],
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    fails(&train(&file.join("below"), &[]), 1, &["cannot create", "--out"]);
    fails(
        &pliant(&["train", "sinusoid", "--engine", "abacus"]),
        2,
        &["abacus", "ort"],
    );
}

#[test]
fn an_engine_asked_for_and_missing_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PLIANT)
        .args(["train", "sinusoid", "--engine", "ort", "--out"])
        .arg(folder.path())
        .env("ORT_DYLIB_PATH", folder.path().join("libonnxruntime.so"))
        .output()
        .unwrap();
    fails(&output, 1, &["libonnxruntime.so", "--engine plan"]);
}

#[test]
fn what_is_no_bundle_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let eval = |name: &str| pliant(&["eval", path(name).to_str().unwrap(), "--tasks", "5"]);
    fails(&eval("nowhere"), 2, &["nowhere", "policy.pliant", "recipe.toml"]);

    succeeds(train(&path("bundle"), &[]));
    let image = fs::read(path("bundle").join("policy.pliant")).unwrap();
    let copy = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(path(name)).unwrap();
        fs::copy(path("bundle").join("recipe.toml"), path(name).join("recipe.toml")).unwrap();
        fs::write(path(name).join("policy.pliant"), bytes).unwrap();
    };
    copy("truncated", &image[..image.len() / 2]);
    fails(&eval("truncated"), 2, &["truncated", "not a usable device image"]);
    let mut flipped = image.clone();
    flipped[image.len() / 2] ^= 1;
    copy("flipped", &flipped);
    fails(&eval("flipped"), 2, &["not a usable device image"]);
    fails(
        &pliant(&["inspect", path("flipped").to_str().unwrap()]),
        2,
        &["not a usable device image"],
    );

    // The image of one family beside the recipe of another.
    copy("mixed", &image);
    fs::write(
        path("mixed").join("recipe.toml"),
        include_str!("../../models/point-navigation/recipe.toml"),
    )
    .unwrap();
    fails(&eval("mixed"), 2, &["not of the family `navigation`", "recipe"]);
    fs::remove_file(path("mixed").join("recipe.toml")).unwrap();
    fails(&eval("mixed"), 2, &["recipe.toml"]);
}

#[test]
fn help_shows_examples_and_exit_codes() {
    for (command, words) in [
        ("train", "pliant train sinusoid"),
        ("eval", "pliant eval"),
        ("inspect", "pliant inspect"),
    ] {
        let text = stdout(&succeeds(pliant(&[command, "--help"])));
        assert!(text.contains("Examples:") && text.contains(words), "{text}");
    }
    assert!(stdout(&succeeds(pliant(&["--help"]))).contains("130 interrupted"));
}

#[test]
fn affinity_groups_tasks_and_refuses_what_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("affinity.svg");
    let small = [
        "--set",
        "family.task-conflict.rows=[64,64,64,64]",
        "--set",
        "algorithm.multi-task.iterations=200",
        "--measurements",
        "20",
        "--groups",
        "2",
    ];
    let more = ["--json", "--plot", plot.to_str().unwrap()];
    let found = json(&succeeds(pliant(
        &[&["affinity", "task-conflict"], &small[..], &more].concat(),
    )));
    assert_eq!(found["measurements"], 20);
    let at = |row: usize, column: usize| found["affinities"][row][column].as_f64().unwrap();
    // Tasks 0 and 1 have nearly opposite directions, and so have 2 and 3.
    for (task, opposite) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        assert!(at(task, task) > 0.0 && at(task, opposite) < at(task, task), "{found}");
    }
    let tasks: usize = found["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group.as_array().unwrap().len())
        .sum();
    assert_eq!(tasks, 4);
    assert!(found["score"].as_f64() >= found["score_together"].as_f64());
    assert!(fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    let table = stdout(&succeeds(pliant(
        &[&["affinity", "task-conflict"], &small[..]].concat(),
    )));
    assert!(table.contains("Suggested groups: ") && table.contains('|'), "{table}");
    fails(
        &pliant(&["affinity", "sinusoid"]),
        2,
        &["does not learn tasks together", "task-conflict"],
    );
    fails(
        &pliant(&["affinity", "task-conflict", "--reach", "0"]),
        2,
        &["greater than 0"],
    );
}
