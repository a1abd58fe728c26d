//! The examples run, do what they say, and stay as short as the documentation says.

use std::fs;
use std::path::Path;

use pliant_trainer::eval::bootstrap_mean;

#[path = "../examples/choose_how_to_adapt.rs"]
#[allow(dead_code, unreachable_pub)]
mod choose_how_to_adapt;
#[path = "../examples/own_algorithm.rs"]
#[allow(dead_code, unreachable_pub)]
mod own_algorithm;
#[path = "../examples/own_environment.rs"]
#[allow(dead_code, unreachable_pub)]
mod own_environment;

/// Lines of code of the item that starts with `start`, without comments and empty lines, up to the brace that ends it.
fn lines_of(file: &str, starts: &[&str]) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = fs::read_to_string(path).unwrap();
    let item = |start: &&str| {
        let begin = text.find(start).unwrap_or_else(|| panic!("no `{start}` in {file}"));
        let lines = text[begin..].lines().scan(false, |ended, line| {
            let before = *ended;
            *ended = *ended || line == "}";
            (!before).then_some(line)
        });
        lines
            .filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//"))
            .count()
    };
    starts.iter().map(item).sum()
}

/// Over three seeds, the table takes something off the error of the best fixed choice, and the interval says so.
#[test]
fn a_tree_that_chooses_how_to_adapt_gains() {
    let mut gains = Vec::new();
    for seed in 0..3 {
        let gain = choose_how_to_adapt::run(seed, 600, 1000, 1000).unwrap();
        println!(
            "seed {seed}: {:.3} fixed, {:.3} chosen, gain {:?}",
            gain.fixed, gain.chosen, gain.gain
        );
        assert!(gain.gain.mean > 0.0, "seed {seed}: {:?}", gain.gain);
        assert!(gain.bytes <= 31 * 16, "{} bytes", gain.bytes);
        gains.extend(gain.gains);
    }
    let all = bootstrap_mean(&gains, 0);
    println!("three seeds: {all:?}");
    assert!(all.ci95[0] > 0.0, "{all:?}");
}

#[test]
fn an_own_environment_is_learned() {
    let [before, after] = own_environment::train(60).unwrap();
    assert!(after > 0.75 * before, "{before} before adapting, {after} after");
    let lines = lines_of("own_environment.rs", &["struct Boats", "impl Environment for Boats"]);
    assert!(lines < 60, "{lines} lines");
}

/// The same bits, whether it was interrupted or not.
#[test]
fn an_own_algorithm_survives() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let expected = own_algorithm::train(&whole, 300, 300).unwrap();
    own_algorithm::train(&parts, 300, 120).unwrap();
    let resumed = own_algorithm::train(&parts, 300, 300).unwrap();
    assert!(resumed == expected);
    let lines = lines_of("own_algorithm.rs", &["struct Reptile", "impl Algorithm for Reptile"]);
    assert!(lines < 60, "{lines} lines");
}
