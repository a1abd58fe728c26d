//! The program: check the image, act, adapt, act better.

use pliant_runtime::adapt::{AdaptReport, Progress};
use pliant_runtime::contract::{Interface, Port};
use pliant_runtime::experience;
use pliant_runtime::image::{AdaptationSpec, Image, PlanKind, TestBench};
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::{Actor, Learner, ObserveError, Policy, ResetKind, Step};

use crate::board::{Board, Line};
use crate::checksum::Checksum;
use crate::environment::{End, Navigation};

/// What the robot is wired to. An image made for something else is refused.
pub const WIRED: Interface<'static> = Interface {
    observations: &[Port::new("x", ""), Port::new("y", "")],
    actions: &[Port::new("dx", ""), Port::new("dy", "")],
    control_rate_hz: 10.0,
};

/// Draws the goal, which the policy is never told.
pub(crate) const GOAL_SEED: u64 = 20;

/// Draws the exploration noise.
pub(crate) const NOISE_SEED: u64 = 7;

/// The work of one slice of the adaptation, in multiply-accumulates, so that it can share the core with a control loop.
const SLICE_MACS: u64 = 100_000;

/// Why the program gave up; its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Failure {
    /// The bytes are no device image.
    Image = 10,
    /// A golden step did not come out, or the image brings none.
    SelfTest = 11,
    /// The image is not for this robot, does not fit the memory, or does not adapt.
    Policy = 12,
    /// The policy did not act, or its experience was not taken.
    Episode = 13,
    /// The adaptation was rejected.
    Rejected = 14,
    /// The return after adapting is not better than before.
    NoBetter = 15,
}

impl Failure {
    /// What went wrong, in words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Image => "the bytes are no device image",
            Self::SelfTest => "a golden step did not come out, or the image brings none",
            Self::Policy => "the image is not for this robot, does not fit the memory, or does not adapt",
            Self::Episode => "the policy did not act, or its experience was not taken",
            Self::Rejected => "the adaptation was rejected",
            Self::NoBetter => "the return after adapting is not better than before",
        }
    }
}

/// Runs everything and prints a report; the lines without instruction counts are the same on every core.
///
/// `memory` needs [`workspace_len`](pliant_runtime::policy::workspace_len) of the image.
///
/// # Errors
/// The first thing that went wrong; it has been printed.
pub fn run<B: Board>(image: &[u8], memory: &mut [f32], board: &mut B) -> Result<(), Failure> {
    let result = try_run(image, memory, board);
    if let Err(failure) = result {
        Line::new(board).text("failed: ").text(failure.sentence()).end();
    }
    result
}

fn try_run<B: Board>(bytes: &[u8], memory: &mut [f32], board: &mut B) -> Result<(), Failure> {
    let image = Image::new_checked(bytes).map_err(|_| Failure::Image)?;
    let spec = image.adaptation().ok_or(Failure::Policy)?;
    Line::new(board)
        .text("image: ")
        .number(bytes.len() as u64)
        .text(" bytes")
        .end();
    Line::new(board)
        .text("memory: ")
        .number(memory.len() as u64 * 4)
        .text(" bytes")
        .end();
    let steps = image.self_test(memory).map_err(|_| Failure::SelfTest)?;
    if steps == 0 {
        return Err(Failure::SelfTest);
    }
    Line::new(board)
        .text("golden steps: ")
        .number(steps.into())
        .text(", every bit as it should be")
        .end();
    count_plans(&image, memory, board)?;

    let mut policy = Policy::new(&image, Some(&WIRED), memory).map_err(|_| Failure::Policy)?;
    learn(&mut policy, spec, board)
}

/// Explores, adapts, and goes to the goal, with a policy from wherever it was loaded.
///
/// # Errors
/// The first thing that went wrong.
pub fn learn<B: Board>(policy: &mut Policy<'_>, spec: &AdaptationSpec, board: &mut B) -> Result<(), Failure> {
    let (mut actor, mut learner) = policy.split();
    actor.seed(NOISE_SEED);
    let mut goal = Noise::seeded(GOAL_SEED);
    let mut task = Navigation::new([goal.uniform() - 0.5, goal.uniform() - 0.5]);

    let mut checksum = Checksum::new();
    let before = explore(
        &mut task,
        &mut actor,
        observe_with(&mut learner),
        spec.trajectories,
        &mut checksum,
    )?;
    print_return(board, 0, before);
    let mut after = before;
    for step in 1..=spec.steps {
        let report = adapt(&mut learner, board)?;
        let figures = report.figures();
        Line::new(board)
            .text("adaptation ")
            .number(step.into())
            .text(": ")
            .number(figures.rows.into())
            .text(" rows, change ")
            .real(figures.change, 4)
            .text(", divergence ")
            .real(figures.score_after.unwrap_or(0.0), 4)
            .text(if report.is_accepted() {
                ", accepted"
            } else {
                ", rejected"
            })
            .end();
        if !report.is_accepted() {
            return Err(Failure::Rejected);
        }
        let mut adapted = Checksum::new();
        adapted.add(learner.parameters());
        Line::new(board)
            .text("adapted parameters: CRC-32 ")
            .bits(adapted.value())
            .end();
        after = explore(
            &mut task,
            &mut actor,
            observe_with(&mut learner),
            spec.trajectories,
            &mut checksum,
        )?;
        print_return(board, step, after);
    }
    Line::new(board).text("actions: CRC-32 ").bits(checksum.value()).end();
    count_act(&mut actor, board);
    if after > before { Ok(()) } else { Err(Failure::NoBetter) }
}

/// Steps go to this learner.
fn observe_with<'l>(
    learner: &'l mut Learner<'_, '_>,
) -> impl FnMut(&Step, f32, experience::End) -> Result<(), ObserveError> + 'l {
    |step, reward, end| learner.observe(step, reward, end)
}

/// Drives episodes with sampled actions, hands every step to `observe`, and returns the mean return.
pub(crate) fn explore(
    task: &mut Navigation,
    actor: &mut Actor<'_, '_>,
    mut observe: impl FnMut(&Step, f32, experience::End) -> Result<(), ObserveError>,
    episodes: u32,
    checksum: &mut Checksum,
) -> Result<f32, Failure> {
    let mut total = 0.0;
    for _ in 0..episodes {
        task.reset();
        actor.reset(ResetKind::Episode);
        loop {
            let mut action = [0.0; 2];
            let taken = actor
                .explore(&task.position(), &mut action)
                .map_err(|_| Failure::Episode)?;
            let step = task.step(action);
            checksum.add(&action);
            total += step.reward;
            let end = match step.end {
                End::Running => experience::End::Continue,
                End::Arrived => experience::End::Terminated,
                End::OutOfTime => experience::End::Truncated,
            };
            observe(&taken, step.reward, end).map_err(|_| Failure::Episode)?;
            if end.is_last() {
                break;
            }
        }
    }
    Ok(total / episodes as f32)
}

/// Adapts in slices, as beside a control loop, and prints what they took.
fn adapt<B: Board>(learner: &mut Learner<'_, '_>, board: &mut B) -> Result<AdaptReport, Failure> {
    let start = board.instructions();
    let (mut slices, mut longest) = (0u64, 0u64);
    let report = loop {
        let before = board.instructions();
        let progress = learner.adapt_some(SLICE_MACS);
        slices += 1;
        longest = longest.max(passed(before, board).unwrap_or(0));
        if let Progress::Done(report) = progress {
            break report;
        }
    };
    Line::new(board)
        .text("adapted in ")
        .number(slices)
        .text(" slices")
        .end();
    if let Some(instructions) = passed(start, board) {
        Line::new(board)
            .text("instructions to adapt: ")
            .number(instructions)
            .end();
        Line::new(board)
            .text("instructions of the longest slice: ")
            .number(longest)
            .end();
    }
    Ok(report)
}

/// Prints what one run of the plans takes: no plan branches on data, so once is enough.
fn count_plans<B: Board>(image: &Image<'_>, memory: &mut [f32], board: &mut B) -> Result<(), Failure> {
    if board.instructions().is_none() {
        return Ok(());
    }
    for (kind, name) in [(PlanKind::Act, "plan act"), (PlanKind::Accumulate, "plan accumulate")] {
        let Some(golden) = image.golden_steps().find(|step| step.plan == kind) else {
            continue;
        };
        let mut bench = TestBench::new(image, memory).map_err(|_| Failure::SelfTest)?;
        let before = board.instructions();
        bench.run(kind, golden.input).map_err(|_| Failure::SelfTest)?;
        if let Some(instructions) = passed(before, board) {
            let macs = image.plan(kind).map_or(0, |plan| plan.macs());
            Line::new(board)
                .text("instructions of ")
                .text(name)
                .text(": ")
                .number(instructions)
                .text(" for ")
                .number(macs)
                .text(" multiply-accumulates")
                .end();
        }
    }
    Ok(())
}

/// Prints what one whole `act` takes: contract, plan, contract.
fn count_act<B: Board>(actor: &mut Actor<'_, '_>, board: &mut B) {
    let before = board.instructions();
    let mut action = [0.0; 2];
    let _status = actor.act(&[0.1, -0.2], &mut action);
    if let Some(instructions) = passed(before, board) {
        Line::new(board)
            .text("instructions of act: ")
            .number(instructions)
            .end();
    }
}

fn print_return<B: Board>(board: &mut B, step: u32, value: f32) {
    Line::new(board)
        .text("mean return after ")
        .number(step.into())
        .text(" adaptations: ")
        .real(value, 2)
        .end();
}

/// Instructions since `before`.
fn passed<B: Board>(before: Option<u64>, board: &mut B) -> Option<u64> {
    Some(board.instructions()?.saturating_sub(before?))
}
