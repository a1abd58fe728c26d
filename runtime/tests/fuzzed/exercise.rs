//! Takes any bytes for a device image and uses it as firmware would: what is not refused must stay in bounds and finite, or
//! give the safe action. Only `core`: the emulated board runs it too.

use pliant_runtime::adapt::Progress;
use pliant_runtime::contract::ContractView;
use pliant_runtime::experience::End;
use pliant_runtime::image::{Image, Objective, PlanKind};
use pliant_runtime::policy::{Learner, Policy, ResetKind, Status};

/// Plans that cost more are not run: what a plan costs is known before, and firmware would refuse it as too slow.
const MOST_MACS: u64 = 50_000;
/// Work on one adaptation, then it is dropped.
const ADAPT_MACS: u64 = 200_000;

/// What came of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No image, or none for this memory and contract.
    Refused,
    /// A plan costs more than this test will spend.
    TooCostly,
    /// It acted: all actions were in bounds.
    Acted {
        /// Whether any action was the policy's, not the safe one.
        by_policy: bool,
        /// Whether an adaptation was accepted.
        adapted: bool,
    },
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An action is not finite.
    NotFinite,
    /// An action is outside its channel's range.
    OutOfRange,
    /// The safe action was announced, but something else written.
    NotSafe,
    /// Parameters that were accepted are not finite.
    Parameters,
}

/// What firmware might feed a policy, the broken included.
const OBSERVATIONS: [f32; 6] = [0.0, 0.5, -1.0, 1e6, f32::MAX, f32::NAN];

/// Loads the bytes into `memory` and uses them.
pub(crate) fn exercise(bytes: &[u8], memory: &mut [f32]) -> Result<Outcome, Violation> {
    exercise_up_to(MOST_MACS, bytes, memory)
}

/// As [`exercise`], of plans that cost at most so much.
pub(crate) fn exercise_up_to(most_macs: u64, bytes: &[u8], memory: &mut [f32]) -> Result<Outcome, Violation> {
    let Ok(image) = Image::new_checked(bytes) else {
        return Ok(Outcome::Refused);
    };
    let costs = PlanKind::ALL.iter().filter_map(|&kind| image.plan(kind));
    if costs.map(|plan| plan.macs()).any(|macs| macs > most_macs) {
        return Ok(Outcome::TooCostly);
    }
    // Golden steps may differ; running them must not go wrong.
    let _differs = image.self_test(memory);
    let Ok(contract) = ContractView::new_checked(image.contract_bytes()) else {
        return Ok(Outcome::Refused);
    };
    let Ok(mut policy) = Policy::new(&image, None, memory) else {
        return Ok(Outcome::Refused);
    };
    let (mut actor, mut learner) = policy.split();
    let (mut observation, mut action) = ([0.0; 32], [f32::NAN; 16]);
    let Some(observation) = observation.get_mut(..contract.observations().len()) else {
        return Ok(Outcome::Refused);
    };
    let Some(action) = action.get_mut(..contract.actions().len()) else {
        return Ok(Outcome::Refused);
    };
    let check = |status: Status, action: &[f32]| {
        for (value, channel) in action.iter().zip(contract.actions()) {
            if !value.is_finite() {
                return Err(Violation::NotFinite);
            }
            if *value < channel.range[0] || *value > channel.range[1] {
                return Err(Violation::OutOfRange);
            }
            if status.is_safe_action() && *value != channel.safe {
                return Err(Violation::NotSafe);
            }
        }
        Ok(!status.is_safe_action())
    };

    let mut by_policy = false;
    for value in OBSERVATIONS {
        observation.fill(value);
        by_policy |= check(actor.act(observation, action), action)?;
    }
    let supervised = image.adaptation().and_then(|spec| spec.objective()) == Some(Objective::Supervised);
    let mut adapted = false;
    for round in 0..2 {
        for episode in 0..2 {
            actor.reset(ResetKind::Episode);
            for index in 0..3 {
                let value = (index - episode) as f32 * 0.5;
                observation.fill(value);
                let step = actor.explore(observation, action);
                let status = step.as_ref().map_or_else(|status| *status, |_| Status::Acted);
                by_policy |= check(status, action)?;
                let end = if index == 2 { End::Truncated } else { End::Continue };
                if supervised {
                    let _refused = learner.observe_example(observation, action);
                } else if let Ok(step) = step {
                    let reward = if round == 0 { value } else { 1e30 };
                    let _refused = learner.observe(&step, reward, end);
                }
            }
        }
        let accepted = adapt(&mut learner);
        adapted |= accepted;
        if accepted && !learner.parameters().iter().all(|value| value.is_finite()) {
            return Err(Violation::Parameters);
        }
        observation.fill(0.25);
        by_policy |= check(actor.act(observation, action), action)?;
    }
    let _to = learner.revert();
    check(actor.act(observation, action), action)?;
    Ok(Outcome::Acted { by_policy, adapted })
}

/// Whether the adaptation was accepted; one that takes too long is dropped.
fn adapt(learner: &mut Learner<'_, '_>) -> bool {
    let mut spent = 0;
    while spent < ADAPT_MACS {
        match learner.adapt_some(ADAPT_MACS / 10) {
            Progress::Done(report) => return report.is_accepted(),
            Progress::Working => spent += ADAPT_MACS / 10,
        }
    }
    learner.cancel();
    false
}
