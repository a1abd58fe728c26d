//! Instructions of each record of the plan `act` by itself: where a call spends them.

use mps2::counter::Counter;
use mps2::semihosting::Console;
use pliant_runtime::image::record::{Opcode, Space};
use pliant_runtime::image::{Image, PlanKind};
use pliant_runtime::plan::{AdaptedRef, Exact, Plan, Spaces};

/// Runs of each record: a tick of the counter is 40 instructions.
const RUNS: u64 = 16;

/// Prints `record N, opcode O: instructions`; `None` when the memory does not suffice.
pub fn measure(image: &Image<'_>, memory: &mut [f32], console: &mut Console, counter: &Counter) -> Option<()> {
    let plan = image.plan(PlanKind::Act)?;
    let size = |space| plan.sizes().get(space) as usize;
    let (arena, rest) = memory.split_at_mut_checked(size(Space::Arena))?;
    let (state, rest) = rest.split_at_mut_checked(size(Space::State))?;
    let (input, rest) = rest.split_at_mut_checked(size(Space::Input))?;
    let (output, _) = rest.split_at_mut_checked(size(Space::Output))?;
    let mut spaces = Spaces {
        constants: image.constants(),
        input,
        bank: &[],
        adapted: AdaptedRef::Shared(image.adapted_initial()),
        arena,
        state,
        output,
        accumulator: &mut [],
    };
    for record in plan.records() {
        let single = Plan::new_checked(core::slice::from_ref(record), plan.sizes()).ok()?;
        let start = counter.instructions();
        for _ in 0..RUNS {
            single.run::<Exact>(&mut spaces).ok()?;
        }
        let instructions = (counter.instructions() - start) / RUNS;
        console.print(record.opcode().map_or("record", Opcode::feature));
        console.figure(" multiply-accumulates", record.macs());
        console.figure("    instructions", instructions);
    }
    Some(())
}
