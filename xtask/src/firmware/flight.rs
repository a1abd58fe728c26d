//! The flight controller in the loop: an emulated core flies what the host simulates.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::boards::Board;
use super::measure::figure;
use super::toolchain::Toolchain;
use super::{board_cargo_of, elf_of, run};
use crate::error::Error;
use crate::process::cargo;
use crate::workspace::Workspace;

/// The package of the program.
pub(super) const PACKAGE: &str = "flight-controller";

/// The bundle that flies.
const BUNDLE: &str = "models/quadrotor";

/// Most instructions of `act`, all included: what it takes now, and one percent. The goal is 10,000.
const MOST_INSTRUCTIONS: f64 = 9_950.0;

/// The cores, and the emulator's machine that has each.
const CORES: [(&str, &str); 2] = [("Cortex-M4F", "mps2-an386"), ("Cortex-M7", "mps2-an500")];

/// How long the emulator may take until it listens.
const START: Duration = Duration::from_secs(30);

/// Links the flight controller.
pub(super) fn build(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    board_cargo_of(workspace, board, toolchain, PACKAGE, "build").run()?;
    Ok(elf_of(workspace, board, toolchain, PACKAGE))
}

/// Flies a quadrotor in gusts, alone and adapting, on each core. The bits must be the host's, and `act` no slower
/// than before.
pub(super) fn fly(workspace: &Workspace, board: &Board, elf: &Path) -> Result<(), Error> {
    // Built before the emulator waits for it.
    cargo(workspace)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "pliant-trainer",
            "--bin",
            "pliant",
        ])
        .run()?;
    for (core, machine) in CORES {
        println!("   {core}:");
        let report = in_the_loop(workspace, board, machine, elf)?;
        let instructions = figure(&report, "instructions of act")?;
        if instructions > MOST_INSTRUCTIONS {
            return Err(Error::Check(format!(
                "`act` takes {instructions} instructions on the {core}, more than {MOST_INSTRUCTIONS}"
            )));
        }
    }
    Ok(())
}

/// The emulator's report of a flight that had the host's bits.
fn in_the_loop(workspace: &Workspace, board: &Board, machine: &str, elf: &Path) -> Result<String, Error> {
    // Short: the path of a socket may have about a hundred bytes.
    let socket = std::env::temp_dir().join(format!("pliant-{}-{machine}.sock", std::process::id()));
    let serial = format!("unix:{},server=on,wait=on", socket.display());
    let done = std::thread::scope(|scope| {
        let emulated = scope.spawn(|| run::in_the_loop(board, machine, elf, &serial));
        let started = Instant::now();
        while !socket.exists() && !emulated.is_finished() && started.elapsed() < START {
            std::thread::sleep(Duration::from_millis(20));
        }
        let flown = cargo(workspace)
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package",
                "pliant-trainer",
                "--bin",
                "pliant",
                "--",
            ])
            .args([
                "fly",
                BUNDLE,
                "--shift",
                "gusts",
                "--quadrotors",
                "1",
                "--speed",
                "0",
                "--board",
            ])
            .arg(&socket)
            .output();
        let report = emulated
            .join()
            .unwrap_or_else(|_| Err(Error::Check("the emulator's thread ended early".to_owned())));
        let flown = flown?;
        print!("{flown}");
        match flown.contains("same bits: 2 flights") {
            true => report,
            false => Err(Error::Check(
                "the host does not say that all bits were the same".to_owned(),
            )),
        }
    });
    // The emulator removes it; a failed one may not have.
    let _ = std::fs::remove_file(&socket);
    done
}
