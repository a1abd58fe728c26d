//! Motifs from recipe to device: what was trained is what the image computes, and adapting finds a motif.

use pliant_compiler::image::AlignedBytes;
use pliant_compiler::onnx;
use pliant_runtime::image::Image;
use pliant_trainer::algorithms::{learner, start_from};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::error::TrainError;
use pliant_trainer::eval::{EvalOptions, validate};
use pliant_trainer::recipe::{RecipeError, Source};
use std::sync::Arc;

fn engine() -> Arc<dyn Engine> {
    Arc::new(PlanEngine::fast())
}

/// Motifs that leave no doubt (every column one base): a few steps from random words find one of them on the device, by all the
/// runtime's own checks; the models are there for ONNX too.
#[test]
fn a_clear_motif_is_found_on_the_device() {
    let mut source = Source::find("motifs").unwrap();
    for set in [
        "family.motifs.concentration=0.01",
        "policy.scan.detectors=48",
        "policy.scan.window=8",
        "algorithm.maml.iterations=15",
        "algorithm.maml.tasks=2",
    ] {
        source.set(set).unwrap();
    }
    let recipe = source.parse().unwrap();
    let mut learner = learner(&recipe, &engine(), 1).unwrap();
    for _ in 0..15 {
        learner.step().unwrap();
    }
    let exported = export(&recipe, &learner.learned().unwrap(), 1).unwrap();
    let file = |name: &str| &exported.files.iter().find(|(file, _)| *file == name).unwrap().1;
    let bytes = AlignedBytes::new(file("policy.pliant"));
    let image = Image::new_checked(&bytes).unwrap();
    assert!(image.adaptation().is_some());
    for name in ["policy.onnx", "adapt.onnx", "score.onnx"] {
        let dimension = if name == "policy.onnx" { "batch" } else { "rows" };
        onnx::import_with(file(name), &[(dimension, 3)]).unwrap();
    }
    let options = EvalOptions {
        tasks: 6,
        seed: 0,
        threads: 1,
    };
    let evaluation = validate(&recipe, &bytes, options).unwrap();
    let [before, after] = [0, 1].map(|index| evaluation.adaptation[index].mean);
    assert!(!evaluation.lower_is_better && evaluation.metric == "share right");
    assert!(
        (0.4..0.65).contains(&before) && after > before + 0.15,
        "{before} {after}"
    );
}

#[test]
fn a_scan_is_for_sequences() {
    let refused = |recipe: &str, sets: &[&str]| -> String {
        let mut source = Source::find(recipe).unwrap();
        sets.iter().for_each(|set| source.set(set).unwrap());
        match source.parse() {
            Err(error @ RecipeError::OutOfRange { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let text = refused("sinusoid", &["policy.scan.window=4", "policy.scan.detectors=4"]);
    assert!(text.contains("policy.scan"), "{text}");
    let text = refused("motifs", &["family.motifs.length=8"]);
    assert!(
        text.contains("policy.scan.window") && text.contains("family.motifs"),
        "{text}"
    );
}

/// A trunk that many tasks shared starts another training; a network of other widths has nothing in common with it.
#[test]
fn a_training_starts_from_anothers_parameters() {
    let mut source = Source::find("sinusoid").unwrap();
    source.set("policy.hidden=[8, 8]").unwrap();
    let meta = source.parse().unwrap();
    let mut table: toml::Table = source.text.parse().unwrap();
    table.remove("algorithm");
    source.text = toml::to_string(&table).unwrap();
    source.set("algorithm.multi-task.iterations=5").unwrap();
    source.set("algorithm.multi-task.optimizer.rate=0.01").unwrap();
    let together = source.parse().unwrap();
    let mut pretraining = learner(&together, &engine(), 1).unwrap();
    (0..5).for_each(|_| drop(pretraining.step().unwrap()));
    let source = pretraining.learned().unwrap().parameters;

    let mut started = learner(&meta, &engine(), 1).unwrap();
    let before = started.learned().unwrap().parameters;
    let taken = start_from(started.as_mut(), &source).unwrap();
    assert_eq!(taken, ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"]);
    let after = started.learned().unwrap().parameters;
    // The trunk stands before the heads.
    for (own, (before, after)) in source.iter().take(4).zip(before.iter().zip(&after)) {
        assert!(
            own.values == after.values && own.values != before.values,
            "{}",
            own.name
        );
    }
    // The head is none of the tasks' heads: as it starts.
    assert_eq!(before[4..], after[4..]);
    assert_eq!(started.completed(), 0);
    started.step().unwrap();

    let mut other = Source::find("sinusoid").unwrap();
    other.set("policy.hidden=[5]").unwrap();
    let mut other = learner(&other.parse().unwrap(), &engine(), 1).unwrap();
    assert!(matches!(
        start_from(other.as_mut(), &source),
        Err(TrainError::NothingInCommon { .. })
    ));
}
