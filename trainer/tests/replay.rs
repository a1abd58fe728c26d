//! Replay: what a learner did comes out the same from its log, and a log that is not whole is replayed up to there.

#[path = "../../runtime/tests/linear/mod.rs"]
mod linear;

use std::ops::Range;
use std::process::{Command, Stdio};

use linear::{Bytes, policy_gradient, supervised};
use pliant_runtime::adapt::{Progress, Reason};
use pliant_runtime::experience::End;
use pliant_runtime::health::Bounds;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy, ResetKind, workspace_len};
use pliant_runtime::telemetry::{Record, RecordedLearner, Sink};
use pliant_trainer::telemetry::{ReplayError, Stop, frames, replay};

/// A sink that keeps what it is given, but for the frames (by their number) that it refuses.
struct Lossy {
    log: Vec<u8>,
    number: usize,
    refused: Range<usize>,
}

impl Sink for Lossy {
    fn write(&mut self, frame: &[u8]) -> bool {
        let taken = !self.refused.contains(&self.number);
        self.number += 1;
        if taken {
            self.log.extend_from_slice(frame);
        }
        taken
    }
}

type Recorded<'p, 'm> = RecordedLearner<'p, 'm, Lossy>;

/// Runs a recorded session and gives its log.
fn record(
    bytes: &Bytes,
    seed: u64,
    refused: Range<usize>,
    session: impl FnOnce(&mut Actor<'_, '_>, &mut Recorded<'_, '_>),
) -> Vec<u8> {
    let image = Image::new_checked(bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(bytes)];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, learner) = policy.split();
    actor.seed(seed);
    let sink = Lossy {
        log: Vec::new(),
        number: 0,
        refused,
    };
    let mut learner = RecordedLearner::start(learner, &image, seed, sink);
    session(&mut actor, &mut learner);
    learner.into_parts().1.into_sink().log
}

fn episodes(actor: &mut Actor<'_, '_>, learner: &mut Recorded<'_, '_>, count: usize) {
    for _ in 0..count {
        actor.reset(ResetKind::Episode);
        let mut position = 0.0;
        for index in 0..5 {
            let mut action = [0.0];
            let step = actor.explore(&[position], &mut action).unwrap();
            position += 0.1 * action[0];
            let end = if index == 4 { End::Terminated } else { End::Continue };
            let _refused = learner.observe(&step, -(position - 2.0f32).abs(), end);
        }
    }
}

fn reinforcement() -> Bytes {
    policy_gradient([0.5, 0.25, -0.5], 3, 20).write()
}

/// Everything a learner can go through, the awkward included.
fn awkward(actor: &mut Actor<'_, '_>, learner: &mut Recorded<'_, '_>) {
    episodes(actor, learner, 3);
    assert!(learner.adapt().is_accepted());
    // A step taken with the old parameters, a reward that is no number, a gap, an episode that is not ended.
    let stale = {
        actor.reset(ResetKind::Episode);
        actor.explore(&[0.0], &mut [0.0]).unwrap()
    };
    episodes(actor, learner, 2);
    learner.observe(&stale, f32::NAN, End::Continue).unwrap_err();
    actor.reset(ResetKind::Task);
    learner.reset(ResetKind::Task);
    let _unrecorded = actor.explore(&[0.5], &mut [0.0]).unwrap();
    let gap = actor.explore(&[0.5], &mut [0.0]).unwrap();
    learner.observe(&gap, 0.0, End::Continue).unwrap_err();
    actor.reset(ResetKind::Episode);
    let open = actor.explore(&[0.5], &mut [0.0]).unwrap();
    learner.observe(&open, 0.0, End::Continue).unwrap();
    // In slices, steps refused in between.
    while let Progress::Working = learner.adapt_some(7) {
        learner.observe(&open, 0.0, End::Continue).unwrap_err();
    }
    learner.observe(&stale, 0.0, End::Continue).unwrap_err();
    // An adaptation dropped, and what that does to the way back.
    episodes(actor, learner, 2);
    assert_eq!(learner.adapt_some(0), Progress::Working);
    learner.cancel();
    learner.revert();
    episodes(actor, learner, 1);
    assert_eq!(learner.adapt_some(0), Progress::Working);
    learner.clear();
    assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));
    learner.revert_to_base();
    actor.seed(99);
    learner.seeded(99);
    for _ in 0..4 {
        episodes(actor, learner, 5);
        let _report = learner.adapt();
    }
    assert_eq!(learner.adapt().reason(), Some(Reason::StepLimit));
    learner.revert();
    episodes(actor, learner, 1);
    actor.freeze(true);
    assert_eq!(learner.adapt().reason(), Some(Reason::Frozen));
    actor.freeze(false);
    learner.recorder().record(&Record::Health(actor.counts()));
    // Frozen while it works: judged at the end.
    assert_eq!(learner.adapt_some(0), Progress::Working);
    actor.freeze(true);
    assert_eq!(learner.adapt().reason(), Some(Reason::Frozen));
    actor.freeze(false);
    learner.revert();
    episodes(actor, learner, 1);
    assert!(learner.adapt().is_accepted());
}

#[test]
fn reinforcement_learning_comes_out_the_same() {
    let bytes = reinforcement();
    let log = record(&bytes, 7, 0..0, awkward);
    let report = replay(&bytes, &log).unwrap();
    let [session] = &report.sessions[..] else {
        panic!("{report:?}")
    };
    assert_eq!(session.stop, Stop::End, "{session:?}");
    assert!(report.is_exact(), "{session:?}");
    assert!(session.adaptations.len() >= 8 && session.adaptations.iter().filter(|check| check.accepted).count() >= 4);
    assert_eq!(session.actions.differ, 0);
    assert!(session.actions.same > 100, "{:?}", session.actions);
    assert!(session.actions.unchecked < 20, "{:?}", session.actions);
    assert_eq!((session.not_replayed, report.before_start), (0, 0));

    // Two learners in one file, and noise in front of the first.
    let twice = [&[1, 2, 3, 0][..], &log, &log].concat();
    let report = replay(&bytes, &twice).unwrap();
    assert_eq!((report.before_start, report.sessions.len()), (1, 2));
    assert!(report.is_exact());
}

/// The monitor of the device takes adaptations back by itself; so does that of the replay, at the same steps.
#[test]
fn a_watched_learner_comes_out_the_same() {
    let bytes = reinforcement();
    let log = record(&bytes, 11, 0..0, |actor, learner| {
        let bounds = Bounds {
            trial: 2,
            rest: 2,
            ..Bounds::default()
        };
        learner.watch(bounds, None);
        for round in 0..12 {
            episodes(actor, learner, 3);
            if round % 3 == 2 {
                // Observed in the middle of an adaptation, which the verdict may end.
                let _progress = learner.adapt_some(0);
                episodes(actor, learner, 2);
            }
            let _report = learner.adapt();
            if round % 2 == 0 {
                // A tracking error that is far too large.
                let _verdict = learner.note(-1e6);
            }
        }
        assert!(learner.learner().health().unwrap().reverts() >= 2);
        learner.new_task();
        learner.watch(bounds, Some(-10.0));
        episodes(actor, learner, 3);
        assert!(learner.adapt().is_accepted());
    });
    let kinds = |wanted: fn(&Record) -> bool| {
        let found = frames(&log).filter(|frame| wanted(&frame.frame.as_ref().unwrap().as_ref().unwrap().record));
        found.count()
    };
    assert!(kinds(|record| matches!(record, Record::TakenBack { .. })) >= 2);
    let report = replay(&bytes, &log).unwrap();
    assert!(report.is_exact(), "{report:#?}");
    assert!(
        report.sessions[0]
            .adaptations
            .iter()
            .filter(|check| check.accepted)
            .count()
            >= 3
    );
}

#[test]
fn supervised_learning_comes_out_the_same() {
    let mut parts = supervised([0.5, -0.25], &[1.0, 0.5], 12);
    parts.spec.as_mut().unwrap().holdout_every = 4;
    let bytes = parts.write();
    let log = record(&bytes, 0, 0..0, |_, learner| {
        for round in 0..6 {
            for i in 0..5 {
                let x = (round * 5 + i) as f32 * 0.3 - 2.0;
                learner.observe_example(&[x], &[2.0 * x + 1.0]).unwrap();
            }
            learner.observe_example(&[0.0], &[f32::INFINITY]).unwrap_err();
            let _report = learner.adapt();
            if round == 3 {
                learner.revert();
            }
        }
    });
    let report = replay(&bytes, &log).unwrap();
    assert!(report.is_exact(), "{report:?}");
    assert_eq!(
        (report.sessions[0].examples, report.sessions[0].adaptations.len()),
        (36, 6)
    );
}

/// A session of a few hundred bytes.
fn small() -> (Bytes, Vec<u8>) {
    let bytes = reinforcement();
    let log = record(&bytes, 7, 0..0, |actor, learner| {
        for _ in 0..2 {
            episodes(actor, learner, 2);
            assert!(learner.adapt().is_accepted());
        }
    });
    (bytes, log)
}

#[test]
fn a_log_cut_at_any_byte_is_replayed_up_to_there() {
    let (bytes, log) = small();
    let ends: Vec<usize> = log
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == 0)
        .map(|(at, _)| at + 1)
        .collect();
    let whole = replay(&bytes, &log).unwrap().sessions.remove(0);
    assert_eq!(whole.adaptations.len(), 2);
    for cut in 0..log.len() {
        let frames = ends.iter().filter(|end| **end <= cut).count();
        let report = match replay(&bytes, &log[..cut]) {
            Ok(report) => report.sessions[0].clone(),
            Err(ReplayError::NoStart) => {
                assert_eq!(frames, 0, "cut at {cut}");
                continue;
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        };
        assert_eq!(report.records, frames as u64, "cut at {cut}");
        let last = if frames == 0 { 0 } else { ends[frames - 1] };
        let expected = if last == cut {
            Stop::End
        } else {
            Stop::Cut { offset: last as u64 }
        };
        assert_eq!(report.stop, expected, "cut at {cut}");
        assert_eq!(report.is_exact(), last == cut);
        assert_eq!(report.adaptations, whole.adaptations[..report.adaptations.len()]);
    }
}

#[test]
fn a_damaged_log_is_replayed_up_to_the_damage() {
    let (bytes, log) = small();
    let whole = replay(&bytes, &log).unwrap().sessions.remove(0);
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let check = |damaged: &[u8], first: usize| {
        let report = match replay(&bytes, damaged) {
            Ok(report) => report,
            Err(ReplayError::NoStart) => return,
            Err(error) => panic!("{error}"),
        };
        let session = &report.sessions[0];
        assert!(!report.is_exact(), "{session:?}");
        assert_eq!(session.adaptations, whole.adaptations[..session.adaptations.len()]);
        let stopped = match session.stop {
            Stop::Damaged { offset, .. } | Stop::Lost { offset, .. } | Stop::Cut { offset } => offset,
            ref other => panic!("{other:?}"),
        };
        // The frame that holds the damage; where whole frames are gone, the next one.
        let frame = frames(&log)
            .filter(|frame| frame.offset <= first as u64)
            .last()
            .unwrap();
        assert!(stopped >= frame.offset, "{stopped} {first}");
    };
    for at in 0..log.len() {
        for bit in 0..8 {
            let mut damaged = log.clone();
            damaged[at] ^= 1 << bit;
            check(&damaged, at);
        }
    }
    for _ in 0..2000 {
        let mut damaged = log.clone();
        let at = random(log.len() - 1);
        let length = 1 + random((log.len() - at - 1).min(80));
        match random(3) {
            // Taken out: not at the end, which would be a whole shorter log.
            0 => drop(damaged.drain(at..at + length)),
            1 => damaged[at..at + length].fill_with(|| 1 + random(255) as u8),
            _ => drop(damaged.splice(at..at, (0..length).map(|_| 1 + random(255) as u8))),
        }
        // What is a whole log still, only shorter, is not damaged.
        let mut original = frames(&log).map(|frame| frame.frame);
        if !frames(&damaged).all(|frame| original.next() == Some(frame.frame)) {
            check(&damaged, at);
        }
    }
}

#[test]
fn records_that_the_sink_refused_are_missed() {
    let bytes = reinforcement();
    let log = record(&bytes, 7, 8..11, |actor, learner| {
        episodes(actor, learner, 3);
        let _report = learner.adapt();
        assert_eq!(
            learner.recorder().dropped(),
            2,
            "and the notice of the first one, refused"
        );
    });
    let report = replay(&bytes, &log).unwrap();
    let session = &report.sessions[0];
    assert!(matches!(session.stop, Stop::Lost { records: 2, .. }), "{session:?}");
    assert_eq!((session.records, session.adaptations.len()), (8, 0));
    assert_eq!(
        session.not_replayed,
        1 + 6 + 1,
        "the notice, the rest of the steps, the adaptation"
    );
}

#[test]
fn another_image_and_other_parameters_are_told() {
    let (bytes, log) = small();
    let other = policy_gradient([0.5, 0.25, -0.25], 3, 20).write();
    assert!(matches!(replay(&other, &log), Err(ReplayError::OtherImage { .. })));
    assert!(matches!(replay(&bytes, b"no log at all"), Err(ReplayError::NoStart)));
    assert!(matches!(replay(b"no image", &log), Err(ReplayError::Image(_))));

    // The same records, but a step says another reward than the learner was given.
    let mut changed = Vec::new();
    let mut recorder = pliant_runtime::telemetry::Recorder::new(|frame: &[u8]| {
        changed.extend_from_slice(frame);
        true
    });
    for (frame, number) in frames(&log).zip(0..) {
        let mut record = frame.frame.unwrap().unwrap().record;
        if let (Record::Step(step), 3) = (&mut record, number) {
            step.reward += 0.5;
        }
        recorder.record(&record);
    }
    let report = replay(&bytes, &changed).unwrap();
    let session = &report.sessions[0];
    assert!(
        matches!(&session.stop, Stop::Differs { what, .. } if what.contains("parameters")),
        "{session:?}"
    );
    assert!(!session.adaptations[0].same);
}

const PLIANT: &str = env!("CARGO_BIN_EXE_pliant");

#[test]
fn the_commands_read_files_and_pipes() {
    let (bytes, log) = small();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (image, whole) = (path("policy.pliant", &bytes), path("run.log", &log));
    let cut = path("cut.log", &log[..log.len() - 3]);
    let run = |args: &[&str]| Command::new(PLIANT).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();

    let done = run(&["replay", &whole, "--bundle", &image, "--json"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["sessions"][0]["adaptations"][1]["same"], true);
    assert_eq!(report["sessions"][0]["stop"]["kind"], "end");
    let done = run(&["replay", &cut, "--bundle", &image]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("cut off"), "{}", text(&done.stdout));
    assert!(text(&done.stdout).contains("the same bits"));
    let done = run(&["replay", &image, "--bundle", &image]);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
    let done = run(&["replay", "no-such.log", "--bundle", &image]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("no-such.log"));

    let done = run(&["monitor", &whole]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shown = text(&done.stdout);
    for words in [
        "start: image",
        "episode 4: return",
        "adaptation 2: accepted",
        "2 adaptations (0 rejected)",
    ] {
        assert!(shown.contains(words), "`{words}` not in:\n{shown}");
    }
    let copy = folder.path().join("copy.log");
    let mut child = Command::new(PLIANT)
        .args(["monitor", "-", "--json", "--save", copy.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &log[..log.len() - 3]).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    assert_eq!(std::fs::read(copy).unwrap(), log[..log.len() - 3]);
    let objects: Vec<serde_json::Value> = text(&done.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), frames(&log).count());
    assert_eq!(objects[0]["record"], "start");
    assert_eq!(objects[1]["observation"].as_array().unwrap().len(), 1);
    assert_eq!(objects.last().unwrap()["record"], "damaged");
    let done = run(&["monitor", "no-such-port"]);
    assert_eq!(done.status.code(), Some(2));
}
