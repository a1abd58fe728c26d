//! The health monitor: its transitions one by one, and that it cannot flap, whatever the scores are.

mod support;

use pliant_runtime::health::{Bounds, Monitor, Standing, Verdict};
use support::Random;

const BOUNDS: Bounds = Bounds {
    trial: 3,
    window: 6,
    relative: 0.1,
    absolute: 0.0,
    confirm: 0.5,
    rest: 4,
    range: [-1e30, 1e30],
};

/// A monitor with a record of -10, so that the bound is at -11 and trials are confirmed from -10.5 up.
fn recorded() -> Monitor {
    let mut monitor = Monitor::new(BOUNDS);
    assert_eq!(monitor.record(), None);
    for score in [-12.0, -10.0, -9.0] {
        assert_eq!(monitor.score(score), Verdict::Steady);
    }
    assert_eq!(monitor.record(), Some(-10.0));
    monitor
}

/// The verdicts of scores, the first that is not steady included.
fn run(monitor: &mut Monitor, scores: &[f32]) -> Verdict {
    for (index, score) in scores.iter().enumerate() {
        let verdict = monitor.score(*score);
        if verdict != Verdict::Steady {
            assert_eq!(index + 1, scores.len(), "{verdict:?} came early");
            return verdict;
        }
    }
    Verdict::Steady
}

#[test]
fn a_trial_is_confirmed_or_reverted_by_its_mean() {
    let trial = |scores: &[f32]| {
        let mut monitor = recorded();
        monitor.adapted();
        assert!(!monitor.may_adopt());
        (run(&mut monitor, scores), monitor.standing())
    };
    assert_eq!(trial(&[-10.0, -11.0, -10.5]), (Verdict::Confirm, Standing::Confirmed));
    assert_eq!(trial(&[-11.0, -11.0, -11.1]), (Verdict::Revert, Standing::Base));
    // One bad episode does not decide alone, nor does one good one.
    assert_eq!(trial(&[-14.0, -8.0, -8.0]).0, Verdict::Confirm);
    assert_eq!(trial(&[0.0, -20.0, -20.0]).0, Verdict::Revert);
    // Between the bounds it goes on, to be decided later, or never to be adopted.
    let between = [-10.8; 3];
    assert_eq!(trial(&between), (Verdict::Steady, Standing::Trial));
    assert_eq!(trial(&[between, [-9.0; 3]].concat()).0, Verdict::Confirm);
    assert_eq!(trial(&[between; 4].concat()), (Verdict::Revert, Standing::Base));
}

#[test]
fn a_reverted_trial_leaves_what_was_confirmed() {
    let mut monitor = recorded();
    monitor.adapted();
    assert_eq!(run(&mut monitor, &[-5.0; 3]), Verdict::Confirm);
    monitor.adapted();
    assert_eq!(monitor.standing(), Standing::Trial);
    assert_eq!(run(&mut monitor, &[-20.0; 3]), Verdict::Revert);
    assert_eq!((monitor.standing(), monitor.mean()), (Standing::Confirmed, Some(-5.0)));
    assert_eq!((monitor.reverts(), monitor.confirmations(), monitor.rest()), (1, 1, 4));
}

#[test]
fn what_was_confirmed_can_fall() {
    let mut monitor = recorded();
    monitor.adapted();
    assert_eq!(run(&mut monitor, &[-10.0; 3]), Verdict::Confirm);
    // The running mean over 6: -10, then towards -16.
    assert_eq!(run(&mut monitor, &[-12.0, -12.0]), Verdict::Steady);
    assert_eq!(run(&mut monitor, &[-16.0]), Verdict::RevertToBase);
    assert_eq!(monitor.standing(), Standing::Base);
    assert!(!monitor.may_adopt());
    assert_eq!(run(&mut monitor, &[-10.0; 4]), Verdict::Steady);
    assert!(monitor.may_adopt());
}

#[test]
fn each_return_doubles_the_rest() {
    let mut monitor = recorded();
    for rest in [4, 8, 16, 32] {
        monitor.adapted();
        assert_eq!(run(&mut monitor, &[-99.0; 3]), Verdict::Revert);
        assert_eq!(monitor.rest(), rest);
        for _ in 0..rest {
            assert!(!monitor.may_adopt());
            assert_eq!(monitor.score(-10.0), Verdict::Steady);
        }
        assert!(monitor.may_adopt());
    }
    monitor.forget();
    assert_eq!((monitor.record(), monitor.reverts()), (None, 4));
}

#[test]
fn the_record_is_hard_to_lie_to() {
    // A few scores far out move the median little; NaN, and what the task cannot give, does not enter at all.
    let mut monitor = Monitor::new(Bounds {
        range: [-1000.0, 0.0],
        ..BOUNDS
    });
    for score in [
        -10.0,
        f32::NAN,
        -9.0,
        -999.0,
        5.0,
        -1e30,
        -11.0,
        f32::NEG_INFINITY,
        f32::INFINITY,
    ] {
        assert_eq!(monitor.score(score), Verdict::Steady);
    }
    assert_eq!(monitor.record(), Some(-10.5));
    // For what is on trial they count as the worst there is: one of them reverts.
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0, f32::MAX] {
        let mut monitor = monitor;
        monitor.adapted();
        assert_eq!(run(&mut monitor, &[-5.0, bad, -5.0]), Verdict::Revert, "{bad}");
    }
    // Beside the image's own scores nothing from before counts.
    let mut poisoned = Monitor::new(BOUNDS).with_record(-1e9);
    poisoned.adapted();
    for _ in 0..2 {
        assert_eq!(poisoned.score_beside(-20.0, -10.0), Verdict::Steady);
    }
    assert_eq!(poisoned.score_beside(-20.0, -10.0), Verdict::Revert);
}

#[test]
fn without_a_record_nothing_passes() {
    let mut monitor = Monitor::new(BOUNDS);
    monitor.adapted();
    assert_eq!(run(&mut monitor, &[0.0; 3]), Verdict::Revert);
}

#[test]
fn bounds_are_moved_into_their_ranges() {
    let monitor = Monitor::new(Bounds {
        trial: 0,
        window: 0,
        relative: f32::NAN,
        absolute: -1.0,
        confirm: 7.0,
        rest: 0,
        range: [f32::NAN, f32::INFINITY],
    });
    let expected = Bounds {
        trial: 1,
        window: 1,
        relative: 0.0,
        absolute: 0.0,
        confirm: 1.0,
        rest: 1,
        range: [-1e30, 1e30],
    };
    assert_eq!(*monitor.bounds(), expected);
}

/// How scores are chosen against the monitor.
#[derive(Clone, Copy, Debug)]
enum Adversary {
    /// Good until confirmed, then bad: as many cycles as can be had.
    Cycles,
    /// Always bad for what is adapted.
    Bad,
    /// Around the bound, on both sides.
    Edge,
    /// Anything, numbers or not.
    Wild,
}

/// In any number of scores there are only logarithmically many automatic returns, and between a return and that of a later
/// trial lie the whole rest and the trial.
#[test]
fn it_cannot_flap() {
    let mut random = Random(17);
    let (mut most, mut fewest) = (0, u32::MAX);
    for round in 0..2000 {
        let bounds = Bounds {
            trial: 1 + random.below(6) as u32,
            window: 1 + random.below(32) as u32,
            relative: random.pick(&[0.0, 0.1, 1.0]),
            absolute: random.pick(&[0.0, 0.5]),
            confirm: random.pick(&[0.0, 0.5, 1.0]),
            rest: 1 + random.below(20) as u32,
            range: [-1e30, 1e30],
        };
        let adversary = [Adversary::Cycles, Adversary::Bad, Adversary::Edge, Adversary::Wild][round % 4];
        let mut monitor = Monitor::new(bounds).with_record(-10.0);
        let count = 1 + random.below(4000) as u32;
        let (mut last_return, mut reverts) = (None, 0);
        for time in 0..count {
            if monitor.may_adopt() && random.below(3) > 0 {
                monitor.adapted();
            }
            let before = monitor.standing();
            let score = match (adversary, before) {
                (Adversary::Cycles, Standing::Trial) | (_, Standing::Base) => -10.0,
                (Adversary::Cycles | Adversary::Bad, _) => -1e6,
                (Adversary::Edge, _) => -10.0 - (bounds.relative * 10.0 + bounds.absolute) * 2.0 * random.value().abs(),
                (Adversary::Wild, _) => random.pick(&[f32::NAN, f32::INFINITY, -1e38, 1e38, 0.0, -10.0, -11.0]),
            };
            let verdict = monitor.score(score);
            if matches!(verdict, Verdict::Revert | Verdict::RevertToBase) {
                assert_ne!(before, Standing::Base);
                // A trial begins only after the whole rest. (What was confirmed may fall during one.)
                if let (Some(last), Verdict::Revert) = (last_return, verdict) {
                    let rest = monitor.bounds().rest << (reverts - 1).min(20);
                    assert!(time - last >= rest + bounds.trial, "{adversary:?}: {last} {time}");
                }
                (last_return, reverts) = (Some(time), reverts + 1);
            }
        }
        assert_eq!(reverts, monitor.reverts());
        let bound = (f64::from(count) / f64::from(bounds.rest) + 1.0).log2() + 3.0;
        assert!(
            f64::from(reverts) <= bound,
            "{adversary:?}: {reverts} in {count} scores, {bounds:?}"
        );
        most = most.max(reverts);
        if matches!(adversary, Adversary::Bad) && count > 1000 {
            fewest = fewest.min(reverts);
        }
    }
    // The adversaries are any good: they do reach many returns.
    assert!(most >= 9 && fewest >= 3, "{most} {fewest}");
}
