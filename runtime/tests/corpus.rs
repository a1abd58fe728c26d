//! Every file of the fuzzers' corpora, through the function that the fuzzer calls: `cargo xtask fuzz` finds new ones.

mod linear;
mod fuzzed {
    #[cfg(feature = "store")]
    pub(crate) mod delta;
    pub(crate) mod exercise;
    pub(crate) mod image;
    pub(crate) mod telemetry;
}
mod seeds;

use std::path::{Path, PathBuf};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join("corpus")
        .join(target)
}

/// Runs every file, and gives how many there are.
fn replay(target: &str, run: impl Fn(&[u8])) -> usize {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        run(&std::fs::read(file).unwrap());
    }
    files.len()
}

#[test]
fn image() {
    assert!(replay("image", fuzzed::image::run) >= 3);
}

#[cfg(feature = "store")]
#[test]
fn delta() {
    assert!(replay("delta", fuzzed::delta::run) >= 1);
    fuzzed::delta::run(&fuzzed::delta::seed());
}

#[test]
fn telemetry() {
    assert!(replay("telemetry", fuzzed::telemetry::run) >= 20);
}

/// Seeds reach what they are to reach: images of this format version, records of this format.
#[test]
fn the_seeds_are_images_and_records() {
    const ANEW: &str =
        "the format has changed; write the seeds anew: cargo test -p pliant-runtime --test corpus -- --ignored";
    for (name, bytes) in seeds::images() {
        assert!(fuzzed::image::reaches_an_image(&bytes), "{name}");
        let committed = std::fs::read(corpus("image").join(format!("seed-{name}"))).unwrap();
        assert_eq!(bytes, committed, "{name}: {ANEW}");
    }
    let committed = std::fs::read(corpus("telemetry").join("seed-log")).unwrap();
    assert_eq!(seeds::telemetry(), committed, "{ANEW}");
}

/// Writes the seeds of the corpora anew, after a change of the formats.
#[test]
#[ignore = "writes files: cargo test -p pliant-runtime --test corpus -- --ignored"]
fn write_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("seed-{name}")), bytes).unwrap();
    };
    for (name, bytes) in seeds::images() {
        write("image", name, &bytes);
    }
    // Its image is the seed that this program was compiled with: after a change of the format, run this twice.
    #[cfg(feature = "store")]
    write("delta", "two", &fuzzed::delta::seed());
    let log = seeds::telemetry();
    write("telemetry", "log", &log);
    for (frame, number) in log.split_inclusive(|byte| *byte == 0).zip(0..) {
        write("telemetry", &format!("frame-{number}"), frame);
    }
}
