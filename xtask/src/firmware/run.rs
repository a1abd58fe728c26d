//! The firmware under the emulator, and its twin on the workstation.

use std::path::Path;

use super::boards::Board;
use super::{HOST, cargo};
use crate::error::Error;
use crate::process::Process;
use crate::workspace::Workspace;

/// A run takes half a minute on an idle machine; a firmware that hangs is stopped.
const LIMIT_SECONDS: u64 = 600;

/// As [`LIMIT_SECONDS`], of a flight: some seconds on an idle machine, and endless when the host's end fails.
const FLIGHT_SECONDS: u64 = 180;

/// Runs the ELF; returns its report when it ends with exit status 0. One instruction is one nanosecond of emulated time:
/// a SysTick of 25 MHz counts 40 instructions a tick.
pub(crate) fn on_the_board(board: &Board, elf: &Path) -> Result<String, Error> {
    emulate(board, board.machine, elf, "shift=0", "none", LIMIT_SECONDS)
}

/// As [`on_the_board`], with the serial port connected as the emulator's `-serial` says.
pub(crate) fn on_the_board_with_serial(board: &Board, elf: &Path, serial: &str) -> Result<String, Error> {
    emulate(board, board.machine, elf, "shift=0", serial, LIMIT_SECONDS)
}

/// As [`on_the_board_with_serial`], on another machine of the same emulator, whose other end is the host's.
pub(crate) fn in_the_loop(board: &Board, machine: &str, elf: &Path, serial: &str) -> Result<String, Error> {
    emulate(board, &["-machine", machine], elf, "shift=0", serial, FLIGHT_SECONDS)
}

/// As [`on_the_board`] at the speed of a real core: one instruction is 8 ns of emulated time, so that 125 000 fill a
/// millisecond. Time asleep passes at once.
pub(crate) fn in_real_time(board: &Board, elf: &Path) -> Result<String, Error> {
    emulate(board, board.machine, elf, "shift=3,sleep=off", "none", LIMIT_SECONDS)
}

fn emulate(
    board: &Board,
    machine: &[&str],
    elf: &Path,
    clock: &str,
    serial: &str,
    seconds: u64,
) -> Result<String, Error> {
    let process = Process::new(board.emulator)
        .args(machine)
        .args(["-icount", clock])
        .args(["-display", "none", "-monitor", "none", "-serial", serial])
        .args(["-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(elf)
        .limit(seconds);
    let command = process.line();
    let finished = process.shown()?;
    match finished.status.success() {
        true => Ok(finished.output),
        false => Err(Error::Failed {
            command,
            status: finished.status.to_string(),
            hint: None,
        }),
    }
}

/// Runs the same program on the workstation: every line of its report must stand in the board's, in order. The lines hold
/// the CRC-32 of all actions and of the adapted parameters, so one differing bit is seen.
pub(crate) fn same_as_host(workspace: &Workspace, board: &str) -> Result<(), Error> {
    let host = cargo(workspace)
        .args(["run", "--quiet", "--release", "--locked", "--package", HOST])
        .output()?;
    compare(board, &host)
}

/// Every line of the host's report stands in the board's, in order.
fn compare(board: &str, host: &str) -> Result<(), Error> {
    if !host.contains("CRC-32") {
        return Err(Error::Check("the host's report holds no checksums".to_owned()));
    }
    let mut lines = board.lines();
    for expected in host.lines().filter(|line| !line.is_empty()) {
        if !lines.any(|line| line == expected) {
            return Err(Error::Check(format!(
                "the host says `{expected}`; the board's report does not"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_may_say_more_but_nothing_else() {
        let host = "return before: -40.1\nactions: CRC-32 0x12345678\n";
        assert!(
            compare(
                "flash: 9 bytes\nreturn before: -40.1\nram: 3\nactions: CRC-32 0x12345678\n",
                host
            )
            .is_ok()
        );
        let error = compare("return before: -40.1\nactions: CRC-32 0x12345679\n", host)
            .unwrap_err()
            .to_string();
        assert!(error.contains("0x12345678"), "{error}");
        assert!(compare("", "").is_err());
    }
}
