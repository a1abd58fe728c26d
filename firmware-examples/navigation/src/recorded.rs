//! The application with its learning recorded, so that it can be watched and repeated on a workstation.

use pliant_runtime::image::Image;
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::Policy;
use pliant_runtime::telemetry::{Record, RecordedLearner, Sink};

use crate::board::{Board, Line};
use crate::checksum::Checksum;
use crate::environment::Navigation;
use crate::program::{Failure, GOAL_SEED, NOISE_SEED, WIRED, explore};

/// Adaptations; the last one is refused.
const ADAPTATIONS: u32 = 2;

/// Episodes before each: fewer than trained with, so that a log is small.
const EPISODES: u32 = 10;

/// Milliseconds of a control step.
const STEP_MS: u32 = 100;

/// Explores, adapts, explores, with every step and adaptation written to `sink`; prints the checksum of the adapted
/// parameters after each adaptation.
///
/// `memory` needs [`workspace_len`](pliant_runtime::policy::workspace_len) of the image.
///
/// # Errors
/// The first thing that went wrong.
pub fn run<B: Board, S: Sink>(bytes: &[u8], memory: &mut [f32], board: &mut B, sink: S) -> Result<(), Failure> {
    let image = Image::new_checked(bytes).map_err(|_| Failure::Image)?;
    let mut policy = Policy::new(&image, Some(&WIRED), memory).map_err(|_| Failure::Policy)?;
    let (mut actor, learner) = policy.split();
    actor.seed(NOISE_SEED);
    let mut learner = RecordedLearner::start(learner, &image, NOISE_SEED, sink);
    let mut goal = Noise::seeded(GOAL_SEED);
    let mut task = Navigation::new([goal.uniform() - 0.5, goal.uniform() - 0.5]);
    let mut time_ms = 0u32;
    for _ in 0..ADAPTATIONS {
        let observe = |step: &_, reward, end| {
            time_ms = time_ms.wrapping_add(STEP_MS);
            learner.recorder().set_time_ms(time_ms);
            learner.observe(step, reward, end)
        };
        explore(&mut task, &mut actor, observe, EPISODES, &mut Checksum::new())?;
        let report = learner.adapt();
        learner.recorder().record(&Record::Health(actor.counts()));
        let mut adapted = Checksum::new();
        adapted.add(learner.learner().parameters());
        Line::new(board)
            .text(if report.is_accepted() { "accepted" } else { "rejected" })
            .text(", adapted parameters: CRC-32 ")
            .bits(adapted.value())
            .end();
        if !report.is_accepted() {
            return Err(Failure::Rejected);
        }
    }
    // Nothing to learn from: a refusal is recorded, too.
    let _refused = learner.adapt();
    Line::new(board)
        .text("records dropped: ")
        .number(learner.recorder().dropped().into())
        .end();
    Ok(())
}
