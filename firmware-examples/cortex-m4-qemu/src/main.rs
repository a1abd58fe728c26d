//! The navigation example on a Cortex-M4F, emulated.
//!
//! ```sh
//! cargo run --release        # in this folder; needs the target thumbv7em-none-eabihf and qemu-system-arm
//! cargo xtask firmware       # anywhere in the repository; brings both, and checks the ELF and the numbers
//! ```
//!
//! No allocator, no operating system, and no panic: the handler of [`mps2`] makes a reachable one fail to link.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use mps2::counter::Counter;
use mps2::memory;
use mps2::semihosting::{self, Console};
use navigation_example::IMAGE;
use navigation_example::board::{Board, Line};
use pliant_runtime::policy::workspace_len;

/// The board: text through the debugger, instructions by SysTick.
struct Mps2 {
    console: Console,
    counter: Counter,
}

impl Board for Mps2 {
    fn print(&mut self, text: &str) {
        self.console.print(text);
    }

    fn instructions(&mut self) -> Option<u64> {
        Some(self.counter.instructions())
    }
}

#[entry]
fn main() -> ! {
    // All memory of the policy, sized by the image while this is compiled.
    static mut MEMORY: [f32; workspace_len(IMAGE)] = [0.0; workspace_len(IMAGE)];

    memory::paint_stack();
    let Some(core) = cortex_m::Peripherals::take() else {
        semihosting::exit(1)
    };
    let mut board = Mps2 {
        console: Console::open(),
        counter: Counter::start(core.SYST),
    };
    let per_tick = board.counter.per_tick();
    Line::new(&mut board)
        .text("instructions of a SysTick tick: ")
        .number(per_tick.into())
        .end();
    #[cfg(feature = "planted-panic")]
    plant_a_panic(&mut board);

    // Opaque to the optimiser: that no panic is reachable then holds for every image, not only for this one.
    let image = core::hint::black_box(IMAGE);
    let result = navigation_example::run(image, core::hint::black_box(MEMORY), &mut board);

    let (statics, stack) = (memory::static_bytes(), memory::stack_bytes());
    Line::new(&mut board)
        .text("RAM: ")
        .number((statics + stack).into())
        .text(" bytes, ")
        .number(statics.into())
        .text(" static and ")
        .number(stack.into())
        .text(" of stack at most")
        .end();
    Line::new(&mut board)
        .text("flash: ")
        .number(memory::flash_bytes().into())
        .text(" bytes")
        .end();
    semihosting::exit(result.map_or_else(|failure| failure as u32, |()| 0))
}

/// An index that the compiler cannot prove to be inside: with it the firmware must not link.
#[cfg(feature = "planted-panic")]
fn plant_a_panic(board: &mut Mps2) {
    let index = core::hint::black_box(3);
    Line::new(board).number([1, 2, 3][index]).end();
}
