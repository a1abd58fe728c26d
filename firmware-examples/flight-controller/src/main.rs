//! A flight controller in the loop: this board gets observations over its serial port, acts, adapts in flight, and answers
//! with actions; the host simulates the quadrotor.
//!
//! ```sh
//! cargo xtask firmware       # builds it for the emulated Cortex-M4F and M7, flies it, compares every bit with the host
//! pliant fly models/quadrotor --board /dev/ttyACM0    # the same with a board of your own
//! ```
//!
//! Simulated time stands still while the board thinks: what counts here is its instructions, which it prints at the end. A
//! real board must answer within a period, 10 ms.
#![no_std]
#![no_main]

mod wiring;

use core::hint::black_box;

use cortex_m_rt::entry;
use mps2::counter::Counter;
use mps2::memory;
use mps2::semihosting::{self, Console};
use mps2::uart::Uart;
use pliant_runtime::adapt::in_flight::{Body, Correction, Estimator, InFlight, QUADROTOR_X, Settings};
use pliant_runtime::contract::{ContractView, MAX_ACTIONS, MAX_OBSERVATIONS};
use pliant_runtime::image::{Image, PlanKind, crc32};
use pliant_runtime::link::{Receiver, Reply, Request, encode};
use pliant_runtime::policy::{Actor, Policy, ResetKind, act_workspace_len};
use pliant_runtime::telemetry::MAX_FRAME;

/// The quadrotor's policy.
const IMAGE: &[u8] = pliant_runtime::include_image!(env!("PLIANT_IMAGE"));

/// Elements of memory that it acts in.
const MEMORY: usize = act_workspace_len(IMAGE);

/// Why the program gave up; its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Failure {
    /// The image or its contract is not what this board is wired to.
    Policy = 11,
    /// The golden vectors of the image do not hold here.
    SelfTest = 12,
    /// The host said goodbye before anything was flown.
    Idle = 13,
}

#[entry]
fn main() -> ! {
    static mut WORKSPACE: [f32; MEMORY] = [0.0; MEMORY];
    static mut CORRECTION: [f32; pliant_runtime::adapt::in_flight::MEMORY] =
        [0.0; pliant_runtime::adapt::in_flight::MEMORY];

    memory::paint_stack();
    let mut console = Console::open();
    let result = match cortex_m::Peripherals::take() {
        Some(core) => fly(WORKSPACE, CORRECTION, &Counter::start(core.SYST), &mut console),
        None => Err(Failure::Policy),
    };
    console.figure("memory of the policy, bytes", 4 * MEMORY as u64);
    console.figure("static bytes", memory::static_bytes().into());
    console.figure("stack bytes", memory::stack_bytes().into());
    console.figure("flash bytes", memory::flash_bytes().into());
    console.figure("  of it the image", IMAGE.len() as u64);
    semihosting::exit(result.map_or_else(|failure| failure as u32, |()| 0))
}

fn fly(
    memory: &mut [f32; MEMORY],
    corrections: &mut [f32; pliant_runtime::adapt::in_flight::MEMORY],
    counter: &Counter,
    console: &mut Console,
) -> Result<(), Failure> {
    // Opaque, so that the code is not fitted to this image.
    let bytes = black_box(IMAGE);
    let image = Image::new_checked(bytes).map_err(|_| Failure::Policy)?;
    image.self_test(memory).map_err(|_| Failure::SelfTest)?;
    let contract = ContractView::new_checked(image.contract_bytes()).map_err(|_| Failure::Policy)?;
    let body = Body::of(&contract).map_err(|_| Failure::Policy)?;
    let mut policy = Policy::act_only(&image, Some(&wiring::WIRED), memory).map_err(|_| Failure::Policy)?;
    let mut in_flight = InFlight::new(body, &QUADROTOR_X, Settings::default(), corrections);
    let (mut correction, mut estimator) = in_flight.split();
    let mut controller = Controller {
        actor: policy.split().0,
        correction: &mut correction,
        estimator: &mut estimator,
        counter,
        adapts: false,
        figures: Figures::default(),
    };
    let crc = crc32(bytes);

    let mut uart = Uart::open();
    let (mut receiver, mut frame) = (Receiver::new(), [0; MAX_FRAME]);
    let mut flying = true;
    while flying {
        let reply = match receiver.push(uart.receive()) {
            None => continue,
            Some(Err(_)) => Reply::Damaged,
            Some(Ok(Request::Hello)) => Reply::Ready { image: crc },
            Some(Ok(Request::Reset { adapt })) => {
                controller.reset(adapt);
                Reply::Ready { image: crc }
            }
            Some(Ok(Request::Act { observation })) => controller.step(&observation),
            Some(Ok(Request::Goodbye)) => {
                flying = false;
                Reply::Ready { image: crc }
            }
        };
        if let Some(bytes) = encode(&reply, &mut frame) {
            uart.send_all(bytes);
        }
    }
    let macs = image.plan(PlanKind::Act).map_or(0, |plan| plan.macs());
    controller.figures.print(macs, console)
}

/// What acts, and what it took.
struct Controller<'c, 'p, 'm> {
    actor: Actor<'p, 'm>,
    correction: &'c mut Correction<'p, 'm>,
    estimator: &'c mut Estimator<'p, 'm>,
    counter: &'c Counter,
    adapts: bool,
    figures: Figures,
}

impl Controller<'_, '_, '_> {
    fn reset(&mut self, adapt: bool) {
        self.adapts = adapt;
        self.actor.reset(ResetKind::Episode);
        self.correction.reset();
        self.correction.freeze(!adapt);
        self.estimator.revert();
    }

    fn step(&mut self, observation: &[f32]) -> Reply {
        let (mut shown, mut action) = ([0.0; MAX_OBSERVATIONS], [0.0; MAX_ACTIONS]);
        let shown = shown.get_mut(..observation.len()).unwrap_or_default();
        let action = action.get_mut(..wiring::WIRED.actions.len()).unwrap_or_default();
        let started = self.counter.instructions();
        if self.adapts {
            self.estimator.observe(observation, self.correction.command());
            let accepted = self.estimator.adapt().is_accepted();
            self.figures.accepted += u32::from(accepted);
            self.figures.adapt.add(self.counter.instructions() - started);
        }
        self.correction.show(observation, shown);
        let before = self.counter.instructions();
        let refused = self.actor.act(black_box(shown), action).is_safe_action();
        self.figures.act.add(self.counter.instructions() - before);
        if !refused {
            self.correction.drive(action);
        }
        self.figures.period.add(self.counter.instructions() - started);
        let used = |parameters: &[f32]| parameters.first_chunk().copied().unwrap_or_default();
        Reply::acted(action, refused, self.correction.parameters(used))
    }
}

/// Instructions of many calls; a tick of the counter is 40.
#[derive(Default)]
struct Count {
    calls: u64,
    total: u64,
    greatest: u64,
}

impl Count {
    fn add(&mut self, instructions: u64) {
        self.calls += 1;
        self.total += instructions;
        self.greatest = self.greatest.max(instructions);
    }

    fn mean(&self) -> u64 {
        self.total.checked_div(self.calls).unwrap_or(0)
    }
}

#[derive(Default)]
struct Figures {
    act: Count,
    adapt: Count,
    period: Count,
    accepted: u32,
}

impl Figures {
    fn print(&self, macs: u64, console: &mut Console) -> Result<(), Failure> {
        console.figure("calls of act", self.act.calls);
        console.figure("instructions of act", self.act.mean());
        console.figure("  greatest, to one tick of the counter", self.act.greatest);
        console.figure("multiply-accumulates of act", macs);
        console.figure("calls of adapt", self.adapt.calls);
        console.figure("  accepted", self.accepted.into());
        console.figure("instructions of adapt", self.adapt.mean());
        console.figure("  worst, to one tick of the counter", self.adapt.greatest);
        console.figure("instructions of a period, all included", self.period.mean());
        console.figure("  worst, to one tick of the counter", self.period.greatest);
        if self.act.calls > 0 { Ok(()) } else { Err(Failure::Idle) }
    }
}
