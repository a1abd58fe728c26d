//! The plan `act` by itself, in memory that is divided here.

use pliant_runtime::image::record::Space;
use pliant_runtime::image::{Image, PlanKind};
use pliant_runtime::plan::{AdaptedRef, Plan, Spaces};

/// The plan, and its spaces in this memory; `None` when the memory does not suffice.
pub fn plan_in<'m>(image: &Image<'m>, memory: &'m mut [f32]) -> Option<(Plan<'m>, Spaces<'m>)> {
    let plan = image.plan(PlanKind::Act)?;
    let size = |space| plan.sizes().get(space) as usize;
    let (arena, rest) = memory.split_at_mut_checked(size(Space::Arena))?;
    let (state, rest) = rest.split_at_mut_checked(size(Space::State))?;
    let (input, rest) = rest.split_at_mut_checked(size(Space::Input))?;
    let (output, _) = rest.split_at_mut_checked(size(Space::Output))?;
    let spaces = Spaces {
        constants: image.constants(),
        input,
        bank: &[],
        adapted: AdaptedRef::Shared(image.adapted_initial()),
        arena,
        state,
        output,
        accumulator: &mut [],
    };
    Some((plan, spaces))
}
