//! The files of a bundle say the same: the ONNX models, the device image and the policy they were made from.

use pliant_compiler::image::AlignedBytes;
use pliant_compiler::onnx;
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Learned, NamedTensor};
use pliant_trainer::recipe::{Recipe, Source};
use pliant_trainer::{bundle, deployment, nn};

fn recipe() -> Recipe {
    let mut source = Source::find("sinusoid").unwrap();
    source.set("policy.hidden=[9, 7]").unwrap();
    source.parse().unwrap()
}

/// Parameters that were never trained, with a step size of their own for every element.
fn learned(recipe: &Recipe) -> Learned {
    let parameters = nn::initialise(&deployment::policy(recipe).parameters(), recipe.policy.initialiser, 5);
    let step_sizes = parameters
        .iter()
        .map(|tensor| NamedTensor {
            values: tensor.values.iter().map(|value| 0.01 + 0.01 * value.abs()).collect(),
            ..tensor.clone()
        })
        .collect();
    Learned {
        parameters,
        step_sizes,
        step_scales: vec![1.0],
        observations: None,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs().max(1.0)
}

#[test]
fn onnx_models_and_device_image_act_and_adapt_alike() {
    let recipe = recipe();
    let learned = learned(&recipe);
    let exported = bundle::export(&recipe, &learned, 2).unwrap();
    let file = |name: &str| {
        &exported
            .files
            .iter()
            .find(|(file, _)| *file == name)
            .expect("a file of the bundle")
            .1
    };

    let inputs: Vec<f32> = (0..10).map(|i| -4.0 + 0.9 * i as f32).collect();
    let targets: Vec<f32> = inputs.iter().map(|x| 2.0 * (x - 0.4).sin()).collect();
    let column = |values: &[f32]| Tensor64::new(&[values.len(), 1], values.iter().map(|&v| f64::from(v)).collect());

    let bytes = AlignedBytes::new(file("policy.pliant"));
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(&bytes)];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();

    // Without parameters given, the models use the meta-learned ones.
    let graph = onnx::import_with(file("policy.onnx"), &[("batch", 10)]).unwrap();
    let actions = evaluate(&graph, &[("observation", column(&inputs))]).unwrap();
    for (input, expected) in inputs.iter().zip(&actions[0].data) {
        let mut action = [0.0];
        assert!(!actor.act(&[*input], &mut action).is_safe_action());
        assert!(close(f64::from(action[0]), *expected), "{} and {expected}", action[0]);
    }

    for (input, target) in inputs.iter().zip(&targets) {
        learner.observe_example(&[*input], &[*target]).unwrap();
    }
    assert!(learner.adapt().is_accepted());
    let graph = onnx::import_with(file("adapt.onnx"), &[("rows", 10)]).unwrap();
    let rows = [
        ("x", column(&inputs)),
        ("y", column(&targets)),
        ("row_weight", Tensor64::new(&[10], vec![1.0; 10])),
        ("step_scale", Tensor64::new(&[1], vec![1.0])),
    ];
    let next = evaluate(&graph, &rows).unwrap();
    let names: Vec<&str> = graph.outputs().iter().map(|port| &*port.name).collect();
    let expected: Vec<String> = learned
        .parameters
        .iter()
        .map(|tensor| format!("next.{}", tensor.name))
        .collect();
    assert_eq!(names, expected);
    let expected: Vec<f64> = next.iter().flat_map(|tensor| tensor.data.iter().copied()).collect();
    assert_eq!(learner.parameters().len(), expected.len());
    for (parameter, expected) in learner.parameters().iter().zip(&expected) {
        assert!(close(f64::from(*parameter), *expected), "{parameter} and {expected}");
    }

    let graph = onnx::import_with(file("score.onnx"), &[("rows", 10)]).unwrap();
    let score = evaluate(&graph, &rows[..3]).unwrap()[0].data[0];
    let errors = actions[0]
        .data
        .iter()
        .zip(&targets)
        .map(|(action, target)| (action - f64::from(*target)).powi(2));
    assert!(close(score, errors.sum::<f64>() / 10.0), "{score}");
}

#[test]
fn onnx_models_carry_the_contract() {
    let recipe = recipe();
    let exported = bundle::export(&recipe, &learned(&recipe), 1).unwrap();
    for (name, bytes) in exported.files.iter().filter(|(name, _)| name.ends_with(".onnx")) {
        let metadata = onnx::metadata(bytes).unwrap();
        let entry = |key: &str| &metadata.iter().find(|(found, _)| found == key).expect(name).1;
        assert_eq!(entry("pliant.family"), "sinusoid");
        assert_eq!(entry("pliant.step_scales"), "[1.0]");
        let contract: serde_json::Value = serde_json::from_str(entry("pliant.contract")).unwrap();
        assert_eq!(contract["observations"][0]["range"], serde_json::json!([-5.0, 5.0]));
    }
}

#[test]
fn parameters_that_are_not_finite_are_refused() {
    let recipe = recipe();
    let mut learned = learned(&recipe);
    learned.parameters[0].values[0] = f32::NAN;
    let error = bundle::export(&recipe, &learned, 1).unwrap_err();
    assert!(error.to_string().contains("finite"), "{error}");
}
