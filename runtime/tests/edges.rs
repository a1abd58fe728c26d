//! What actor, learner and store do at the edges of their use: a policy that does not adapt, an adaptation under way, an
//! actor in the middle of a call, plans that do not suit the contract, bytes that are hardly an image.

mod linear;

use linear::{Bytes, Parts, policy_gradient, supervised};
use pliant_runtime::adapt::{Progress, Reason};
use pliant_runtime::experience::End;
use pliant_runtime::health::{Bounds, Monitor, Standing, Verdict};
use pliant_runtime::image::record::{Space, Unary};
use pliant_runtime::image::{FORMAT_VERSION, Image, PlanKind, ResetRule, StateEntry, Workspace};
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::{
    Actor, Learner, ObserveError, Policy, PolicyError, ResetKind, RestoreError, Reverted, SelectError, Status,
    act_workspace_len, workspace_len,
};

const BASE: [f32; 3] = [0.5, 0.25, -0.5];

fn with_policy<T>(image: &Bytes, test: impl FnOnce(Actor<'_, '_>, Learner<'_, '_>) -> T) -> T {
    let mut memory = vec![f32::NAN; workspace_len(image)];
    let image = Image::new_checked(image).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (actor, learner) = policy.split();
    test(actor, learner)
}

/// A learner of `y = 2 x` with eight examples of `y = 3 x`.
fn with_examples<T>(test: impl FnOnce(Actor<'_, '_>, Learner<'_, '_>) -> T) -> T {
    with_policy(&supervised([2.0, 0.0], &[1.0], 8).write(), |actor, mut learner| {
        for example in 0..8 {
            let x = 0.5 * example as f32;
            learner.observe_example(&[2.0 * x + 1.0], &[12.0 * x + 0.5]).unwrap();
        }
        test(actor, learner)
    })
}

fn episode(actor: &mut Actor<'_, '_>, learner: &mut Learner<'_, '_>) {
    actor.reset(ResetKind::Episode);
    for step in 0..4 {
        let taken = actor.explore(&[0.5 * step as f32], &mut [0.0]).unwrap();
        let end = if step == 3 { End::Truncated } else { End::Continue };
        learner.observe(&taken, -taken.action()[0].abs(), end).unwrap();
    }
}

/// Whatever a firmware calls that was written for another policy: refused, or nothing happens.
#[test]
fn a_policy_that_only_acts_refuses_to_learn() {
    let image = policy_gradient(BASE, 1, 20).write();
    let mut memory = vec![f32::NAN; act_workspace_len(&image)];
    let checked = Image::new_checked(&image).unwrap();
    let mut policy = Policy::act_only(&checked, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    let step = actor.explore(&[1.0], &mut [0.0]).unwrap();
    assert_eq!(
        learner.observe(&step, 0.0, End::Continue),
        Err(ObserveError::NotAdaptive)
    );
    assert_eq!(learner.observe_example(&[1.0], &[1.0]), Err(ObserveError::NotAdaptive));
    assert_eq!(learner.adapt().reason(), Some(Reason::NotAdaptive));
    assert_eq!(learner.restore(1, |_| true), Err(RestoreError::NotAdaptive));
    assert_eq!(learner.select(0), Err(SelectError::NotAdaptive));
    assert_eq!(learner.identify(), Err(SelectError::NotAdaptive));
    learner.watch(Bounds::default());
    assert!(learner.health().is_none());
    assert_eq!(learner.note(-1.0), Verdict::Steady);
    let version = learner.version();
    learner.cancel();
    learner.clear();
    learner.new_task();
    learner.revert_to_base();
    assert_eq!(learner.revert(), Reverted::Base);
    assert_eq!(
        (learner.version(), learner.steps(), learner.support_len()),
        (version, 0, 0)
    );
    assert_eq!((learner.trajectories(), learner.is_adapting()), (0, false));
    assert_eq!(learner.parameters(), BASE);
}

#[test]
fn experience_is_refused_while_an_adaptation_uses_it() {
    with_examples(|_, mut learner| {
        learner.watch(Bounds::default());
        assert_eq!(learner.adapt_some(1), Progress::Working);
        assert_eq!(learner.observe_example(&[1.0], &[1.0]), Err(ObserveError::Adapting));
        assert_eq!(learner.support_len(), 8);
        learner.cancel();
        assert_eq!(learner.observe_example(&[1.0], &[1.0]), Ok(()));
    });
    with_policy(&policy_gradient(BASE, 2, 40).write(), |mut actor, mut learner| {
        assert_eq!(learner.observe_example(&[1.0], &[1.0]), Err(ObserveError::Objective));
        for _ in 0..3 {
            episode(&mut actor, &mut learner);
        }
        actor.reset(ResetKind::Episode);
        let step = actor.explore(&[1.0], &mut [0.0]).unwrap();
        assert_eq!(learner.adapt_some(1), Progress::Working);
        assert_eq!(learner.observe(&step, 0.0, End::Truncated), Err(ObserveError::Adapting));
        while matches!(learner.adapt_some(100), Progress::Working) {}
        assert_eq!((learner.steps(), learner.support_len()), (1, 0));
        assert_eq!(learner.observe(&step, 0.0, End::Truncated), Err(ObserveError::Stale));
    });
    // A step is none of a supervised learner's business.
    with_policy(&policy_gradient(BASE, 1, 20).write(), |mut actor, _| {
        let step = actor.explore(&[1.0], &mut [0.0]).unwrap();
        with_examples(|_, mut learner| {
            assert_eq!(learner.observe(&step, 0.0, End::Continue), Err(ObserveError::Objective));
        });
    });
}

/// The actor is interrupted while it reads parameters: the learner waits with the buffer it reads, and loses nothing.
#[test]
fn an_adaptation_waits_for_an_actor_in_the_middle_of_a_call() {
    with_examples(|mut actor, mut learner| {
        assert!(learner.adapt().is_accepted());
        let held = learner.parameters().to_vec();
        actor.with_parameters(|parameters| {
            // The other buffer is free.
            assert!(learner.adapt().is_accepted());
            // Now the one that is held is next.
            for _ in 0..3 {
                assert_eq!(learner.adapt_some(u64::MAX), Progress::Working);
            }
            assert!(learner.is_adapting());
            learner.cancel();
            assert_eq!(learner.restore(1, |_| true), Err(RestoreError::Busy));
            assert_eq!(parameters, held);
            assert_eq!(learner.adapt_some(u64::MAX), Progress::Working);
        });
        assert!(matches!(learner.adapt_some(u64::MAX), Progress::Done(report) if report.is_accepted()));
    });
}

#[test]
fn restored_parameters_pass_the_same_guards_and_need_no_trial() {
    let mut parts = supervised([2.0, 0.0], &[1.0], 8);
    parts.spec.as_mut().unwrap().trust_region = 5.0;
    with_policy(&parts.write(), |_, mut learner| {
        learner.watch(Bounds::default());
        let to = |values: [f32; 2]| {
            move |parameters: &mut [f32]| {
                parameters.copy_from_slice(&values);
                true
            }
        };
        assert_eq!(learner.restore(2, to([3.0, 0.0])), Err(RestoreError::Steps));
        assert_eq!(learner.restore(1, |_| false), Err(RestoreError::Source));
        assert_eq!(learner.restore(1, to([3.0, f32::NAN])), Err(RestoreError::NotFinite));
        assert_eq!(learner.restore(1, to([8.0, 0.0])), Err(RestoreError::TrustRegion));
        assert_eq!(learner.parameters(), [2.0, 0.0]);
        assert_eq!(learner.restore(1, to([3.0, 4.0])), Ok(()));
        assert_eq!((learner.parameters(), learner.steps()), (&[3.0, 4.0][..], 1));
        assert_eq!(learner.health().unwrap().standing(), Standing::Confirmed);
    });
    // Without a limit the distance must still be a number.
    with_policy(&supervised([f32::MIN, 0.0], &[1.0], 8).write(), |_, mut learner| {
        let far = learner.restore(1, |parameters| {
            parameters.fill(f32::MAX);
            true
        });
        assert_eq!(far, Err(RestoreError::TrustRegion));
    });
}

/// Somebody took the claim of the previous parameters while the trial went on: going back then is to the image's.
#[test]
fn a_monitor_goes_back_to_the_image_where_nothing_else_is_left() {
    let bounds = Bounds {
        trial: 2,
        window: 4,
        relative: 0.1,
        absolute: 0.1,
        ..Bounds::default()
    };
    with_examples(|_, mut learner| {
        learner.watch_with(Monitor::new(bounds).with_record(-1.0));
        assert!(learner.adapt().is_accepted());
        assert_eq!(learner.health().unwrap().standing(), Standing::Trial);
        // A restore that fails has used the buffer of what was before.
        assert_eq!(learner.restore(1, |_| false), Err(RestoreError::Source));
        assert_eq!(learner.note(-9.0), Verdict::Steady);
        assert_eq!(learner.note(f32::NAN), Verdict::Revert);
        assert_eq!((learner.parameters(), learner.steps()), (&[2.0, 0.0][..], 0));
        assert_eq!(learner.health().unwrap().standing(), Standing::Base);
    });
}

/// Standings by hand: what somebody else adopts or takes back, on top of what was confirmed.
#[test]
fn a_monitor_follows_who_adopts_and_goes_back() {
    let bounds = Bounds {
        trial: 2,
        window: 4,
        relative: 0.1,
        absolute: 0.0,
        rest: 0,
        ..Bounds::default()
    };
    let mut monitor = Monitor::new(bounds).with_record(-1.0);
    let confirm = |monitor: &mut Monitor| {
        monitor.adapted();
        assert_eq!(
            [monitor.score(-0.5), monitor.score(-0.5)],
            [Verdict::Steady, Verdict::Confirm]
        );
        assert_eq!(monitor.standing(), Standing::Confirmed);
    };
    confirm(&mut monitor);
    // Adopted twice without a verdict in between; the confirmed one is still what precedes.
    monitor.adapted();
    monitor.adapted();
    monitor.went_back(false);
    assert_eq!(monitor.standing(), Standing::Confirmed);
    monitor.adapted();
    monitor.went_back(true);
    assert_eq!(monitor.standing(), Standing::Base);
    monitor.adapted();
    monitor.went_back(false);
    assert_eq!(monitor.standing(), Standing::Base);
    // On trial after a confirmed one, and worse: back to that.
    confirm(&mut monitor);
    monitor.adapted();
    assert_eq!(
        [monitor.score(-9.0), monitor.score(-9.0)],
        [Verdict::Steady, Verdict::Revert]
    );
    assert_eq!(monitor.standing(), Standing::Confirmed);
    // A little below the bound: the running mean comes down to it, then back to the image's.
    let verdicts: Vec<Verdict> = (0..7).map(|_| monitor.score(-1.2)).collect();
    assert_eq!(verdicts[..6], [Verdict::Steady; 6]);
    assert_eq!(verdicts[6], Verdict::RevertToBase);
    assert_eq!(monitor.standing(), Standing::Base);
    // A pair's base score renews the record during a trial, and is no score of the image's policy twice over.
    monitor.adapted();
    assert_eq!(monitor.score_beside(-0.5, -100.0), Verdict::Steady);
    assert_eq!(monitor.record(), None, "two make one");
    assert_eq!(monitor.score_beside(-0.5, -100.0), Verdict::Confirm);
    assert_eq!(monitor.record(), Some(-100.0));
}

#[test]
fn a_step_is_taken_again_bit_for_bit() {
    with_policy(&policy_gradient(BASE, 1, 20).write(), |mut actor, _| {
        actor.seed(11);
        let taken: Vec<_> = (0..4)
            .map(|step| actor.explore(&[step as f32], &mut [0.0]).unwrap())
            .collect();
        for step in &taken {
            let mut noise = Noise::seeded(11);
            noise.fill(&mut vec![0.0; step.noise() as usize]);
            assert_eq!(actor.replay(step, noise).as_ref(), Ok(step));
        }
        let counts = actor.counts();
        assert_eq!(counts.acted, 4, "a replay counts nothing");
    });
}

/// A recorded step is none of a policy with other channels, and none of one that does not sample.
#[test]
fn a_step_of_another_policy_is_not_taken_again() {
    let sampling = policy_gradient(BASE, 1, 20).write();
    let step = with_policy(&sampling, |mut actor, _| actor.explore(&[1.0], &mut [0.0]).unwrap());
    with_policy(&supervised([2.0, 0.0], &[1.0], 8).write(), |mut actor, _| {
        assert_eq!(actor.replay(&step, Noise::seeded(0)), Err(Status::NotExploring));
        assert_eq!(actor.explore(&[1.0], &mut [0.0]).err(), Some(Status::NotExploring));
        let mut action = [0.0; 2];
        let status = actor.act(&[1.0], &mut action);
        assert!(status.is_safe_action(), "{status:?}");
    });
}

/// A standard deviation that overflows gives no number to drive: the safe action, not infinity.
#[test]
fn a_sample_that_is_not_finite_is_not_driven() {
    for log_deviation in [200.0, -200.0] {
        with_policy(
            &policy_gradient([0.5, 0.25, log_deviation], 1, 20).write(),
            |mut actor, _| {
                let mut action = [f32::NAN];
                match actor.explore(&[1.0], &mut action) {
                    Ok(step) => {
                        assert!(log_deviation < 0.0 && step.log_probability().is_finite());
                        assert!(action[0].is_finite());
                    }
                    Err(status) => {
                        assert_eq!((status, action), (Status::PolicyNotFinite, [0.25]));
                        assert!(log_deviation > 0.0);
                    }
                }
                // Its mean is fine.
                assert_eq!(actor.act(&[1.0], &mut action), Status::Acted);
            },
        );
    }
}

/// A recurrent state that has become infinite starts anew with the next call.
#[test]
fn a_state_that_overflows_is_reset() {
    let mut parts: Parts = supervised([0.0; 2], &[1.0], 4);
    parts.plans.truncate(1);
    (parts.spec, parts.adapted, parts.accumulator) = (None, Vec::new(), 0);
    parts.states = vec![StateEntry {
        dtype: 0,
        reset: ResetRule::Never as u32,
        offset: 0,
        initial: 0,
        shape: [1; 4],
    }];
    parts.constants = vec![1e30];
    let state = (Space::State, 0);
    parts.plans[0].records = vec![
        linear::unary(Unary::Square, state, state, 1),
        linear::unary(Unary::Identity, (Space::Output, 0), (Space::Input, 0), 1),
    ];
    let image = parts.write();
    let mut memory = vec![f32::NAN; act_workspace_len(&image)];
    let image = Image::new_checked(&image).unwrap();
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    let mut action = [f32::NAN];
    for _ in 0..3 {
        assert_eq!(
            (actor.act(&[1.0], &mut action), action),
            (Status::PolicyNotFinite, [0.25])
        );
    }
    assert_eq!((actor.counts().safe, actor.counts().acted), (3, 0));
}

#[test]
fn plans_that_do_not_suit_the_contract_are_refused() {
    let refused = |parts: &Parts| {
        let image = parts.write();
        let mut memory = vec![0.0; 4096];
        let image = Image::new_checked(&image).unwrap();
        Policy::new(&image, None, &mut memory).err()
    };
    let supervised = supervised([2.0, 0.0], &[1.0], 8);
    let gradient = policy_gradient(BASE, 1, 20);
    assert_eq!((refused(&supervised), refused(&gradient)), (None, None));
    // Sizes of the plans: those of `act` against the channels, those of the others against the spec.
    let mut wide = supervised.clone();
    wide.plans[0].input = 2;
    assert_eq!(refused(&wide), Some(PolicyError::Plan(PlanKind::Act)));
    let mut wide = supervised.clone();
    wide.plans[0].output = 3;
    assert_eq!(refused(&wide), Some(PolicyError::Plan(PlanKind::Act)));
    for (index, kind) in [
        (1, PlanKind::Begin),
        (2, PlanKind::Accumulate),
        (3, PlanKind::Apply),
        (4, PlanKind::Score),
    ] {
        let mut wide = supervised.clone();
        wide.plans[index].input += 1;
        assert_eq!(refused(&wide), Some(PolicyError::Plan(kind)));
    }
    // A policy gradient needs a policy that samples; holding every row out leaves nothing to learn from.
    let mut certain = gradient.clone();
    certain.plans[0].output = 1;
    certain.plans[0].records.truncate(1);
    assert_eq!(refused(&certain), Some(PolicyError::Adaptation));
    let mut held = supervised.clone();
    held.spec.as_mut().unwrap().holdout_every = 1;
    assert_eq!(refused(&held), Some(PolicyError::Adaptation));
    // Fields: one too often, one of another width.
    for (field, width) in [(0, 2), (1, 2)] {
        let mut other = supervised.clone();
        other.spec.as_mut().unwrap().fields[field].width = width;
        let refusal = refused(&other);
        assert!(matches!(refusal, Some(PolicyError::Adaptation)), "{refusal:?}");
    }
    let mut twice = supervised;
    twice.spec.as_mut().unwrap().fields[1].kind = twice.spec.unwrap().fields[0].kind;
    assert_eq!(refused(&twice), Some(PolicyError::Adaptation));
}

/// Sizes are read before anything is checked: of what is no image, or is cut off, they are zero or of no consequence.
#[test]
fn sizes_of_what_is_hardly_an_image() {
    let whole = policy_gradient(BASE, 1, 20).write();
    let (acts, learns) = (act_workspace_len(&whole), workspace_len(&whole));
    assert!(0 < acts && acts < learns);
    for length in 0..whole.len() {
        let (of_act, of_all) = (act_workspace_len(&whole[..length]), workspace_len(&whole[..length]));
        assert!(
            [0, acts].contains(&of_act) && [0, acts, learns].contains(&of_all),
            "{length}"
        );
    }
    for byte in 0..12 {
        let mut other = whole.to_vec();
        other[byte] ^= 1;
        assert_eq!((act_workspace_len(&other), workspace_len(&other)), (0, 0), "{byte}");
        assert!(Workspace::of_image(&other).is_none());
    }
    assert_eq!(u32::from_le_bytes(whole[8..12].try_into().unwrap()), FORMAT_VERSION);
    // A table that leads anywhere.
    let mut wild = whole.to_vec();
    for at in 128..wild.len() {
        wild[at] = 0xFF;
        let _ = workspace_len(&wild);
    }
}
