//! Policy-gradient adaptation of a linear Gaussian policy against the closed formula, and what the learner refuses.

mod linear;

use linear::{Bytes, policy_gradient};
use pliant_runtime::adapt::{AdaptReport, Progress, Reason};
use pliant_runtime::experience::{End, Estimator, Trajectories, advantages, baseline_scratch};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Learner, ObserveError, Policy, ResetKind, Status, Step, workspace_len};

const BASE: [f32; 3] = [0.5, 0.25, -0.5];

fn with_policy<T>(image: &Bytes, test: impl FnOnce(Actor<'_, '_>, Learner<'_, '_>) -> T) -> T {
    let mut memory = vec![f32::NAN; workspace_len(image)];
    let image = Image::new_checked(image).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (actor, learner) = policy.split();
    test(actor, learner)
}

/// What was gathered, in the order in which it came.
#[derive(Default)]
struct Log {
    steps: Vec<Step>,
    rewards: Vec<f32>,
    ends: Vec<End>,
}

/// Drives one episode of `length` steps: the reward is the distance of the position from 2, the position moves by a
/// tenth of the speed.
fn episode(actor: &mut Actor<'_, '_>, length: usize, log: &mut Log) {
    actor.reset(ResetKind::Episode);
    let mut position = 0.0;
    for step in 0..length {
        let mut action = [f32::NAN];
        log.steps.push(actor.explore(&[position], &mut action).unwrap());
        position += 0.1 * action[0];
        log.rewards.push(-(position - 2.0f32).abs());
        log.ends.push(if step + 1 == length {
            End::Truncated
        } else {
            End::Continue
        });
    }
}

fn gather(actor: &mut Actor<'_, '_>, learner: &mut Learner<'_, '_>) -> Log {
    let mut log = Log::default();
    for length in [5, 4, 5] {
        episode(actor, length, &mut log);
    }
    for ((step, reward), end) in log.steps.iter().zip(&log.rewards).zip(&log.ends) {
        learner.observe(step, *reward, *end).unwrap();
    }
    assert_eq!((learner.trajectories(), learner.support_len()), (3, log.steps.len()));
    log
}

/// Advantages as the trainer computes them.
fn advantages_of(log: &Log) -> Vec<f32> {
    let observations: Vec<f32> = log.steps.iter().map(|step| step.observation()[0]).collect();
    let estimator = Estimator {
        gamma: 0.99,
        lambda: 0.9,
        ridge: 1e-5,
    };
    let trajectories = Trajectories {
        observations: &observations,
        width: 1,
        rewards: &log.rewards,
        ends: &log.ends,
    };
    let mut result = vec![0.0; log.steps.len()];
    advantages(&trajectories, &estimator, &mut [0.0; baseline_scratch(1)], &mut result);
    result
}

/// One step of the policy gradient in double precision.
fn ascend(start: [f64; 3], log: &Log, scale: f64) -> [f64; 3] {
    let mut gradient = [0.0; 3];
    for (step, advantage) in log.steps.iter().zip(advantages_of(log)) {
        let (s, a) = (f64::from(step.observation()[0]), f64::from(step.action()[0]));
        let deviation = start[2].exp();
        let z = (a - start[0] * s - start[1]) / deviation;
        let share = f64::from(advantage) / log.steps.len() as f64;
        gradient[0] += share * z / deviation * s;
        gradient[1] += share * z / deviation;
        gradient[2] += share * (z * z - 1.0);
    }
    let sizes = [0.1, 0.2, 0.3];
    core::array::from_fn(|i| start[i] + scale * sizes[i] * gradient[i])
}

fn assert_close(found: &[f32], expected: [f64; 3]) {
    for (a, b) in found.iter().zip(expected) {
        assert!((f64::from(*a) - b).abs() < 2e-6, "{found:?} {expected:?}");
    }
}

#[test]
fn sampled_actions_and_their_probabilities() {
    with_policy(&policy_gradient(BASE, 1, 20).write(), |mut actor, _| {
        actor.seed(5);
        let mut mean = [f32::NAN];
        assert_eq!(actor.act(&[2.0], &mut mean), Status::Acted);
        // 0.5 * 0.5 + 0.25 = 0.5; times 4 plus 0.5.
        assert_eq!(mean, [2.5]);
        let count = 4000;
        let samples: Vec<Step> = (0..count).map(|_| actor.explore(&[2.0], &mut [0.0]).unwrap()).collect();
        let deviation = (-0.5f64).exp();
        let (mut sum, mut squares) = (0.0, 0.0);
        for step in &samples {
            let z = (f64::from(step.action()[0]) - 0.5) / deviation;
            let expected = -0.5 * z * z + 0.5 - 0.5 * core::f64::consts::TAU.ln();
            assert!((f64::from(step.log_probability()) - expected).abs() < 1e-5);
            assert_eq!(step.observation(), [0.5]);
            (sum, squares) = (sum + z, squares + z * z);
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 5.0 / count.sqrt() && (squares / count - 1.0).abs() < 5.0 * (2.0 / count).sqrt());

        // The same seed gives the same actions, in physical units too.
        let draw = |actor: &mut Actor<'_, '_>| {
            actor.seed(9);
            let mut action = [0.0];
            let step = actor.explore(&[1.0], &mut action).unwrap();
            assert_eq!(action[0], (step.action()[0] * 4.0 + 0.5).clamp(-10.0, 10.0));
            action[0].to_bits()
        };
        assert_eq!(draw(&mut actor), draw(&mut actor));
    });
}

#[test]
fn each_step_is_the_closed_formula() {
    with_policy(&policy_gradient(BASE, 2, 20).write(), |mut actor, mut learner| {
        actor.seed(1);
        let log = gather(&mut actor, &mut learner);
        let first = ascend(BASE.map(f64::from), &log, 1.0);
        let report = learner.adapt();
        assert!(report.is_accepted(), "{report:?}");
        assert_close(learner.parameters(), first);
        assert_eq!(
            (report.figures().rows, report.figures().steps, learner.steps()),
            (14, 1, 1)
        );
        // The old policy's experience is gone.
        assert_eq!((learner.support_len(), learner.trajectories()), (0, 0));
        assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));

        // The second step starts from the first, with the second scale.
        let start: Vec<f64> = learner.parameters().iter().map(|value| f64::from(*value)).collect();
        let log = gather(&mut actor, &mut learner);
        let second = ascend([start[0], start[1], start[2]], &log, 0.5);
        assert!(learner.adapt().is_accepted());
        assert_close(learner.parameters(), second);

        // More steps were not trained.
        gather(&mut actor, &mut learner);
        assert_eq!(learner.adapt().reason(), Some(Reason::StepLimit));
        learner.revert_to_base();
        assert_eq!((learner.parameters(), learner.steps()), (&BASE[..], 0));
        gather(&mut actor, &mut learner);
        assert!(learner.adapt().is_accepted());
    });
}

#[test]
fn however_it_is_sliced_the_bits_are_the_same() {
    let mut parts = policy_gradient(BASE, 1, 20);
    parts.spec.as_mut().unwrap().kl_limit = 1.0;
    let image = parts.write();
    let run = |max_macs: u64| {
        with_policy(&image, |mut actor, mut learner| {
            actor.seed(1);
            gather(&mut actor, &mut learner);
            let mut calls = 1;
            let report = loop {
                match learner.adapt_some(max_macs) {
                    Progress::Done(report) => break report,
                    Progress::Working => calls += 1,
                }
                // The actor goes on meanwhile.
                assert_eq!(actor.act(&[2.0], &mut [0.0]), Status::Acted);
            };
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
    assert!(whole.0.is_accepted() && whole.2 == 1);
    for max_macs in [0, 1, 13, 50, 200] {
        let sliced = run(max_macs);
        assert_eq!((sliced.0, &sliced.1), (whole.0, &whole.1));
        // No call does more than its share and one record more (a matrix product or a chunk of 20 here).
        assert!(
            sliced.2 >= whole.0.figures().macs / (max_macs + 64).max(1),
            "{} calls",
            sliced.2
        );
    }
}

#[test]
fn the_divergence_limit_holds() {
    let adapt = |limit: f32| {
        let mut parts = policy_gradient(BASE, 1, 20);
        parts.spec.as_mut().unwrap().kl_limit = limit;
        with_policy(&parts.write(), |mut actor, mut learner| {
            actor.seed(1);
            gather(&mut actor, &mut learner);
            (learner.adapt(), learner.parameters().to_vec(), learner.support_len())
        })
    };
    let (report, _, _) = adapt(1.0);
    let divergence = report.figures().score_after.unwrap();
    assert!(report.is_accepted() && divergence > 0.0 && divergence < 1.0);
    assert!(adapt(divergence).0.is_accepted());
    let (report, parameters, rows) = adapt(divergence.next_down());
    assert_eq!(report.reason(), Some(Reason::Divergence));
    assert_eq!((&parameters[..], rows), (&BASE[..], 14));
}

#[test]
fn only_whole_trajectories_count() {
    with_policy(&policy_gradient(BASE, 1, 20).write(), |mut actor, mut learner| {
        let mut log = Log::default();
        episode(&mut actor, 5, &mut log);
        // Without its end it is not complete.
        for (step, reward) in log.steps.iter().zip(&log.rewards) {
            learner.observe(step, *reward, End::Continue).unwrap();
        }
        assert_eq!((learner.support_len(), learner.trajectories()), (5, 0));
        assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));

        // The next episode drops it.
        let mut log = Log::default();
        episode(&mut actor, 3, &mut log);
        for step in 0..3 {
            learner
                .observe(&log.steps[step], log.rewards[step], log.ends[step])
                .unwrap();
        }
        assert_eq!((learner.support_len(), learner.trajectories()), (3, 1));

        // A gap drops the trajectory from its start to its end.
        let mut log = Log::default();
        episode(&mut actor, 5, &mut log);
        learner.observe(&log.steps[0], 0.0, End::Continue).unwrap();
        for step in 2..5 {
            assert_eq!(
                learner.observe(&log.steps[step], 0.0, log.ends[step]),
                Err(ObserveError::Gap)
            );
        }
        assert_eq!((learner.support_len(), learner.trajectories()), (3, 1));

        // So does a step at which the actor refused.
        actor.reset(ResetKind::Episode);
        let step = actor.explore(&[0.0], &mut [0.0]).unwrap();
        learner.observe(&step, 0.0, End::Continue).unwrap();
        assert!(actor.explore(&[f32::NAN], &mut [0.0]).is_err());
        let step = actor.explore(&[0.0], &mut [0.0]).unwrap();
        assert_eq!(learner.observe(&step, 0.0, End::Truncated), Err(ObserveError::Gap));
        assert_eq!((learner.support_len(), learner.trajectories()), (3, 1));

        let report = learner.adapt();
        assert_eq!(report.figures().rows, 3);
    });
}

#[test]
fn poisoned_rewards_are_refused() {
    with_policy(&policy_gradient(BASE, 1, 20).write(), |mut actor, mut learner| {
        let mut log = Log::default();
        episode(&mut actor, 5, &mut log);
        learner.observe(&log.steps[0], 0.0, End::Continue).unwrap();
        assert_eq!(
            learner.observe(&log.steps[1], f32::NAN, End::Continue),
            Err(ObserveError::NotFinite)
        );
        assert_eq!(
            learner.observe(&log.steps[2], 0.0, End::Continue),
            Err(ObserveError::Gap)
        );
        assert_eq!(learner.support_len(), 0);
        assert_eq!(learner.observe_example(&[0.0], &[0.0]), Err(ObserveError::Objective));

        // Finite rewards whose returns are not.
        let mut log = Log::default();
        episode(&mut actor, 5, &mut log);
        for (step, end) in log.steps.iter().zip(&log.ends) {
            learner.observe(step, f32::MAX, *end).unwrap();
        }
        let report = learner.adapt();
        assert!(!report.is_accepted(), "{report:?}");
        assert_eq!(learner.parameters(), BASE);
    });
}

#[test]
fn experience_of_another_policy_is_refused() {
    with_policy(&policy_gradient(BASE, 2, 20).write(), |mut actor, mut learner| {
        gather(&mut actor, &mut learner);
        // Begun before the adaptation, ended after it.
        let mut log = Log::default();
        episode(&mut actor, 3, &mut log);
        learner.observe(&log.steps[0], 0.0, End::Continue).unwrap();
        assert!(learner.adapt().is_accepted());
        assert_eq!(
            learner.observe(&log.steps[1], 0.0, End::Continue),
            Err(ObserveError::Stale)
        );
        let step = actor.explore(&[0.0], &mut [0.0]).unwrap();
        assert_eq!(learner.observe(&step, 0.0, End::Truncated), Err(ObserveError::Gap));
        assert_eq!(learner.support_len(), 0);

        actor.freeze(true);
        assert_eq!(actor.explore(&[2.0], &mut [0.0]).unwrap_err(), Status::NotExploring);
        assert_eq!(learner.adapt().reason(), Some(Reason::Frozen));
    });
}

#[test]
fn a_full_ring_forgets_the_oldest_steps() {
    with_policy(&policy_gradient(BASE, 1, 8).write(), |mut actor, mut learner| {
        let mut log = Log::default();
        for length in [3, 4, 4] {
            episode(&mut actor, length, &mut log);
        }
        for ((step, reward), end) in log.steps.iter().zip(&log.rewards).zip(&log.ends) {
            learner.observe(step, *reward, *end).unwrap();
        }
        // The first trajectory is gone.
        assert_eq!((learner.support_len(), learner.trajectories()), (8, 2));
        let log = Log {
            steps: log.steps.split_off(3),
            rewards: log.rewards.split_off(3),
            ends: log.ends.split_off(3),
        };
        let expected = ascend(BASE.map(f64::from), &log, 1.0);
        assert!(matches!(learner.adapt(), AdaptReport::Accepted(_)));
        assert_close(learner.parameters(), expected);

        // An episode longer than the ring never gets whole enough to count twice.
        let mut log = Log::default();
        episode(&mut actor, 12, &mut log);
        for ((step, reward), end) in log.steps.iter().zip(&log.rewards).zip(&log.ends) {
            learner.observe(step, *reward, *end).unwrap();
        }
        assert_eq!((learner.support_len(), learner.trajectories()), (8, 1));
    });
}
