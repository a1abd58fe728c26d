//! The navigation example on a 32-bit RISC-V core with single precision in hardware (RV32IMAFC), emulated.
//!
//! ```sh
//! cargo run --release        # in this folder; needs the target riscv32imafc-unknown-none-elf and qemu-system-riscv32
//! cargo xtask firmware       # anywhere in the repository; brings both, and checks the ELF and the numbers
//! ```
//!
//! No allocator, no operating system, and no panic: [`panic`] makes a reachable one fail to link.
#![no_std]
#![no_main]

mod panic;

use core::ptr::addr_of_mut;

use navigation_example::IMAGE;
use navigation_example::board::Board;
#[cfg(feature = "planted-panic")]
use navigation_example::board::Line;
use pliant_runtime::policy::workspace_len;
use riscv::register::minstret;
use riscv_rt::entry;
use semihosting_console::{self as semihosting, Console};

/// The board: text through the debugger, instructions by the core's own counter.
struct Virt {
    console: Console,
}

impl Board for Virt {
    fn print(&mut self, text: &str) {
        self.console.print(text);
    }

    fn instructions(&mut self) -> Option<u64> {
        Some(minstret::read64())
    }
}

#[entry]
fn main() -> ! {
    // All memory of the policy, sized by the image while this is compiled.
    static mut MEMORY: [f32; workspace_len(IMAGE)] = [0.0; workspace_len(IMAGE)];

    let mut board = Virt {
        console: Console::open(),
    };
    #[cfg(feature = "planted-panic")]
    plant_a_panic(&mut board);

    // SAFETY: this is the only reference to it: nothing else can name it, and the entry point runs once, on one core.
    #[allow(unsafe_code)]
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    // Opaque to the optimiser: that no panic is reachable then holds for every image, not only for this one.
    let image = core::hint::black_box(IMAGE);
    let result = navigation_example::run(image, core::hint::black_box(memory), &mut board);
    semihosting::exit(result.map_or_else(|failure| failure as u32, |()| 0))
}

/// An index that the compiler cannot prove to be inside: with it the firmware must not link.
#[cfg(feature = "planted-panic")]
fn plant_a_panic(board: &mut Virt) {
    let index = core::hint::black_box(3);
    Line::new(board).number([1, 2, 3][index]).end();
}
