//! The chores of the Pliant workspace: `cargo xtask --help`.
//!
//! | module | what it does |
//! |---|---|
//! | [`mod@test`] | `cargo xtask test`: every check of the project, cheapest first, with counts |
//! | [`provide`] | brings what the tests need: ONNX Runtime, the ONNX checker, an emulator, a bare-metal Rust target |
//! | [`firmware`] | builds the firmware example, looks into the linked ELF, runs it under the emulator |
//! | [`board`] | the example on an emulated aarch64 Linux board |
//! | [`peers`] | the same work on Pliant and on its peers |
//! | [`docs`] | compares `ARCHITECTURE.md` with the tree; writes measured figures into the README |
//! | [`trust`] | fuzzing, branch coverage, Miri |
//! | [`process`], [`workspace`], [`tally`], [`error`] | child processes, paths, counts, and what may go wrong |

mod arguments;
mod board;
mod docs;
mod error;
mod firmware;
mod peers;
mod process;
mod provide;
mod tally;
mod test;
mod trust;
mod workspace;

use std::process::ExitCode;

use arguments::{Chore, FirmwareTask};
use error::Error;
use workspace::Workspace;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Error> {
    let chore = arguments::parse(std::env::args().skip(1))?;
    if let Chore::Help = chore {
        print!("{}", arguments::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::locate()?;
    match chore {
        Chore::Help => {}
        Chore::Test { steps, install } => return test::run(&workspace, &steps, install),
        Chore::OnnxRuntime => println!("{}", provide::onnxruntime::provide(&workspace, true)?.display()),
        Chore::Firmware {
            toolchain,
            install,
            task,
        } => match task {
            FirmwareTask::Check => firmware::build_and_run(&workspace, toolchain, install)?,
            FirmwareTask::Count(images) => firmware::measure::count(&workspace, &images, toolchain, install)?,
            FirmwareTask::Size => firmware::measure::size(&workspace, toolchain, install)?,
        },
        Chore::Board { install } => board::build_and_run(&workspace, install)?,
        Chore::Peers { works, install } => peers::run(&workspace, &works, install)?,
        Chore::Measure { parts } => docs::measure::run(&workspace, &parts)?,
        Chore::Data { install } => println!("{}", provide::python::diagnosis_data(&workspace, install)?.display()),
        Chore::Docs { check } => docs::figures::run(&workspace, check)?,
        Chore::Fuzz { targets, runs } => trust::fuzz::run(&workspace, &targets, runs)?,
        Chore::Coverage { install } => trust::coverage::run(&workspace, install)?,
        Chore::Deny => process::cargo(&workspace)
            .args(["deny", "--all-features", "check"])
            .hint("install it with `cargo install --locked cargo-deny` (it compiles for several minutes)")
            .run()?,
    }
    Ok(ExitCode::SUCCESS)
}
