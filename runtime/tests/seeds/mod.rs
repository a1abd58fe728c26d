//! Small images and logs of every kind, for corpora and for damage.

// Each test file uses its share.
#![allow(dead_code)]

use pliant_runtime::contract::Channel;
use pliant_runtime::experience::End;
use pliant_runtime::image::record::{Binary, Space, Unary};
use pliant_runtime::image::{Image, ResetRule, StateEntry};
use pliant_runtime::policy::{Actor, Policy, ResetKind, workspace_len};
use pliant_runtime::telemetry::{Record, RecordedLearner, Sink};

use super::linear::{Bytes, Parts, binary, gated, policy_gradient, supervised, unary};

/// Images by name, each of 1 to 4 KiB.
pub(crate) fn images() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("supervised", supervised([0.5, -0.25], &[1.0, 0.5], 6).write().to_vec()),
        (
            "policy-gradient",
            policy_gradient([0.5, 0.25, -0.5], 2, 20).write().to_vec(),
        ),
        ("recurrent", recurrent().write().to_vec()),
        ("gated", gated().write().to_vec()),
    ]
}

/// Two sums of the input that live from call to call, one for each episode, one for each task.
pub(crate) fn recurrent() -> Parts {
    let state = |rule: ResetRule, offset: u32, initial: u32| StateEntry {
        dtype: 0,
        reset: rule as u32,
        offset,
        initial,
        shape: [1, 1, 1, 1],
    };
    let mut parts = supervised([0.0; 2], &[1.0], 4);
    parts.plans.truncate(1);
    (parts.spec, parts.adapted, parts.accumulator) = (None, Vec::new(), 0);
    parts.constants = vec![1.0, 2.0];
    parts.contract.observations[0] = Channel::observation("x", "").with_clip(10.0);
    parts.contract.actions[0] = Channel::action("sum", "").with_range(-5.0, 5.0);
    parts.states = vec![
        state(ResetRule::Episode, 0, 0),
        state(ResetRule::Task, 1, StateEntry::ZERO),
    ];
    let (states, output) = ((Space::State, 0), (Space::Output, 0));
    parts.plans[0].records = vec![
        binary(Binary::Add, states, (states, 1), ((Space::Input, 0), 0), 2),
        unary(Unary::Tanh, output, states, 1),
        binary(Binary::Add, output, (output, 1), ((Space::State, 1), 0), 1),
    ];
    parts
}

/// A log in memory.
#[derive(Default)]
struct Log(Vec<u8>);

impl Sink for Log {
    fn write(&mut self, frame: &[u8]) -> bool {
        self.0.extend_from_slice(frame);
        true
    }
}

/// A recorded session with this image.
fn session(image: &Bytes, run: impl FnOnce(&mut Actor<'_, '_>, &mut RecordedLearner<'_, '_, Log>)) -> Vec<u8> {
    let mut memory = vec![0.0; workspace_len(image)];
    let image = Image::new_checked(image).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, learner) = policy.split();
    let mut learner = RecordedLearner::start(learner, &image, 0, Log::default());
    run(&mut actor, &mut learner);
    learner.into_parts().1.into_sink().0
}

/// A log with a record of every kind.
pub(crate) fn telemetry() -> Vec<u8> {
    let trials = session(&policy_gradient([0.5, 0.25, -0.5], 2, 20).write(), |actor, learner| {
        for _ in 0..2 {
            actor.reset(ResetKind::Episode);
            for index in 0..3 {
                let step = actor.explore(&[index as f32], &mut [0.0]).unwrap();
                let end = if index == 2 { End::Truncated } else { End::Continue };
                let _refused = learner.observe(&step, -1.5, end);
            }
        }
        let _report = learner.adapt();
        learner.recorder().set_time_ms(1234);
        let _to = learner.revert();
        learner.clear();
        learner.seeded(9);
        learner.reset(ResetKind::Task);
        for record in [
            Record::Health(actor.counts()),
            Record::Dropped(3),
            Record::Cancelled { claimed: true },
            Record::Frozen(true),
        ] {
            learner.recorder().record(&record);
        }
    });
    let examples = session(&supervised([0.5, -0.25], &[1.0, 0.5], 6).write(), |_, learner| {
        learner.observe_example(&[1.0], &[2.0]).unwrap();
        let _refused = learner.observe_example(&[f32::NAN], &[2.0]);
        let _report = learner.adapt();
    });
    [trials, examples].concat()
}
