//! The tree that chooses how to adapt: its rules, its walk, and what an adaptation does with it.

mod linear;
mod sections;

use linear::{policy_gradient, supervised};
use pliant_runtime::image::{
    AdaptationSpec, Choice, ChoiceNode, Choices, Image, ImageError, Objective, SectionKind, Statistic,
    SupportStatistics,
};
use pliant_runtime::policy::{Policy, workspace_len};
use sections::Aligned;

const LEAF: ChoiceNode = ChoiceNode::leaf(Choice { steps: 1, scale: 0.5 });

fn spec() -> AdaptationSpec {
    AdaptationSpec::new(Objective::Supervised).with_step_scales(&[1.0; 3])
}

fn question(statistic: Statistic, below: u32, above: u32) -> ChoiceNode {
    ChoiceNode::question(statistic, 2.0, below, above)
}

#[test]
fn every_rule_of_a_tree_is_enforced() {
    let accepted = |nodes: &[ChoiceNode]| Choices::new_checked(nodes, &spec()).is_some();
    let root = question(Statistic::Rows, 1, 2);
    assert!(accepted(&[LEAF]));
    assert!(accepted(&[root, LEAF, LEAF]));
    assert!(accepted(&[LEAF; Choices::MAX_NODES]));
    assert!(!accepted(&[]));
    assert!(!accepted(&[LEAF; Choices::MAX_NODES + 1]));
    // A question leads to later nodes.
    for (below, above) in [(0, 2), (1, 0), (3, 2), (1, 3), (u32::MAX, 2)] {
        assert!(!accepted(&[question(Statistic::Rows, below, above), LEAF, LEAF]));
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(!accepted(&[ChoiceNode { value, ..root }, LEAF, LEAF]));
    }
    let statistic = Statistic::COUNT as u32;
    assert!(!accepted(&[ChoiceNode { statistic, ..root }, LEAF, LEAF]));
    // A leaf takes 1 to 3 steps of a size above 0.
    for steps in [0, 4] {
        assert!(!accepted(&[ChoiceNode::leaf(Choice { steps, scale: 1.0 })]));
    }
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(!accepted(&[ChoiceNode::leaf(Choice { steps: 1, scale })]));
    }
    assert!(!accepted(&[ChoiceNode { above: 1, ..LEAF }]));
}

#[test]
fn every_statistic_is_asked_and_what_is_no_number_goes_above() {
    let (few, many) = (Choice { steps: 1, scale: 0.5 }, Choice { steps: 3, scale: 2.0 });
    let statistics = [
        Statistic::Rows,
        Statistic::TargetMean,
        Statistic::TargetDeviation,
        Statistic::InputDeviation,
    ];
    for (index, statistic) in statistics.into_iter().enumerate() {
        let nodes = [question(statistic, 1, 2), ChoiceNode::leaf(few), ChoiceNode::leaf(many)];
        let spec = spec();
        let choices = Choices::new_checked(&nodes, &spec).unwrap();
        assert_eq!(choices.nodes(), nodes);
        let with = |value: f32| {
            let mut all = [0.0; Statistic::COUNT];
            all[index] = value;
            choices.choose(&SupportStatistics(all))
        };
        assert_eq!((with(1.9), with(2.0), with(f32::NAN)), (few, many, many));
    }
}

#[test]
fn statistics_of_nothing_are_zero() {
    let none = || core::iter::empty::<f32>();
    assert_eq!(SupportStatistics::of(0, none(), none()).0, [0.0; Statistic::COUNT]);
}

/// The image with this choice section.
fn with_choice(image: &[u8], nodes: &[ChoiceNode]) -> Aligned {
    let mut all = sections::sections(image);
    let contents = bytemuck::cast_slice(nodes).to_vec();
    all.push((SectionKind::Choice as u16, 0, 0, contents));
    sections::join(image, &all)
}

#[test]
fn an_adaptation_takes_the_steps_that_were_chosen() {
    let adapted = |bytes: &[u8], rows: usize| {
        let mut memory = vec![f32::NAN; workspace_len(bytes)];
        let image = Image::new_checked(bytes).unwrap();
        let mut policy = Policy::new(&image, None, &mut memory).unwrap();
        let (_, mut learner) = policy.split();
        for row in 0..rows {
            learner.observe_example(&[row as f32], &[2.0 - row as f32]).unwrap();
        }
        let report = learner.adapt();
        assert!(report.is_accepted(), "{report:?}");
        (report.figures().steps, learner.parameters().to_vec())
    };
    let plain = |scales: &[f32]| supervised([0.5, -0.25], scales, 8).write();
    // Fewer than three rows: one step of half the size. Otherwise both.
    let nodes = [
        ChoiceNode::question(Statistic::Rows, 3.0, 1, 2),
        LEAF,
        ChoiceNode::leaf(Choice { steps: 2, scale: 1.0 }),
    ];
    let chosen = with_choice(&plain(&[1.0, 0.5]), &nodes);
    assert_eq!(adapted(&chosen, 2), adapted(&plain(&[0.5]), 2));
    assert_eq!(adapted(&chosen, 5), adapted(&plain(&[1.0, 0.5]), 5));
}

#[test]
fn only_a_supervised_adaptation_can_be_chosen() {
    let refused = |image: &[u8], nodes: &[ChoiceNode]| Image::new_checked(&with_choice(image, nodes)).err();
    let contents = Some(ImageError::Contents(SectionKind::Choice));
    let supervised = supervised([0.0; 2], &[1.0], 8).write();
    assert_eq!(refused(&supervised, &[LEAF]), None);
    assert_eq!(refused(&supervised, &[]), contents);
    let two_steps = ChoiceNode::leaf(Choice { steps: 2, scale: 1.0 });
    assert_eq!(refused(&supervised, &[two_steps]), contents, "trained for one");
    assert_eq!(refused(&policy_gradient([0.0; 3], 1, 8).write(), &[LEAF]), contents);
    assert_eq!(refused(&linear::gated().write(), &[LEAF]), contents);
}
