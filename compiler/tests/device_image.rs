//! Whole images: a policy compiled, loaded by the runtime, checked by its golden steps, and adapted.

mod support;

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{
    AdaptationDescription, AlignedBytes, ImageBuildError, ImageOptions, compile_policy, inspect,
};
use pliant_compiler::policy::{Activation, Gaussian, Gru, Mlp, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, CRC_START, Image, Objective, crc32};
use support::Random;

fn contract(observations: usize, actions: usize) -> Contract {
    let mut contract = Contract::new(50.0);
    for index in 0..observations {
        contract
            .observe(Channel::observation(&format!("observation{index}"), "m"))
            .unwrap();
    }
    for index in 0..actions {
        contract
            .actuate(Channel::action(&format!("action{index}"), "m/s"))
            .unwrap();
    }
    contract
}

fn parameters(policy: &PolicyDescription, seed: u64) -> Vec<Tensor> {
    let mut random = Random(seed);
    policy
        .parameters()
        .iter()
        .map(|p| {
            let scale = 1.0 / (p.shape[0] as f32).sqrt();
            let values: Vec<f32> = random.values(p.elements()).iter().map(|v| v * scale).collect();
            Tensor::f32(&p.shape, values).unwrap()
        })
        .collect()
}

/// A small navigation policy: what the firmware and the runtime's tests use.
fn navigation() -> (PolicyDescription, AdaptationDescription) {
    let policy = PolicyDescription::stochastic(Mlp::new(&[2, 16, 16, 2], Activation::Relu), Gaussian { floor: -3.0 });
    let mut spec = AdaptationSpec::new(Objective::PolicyGradient)
        .with_rows(200, 8)
        .with_step_scales(&[1.0, 0.5]);
    spec.trajectories = 4;
    spec.horizon = 50;
    spec.baseline_features = 1;
    spec.baseline_ridge = 1e-3;
    spec.gamma = 0.99;
    spec.lambda = 0.9;
    spec.kl_limit = 1.0;
    let elements = policy.parameter_elements();
    let step_sizes = StepSizes::PerElement((0..elements).map(|i| 0.1 + 1e-4 * i as f32).collect());
    (
        policy,
        AdaptationDescription {
            spec,
            adapts: None,
            update: step_sizes.into(),
        },
    )
}

fn check(bytes: &[u8]) -> u32 {
    let aligned = AlignedBytes::new(bytes);
    let image = Image::new_checked(&aligned).unwrap();
    let mut memory = vec![f32::NAN; image.self_test_len()];
    image.self_test(&mut memory).unwrap()
}

#[test]
fn a_policy_that_adapts_passes_its_golden_steps_and_is_reported() {
    let (policy, adaptation) = navigation();
    let options = ImageOptions {
        max_macs_per_record: Some(500),
        card: Some("a test".to_owned()),
        ..ImageOptions::default()
    };
    let bytes = compile_policy(
        &policy,
        &parameters(&policy, 1),
        Some(&adaptation),
        &contract(2, 2),
        &options,
    )
    .unwrap();
    assert_eq!(check(&bytes), 2 + 1 + 2 + 1 + 1 + 1 + 2);
    let report = inspect(&bytes).unwrap();
    assert_eq!(report.image_bytes, bytes.len());
    assert_eq!(report.adapted_parameters, policy.parameter_elements());
    assert_eq!(report.card.as_deref(), Some("a test"));
    let names: Vec<&str> = report.plans.keys().copied().collect();
    assert_eq!(names, ["accumulate", "act", "apply", "begin", "score"]);
    // Only what cannot be split may be larger.
    assert!(report.plans["accumulate"].largest_record_macs <= 500);
    // Three products with bias and activation, and the width of the distribution.
    assert_eq!(report.plans["act"].records, 4);
    // Scaled gradients take the place of the sums: no scratch but the step's factor.
    assert!(report.plans["apply"].records <= 3 * policy.parameter_elements().div_ceil(500) + 1);
    assert_eq!(report.plans["begin"].records, policy.parameter_elements().div_ceil(500));
}

#[test]
fn recurrent_and_partly_frozen_policies_pass_their_golden_steps() {
    let gru = Gru {
        observations: 3,
        encoder: 8,
        activation: Activation::Relu,
        hidden: 8,
        outputs: 2,
        changes: 0,
    };
    let recurrent = |gru: Gru| {
        let policy = PolicyDescription::deterministic(gru);
        let parameters = parameters(&policy, 2);
        compile_policy(&policy, &parameters, None, &contract(3, 2), &ImageOptions::default()).unwrap()
    };
    // With the previous observation and output in the state, it is still one fused unit.
    let changes = recurrent(Gru {
        changes: 10,
        ..gru.clone()
    });
    assert_eq!(check(&changes), 2);
    assert!(inspect(&changes).unwrap().plans["act"].kernels.contains(&"gru"));
    let bytes = recurrent(gru);
    assert_eq!(check(&bytes), 2);
    let report = inspect(&bytes).unwrap();
    assert_eq!(report.adapted_parameters, 0);
    assert!(report.adaptation.is_none());
    // Encoder, the unit's two products, its gates, head.
    assert_eq!(report.plans["act"].records, 5);
    assert_eq!(report.plans["act"].kernels, ["gru", "matmul"]);

    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 8, 8, 1], Activation::Tanh));
    let adaptation = AdaptationDescription {
        spec: AdaptationSpec::new(Objective::Supervised)
            .with_rows(10, 5)
            .with_step_scales(&[1.0]),
        adapts: Some(vec![false, false, false, false, true, true]),
        update: StepSizes::Uniform(0.01).into(),
    };
    let bytes = compile_policy(
        &policy,
        &parameters(&policy, 3),
        Some(&adaptation),
        &contract(1, 1),
        &ImageOptions::default(),
    )
    .unwrap();
    check(&bytes);
    assert_eq!(inspect(&bytes).unwrap().adapted_parameters, 9);
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let (policy, adaptation) = navigation();
    let good = parameters(&policy, 1);
    let build = |parameters: &[Tensor], contract: &Contract| {
        compile_policy(
            &policy,
            parameters,
            Some(&adaptation),
            contract,
            &ImageOptions::default(),
        )
    };
    assert_eq!(
        build(&good, &contract(3, 2)).unwrap_err().to_string(),
        "observation channels: the policy has 2, got 3"
    );
    assert_eq!(
        build(&good[1..], &contract(2, 2)).unwrap_err().to_string(),
        "parameters: the policy has 7, got 6"
    );
    let mut broken = good.clone();
    broken[1] = Tensor::f32(&[16], vec![f32::NAN; 16]).unwrap();
    assert!(matches!(
        build(&broken, &contract(2, 2)),
        Err(ImageBuildError::NotFinite(_))
    ));
}

#[test]
fn a_changed_weight_fails_the_golden_steps() {
    let (policy, adaptation) = navigation();
    let mut bytes = compile_policy(
        &policy,
        &parameters(&policy, 1),
        Some(&adaptation),
        &contract(2, 2),
        &ImageOptions::default(),
    )
    .unwrap();
    let weight = {
        let aligned = AlignedBytes::new(&bytes);
        let image = Image::new_checked(&aligned).unwrap();
        image.adapted_initial().as_ptr() as usize - aligned.as_ptr() as usize
    };
    bytes[weight + 1] ^= 1;
    let crc = crc32(&bytes[CRC_START..]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    let aligned = AlignedBytes::new(&bytes);
    let image = Image::new_checked(&aligned).unwrap();
    assert!(image.self_test(&mut vec![0.0; image.self_test_len()]).is_err());
}
