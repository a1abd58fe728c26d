//! The navigation example on the workstation: must print the board's numbers, bit for bit.

use std::process::ExitCode;

use navigation_example::IMAGE;
use navigation_example::board::Board;
use pliant_runtime::policy::workspace_len;

/// A workstation: prints to standard output and counts nothing.
struct Workstation;

impl Board for Workstation {
    fn print(&mut self, text: &str) {
        print!("{text}");
    }

    fn instructions(&mut self) -> Option<u64> {
        None
    }
}

fn main() -> ExitCode {
    let mut memory = vec![0.0; workspace_len(IMAGE)];
    match navigation_example::run(IMAGE, &mut memory, &mut Workstation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure as u8),
    }
}
