//! The tree that chooses how to adapt, in images: what it chooses is what the learner does, and no malformed one is taken.

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AdaptationDescription, AlignedBytes, ImageOptions, compile_policy, with_choices};
use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, Choice, ChoiceNode, Image, Objective, Statistic};
use pliant_runtime::policy::{Policy, workspace_len};

/// An image that adapts by steps of these scales.
fn image(scales: &[f32]) -> Vec<u8> {
    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 6, 1], Activation::Tanh));
    let values = |count: usize| (0..count).map(|i| 0.3 * (1.7 * i as f32).sin()).collect::<Vec<_>>();
    let parameters: Vec<Tensor> = policy
        .parameters()
        .iter()
        .map(|parameter| Tensor::f32(&parameter.shape, values(parameter.elements())).unwrap())
        .collect();
    let spec = AdaptationSpec::new(Objective::Supervised)
        .with_rows(8, 3)
        .with_step_scales(scales);
    let adaptation = AdaptationDescription {
        spec,
        adapts: None,
        update: StepSizes::Uniform(0.1).into(),
    };
    let mut contract = Contract::new(1.0);
    contract.observe(Channel::observation("x", "")).unwrap();
    contract.actuate(Channel::action("y", "")).unwrap();
    compile_policy(
        &policy,
        &parameters,
        Some(&adaptation),
        &contract,
        &ImageOptions::default(),
    )
    .unwrap()
}

/// Parameters after adapting to `rows` rows, by at most `macs` at a time, and the steps reported.
fn adapted(image: &[u8], rows: usize, macs: u64) -> (Vec<f32>, u32) {
    let bytes = AlignedBytes::new(image);
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (_, mut learner) = policy.split();
    for row in 0..rows {
        learner
            .observe_example(&[row as f32 - 2.0], &[0.5 * row as f32])
            .unwrap();
    }
    loop {
        if let pliant_runtime::adapt::Progress::Done(report) = learner.adapt_some(macs) {
            assert!(report.is_accepted(), "{report:?}");
            return (learner.parameters().to_vec(), report.figures().steps);
        }
    }
}

/// Fewer than four rows: one step of half the size. Otherwise two as they are.
const TREE: [ChoiceNode; 3] = [
    ChoiceNode::question(Statistic::Rows, 4.0, 1, 2),
    ChoiceNode::leaf(Choice { steps: 1, scale: 0.5 }),
    ChoiceNode::leaf(Choice { steps: 2, scale: 1.0 }),
];

#[test]
fn the_learner_does_what_the_tree_chooses() {
    let plain = image(&[1.0, 1.0, 1.0]);
    let chosen = with_choices(&plain, &TREE).unwrap();
    assert_eq!(adapted(&chosen, 3, u64::MAX), adapted(&image(&[0.5]), 3, u64::MAX));
    assert_eq!(adapted(&chosen, 6, u64::MAX), adapted(&image(&[1.0, 1.0]), 6, u64::MAX));
    assert_eq!(
        adapted(&chosen, 6, 10),
        adapted(&chosen, 6, u64::MAX),
        "slices change nothing"
    );
    assert_eq!(adapted(&plain, 6, u64::MAX).1, 3);
    // Replaced, not added to; and the rest of the image stays as it was.
    let again = with_choices(&chosen, &TREE[1..2]).unwrap();
    assert_eq!(adapted(&again, 6, u64::MAX).1, 1);
    let [plain, chosen] = [&plain, &chosen].map(|bytes| AlignedBytes::new(bytes));
    let [plain, chosen] = [&plain, &chosen].map(|bytes| Image::new_checked(bytes).unwrap());
    assert_eq!(plain.hash(), chosen.hash());
    assert!(plain.choices().is_none() && plain.golden_steps().count() == chosen.golden_steps().count());
}

#[test]
fn malformed_trees_are_refused() {
    let image = image(&[1.0, 1.0]);
    let leaf = |steps, scale| ChoiceNode::leaf(Choice { steps, scale });
    let question = |value, below, above| ChoiceNode::question(Statistic::Rows, value, below, above);
    let good = leaf(1, 1.0);
    let unknown = ChoiceNode {
        statistic: 4,
        ..question(1.0, 1, 1)
    };
    for (what, nodes) in [
        ("no node", vec![]),
        ("no step", vec![leaf(0, 1.0)]),
        ("more steps than trained for", vec![leaf(3, 1.0)]),
        ("no size", vec![leaf(1, 0.0)]),
        ("a size that is no number", vec![leaf(1, f32::NAN)]),
        ("a leaf that leads on", vec![ChoiceNode { above: 1, ..good }]),
        ("a threshold that is no number", vec![question(f32::NAN, 1, 1), good]),
        ("a question that leads back", vec![question(1.0, 0, 1), good]),
        ("a question that leads out", vec![question(1.0, 1, 2), good]),
        ("an unknown statistic", vec![unknown, good]),
        ("too many", vec![good; 256]),
    ] {
        assert!(with_choices(&image, &nodes).is_err(), "{what}");
    }
    assert!(with_choices(&image, &[question(1.0, 1, 1), good]).is_ok());
}
