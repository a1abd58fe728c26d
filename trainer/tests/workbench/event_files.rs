//! The event files of a run, read by our own reader and by TensorBoard's.

use std::fs;
use std::path::Path;
use std::process::Command;

use pliant_trainer::run::{What, read_events, read_metrics};
use serde_json::Value;

use crate::support::{pliant, skip, small_run, succeeds};

const TAG: &str = "train/query loss after adapting";

#[test]
fn every_line_of_the_metrics_is_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &[]);
    let file = fs::read_dir(run.join("tensorboard"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let events = read_events(&fs::read(file).unwrap());
    assert!(matches!(&events[0].what, Some(What::FileVersion(version)) if version == "brain.Event:2"));
    let lines = read_metrics(&run.join("metrics.jsonl")).unwrap();
    for line in &lines {
        let expected = line.metrics.0[0].1.mean as f32;
        let found = events.iter().filter(|event| event.step as u64 == line.iteration);
        let mut values = found.filter_map(|event| match &event.what {
            Some(What::Summary(summary)) => summary.value.iter().find(|value| value.tag == TAG)?.simple_value,
            _ => None,
        });
        assert_eq!(values.next(), Some(expected));
    }
}

/// TensorBoard reads what was written, and of a run that was taken up again each iteration once.
#[test]
fn tensorboard_reads_a_resumed_run() {
    let packages = std::env::var_os("PLIANT_TENSORBOARD");
    let python = || {
        let mut python = Command::new(std::env::var_os("PLIANT_PYTHON").unwrap_or_else(|| "python3".into()));
        if let Some(packages) = &packages {
            python.env("PYTHONPATH", packages);
        }
        python
    };
    let reader = "from tensorboard.backend.event_processing import event_accumulator";
    if !python()
        .args(["-c", reader])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skip(
            "tensorboard: Python's tensorboard is not installed (`pip install tensorboard`, or `cargo xtask test`)",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &["--iterations", "25"]);
    succeeds(pliant(&["train", run.to_str().unwrap(), "--resume", "--tasks", "20"]));
    assert_eq!(
        fs::read_dir(run.join("tensorboard")).unwrap().count(),
        2,
        "one file a sitting"
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workbench/tensorboard_reader.py");
    let output = python().arg(script).arg(run.join("tensorboard")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = read_metrics(&run.join("metrics.jsonl")).unwrap();
    let expected: Vec<(u64, f32)> = lines
        .iter()
        .map(|line| (line.iteration, line.metrics.0[0].1.mean as f32))
        .collect();
    let found: Vec<(u64, f32)> = serde_json::from_value(read[TAG].clone()).unwrap();
    assert_eq!(found, expected);
    assert!(read["held-out/mean squared error by adaptation step"].is_array());
}
