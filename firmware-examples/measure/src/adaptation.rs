//! A policy that also adapts, by examples: what its adaptation takes.

use core::hint::black_box;

use mps2::counter::Counter;
use mps2::semihosting::Console;
use pliant_runtime::adapt::Progress;
use pliant_runtime::contract::{ContractView, MAX_ACTIONS, MAX_OBSERVATIONS};
use pliant_runtime::experience::End;
use pliant_runtime::image::{Image, Objective};
use pliant_runtime::policy::{Policy, ResetKind};

use crate::IMAGE;

/// Multiply-accumulates of a slice at most (or one record).
const SLICE_MACS: u64 = 10_000;

/// Prints what an adaptation takes; `None` when the policy does not adapt.
pub fn measure(memory: &mut [f32], console: &mut Console, counter: &Counter) -> Option<()> {
    let bytes = black_box(IMAGE);
    let image = Image::new_checked(bytes).ok()?;
    let spec = image.adaptation()?;
    let contract = ContractView::new_checked(image.contract_bytes()).ok()?;
    let (mut observation, mut action) = ([0.1; MAX_OBSERVATIONS], [0.0; MAX_ACTIONS]);
    let observation = observation.get_mut(..contract.observations().count())?;
    let action = action.get_mut(..contract.actions().count())?;

    let mut policy = Policy::new(&image, None, memory).ok()?;
    let (mut actor, mut learner) = policy.split();
    match spec.objective()? {
        Objective::Supervised => {
            for index in 0..spec.capacity {
                observation.fill(0.01 * index as f32);
                learner.observe_example(observation, action).ok()?;
            }
        }
        Objective::PolicyGradient => {
            for _ in 0..spec.trajectories {
                actor.reset(ResetKind::Episode);
                for index in 1..=spec.horizon {
                    let step = actor.explore(observation, action).ok()?;
                    let end = if index == spec.horizon {
                        End::Truncated
                    } else {
                        End::Continue
                    };
                    learner.observe(&step, -(index as f32), end).ok()?;
                }
            }
        }
    }
    let start = counter.instructions();
    let mut longest = 0;
    loop {
        let before = counter.instructions();
        let progress = learner.adapt_some(SLICE_MACS);
        longest = longest.max(counter.instructions() - before);
        if let Progress::Done(_) = progress {
            break;
        }
    }
    console.figure("instructions to adapt", counter.instructions() - start);
    console.figure("instructions of the longest slice", longest);
    let status = actor.act(black_box(observation), action);
    learner.revert_to_base();
    (!status.is_safe_action()).then_some(())
}
