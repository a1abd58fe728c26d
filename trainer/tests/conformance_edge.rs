//! The ONNX models of a bundle over tract against its device image: the same handles, the same answers within rounding.

use std::path::{Path, PathBuf};

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::adapt::Reason;
use pliant_runtime::contract::{Interface, Port};
use pliant_runtime::edge::{EdgeError, Models};
use pliant_runtime::experience::End;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Learner, ObserveError, Policy, PolicyError, ResetKind, Status, workspace_len};

/// One action, or one parameter after adapting.
const BAR: f32 = 1e-4;

fn file(model: &str, name: &str) -> Vec<u8> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(model);
    std::fs::read(folder.join(name)).unwrap()
}

fn models(model: &str) -> Models {
    let [policy, adapt, score] = ["policy.onnx", "adapt.onnx", "score.onnx"].map(|name| file(model, name));
    Models::new(&policy, &adapt, &score).unwrap()
}

/// Calls `with` with the handles of the image and those of the models.
fn both(model: &str, with: impl FnOnce(&mut [(Actor<'_, '_>, Learner<'_, '_>); 2])) {
    let bytes = AlignedBytes::new(&file(model, "policy.pliant"));
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(&bytes)];
    let mut from_image = Policy::new(&image, None, &mut memory).unwrap();
    let mut models = models(model);
    let mut memory = vec![0.0; models.workspace_len()];
    let mut from_models = Policy::from_models(&mut models, None, &mut memory).unwrap();
    with(&mut [from_image.split(), from_models.split()]);
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= BAR * largest, "{index}: {a} against {b}");
    }
}

#[test]
fn a_supervised_policy_acts_and_adapts_as_its_image() {
    both("sinusoid", |handles| {
        let parameters = |handles: &[(Actor<'_, '_>, Learner<'_, '_>); 2]| {
            let [(_, image), (_, models)] = handles;
            assert_close(image.parameters(), models.parameters());
        };
        let answers = |handles: &mut [(Actor<'_, '_>, Learner<'_, '_>); 2]| {
            for step in -10..=10 {
                let x = step as f32 / 2.0;
                let answer = handles.each_mut().map(|(actor, _)| {
                    let mut y = [f32::NAN];
                    assert_eq!(actor.act(&[x], &mut y), Status::Acted);
                    y
                });
                assert_close(&answer[0], &answer[1]);
            }
        };
        parameters(handles);
        answers(handles);
        // Fewer examples than the support set holds: the other rows weigh nothing.
        for (_, learner) in handles.iter_mut() {
            for step in 0..7 {
                let x = step as f32 - 3.0;
                learner.observe_example(&[x], &[2.0 * x.sin()]).unwrap();
            }
        }
        let before = handles[1].1.parameters().to_vec();
        let reports = handles.each_mut().map(|(_, learner)| learner.adapt());
        for report in &reports {
            assert!(report.is_accepted(), "{report:?}");
        }
        assert!((reports[0].figures().change - reports[1].figures().change).abs() < BAR);
        assert_ne!(handles[1].1.parameters(), before);
        parameters(handles);
        answers(handles);
        handles.iter_mut().for_each(|(_, learner)| learner.revert_to_base());
        assert_eq!(handles[1].1.parameters(), before);
    });
}

#[test]
fn a_policy_gradient_adapts_as_its_image() {
    both("point-navigation", |handles| {
        for (actor, learner) in handles.iter_mut() {
            actor.seed(3);
            for _ in 0..6 {
                actor.reset(ResetKind::Episode);
                let mut position = [0.0f32; 2];
                for index in 0..30 {
                    let mut action = [0.0; 2];
                    let step = actor.explore(&position, &mut action).unwrap();
                    position = [position[0] + action[0], position[1] + action[1]];
                    let reward = -((position[0] - 0.3).powi(2) + (position[1] + 0.2).powi(2)).sqrt();
                    let end = if index == 29 { End::Truncated } else { End::Continue };
                    learner.observe(&step, reward, end).unwrap();
                }
            }
        }
        let reports = handles.each_mut().map(|(_, learner)| learner.adapt());
        let [image, models] = reports.each_ref().map(|report| {
            assert!(report.is_accepted(), "{report:?}");
            report.figures()
        });
        assert_eq!((image.rows, image.steps), (models.rows, models.steps));
        assert!((image.change - models.change).abs() < 1e-3, "{image:?} {models:?}");
        let divergences = (image.score_after.unwrap(), models.score_after.unwrap());
        assert!(
            (divergences.0 - divergences.1).abs() < 1e-2 * divergences.0.max(1.0),
            "{divergences:?}"
        );
    });
}

#[test]
fn the_guards_are_the_same() {
    both("sinusoid", |[_, (_, learner)]| {
        assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));
        assert_eq!(
            learner.observe_example(&[f32::NAN], &[0.0]),
            Err(ObserveError::NotFinite)
        );
        // So far off that the step leaves the trust region.
        for index in 0..10 {
            learner.observe_example(&[index as f32], &[1e6]).unwrap();
        }
        assert_eq!(learner.adapt().reason(), Some(Reason::TrustRegion));
    });
}

#[test]
fn the_contract_of_the_metadata_is_enforced() {
    let mut models = models("point-navigation");
    let mut memory = vec![0.0; models.workspace_len()];
    let wired = Interface {
        observations: &[Port::new("x", ""), Port::new("z", "")],
        actions: &[Port::new("dx", ""), Port::new("dy", "")],
        control_rate_hz: 10.0,
    };
    let refused = Policy::from_models(&mut models, Some(&wired), &mut memory);
    assert!(matches!(refused.err(), Some(PolicyError::Contract(_))));
}

#[test]
fn what_is_no_bundle_is_refused() {
    let [policy, adapt, score] = ["policy.onnx", "adapt.onnx", "score.onnx"].map(|name| file("sinusoid", name));
    assert!(matches!(
        Models::act_only(b"no model").err(),
        Some(EdgeError::Model { .. } | EdgeError::MetadataMissing { .. })
    ));
    // The wrong way round.
    assert!(Models::new(&policy, &score, &adapt).is_err());
    let mut models = Models::act_only(&policy).unwrap();
    assert!(models.adaptation().is_none());
    let mut memory = vec![0.0; models.workspace_len()];
    let mut policy = Policy::from_models(&mut models, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    let mut y = [0.0];
    assert_eq!(actor.act(&[1.0], &mut y), Status::Acted);
    assert_eq!(learner.adapt().reason(), Some(Reason::NotAdaptive));
}
