//! Telemetry: the bytes of records, sinks that are full, and a recorded learner that does what the learner does.

mod linear;

use heapless::spsc::Queue;
use linear::{policy_gradient, supervised};
use pliant_runtime::adapt::{AdaptReport, Figures, Progress, Reason};
use pliant_runtime::contract::MAX_OBSERVATIONS;
use pliant_runtime::experience::End;
use pliant_runtime::health::Bounds;
use pliant_runtime::image::{Image, crc32};
use pliant_runtime::policy::{Counts, ObserveError, Policy, ResetKind, Reverted, workspace_len};
use pliant_runtime::telemetry::{
    Adapted, Decoder, Example, Frame, FrameError, MAX_FRAME, Record, RecordedLearner, Recorder, Reset, Revert, Start,
    StepRecord, Watched,
};

fn decode(bytes: &[u8]) -> Vec<Result<Frame, FrameError>> {
    let mut decoder = Decoder::new();
    let frames = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
    assert_eq!(decoder.pending(), 0);
    frames
}

fn records(bytes: &[u8]) -> Vec<Record> {
    decode(bytes).into_iter().map(|frame| frame.unwrap().record).collect()
}

/// One record of every kind, in the order of the format; what can be long is as long as it gets.
fn one_of_each() -> Vec<Record> {
    let figures = Figures {
        rows: u32::MAX,
        held_out: u32::MAX,
        steps: u32::MAX,
        change: 1.5,
        score_before: Some(f32::MAX),
        score_after: Some(-0.25),
        macs: u64::MAX,
    };
    let report = AdaptReport::Rejected {
        reason: Reason::TrustRegion,
        figures,
    };
    vec![
        Record::Start(Start {
            format: 0,
            image: u64::MAX,
            parameters: u32::MAX,
            steps: u32::MAX,
            version: u32::MAX,
            seed: u64::MAX,
            control_rate_hz: 50.0,
        }),
        Record::Seed(u64::MAX),
        Record::Reset(Reset { kind: ResetKind::Task }),
        Record::Step(StepRecord {
            version: u32::MAX,
            episode: u32::MAX,
            index: u32::MAX,
            noise: u32::MAX,
            observation: [f32::MIN; MAX_OBSERVATIONS].into_iter().collect(),
            action: [f32::MAX; 16].into_iter().collect(),
            log_probability: -1.5,
            reward: 0.1,
            end: End::Truncated,
            refused: Some(ObserveError::Gap),
        }),
        Record::Example(Example {
            input: [1.0; MAX_OBSERVATIONS].into_iter().collect(),
            target: [2.0; 16].into_iter().collect(),
            refused: None,
        }),
        Record::Adapted(Adapted {
            report,
            slices: u32::MAX,
            parameters: u32::MAX,
            version: u32::MAX,
        }),
        Record::Reverted(Revert {
            to: Reverted::Previous,
            base_asked: false,
            claimed: true,
            parameters: 0,
            version: 9,
        }),
        Record::Cleared { claimed: false },
        Record::Cancelled { claimed: true },
        Record::Frozen(true),
        Record::Health(Counts {
            acted: u32::MAX,
            safe: u32::MAX,
            clipped: u32::MAX,
            missed_deadlines: u32::MAX,
            masked: u32::MAX,
        }),
        Record::Dropped(u32::MAX),
        Record::Watched(Watched {
            bounds: Bounds::default(),
            record: Some(-40.0),
        }),
        Record::Noted {
            score: -1.0,
            adapting: true,
        },
        Record::TakenBack {
            parameters: u32::MAX,
            version: u32::MAX,
        },
        Record::NewTask {
            claimed: true,
            version: u32::MAX,
        },
    ]
}

#[test]
fn every_record_comes_back_and_fits() {
    let mut log = Vec::new();
    let mut recorder = Recorder::new(|frame: &[u8]| {
        assert!(frame.len() <= MAX_FRAME);
        log.extend_from_slice(frame);
        true
    });
    recorder.set_time_ms(u32::MAX);
    for record in one_of_each() {
        assert!(recorder.record(&record), "{record:?}");
    }
    assert_eq!(recorder.dropped(), 0);
    assert_eq!(records(&log), one_of_each());
    let numbers: Vec<u32> = decode(&log).into_iter().map(|frame| frame.unwrap().sequence).collect();
    assert_eq!(numbers, (0..one_of_each().len() as u32).collect::<Vec<_>>());
}

/// The bytes that `docs/telemetry.md` gives as examples.
#[test]
fn the_bytes_are_those_of_the_specification() {
    let mut log = Vec::new();
    let mut recorder = Recorder::new(|frame: &[u8]| {
        log.extend_from_slice(frame);
        true
    });
    recorder.set_time_ms(300);
    recorder.record(&Record::Seed(7));
    recorder.record(&Record::Cancelled { claimed: true });
    let expected = [
        [0x01, 0x09, 0xAC, 0x02, 0x01, 0x07, 0x2C, 0x21, 0x64, 0x45, 0x00],
        [0x0A, 0x01, 0xAC, 0x02, 0x08, 0x01, 0xE0, 0x16, 0xA5, 0x40, 0x00],
    ]
    .concat();
    assert_eq!(log, expected);
}

#[test]
fn a_full_sink_loses_records_and_counts_them() {
    let mut room = 2;
    let mut log = Vec::new();
    let mut taken = Vec::new();
    let script = [true, true, false, false, false, true, true];
    let open = core::cell::Cell::new(true);
    {
        let mut recorder = Recorder::new(|frame: &[u8]| {
            if open.get() {
                log.extend_from_slice(frame);
            }
            open.get()
        });
        for (value, is_open) in script.into_iter().enumerate() {
            open.set(is_open);
            taken.push(recorder.record(&Record::Seed(value as u64)));
        }
        room += recorder.dropped();
    }
    assert_eq!(room, 5, "three dropped");
    assert_eq!(taken, script);
    let frames: Vec<Frame> = decode(&log).into_iter().map(Result::unwrap).collect();
    let numbers: Vec<u32> = frames.iter().map(|frame| frame.sequence).collect();
    assert_eq!(numbers, [0, 1, 5, 6, 7], "a gap where they are missing");
    let found: Vec<Record> = frames.into_iter().map(|frame| frame.record).collect();
    let expected = [
        Record::Seed(0),
        Record::Seed(1),
        Record::Dropped(3),
        Record::Seed(5),
        Record::Seed(6),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_queue_takes_whole_frames_or_nothing() {
    let mut queue: Queue<u8, 32> = Queue::new();
    let (producer, mut consumer) = queue.split();
    let mut recorder = Recorder::new(producer);
    let mut offered = 0;
    while recorder.record(&Record::Seed(u64::MAX)) {
        offered += 1;
    }
    assert_eq!(offered, 1, "of 31 bytes a second frame of 18 does not fit");
    let mut bytes = Vec::new();
    bytes.extend(core::iter::from_fn(|| consumer.dequeue()));
    recorder.record(&Record::Frozen(false));
    assert_eq!(recorder.dropped(), 1);
    bytes.extend(core::iter::from_fn(|| consumer.dequeue()));
    assert_eq!(
        records(&bytes),
        [Record::Seed(u64::MAX), Record::Dropped(1), Record::Frozen(false)]
    );
}

#[test]
fn a_recorded_learner_does_what_the_learner_does() {
    let bytes = policy_gradient([0.5, 0.25, -0.5], 2, 20).write();
    let image = Image::new_checked(&bytes).unwrap();
    // Twice the same episodes, with and without a recorder.
    let run = |log: Option<&mut Vec<u8>>| {
        let mut memory = vec![0.0; workspace_len(&bytes)];
        let mut policy = Policy::new(&image, None, &mut memory).unwrap();
        let (mut actor, learner) = policy.split();
        actor.seed(3);
        let mut ignored = Vec::new();
        let log = log.unwrap_or(&mut ignored);
        let mut learner = RecordedLearner::start(learner, &image, 3, |frame: &[u8]| {
            log.extend_from_slice(frame);
            true
        });
        for round in 0..2 {
            for episode in 0..3 {
                actor.reset(ResetKind::Episode);
                for index in 0..5 {
                    let step = actor.explore(&[index as f32], &mut [0.0]).unwrap();
                    let end = if index == 4 { End::Truncated } else { End::Continue };
                    learner.observe(&step, -(episode as f32), end).unwrap();
                }
            }
            let report = if round == 0 {
                learner.adapt()
            } else {
                loop {
                    if let Progress::Done(report) = learner.adapt_some(10) {
                        break report;
                    }
                }
            };
            assert!(report.is_accepted());
        }
        learner.learner().parameters().to_vec()
    };
    let mut log = Vec::new();
    let recorded = run(Some(&mut log));
    assert_eq!(recorded, run(None));
    let found = records(&log);
    assert_eq!(
        found.iter().filter(|record| matches!(record, Record::Step(_))).count(),
        30
    );
    let slices: Vec<u32> = found
        .iter()
        .filter_map(|record| match record {
            Record::Adapted(adapted) => Some(adapted.slices),
            _ => None,
        })
        .collect();
    assert!(slices[0] == 1 && slices[1] > 1, "{slices:?}");
    let Some(Record::Adapted(last)) = found.last() else {
        panic!("{found:?}")
    };
    assert_eq!(last.parameters, crc32(bytemuck::cast_slice(&recorded)));
}

#[test]
fn what_changes_the_learner_is_recorded() {
    let bytes = supervised([0.5, -0.25], &[1.0], 6).write();
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(&bytes)];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, learner) = policy.split();
    let mut log = Vec::new();
    let mut learner = RecordedLearner::start(learner, &image, 0, |frame: &[u8]| {
        log.extend_from_slice(frame);
        true
    });
    assert_eq!(
        learner.observe_example(&[1.0], &[f32::NAN]),
        Err(ObserveError::NotFinite)
    );
    let long = [1.0; MAX_OBSERVATIONS + 8];
    assert_eq!(learner.observe_example(&long, &[0.0]), Err(ObserveError::Length));
    learner.observe_example(&[1.0], &[2.0]).unwrap();
    assert!(learner.adapt().is_accepted());
    assert_eq!(learner.adapt_some(0), Progress::Working);
    learner.cancel();
    learner.cancel();
    assert_eq!(learner.adapt_some(0), Progress::Working);
    assert_eq!(learner.revert(), Reverted::Previous);
    learner.revert_to_base();
    actor.freeze(true);
    assert_eq!(learner.adapt().reason(), Some(Reason::Frozen));
    actor.freeze(false);
    assert_eq!(learner.adapt_some(0), Progress::Working);
    learner.clear();
    assert_eq!(learner.adapt().reason(), Some(Reason::EmptySupport));
    learner.seeded(5);
    learner.reset(ResetKind::Episode);
    learner.reset(ResetKind::All);
    learner.recorder().record(&Record::Health(actor.counts()));
    let (plain, _) = learner.into_parts();
    assert_eq!(plain.support_len(), 0);

    let kinds: Vec<String> = records(&log)
        .iter()
        .map(|record| {
            let text = format!("{record:?}");
            let end = text.find([' ', '(']).unwrap_or(text.len());
            let extra = match record {
                Record::Cancelled { claimed } | Record::Cleared { claimed } => format!(" {claimed}"),
                Record::Reverted(revert) => format!(" {:?} {}", revert.to, revert.claimed),
                Record::Frozen(frozen) => format!(" {frozen}"),
                Record::Example(example) => format!(" {} {:?}", example.input.len(), example.refused),
                _ => String::new(),
            };
            format!("{}{extra}", &text[..end])
        })
        .collect();
    let expected = [
        "Start",
        "Example 1 Some(NotFinite)",
        &format!("Example {MAX_OBSERVATIONS} Some(Length)"),
        "Example 1 None",
        "Adapted",
        "Cancelled true",
        "Reverted Previous true",
        "Reverted Base false",
        "Frozen true",
        "Adapted",
        "Frozen false",
        "Cleared true",
        "Adapted",
        "Seed",
        "Reset",
        "Health",
    ];
    assert_eq!(kinds, expected);
}
