//! Acting at 1 kHz in a timer interrupt while the background adapts, on an emulated Cortex-M4F.
//!
//! ```sh
//! cargo xtask firmware       # builds and runs this, too, and checks what it prints
//! ```
//!
//! Two parts, each ending the program with its own exit status when it fails:
//!
//! 1. [`steady`]: `act` and every slice of an adaptation take the same number of instructions, whatever the data.
//! 2. [`control`]: for 60 simulated seconds SysTick calls `act` every millisecond while the background adapts in slices and
//!    publishes. No deadline is missed, and every call saw parameters that were published as a whole.
//!
//! **The clock.** The emulator runs with `-icount shift=3`: an instruction takes 8 ns, so the core executes 125 instructions a
//! microsecond, 125 000 a millisecond, about what a Cortex-M4F at 168 MHz does. SysTick counts at the board's 25 MHz: 5
//! instructions a tick. These are instructions of an emulator, not cycles of a core.
//!
//! The policy is the image that `PLIANT_IMAGE` names while this is compiled: untrained, for this is about time.
#![no_std]
#![no_main]

mod control;
mod data;
mod steady;
mod timer;

use cortex_m_rt::entry;
use mps2::memory;
use mps2::semihosting::{self, Console};
use pliant_runtime::contract::ContractView;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};

use steady::{Range, SLICES};
use timer::Timer;

/// The image that is run.
const IMAGE: &[u8] = pliant_runtime::include_image!(env!("PLIANT_IMAGE"));

/// Why the program gave up; its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Failure {
    /// The board has no peripherals left, or SysTick does not count as it should.
    Board = 10,
    /// The image, its contract, its policy or its adaptation is not what this program is for.
    Policy = 11,
    /// The policy did not act, or an adaptation was not accepted.
    Refused = 12,
    /// A number of instructions depends on the data.
    Unsteady = 13,
    /// A deadline was missed.
    Deadline = 14,
    /// The actor saw parameters that were not published as a whole.
    Mixture = 15,
    /// The adaptations were too few to show anything.
    Idle = 16,
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; workspace_len(IMAGE)] = [0.0; workspace_len(IMAGE)];
    static mut POLICY: Option<Policy<'static>> = None;
    static mut RANGES: [Range; SLICES] = [Range::EMPTY; SLICES];

    memory::paint_stack();
    let mut console = Console::open();
    let result = run(MEMORY, POLICY, RANGES, &mut console);
    console.figure("static bytes", memory::static_bytes().into());
    console.figure("stack bytes", memory::stack_bytes().into());
    semihosting::exit(result.map_or_else(|failure| failure as u32, |()| 0))
}

fn run(
    memory: &'static mut [f32],
    policy: &'static mut Option<Policy<'static>>,
    ranges: &mut [Range; SLICES],
    console: &mut Console,
) -> Result<(), Failure> {
    let core = cortex_m::Peripherals::take().ok_or(Failure::Board)?;
    let mut timer = Timer::start(core.SYST).ok_or(Failure::Board)?;
    console.figure("instructions of a tick", timer::PER_TICK.into());
    console.figure("instructions of a millisecond", timer::PER_MILLISECOND.into());

    // Opaque, so that the code is not fitted to this image.
    let image = Image::new_checked(core::hint::black_box(IMAGE)).map_err(|_| Failure::Policy)?;
    let contract = ContractView::new_checked(image.contract_bytes()).map_err(|_| Failure::Policy)?;
    if contract.control_rate_hz() != control::RATE_HZ {
        return Err(Failure::Policy);
    }
    let channels = data::Channels {
        observations: contract.observations().len(),
        actions: contract.actions().len(),
    };
    let policy = policy.insert(Policy::new(&image, None, memory).map_err(|_| Failure::Policy)?);
    {
        let (mut actor, mut learner) = policy.split();
        steady::act(&mut actor, channels, &timer, console)?;
        steady::adapt(&mut learner, channels, &timer, ranges, console)?;
        learner.new_task();
    }
    let (actor, learner) = policy.split();
    control::run(actor, learner, channels, &mut timer, console)
}
