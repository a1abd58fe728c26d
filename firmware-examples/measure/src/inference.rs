//! Instructions of `act`, all included: contract, plan, checks.

use core::hint::black_box;

use mps2::counter::Counter;
use mps2::semihosting::Console;
use pliant_runtime::contract::{ContractView, MAX_ACTIONS, MAX_OBSERVATIONS};
use pliant_runtime::image::{Image, PlanKind};
use pliant_runtime::policy::{Actor, Policy, Status};

use crate::IMAGE;

/// A tick of the counter is 40 instructions; the mean of this many calls is then known to one.
const CALLS: u64 = 64;

/// Prints what a call takes; `None` when the policy does not act.
pub fn measure(memory: &mut [f32], console: &mut Console, counter: &Counter) -> Option<()> {
    // Opaque, so that the code is not fitted to this image.
    let bytes = black_box(IMAGE);
    let start = counter.instructions();
    let image = Image::new_to_act(bytes).ok()?;
    let checked = counter.instructions();
    #[cfg(feature = "records")]
    crate::records::measure(&image, memory, console, counter)?;
    let before = counter.instructions();
    let mut policy = Policy::act_only(&image, None, memory).ok()?;
    let loaded = counter.instructions();
    let (mut actor, _) = policy.split();
    console.figure("image bytes", bytes.len() as u64);
    console.figure("instructions to check the image", checked - start);
    console.figure("instructions to load the policy", loaded - before);
    let status = act(&image, &mut actor, console, counter)?;
    (!status.is_safe_action()).then_some(())
}

/// Prints what a call takes, all included.
pub fn act(image: &Image<'_>, actor: &mut Actor<'_, '_>, console: &mut Console, counter: &Counter) -> Option<Status> {
    let contract = ContractView::new_checked(image.contract_bytes()).ok()?;
    let (mut observation, mut action) = ([0.1; MAX_OBSERVATIONS], [0.0; MAX_ACTIONS]);
    let observation = observation.get_mut(..contract.observations().count())?;
    let action = action.get_mut(..contract.actions().count())?;
    let mut status = actor.act(observation, action);
    let start = counter.instructions();
    for _ in 0..CALLS {
        status = actor.act(black_box(observation), action);
    }
    console.figure("instructions of act", (counter.instructions() - start) / CALLS);
    console.figure("multiply-accumulates of act", image.plan(PlanKind::Act)?.macs());
    Some(status)
}
