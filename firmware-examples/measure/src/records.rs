//! Instructions of each record of the plan `act` by itself: where a call spends them.

use mps2::counter::Counter;
use mps2::semihosting::Console;
use pliant_runtime::image::Image;
use pliant_runtime::image::record::Opcode;
use pliant_runtime::plan::{Exact, Plan};

use crate::plan::plan_in;

/// Runs of each record: a tick of the counter is 40 instructions.
const RUNS: u64 = 16;

/// Prints `record N, opcode O: instructions`; `None` when the memory does not suffice.
pub fn measure<'m>(image: &Image<'m>, memory: &'m mut [f32], console: &mut Console, counter: &Counter) -> Option<()> {
    let (plan, mut spaces) = plan_in(image, memory)?;
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
