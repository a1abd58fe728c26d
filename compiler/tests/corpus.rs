//! Every file of the fuzzer's corpus, through the function that the fuzzer calls: `cargo xtask fuzz` finds new ones.

mod cases;
mod fuzzed {
    pub(crate) mod onnx;
}

use std::path::{Path, PathBuf};

use pliant_compiler::onnx::{ExportOptions, export};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/onnx")
}

#[test]
fn onnx() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20);
    for file in files {
        println!("{}", file.display());
        fuzzed::onnx::run(&std::fs::read(&file).unwrap());
    }
}

/// Writes the seeds of the corpus anew: a model for every operator.
#[test]
#[ignore = "writes files: cargo test -p pliant-compiler --test corpus -- --ignored"]
fn write_seeds() {
    std::fs::create_dir_all(corpus()).unwrap();
    let mut written = std::collections::BTreeSet::new();
    for case in cases::cases() {
        // One of each operator: the fuzzer finds the variants.
        if written.insert(case.operator) {
            let bytes = export(&case.graph, &ExportOptions::default()).unwrap();
            std::fs::write(corpus().join(format!("seed-{}", case.operator)), bytes).unwrap();
        }
    }
}
