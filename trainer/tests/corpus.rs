//! Every file of the fuzzer's corpus, through the function that the fuzzer calls: `cargo xtask fuzz` finds new ones.

mod fuzzed {
    pub(crate) mod recipe;
}

use std::path::{Path, PathBuf};

#[test]
fn recipe() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/recipe");
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 2);
    for file in files {
        println!("{}", file.display());
        fuzzed::recipe::run(&std::fs::read(&file).unwrap());
    }
    for (_, text) in pliant_trainer::recipe::EMBEDDED {
        fuzzed::recipe::run(text.as_bytes());
    }
}
