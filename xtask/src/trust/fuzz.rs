//! The fuzzers, each built with cargo-fuzz and run for a number of executions from its committed corpus.

use std::time::Instant;

use crate::error::{AtPath, Error};
use crate::process::{Process, cargo_path};
use crate::workspace::Workspace;

/// A fuzzer.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Folder of its crate, from the root.
    folder: &'static str,
    /// Bytes of the longest input that is tried.
    max_len: u32,
    /// Executions when no number is given.
    runs: u64,
}

/// All of them. Inputs are short, so that there are many a second.
pub(crate) const TARGETS: [Target; 5] = [
    Target {
        name: "image",
        folder: "runtime/fuzz",
        max_len: 3840,
        runs: 10_000_000,
    },
    Target {
        name: "delta",
        folder: "runtime/fuzz",
        max_len: 1280,
        runs: 10_000_000,
    },
    Target {
        name: "telemetry",
        folder: "runtime/fuzz",
        max_len: 280,
        runs: 10_000_000,
    },
    Target {
        name: "onnx",
        folder: "compiler/fuzz",
        max_len: 1024,
        runs: 1_000_000,
    },
    Target {
        name: "recipe",
        folder: "trainer/fuzz",
        max_len: 512,
        runs: 1_000_000,
    },
];

/// Runs the targets of these names, or all; stops at the first crash, whose input the fuzzer has written.
pub(crate) fn run(workspace: &Workspace, names: &[String], runs: Option<u64>) -> Result<(), Error> {
    for target in TARGETS {
        if !names.is_empty() && !names.iter().any(|name| name == target.name) {
            continue;
        }
        let folder = workspace.root().join(target.folder);
        let corpus = workspace.target().join("fuzz").join("corpus").join(target.name);
        let artifacts = workspace.target().join("fuzz").join("crashes").join(target.name);
        for folder in [&corpus, &artifacts] {
            std::fs::create_dir_all(folder).at(folder)?;
        }
        let runs = runs.unwrap_or(target.runs);
        let started = Instant::now();
        Process::new(cargo_path())
            .args(["fuzz", "run", "--fuzz-dir", ".", "--sanitizer", "none", target.name])
            // New inputs go to the first folder; the committed ones are only read.
            .arg(&corpus)
            .arg(folder.join("corpus").join(target.name))
            .args(["--", "-print_final_stats=1"])
            .arg(format!("-max_len={}", target.max_len))
            .arg(format!("-runs={runs}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", workspace.target().join("fuzz"))
            // Coverage instrumentation needs -Z options, which a released compiler takes only so.
            .env("RUSTC_BOOTSTRAP", "1")
            .hint("install the fuzzer with `cargo install --locked cargo-fuzz`; it needs a C++ compiler")
            .run()?;
        println!(
            "{}: {runs} executions in {:.0} s",
            target.name,
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
