//! Calling the program, and skipping what cannot run here.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PLIANT: &str = env!("CARGO_BIN_EXE_pliant");

pub(crate) fn pliant(args: &[&str]) -> Output {
    Command::new(PLIANT).args(args).output().expect("the program starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
pub(crate) fn succeeds(output: Output) -> Output {
    assert!(output.status.success(), "{}\n{}", output.status, stderr(&output));
    output
}

#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, saying: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for words in saying {
        assert!(message.contains(words), "`{words}` not in:\n{message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// The whole of standard output is one JSON object.
#[track_caller]
pub(crate) fn json(output: &Output) -> Value {
    let value: Value = serde_json::from_str(&stdout(output)).expect("one JSON value and nothing else");
    assert!(value.is_object());
    value
}

/// Trains a sinusoid so small that it takes a second, into `folder/name`.
pub(crate) fn small_run(folder: &Path, name: &str, more: &[&str]) -> PathBuf {
    let out = folder.join(name);
    let fixed = [
        "train",
        "sinusoid",
        "--tasks",
        "20",
        "--engine",
        "plan",
        "--out",
        out.to_str().unwrap(),
    ];
    let small = ["--set", "policy.hidden=[12]", "--set", "algorithm.maml.iterations=60"];
    succeeds(pliant(&[&fixed[..], &small, more].concat()));
    out
}

/// Says so, and adds a line to the file that `cargo xtask test` counts; in CI, which may install, it is a failure.
pub(crate) fn skip(reason: &str) {
    println!("skipped: {reason}");
    assert!(std::env::var("CI").map_or(true, |value| value != "true"), "{reason}");
    if let Some(path) = std::env::var_os("PLIANT_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{reason}"))
            .expect("the list of skipped tests can be written");
    }
}
