//! The navigation example with its learning recorded: telemetry leaves through the board's serial port.
//!
//! ```sh
//! cargo xtask firmware       # runs it, and replays the log on the workstation
//! ```
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use mps2::semihosting::{self, Console};
use mps2::uart::Uart;
use navigation_example::board::Board;
use navigation_example::{IMAGE, recorded};
use pliant_runtime::policy::workspace_len;

/// The board: text through the debugger.
struct Mps2(Console);

impl Board for Mps2 {
    fn print(&mut self, text: &str) {
        self.0.print(text);
    }

    fn instructions(&mut self) -> Option<u64> {
        None
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; workspace_len(IMAGE)] = [0.0; workspace_len(IMAGE)];

    let mut uart = Uart::open();
    let sink = |frame: &[u8]| uart.send(frame);
    let result = recorded::run(
        core::hint::black_box(IMAGE),
        core::hint::black_box(MEMORY),
        &mut Mps2(Console::open()),
        sink,
    );
    semihosting::exit(result.map_or_else(|failure| failure as u32, |()| 0))
}
