//! The workbench from outside: run directories, `runs`, `compare`, `report`, `doctor`, `completions`, event files, and the
//! report in a browser.

mod browser;
mod event_files;
mod support;

use std::fs;

use pliant_trainer::eval::EvalOptions;
use pliant_trainer::recipe::Source;
use pliant_trainer::report::samples;
use serde_json::Value;
use support::{json, pliant, refused, small_run, stderr, stdout, succeeds};

#[test]
fn runs_are_listed_with_status_and_newest_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let runs = |more: &[&str]| pliant(&[&["runs", folder.path().to_str().unwrap()], more].concat());
    refused(&runs(&[]), 2, &["no run in", "pliant train"]);
    small_run(folder.path(), "a", &["--seed", "4"]);
    small_run(folder.path(), "deep/b", &["--iterations", "20"]);
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken").join("run.json"), "{").unwrap();

    let text = stdout(&succeeds(runs(&[])));
    for words in ["finished", "60/60", "20/60", "unreadable", "query loss after adapting"] {
        assert!(text.contains(words), "`{words}` not in:\n{text}");
    }
    let listing = json(&succeeds(runs(&["--json"])));
    let listed = listing["runs"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0]["status"], "finished");
    assert_eq!(
        (listed[0]["seed"].as_u64(), listed[0]["completed"].as_u64()),
        (Some(4), Some(60))
    );
    assert_eq!(listed[0]["newest"]["iteration"].as_u64(), Some(60));
    let loss = &listed[0]["newest"]["metrics"]["query loss after adapting"]["mean"];
    assert!(loss.as_f64().is_some_and(f64::is_finite), "{loss}");
    assert!(listed[1]["problem"].is_string() && listed[1]["status"].is_null());
}

#[test]
fn a_run_directory_holds_what_its_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &[]);
    let record: Value = serde_json::from_str(&fs::read_to_string(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["outcome"], "finished");
    assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        record["command"]
            .as_str()
            .unwrap()
            .starts_with("pliant train sinusoid --tasks 20")
    );
    let log = fs::read_to_string(run.join("log.txt")).unwrap();
    assert!(
        log.contains("engine `plan`") && log.contains("trained 60 iterations"),
        "{log}"
    );
    assert!(
        log.lines().all(|line| line.as_bytes()[10] == b'T'),
        "every line has a time:\n{log}"
    );
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 60);
    let results: Value = serde_json::from_str(&fs::read_to_string(run.join("evaluation.json")).unwrap()).unwrap();
    let baselines: Vec<&str> = results["baselines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|baseline| baseline["name"].as_str().unwrap())
        .collect();
    let expected = [
        "no adaptation",
        "trained from scratch",
        "from scratch, 16 steps",
        // Its length and rate are chosen.
        "from scratch, ",
        "multi-task, no adaptation",
        "oracle (is told the task)",
    ];
    assert_eq!(baselines.len(), expected.len(), "{baselines:?}");
    for (name, expected) in baselines.iter().zip(expected) {
        assert!(name.starts_with(expected), "{baselines:?}");
    }
    assert!(baselines[3].contains("converged"), "{baselines:?}");
    assert_eq!(results["samples"].as_array().unwrap().len(), 6);
    assert!(
        fs::read_to_string(run.join("card.md"))
            .unwrap()
            .contains("| trained from scratch | 20 | 1 |")
    );
    // Nothing but what the page lists.
    let mut entries: Vec<String> = fs::read_dir(&run)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    entries.sort();
    assert_eq!(
        entries,
        [
            "adapt.onnx",
            "card.md",
            "checkpoints",
            "evaluation.json",
            "lock",
            "log.txt",
            "metrics.jsonl",
            "plot.svg",
            "policy.onnx",
            "policy.pliant",
            "recipe.toml",
            "report.html",
            "run.json",
            "score.onnx",
            "tensorboard",
        ]
    );
}

#[test]
fn two_processes_cannot_train_in_one_directory() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &[]);
    let lock = fs::File::open(run.join("lock")).unwrap();
    lock.lock().unwrap();
    let run = run.to_str().unwrap();
    refused(
        &pliant(&["train", run, "--resume"]),
        2,
        &["another process is training", "--out"],
    );
    drop(lock);
    succeeds(pliant(&["train", run, "--resume", "--tasks", "20"]));
}

#[test]
fn runs_and_bundles_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let first = small_run(folder.path(), "first", &["--seed", "1"]);
    let second = small_run(folder.path(), "second", &["--seed", "2"]);
    let other = small_run(folder.path(), "other", &["--set", "policy.hidden=[6]"]);
    let page = folder.path().join("compare.html");
    let [first, second, other, page] = [&first, &second, &other, &page].map(|path| path.to_str().unwrap());
    let compared = succeeds(pliant(&["compare", first, second, other, "--out", page]));
    let table = stdout(&compared);
    assert!(
        table.contains("mean squared error (lower is better)") && table.contains("over 2 seeds"),
        "{table}"
    );
    let html = fs::read_to_string(page).unwrap();
    assert_eq!(html.matches("<svg class=\"chart\"").count(), 2);
    assert!(html.contains("(2 seeds)"), "seeds are one curve");
    // Only the bundle: no metrics, no run.json.
    fs::remove_file(format!("{other}/run.json")).unwrap();
    fs::remove_file(format!("{other}/metrics.jsonl")).unwrap();
    let plot = folder.path().join("plot.svg");
    let plot = plot.to_str().unwrap();
    let result = json(&succeeds(pliant(&["compare", first, other, "--out", plot, "--json"])));
    assert_eq!(result["runs"].as_array().unwrap().len(), 2);
    assert!(result["runs"][0]["results"]["evaluation"]["adaptation"].is_array());
    assert!(fs::read_to_string(plot).unwrap().starts_with("<svg xmlns"));

    let nowhere = folder.path().join("nowhere");
    refused(
        &pliant(&["compare", nowhere.to_str().unwrap()]),
        2,
        &["neither a run nor a bundle"],
    );
    fs::write(format!("{second}/evaluation.json"), "[]").unwrap();
    refused(&pliant(&["compare", second]), 2, &["cannot read", "evaluation.json"]);
    fs::write(format!("{first}/metrics.jsonl"), "{}\n").unwrap();
    refused(&pliant(&["compare", first]), 2, &["metrics.jsonl", "line 1"]);
    refused(&pliant(&["compare"]), 2, &["RUN"]);
}

#[test]
fn a_report_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &[]);
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    let plot = fs::read_to_string(run.join("plot.svg")).unwrap();
    fs::remove_file(run.join("report.html")).unwrap();
    let path = run.to_str().unwrap();
    succeeds(pliant(&["report", path]));
    assert!(fs::read_to_string(run.join("report.html")).unwrap() == report);
    assert!(fs::read_to_string(run.join("plot.svg")).unwrap() == plot);
    assert!(report.len() < 500_000, "{} bytes", report.len());
    assert!(!report.contains("http://") && !report.contains("https://") && !report.contains("<script"));
    fs::remove_file(run.join("evaluation.json")).unwrap();
    refused(
        &pliant(&["report", path]),
        2,
        &["has not been evaluated yet", "--resume"],
    );
    refused(&pliant(&["report", folder.path().to_str().unwrap()]), 2, &["is no run"]);
}

#[test]
fn the_doctor_finds_the_engine_that_is_always_there() {
    let report = json(&succeeds(pliant(&["doctor", "--json"])));
    let findings = report["findings"].as_array().unwrap();
    let plan = findings.iter().find(|finding| finding["name"] == "plan").unwrap();
    assert_eq!((&plan["here"], &plan["group"]), (&Value::Bool(true), &"engines".into()));
    for finding in findings
        .iter()
        .filter(|finding| finding["group"] == "emulators" && finding["here"] == false)
    {
        assert!(
            finding["get"].as_str().unwrap().starts_with("apt-get install"),
            "{finding}"
        );
    }
    let text = stdout(&succeeds(pliant(&["doctor"])));
    assert!(text.contains("engines") && text.contains("targets"), "{text}");
}

#[test]
fn completions_and_help_know_every_command() {
    let help = stdout(&succeeds(pliant(&["--help"])));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&succeeds(pliant(&["completions", shell])));
        assert!(commands.iter().all(|name| script.contains(name)), "{shell}");
    }
    refused(&pliant(&["completions", "abacus"]), 2, &["abacus", "bash"]);
    for command in commands {
        let help = stdout(&succeeds(pliant(&[command, "--help"])));
        assert!(
            help.contains("Example") && help.contains(&format!("pliant {command}")),
            "{help}"
        );
        let wide = help.lines().find(|line| line.chars().count() > 100);
        assert!(wide.is_none(), "{wide:?}");
    }
}

#[test]
fn a_run_is_taken_up_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &["--iterations", "25", "--seed", "5"]);
    let path = run.to_str().unwrap();
    let resumed = succeeds(pliant(&["train", path, "--resume", "--tasks", "20"]));
    let said = stderr(&resumed);
    assert!(
        said.contains("going on after 25 of 60") && said.contains("engine `plan`"),
        "{said}"
    );
    let whole = small_run(folder.path(), "b", &["--seed", "5"]);
    let image = |run: &std::path::Path| fs::read(run.join("policy.pliant")).unwrap();
    assert!(image(&run) == image(&whole));
}

/// What a system's report shows of it: the committed arm's error falls within the episode, and no point is missing.
#[test]
fn a_report_shows_how_systems_go_over_time() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/arm");
    let recipe = Source::read(&model.join("recipe.toml")).unwrap().parse().unwrap();
    let image = fs::read(model.join("policy.pliant")).unwrap();
    let options = EvalOptions {
        tasks: 12,
        seed: 7,
        threads: 1,
    };
    let charts = samples(&recipe, &image, options).unwrap();
    assert_eq!(charts.len(), 2);
    let median = &charts[0].series[0];
    let (first, last) = (median.points[0][1], median.points.last().unwrap()[1]);
    assert!(last < 0.2 * first, "{first} at first, {last} in the end");
    assert_eq!(median.band.len(), median.points.len());
    assert_eq!(charts[1].series.len(), 6);
}
