//! A learner that is watched: adaptations on trial, and going back by itself.

mod linear;

use linear::{Bytes, policy_gradient, supervised};
use pliant_runtime::adapt::Reason;
use pliant_runtime::experience::End;
use pliant_runtime::health::{Bounds, Monitor, Standing, Verdict};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Learner, ObserveError, Policy, ResetKind, Status, workspace_len};

const BASE: [f32; 3] = [0.5, 0.25, -0.5];

const BOUNDS: Bounds = Bounds {
    trial: 3,
    window: 6,
    relative: 0.1,
    absolute: 0.0,
    confirm: 0.5,
    rest: 2,
    range: [-1e30, 1e30],
};

fn with_policy<T>(image: &Bytes, test: impl FnOnce(Actor<'_, '_>, Learner<'_, '_>) -> T) -> T {
    let mut memory = vec![f32::NAN; workspace_len(image)];
    let image = Image::new_checked(image).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (actor, learner) = policy.split();
    test(actor, learner)
}

/// An episode of four steps whose rewards add up to `total`; the last answer of the learner.
fn episode(actor: &mut Actor<'_, '_>, learner: &mut Learner<'_, '_>, total: f32) -> Result<(), ObserveError> {
    actor.reset(ResetKind::Episode);
    let mut last = Ok(());
    for step in 0..4 {
        let taken = actor.explore(&[0.5 * step as f32], &mut [0.0]).unwrap();
        let end = if step == 3 { End::Truncated } else { End::Continue };
        // What pays depends on the action, so that there is something to learn.
        let lean = if step == 0 { 0.1 * taken.action()[0] } else { 0.0 };
        last = learner.observe(&taken, 0.25 * total + lean, end);
    }
    last
}

fn episodes(actor: &mut Actor<'_, '_>, learner: &mut Learner<'_, '_>, count: usize, total: f32) {
    for _ in 0..count {
        episode(actor, learner, total).unwrap();
    }
}

#[test]
fn a_policy_gradient_on_trial_is_taken_back_by_itself() {
    with_policy(&policy_gradient(BASE, 4, 40).write(), |mut actor, mut learner| {
        learner.watch(BOUNDS);
        episodes(&mut actor, &mut learner, 2, -10.0);
        assert_eq!(learner.adapt().reason(), Some(Reason::NoRecord));
        episodes(&mut actor, &mut learner, 2, -10.0);
        assert!(learner.adapt().is_accepted());
        let health = |learner: &Learner<'_, '_>| *learner.health().unwrap();
        assert_eq!(health(&learner).standing(), Standing::Trial);
        assert_ne!(learner.parameters(), BASE);
        assert_eq!(learner.adapt().reason(), Some(Reason::OnTrial));

        episodes(&mut actor, &mut learner, 2, -20.0);
        assert_ne!(learner.parameters(), BASE);
        // The episode that decides is no experience of what acts now.
        assert_eq!(episode(&mut actor, &mut learner, -20.0), Err(ObserveError::Stale));
        assert_eq!((learner.parameters(), learner.steps()), (&BASE[..], 0));
        assert_eq!((learner.support_len(), learner.trajectories()), (0, 0));
        assert_eq!(health(&learner).standing(), Standing::Base);

        // A rest; then a better one, which is confirmed and adapted further. That falls, and the confirmed one comes back.
        episodes(&mut actor, &mut learner, 1, -10.0);
        assert_eq!(learner.adapt().reason(), Some(Reason::Resting));
        episodes(&mut actor, &mut learner, 2, -10.0);
        assert!(learner.adapt().is_accepted());
        episodes(&mut actor, &mut learner, 3, -8.0);
        assert_eq!(health(&learner).standing(), Standing::Confirmed);
        let confirmed = learner.parameters().to_vec();
        assert!(learner.adapt().is_accepted());
        assert_eq!(learner.steps(), 2);
        episodes(&mut actor, &mut learner, 2, -30.0);
        assert_eq!(episode(&mut actor, &mut learner, -30.0), Err(ObserveError::Stale));
        assert_eq!((learner.parameters(), learner.steps()), (&confirmed[..], 1));
        assert_eq!(health(&learner).standing(), Standing::Confirmed);

        // What was confirmed falls too: back to the image's.
        while health(&learner).standing() == Standing::Confirmed {
            let _stale = episode(&mut actor, &mut learner, -30.0);
        }
        assert_eq!((learner.parameters(), learner.steps()), (&BASE[..], 0));
        assert_eq!((health(&learner).reverts(), health(&learner).confirmations()), (3, 1));
    });
}

#[test]
fn only_whole_episodes_of_the_parameters_in_use_are_scored() {
    with_policy(&policy_gradient(BASE, 4, 40).write(), |mut actor, mut learner| {
        learner.watch(BOUNDS);
        episodes(&mut actor, &mut learner, 3, -10.0);
        // Begun before, ended after the adaptation: of neither.
        actor.reset(ResetKind::Episode);
        let old = actor.explore(&[0.0], &mut [0.0]).unwrap();
        learner.observe(&old, -1e6, End::Continue).unwrap();
        assert!(learner.adapt().is_accepted());
        let last = actor.explore(&[0.0], &mut [0.0]).unwrap();
        assert!(learner.observe(&last, -1e6, End::Truncated).is_err());
        assert_eq!(learner.health().unwrap().mean(), None);
        // With a step missing.
        actor.reset(ResetKind::Episode);
        let first = actor.explore(&[0.0], &mut [0.0]).unwrap();
        let _lost = actor.explore(&[0.0], &mut [0.0]).unwrap();
        let last = actor.explore(&[0.0], &mut [0.0]).unwrap();
        learner.observe(&first, -1e6, End::Continue).unwrap();
        assert_eq!(learner.observe(&last, 0.0, End::Truncated), Err(ObserveError::Gap));
        assert_eq!(learner.health().unwrap().mean(), None);
        // Frozen nothing is judged.
        actor.freeze(true);
        assert_eq!(learner.note(-1e9), Verdict::Steady);
        assert_eq!(learner.health().unwrap().mean(), None);
        actor.freeze(false);
        episodes(&mut actor, &mut learner, 1, -10.0);
        assert!(learner.health().unwrap().mean().is_some());
    });
}

#[test]
fn a_score_that_is_no_number_reverts() {
    with_policy(&policy_gradient(BASE, 4, 40).write(), |mut actor, mut learner| {
        learner.watch_with(Monitor::new(BOUNDS).with_record(-10.0));
        episodes(&mut actor, &mut learner, 2, -10.0);
        assert!(learner.adapt().is_accepted());
        let verdicts = [-5.0, f32::NAN, -5.0].map(|score| learner.note(score));
        assert_eq!(verdicts, [Verdict::Steady, Verdict::Steady, Verdict::Revert]);
        assert_eq!(learner.parameters(), BASE);
        // By hand the monitor hears of it, too.
        learner.new_task();
        let health = learner.health().unwrap();
        assert_eq!(
            (health.standing(), health.record(), health.rest()),
            (Standing::Base, None, 0)
        );
    });
}

/// Labels of another task, then the true ones: each is scored beside the image's policy.
#[test]
fn a_supervised_adaptation_on_trial_is_taken_back_by_itself() {
    let image = supervised([2.0, 0.25], &[1.0, 1.0, 1.0], 8).write();
    let adapted = |honest: bool| {
        with_policy(&image, |mut actor, mut learner| {
            learner.watch(BOUNDS);
            let truth = |actor: &mut Actor<'_, '_>, x: f32| {
                let mut action = [0.0];
                actor.freeze(true);
                assert_eq!(actor.act(&[x], &mut action), Status::Acted);
                actor.freeze(false);
                // What the image's policy does, and a little more.
                action[0] + 0.5
            };
            for x in [-1.0, -0.5, 0.0, 1.0, 2.0, 2.5] {
                let y = truth(&mut actor, x);
                learner.observe_example(&[x], &[if honest { y } else { -y }]).unwrap();
            }
            assert!(learner.adapt().is_accepted());
            for x in [0.5, 1.5, 2.5] {
                assert_eq!(learner.adapt().reason(), Some(Reason::OnTrial));
                let y = truth(&mut actor, x);
                learner.observe_example(&[x], &[y]).unwrap();
            }
            (learner.parameters().to_vec(), learner.health().unwrap().standing())
        })
    };
    let (parameters, standing) = adapted(true);
    assert_eq!(standing, Standing::Confirmed);
    assert_ne!(parameters, [2.0, 0.25]);
    assert_eq!(adapted(false), (vec![2.0, 0.25], Standing::Base));
}
