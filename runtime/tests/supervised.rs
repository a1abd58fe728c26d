//! Supervised adaptation of a linear model against the closed formula, and every guard.

mod linear;

use linear::{Bytes, supervised};
use pliant_runtime::adapt::{AdaptReport, Progress, Reason};
use pliant_runtime::contract::{ContractError, Fault, Interface, Port, Side};
use pliant_runtime::image::{AdaptationSpecError, Image, PlanKind};
use pliant_runtime::policy::{ObserveError, Policy, PolicyError, Reverted, Status, act_workspace_len, workspace_len};

const EXAMPLES: [(f32, f32); 7] = [
    (1.0, 2.0),
    (3.0, -1.0),
    (-2.0, 0.5),
    (0.0, 4.0),
    (5.0, 1.0),
    (-1.0, -3.0),
    (2.0, 2.5),
];

/// Runs `test` with a policy loaded from the image, in memory of exactly the length it asks for.
fn with_policy<T>(image: &Bytes, test: impl FnOnce(&mut Policy<'_>) -> T) -> T {
    let mut memory = vec![f32::NAN; workspace_len(image)];
    let image = Image::new_checked(image).unwrap();
    test(&mut Policy::new(&image, None, &mut memory).unwrap())
}

/// The same steps in double precision, on normalised examples.
fn descend(start: [f32; 2], scales: &[f32], examples: &[(f32, f32)]) -> [f64; 2] {
    let mut parameters = start.map(f64::from);
    for scale in scales {
        let mut gradient = [0.0; 2];
        for (x, y) in examples {
            let (x, y) = ((f64::from(*x) - 1.0) / 2.0, (f64::from(*y) - 0.5) / 4.0);
            let error = parameters[0] * x + parameters[1] - y;
            gradient[0] += error * x / examples.len() as f64;
            gradient[1] += error / examples.len() as f64;
        }
        parameters[0] -= f64::from(*scale) * 0.1 * gradient[0];
        parameters[1] -= f64::from(*scale) * 0.2 * gradient[1];
    }
    parameters
}

fn close(found: &[f32], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
}

#[test]
fn act_applies_the_contract() {
    with_policy(&supervised([2.0, 0.25], &[1.0], 8).write(), |policy| {
        let (mut actor, _) = policy.split();
        let mut action = [f32::NAN];
        // (2 - 1) / 2 = 0.5; 2 * 0.5 + 0.25 = 1.25; 1.25 * 4 + 0.5.
        assert_eq!(actor.act(&[2.0], &mut action), Status::Acted);
        assert_eq!(action, [5.5]);
        // The clip of 5 and the range of 10.
        assert_eq!(actor.act(&[1e30], &mut action), Status::Acted);
        assert_eq!(action, [10.0]);
        assert_eq!(
            (actor.counts().acted, actor.counts().clipped, actor.counts().safe),
            (2, 1, 0)
        );
    });
}

#[test]
fn bad_observations_give_the_safe_action() {
    with_policy(&supervised([2.0, 0.25], &[1.0], 8).write(), |policy| {
        let (mut actor, _) = policy.split();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut action = [f32::NAN];
            assert_eq!(
                actor.act(&[bad], &mut action),
                Status::ObservationNotFinite { channel: 0 }
            );
            assert_eq!(action, [0.25]);
        }
        let mut action = [f32::NAN];
        let length = Status::ObservationLength { expected: 1, given: 2 };
        assert_eq!(actor.act(&[1.0, 2.0], &mut action), length);
        assert_eq!(action, [0.25]);
        assert_eq!(
            actor.explore(&[], &mut action).unwrap_err(),
            Status::ObservationLength { expected: 1, given: 0 }
        );

        let mut long = [f32::NAN; 2];
        assert_eq!(
            actor.act(&[1.0], &mut long),
            Status::ActionLength { expected: 1, given: 2 }
        );
        assert_eq!(long, [0.25, 0.0]);
        assert_eq!(
            actor.act(&[1.0], &mut []),
            Status::ActionLength { expected: 1, given: 0 }
        );
        actor.note_deadline(true);
        actor.note_deadline(false);
        assert_eq!((actor.counts().safe, actor.counts().missed_deadlines), (7, 1));
        // A deterministic policy does not explore.
        assert_eq!(actor.explore(&[2.0], &mut action).unwrap_err(), Status::NotExploring);
        assert_eq!(action, [5.5]);
    });
}

#[test]
fn stale_observations_give_the_safe_action() {
    let mut parts = supervised([2.0, 0.25], &[1.0], 8);
    parts.contract.observations[0].max_age_ms = 20;
    with_policy(&parts.write(), |policy| {
        let (mut actor, _) = policy.split();
        let mut action = [f32::NAN];
        assert_eq!(actor.act_aged(&[2.0], &[20], &mut action), Status::Acted);
        assert_eq!(
            actor.act_aged(&[2.0], &[21], &mut action),
            Status::ObservationStale { channel: 0 }
        );
        assert_eq!(action, [0.25]);
        assert_eq!(
            actor.act_aged(&[2.0], &[], &mut action),
            Status::ObservationLength { expected: 1, given: 0 }
        );
    });
}

#[test]
fn a_declared_substitute_stands_for_a_dropped_channel() {
    let mut parts = supervised([2.0, 0.25], &[1.0], 8);
    parts.contract.observations[0].max_age_ms = 20;
    parts.contract.substitute(2.0).unwrap();
    with_policy(&parts.write(), |policy| {
        let (mut actor, _) = policy.split();
        let mut action = [f32::NAN];
        // What the policy does at 2, whatever was measured last, when that is too old, never came, or is no number.
        for (value, age) in [(9.0, 21), (0.0, u32::MAX), (f32::NAN, 0), (f32::INFINITY, 0)] {
            action = [f32::NAN];
            assert_eq!(actor.act_aged(&[value], &[age], &mut action), Status::Acted);
            assert_eq!(action, [5.5]);
        }
        assert_eq!((actor.counts().masked, actor.counts().safe), (4, 0));
        assert_eq!(actor.act_aged(&[1.0], &[20], &mut action), Status::Acted);
        assert_eq!(action, [1.5]);
        assert_eq!(actor.counts().masked, 4);
    });
}

#[test]
fn a_policy_that_is_not_finite_gives_the_safe_action() {
    with_policy(&supervised([f32::MAX, f32::MAX], &[1.0], 8).write(), |policy| {
        let (mut actor, _) = policy.split();
        let mut action = [f32::NAN];
        assert_eq!(actor.act(&[9.0], &mut action), Status::PolicyNotFinite);
        assert_eq!(action, [0.25]);
    });
}

#[test]
fn loading_refuses_what_does_not_fit() {
    let image = supervised([0.0; 2], &[1.0], 8).write();
    let (needed, act_only) = (workspace_len(&image), act_workspace_len(&image));
    assert!(act_only < needed && workspace_len(&image[..100]) == 0);
    let checked = Image::new_checked(&image).unwrap();
    let mut memory = vec![0.0; needed];

    let error = Policy::new(&checked, None, &mut memory[1..]).err().unwrap();
    assert_eq!(
        error,
        PolicyError::Memory {
            needed,
            given: needed - 1
        }
    );
    let error = Policy::act_only(&checked, None, &mut memory[..act_only - 1])
        .err()
        .unwrap();
    assert_eq!(
        error,
        PolicyError::Memory {
            needed: act_only,
            given: act_only - 1
        }
    );

    let wired = Interface {
        observations: &[Port::new("position", "m")],
        actions: &[Port::new("speed", "km/h")],
        control_rate_hz: 10.0,
    };
    let error = Policy::new(&checked, Some(&wired), &mut memory).err().unwrap();
    let unit = ContractError::Channel {
        side: Side::Action,
        index: 0,
        fault: Fault::UnitDiffers,
    };
    assert_eq!(error, PolicyError::Contract(unit));

    let refused = |change: &dyn Fn(&mut linear::Parts)| {
        let mut parts = supervised([0.0; 2], &[1.0], 8);
        change(&mut parts);
        let image = parts.write();
        let mut memory = vec![0.0; workspace_len(&image) + 100];
        Policy::new(&Image::new_checked(&image).unwrap(), None, &mut memory)
            .err()
            .unwrap()
    };
    let another = pliant_runtime::contract::Channel::observation("other", "");
    let error = refused(&|parts| parts.contract.observations.push(another.clone()).unwrap());
    assert_eq!(error, PolicyError::Plan(PlanKind::Act));
    let error = refused(&|parts| parts.spec.as_mut().unwrap().holdout_every = 1);
    assert_eq!(error, PolicyError::Adaptation);
    let error = refused(&|parts| parts.spec.as_mut().unwrap().fields[1].kind = 2);
    assert_eq!(error, PolicyError::Adaptation);
    let error = refused(&|parts| parts.plans[3].input = 2);
    assert_eq!(error, PolicyError::Plan(PlanKind::Apply));
}

#[test]
fn acting_only_needs_less_and_does_not_learn() {
    let image = supervised([2.0, 0.25], &[1.0], 8).write();
    let mut memory = vec![f32::NAN; act_workspace_len(&image)];
    let image = Image::new_checked(&image).unwrap();
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    let mut action = [f32::NAN];
    assert_eq!((actor.act(&[2.0], &mut action), action), (Status::Acted, [5.5]));
    assert_eq!(learner.observe_example(&[1.0], &[1.0]), Err(ObserveError::NotAdaptive));
    assert_eq!(learner.adapt().reason(), Some(Reason::NotAdaptive));
    assert_eq!(learner.revert(), Reverted::Base);
}

#[test]
fn the_fold_is_the_closed_formula() {
    let (start, scales) = ([0.5, -0.25], [1.0, 0.5, 2.0]);
    for count in 1..=EXAMPLES.len() {
        with_policy(&supervised(start, &scales, 8).write(), |policy| {
            let (mut actor, mut learner) = policy.split();
            for (x, y) in &EXAMPLES[..count] {
                learner.observe_example(&[*x], &[*y]).unwrap();
            }
            let report = learner.adapt();
            let expected = descend(start, &scales, &EXAMPLES[..count]);
            assert!(
                report.is_accepted() && close(learner.parameters(), &expected),
                "{:?}",
                learner.parameters()
            );
            let figures = *report.figures();
            assert_eq!((figures.rows, figures.held_out, figures.steps), (count as u32, 0, 3));
            let change = (expected[0] - 0.5).hypot(expected[1] + 0.25);
            assert!((f64::from(figures.change) - change).abs() < 1e-6);

            let mut action = [f32::NAN];
            assert_eq!(actor.act(&[2.0], &mut action), Status::Acted);
            assert!((f64::from(action[0]) - (4.0 * (expected[0] * 0.5 + expected[1]) + 0.5)).abs() < 1e-5);

            // Again from the image's parameters, so nothing changes.
            let before = learner.parameters().to_vec();
            assert!(learner.adapt().is_accepted());
            assert_eq!(learner.parameters(), before);
        });
    }
}

#[test]
fn a_full_ring_forgets_the_oldest() {
    with_policy(&supervised([0.0; 2], &[1.0], 5).write(), |policy| {
        let (_, mut learner) = policy.split();
        for (x, y) in &EXAMPLES {
            learner.observe_example(&[*x], &[*y]).unwrap();
        }
        assert_eq!(learner.support_len(), 5);
        assert!(learner.adapt().is_accepted());
        assert!(close(learner.parameters(), &descend([0.0; 2], &[1.0], &EXAMPLES[2..])));
    });
}

#[test]
fn however_it_is_sliced_the_bits_are_the_same() {
    let mut parts = supervised([0.5, -0.25], &[1.0, 0.5], 8);
    parts.spec.as_mut().unwrap().holdout_every = 3;
    let image = parts.write();
    let run = |max_macs: u64| {
        with_policy(&image, |policy| {
            let (_, mut learner) = policy.split();
            for (x, y) in &EXAMPLES {
                learner.observe_example(&[*x], &[*y]).unwrap();
            }
            let mut calls = 1;
            let report = loop {
                match learner.adapt_some(max_macs) {
                    Progress::Done(report) => break report,
                    Progress::Working => calls += 1,
                }
                assert_eq!(learner.observe_example(&[0.0], &[0.0]), Err(ObserveError::Adapting));
                assert_eq!(learner.steps(), 0, "nothing is published yet");
            };
            assert!(!learner.is_adapting());
            (
                report,
                learner
                    .parameters()
                    .iter()
                    .map(|value| value.to_bits())
                    .collect::<Vec<_>>(),
                calls,
            )
        })
    };
    let whole = run(u64::MAX);
    assert!(whole.0.is_accepted() && whole.2 == 1, "{:?}", whole.0);
    for max_macs in [0, 1, 7, 20, 64, 100] {
        let sliced = run(max_macs);
        assert_eq!((sliced.0, &sliced.1), (whole.0, &whole.1));
        assert!(sliced.2 > 1);
    }
}

#[test]
fn an_empty_support_set_is_rejected() {
    with_policy(&supervised([1.0, 2.0], &[1.0], 8).write(), |policy| {
        let (_, mut learner) = policy.split();
        assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));
        learner.observe_example(&[1.0], &[1.0]).unwrap();
        learner.clear();
        assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));
        assert_eq!(learner.parameters(), [1.0, 2.0]);
    });
}

#[test]
fn poisoned_examples_are_refused() {
    with_policy(&supervised([1.0, 2.0], &[1.0], 8).write(), |policy| {
        let (_, mut learner) = policy.split();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(learner.observe_example(&[bad], &[0.0]), Err(ObserveError::NotFinite));
            assert_eq!(learner.observe_example(&[0.0], &[bad]), Err(ObserveError::NotFinite));
        }
        assert_eq!(learner.observe_example(&[0.0, 0.0], &[0.0]), Err(ObserveError::Length));
        assert_eq!(learner.observe_example(&[0.0], &[]), Err(ObserveError::Length));
        assert_eq!(learner.support_len(), 0);

        // Finite, but the squared change is not.
        learner.observe_example(&[3.0], &[f32::MAX]).unwrap();
        assert!(!learner.adapt().is_accepted());
        assert_eq!(learner.parameters(), [1.0, 2.0]);
    });
}

#[test]
fn a_step_that_is_not_finite_is_rejected() {
    let image = supervised([1.0, 2.0], &[1e30, 1e30], 8).write();
    with_policy(&image, |policy| {
        let (mut actor, mut learner) = policy.split();
        learner.observe_example(&[3.0], &[4.0]).unwrap();
        let report = learner.adapt();
        assert_eq!(report.reason(), Some(Reason::NotFinite), "{report:?}");
        assert_eq!((learner.parameters(), learner.steps()), (&[1.0, 2.0][..], 0));
        assert_eq!(actor.act(&[1.0], &mut [0.0]), Status::Acted);
    });
}

#[test]
fn the_trust_region_holds() {
    let mut parts = supervised([0.0; 2], &[1.0], 8);
    let adapt = |parts: &linear::Parts| {
        with_policy(&parts.write(), |policy| {
            let (_, mut learner) = policy.split();
            learner.observe_example(&[3.0], &[4.0]).unwrap();
            learner.adapt()
        })
    };
    let change = adapt(&parts).figures().change;
    parts.spec.as_mut().unwrap().trust_region = change;
    assert!(adapt(&parts).is_accepted());
    parts.spec.as_mut().unwrap().trust_region = change.next_down();
    assert_eq!(adapt(&parts).reason(), Some(Reason::TrustRegion));
}

#[test]
fn a_loss_that_rises_on_held_out_examples_is_rejected() {
    let mut parts = supervised([0.0; 2], &[1.0], 8);
    parts.spec.as_mut().unwrap().holdout_every = 2;
    with_policy(&parts.write(), |policy| {
        let (_, mut learner) = policy.split();
        // Every second example contradicts the ones before it: what helps the first hurts the second.
        for _ in 0..3 {
            learner.observe_example(&[1.0], &[4.5]).unwrap();
            learner.observe_example(&[1.0], &[-3.5]).unwrap();
        }
        let report = learner.adapt();
        assert_eq!(report.reason(), Some(Reason::LossRose));
        let figures = report.figures();
        assert_eq!((figures.rows, figures.held_out), (6, 3));
        // 0.5 * 1^2 before, b = 0.2 * 1 and 0.5 * 1.2^2 after.
        assert_eq!(figures.score_before, Some(0.5));
        assert!((figures.score_after.unwrap() - 0.72).abs() < 1e-6);
        assert_eq!(learner.parameters(), [0.0; 2]);

        learner.clear();
        for _ in 0..4 {
            learner.observe_example(&[1.0], &[4.5]).unwrap();
        }
        assert!(learner.adapt().is_accepted());
    });
}

#[test]
fn held_out_examples_never_train() {
    let mut parts = supervised([0.0; 2], &[1.0], 4);
    parts.spec.as_mut().unwrap().holdout_every = 3;
    with_policy(&parts.write(), |policy| {
        let (_, mut learner) = policy.split();
        for (x, y) in &EXAMPLES {
            learner.observe_example(&[*x], &[*y]).unwrap();
        }
        // The ring holds numbers 3 to 6; number 5 (the sixth) is held out, wherever it lies.
        let report = learner.adapt();
        assert_eq!((report.figures().rows, report.figures().held_out), (4, 1));
        let training = [EXAMPLES[3], EXAMPLES[4], EXAMPLES[6]];
        let expected = descend([0.0; 2], &[1.0], &training);
        let error = |parameters: [f64; 2]| {
            let (x, y) = ((-1.0 - 1.0) / 2.0, (-3.0 - 0.5) / 4.0);
            0.5 * (parameters[0] * x + parameters[1] - y).powi(2)
        };
        assert_eq!(report.is_accepted(), error(expected) <= error([0.0; 2]));
        assert!((f64::from(report.figures().score_after.unwrap()) - error(expected)).abs() < 1e-6);
    });
}

#[test]
fn going_back() {
    with_policy(&supervised([0.0; 2], &[1.0], 8).write(), |policy| {
        let (mut actor, mut learner) = policy.split();
        let mut speed = |learner: &pliant_runtime::policy::Learner<'_, '_>| {
            let mut action = [f32::NAN];
            assert_eq!(actor.act(&[1.0], &mut action), Status::Acted);
            assert_eq!(action[0], learner.parameters()[1] * 4.0 + 0.5);
            action[0]
        };
        let base = speed(&learner);
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        assert!(learner.adapt().is_accepted());
        let first = speed(&learner);
        learner.observe_example(&[1.0], &[8.5]).unwrap();
        assert!(learner.adapt().is_accepted());
        let second = speed(&learner);
        assert!(base < first && first < second);

        assert_eq!(learner.revert(), Reverted::Previous);
        assert_eq!(speed(&learner), first);
        assert_eq!(learner.revert(), Reverted::Base);
        assert_eq!(speed(&learner), base);

        assert!(learner.adapt().is_accepted());
        assert!(matches!(learner.adapt_some(1), Progress::Working));
        learner.revert_to_base();
        assert!(!learner.is_adapting());
        assert_eq!((speed(&learner), learner.steps()), (base, 0));
    });
}

#[test]
fn frozen_acts_on_the_image_and_does_not_adapt() {
    with_policy(&supervised([0.0; 2], &[1.0], 8).write(), |policy| {
        let (mut actor, mut learner) = policy.split();
        learner.observe_example(&[1.0], &[4.5]).unwrap();
        assert!(learner.adapt().is_accepted());
        let mut action = [f32::NAN];
        actor.freeze(true);
        assert!(actor.is_frozen() && learner.is_frozen());
        assert_eq!((actor.act(&[1.0], &mut action), action), (Status::Acted, [0.5]));
        assert_eq!(learner.adapt().reason(), Some(Reason::Frozen));
        actor.freeze(false);
        assert_eq!(actor.act(&[1.0], &mut action), Status::Acted);
        assert!(action[0] > 0.5);

        // Frozen half way: what was worked out is not published.
        let before = learner.parameters().to_vec();
        assert!(matches!(learner.adapt_some(1), Progress::Working));
        actor.freeze(true);
        let report = loop {
            if let Progress::Done(report) = learner.adapt_some(1) {
                break report;
            }
        };
        assert!(matches!(
            report,
            AdaptReport::Rejected {
                reason: Reason::Frozen,
                ..
            }
        ));
        assert_eq!(learner.parameters(), before);
    });
}

#[test]
fn the_handles_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    with_policy(&supervised([0.0; 2], &[1.0], 8).write(), |policy| {
        sendable(policy);
        let (mut actor, mut learner) = policy.split();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..1000 {
                    let mut action = [f32::NAN];
                    assert_eq!(actor.act(&[1.0], &mut action), Status::Acted);
                    // Between the image's parameters and the adapted ones there is nothing.
                    assert!(action[0] == 0.5 || (action[0] - 1.3).abs() < 1e-6, "{}", action[0]);
                }
            });
            scope.spawn(move || {
                learner.observe_example(&[1.0], &[4.5]).unwrap();
                for _ in 0..300 {
                    let _report = learner.adapt();
                    learner.revert_to_base();
                }
            });
        });
    });
}

/// The field was reserved and zero once: such images adapt without a clip; nothing else but a clip is taken.
#[test]
fn the_gradient_clip_is_nothing_or_above_zero() {
    let checked = |clip: f32| {
        let mut spec = supervised([0.0; 2], &[1.0], 8).spec.unwrap();
        spec.gradient_clip = clip;
        spec.check().map(|()| spec.gradient_clip())
    };
    assert_eq!(checked(0.0), Ok(None));
    assert_eq!(checked(0.5), Ok(Some(0.5)));
    for refused in [-0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(checked(refused), Err(AdaptationSpecError::Guards), "{refused}");
    }
}
