//! The firmware example: builds it, looks into the ELF, runs it under the emulator, compares it with the host.

mod elf;
pub(crate) mod measure;
mod run;
pub(crate) mod toolchain;

use std::path::PathBuf;

use crate::error::{Error, Missing};
use crate::process::{Process, cargo_path};
use crate::provide;
use crate::tally::Tally;
use crate::workspace::Workspace;
use toolchain::{Choice, Toolchain};

/// The application, and the program that runs it on the workstation.
const APPLICATION: &str = "navigation-example";
const HOST: &str = "navigation-host";

/// The board's package, and the name of its ELF.
const BOARD: &str = "cortex-m4-qemu";

/// The program that acts in an interrupt while it adapts.
const REAL_TIME: &str = "real-time";

/// What the board's programs share.
const BOARD_SUPPORT: &str = "mps2";

/// The undefined symbol that the panic handler calls: linking fails, and names it, when a panic is reachable.
const PANIC_SYMBOL: &str = "pliant_error_a_panic_is_reachable";

/// The cargo feature that plants a panic, to show that the link catches it.
const PLANTED_PANIC: &str = "planted-panic";

/// What the checks of the firmware found.
pub(crate) struct Checked {
    pub(crate) tally: Tally,
    pub(crate) missing: Vec<Missing>,
}

/// Cargo's words for the firmware packages that also build for the workstation.
pub(crate) fn host_packages() -> [&'static str; 4] {
    ["--package", APPLICATION, "--package", HOST]
}

/// Cargo's words for the firmware packages that only build for the board.
pub(crate) fn board_packages() -> [&'static str; 8] {
    [
        "--package",
        BOARD,
        "--package",
        BOARD_SUPPORT,
        "--package",
        measure::PROGRAM,
        "--package",
        REAL_TIME,
    ]
}

/// The workstation's cargo in the firmware workspace.
pub(crate) fn cargo(workspace: &Workspace) -> Process {
    Process::new(cargo_path())
        .current_dir(&workspace.root().join("firmware-examples"))
        .env("CARGO_TARGET_DIR", target_folder(workspace))
}

/// `cargo xtask firmware`: all checks, with the board's report shown.
pub(crate) fn build_and_run(workspace: &Workspace, choice: Choice, install: bool) -> Result<(), Error> {
    let checked = check(workspace, choice, install)?;
    println!("\n{}", checked.tally);
    if let Some(missing) = checked.missing.into_iter().next() {
        return Err(missing.into());
    }
    match checked.tally.failed {
        0 => Ok(()),
        failed => Err(Error::Check(format!("{failed} checks of the firmware failed"))),
    }
}

/// Builds the firmware and runs it under the emulator: its report.
pub(crate) fn report(workspace: &Workspace, choice: Choice, install: bool) -> Result<String, Error> {
    let toolchain = toolchain::provide(choice, install)?;
    provide::emulator::provide(install)?;
    run::on_the_board(&build(workspace, &toolchain)?)
}

/// Runs every check that this machine can run.
pub(crate) fn check(workspace: &Workspace, choice: Choice, install: bool) -> Result<Checked, Error> {
    let mut checks = Checks {
        tally: Tally::default(),
        missing: Vec::new(),
    };
    let toolchain = checks.provided(toolchain::provide(choice, install));
    let emulator = checks.provided(provide::emulator::provide(install));
    let Some(toolchain) = toolchain else {
        checks.tally.skipped += Check::ALL.len();
        return Ok(checks.done());
    };
    println!("bare-metal target: {toolchain}");
    match toolchain {
        Toolchain::Rustup => drop(checks.verdict(Check::Clippy, clippy(workspace, &toolchain))),
        // Debian's packages bring no clippy for a target without a prebuilt `core`.
        Toolchain::Debian { .. } => checks.tally += Tally::SKIP,
    }
    checks.verdict(Check::Defmt, defmt(workspace, &toolchain));
    // First the one that must not link: the folder is left with the good ELF.
    checks.verdict(Check::PlantedPanic, planted_panic(workspace, &toolchain));
    let Some(elf) = checks.verdict(Check::Links, build(workspace, &toolchain)) else {
        // Nothing to look into or to run.
        checks.tally.skipped += Check::ALL.len() - 4;
        return Ok(checks.done());
    };
    checks.verdict(Check::Symbols, elf::check(&elf));
    let real_time = checks.verdict(Check::RealTimeLinks, build_real_time(workspace, &toolchain));
    if emulator.is_none() {
        checks.tally.skipped += 3;
        return Ok(checks.done());
    }
    let board = checks.verdict(Check::Runs, run::on_the_board(&elf));
    match board {
        Some(board) => checks.verdict(Check::SameBits, run::same_as_host(workspace, &board)),
        None => {
            checks.tally.skipped += 1;
            None
        }
    };
    match real_time {
        Some(elf) => drop(checks.verdict(Check::RealTime, run::in_real_time(&elf))),
        None => checks.tally.skipped += 1,
    }
    Ok(checks.done())
}

/// The checks, in order.
#[derive(Clone, Copy)]
enum Check {
    Clippy,
    PlantedPanic,
    Links,
    Symbols,
    Runs,
    SameBits,
    Defmt,
    RealTimeLinks,
    RealTime,
}

impl Check {
    const ALL: [Self; 9] = [
        Self::Clippy,
        Self::PlantedPanic,
        Self::Links,
        Self::Symbols,
        Self::Runs,
        Self::SameBits,
        Self::Defmt,
        Self::RealTimeLinks,
        Self::RealTime,
    ];

    fn sentence(self) -> &'static str {
        match self {
            Self::Links => "the firmware links, so no panic is reachable",
            Self::Symbols => "the ELF holds no allocator and no panic machinery",
            Self::Clippy => "clippy finds nothing in the board's code",
            Self::PlantedPanic => "a planted panic does not link",
            Self::Runs => "on the emulated board the golden vectors hold and the policy adapts",
            Self::SameBits => "the emulated board computes the host's bits",
            Self::Defmt => "the runtime builds with defmt",
            Self::RealTimeLinks => "the real-time program links, so no panic is reachable",
            Self::RealTime => {
                "60 s at 1 kHz beside an adaptation: no deadline missed, no instruction count depends on data"
            }
        }
    }
}

struct Checks {
    tally: Tally,
    missing: Vec<Missing>,
}

impl Checks {
    fn verdict<T>(&mut self, check: Check, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                println!("ok: {}", check.sentence());
                self.tally += Tally::PASS;
                Some(value)
            }
            Err(error) => {
                println!("failed: {}: {error}", check.sentence());
                self.tally += Tally::FAIL;
                None
            }
        }
    }

    fn provided<T>(&mut self, result: Result<T, Missing>) -> Option<T> {
        result.map_err(|missing| self.missing.push(missing)).ok()
    }

    fn done(self) -> Checked {
        Checked {
            tally: self.tally,
            missing: self.missing,
        }
    }
}

fn target_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("firmware")
}

/// Cargo for the board, in its folder: the linker's arguments stand in the `.cargo/config.toml` there.
fn board_cargo(workspace: &Workspace, toolchain: &Toolchain, command: &str) -> Process {
    board_cargo_of(workspace, toolchain, BOARD, command)
}

/// Cargo for the board, in the folder of one of its programs.
fn board_cargo_of(workspace: &Workspace, toolchain: &Toolchain, program: &str, command: &str) -> Process {
    toolchain
        .cargo()
        .args([command, "--release", "--locked", "--target", toolchain::TARGET])
        .current_dir(&workspace.root().join("firmware-examples").join(program))
        .env("CARGO_TARGET_DIR", target_folder(workspace).join(toolchain.name()))
        // It would replace the linker's arguments.
        .env_remove("RUSTFLAGS")
}

/// Lints the board's own code.
fn clippy(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Error> {
    for (program, features) in [
        (BOARD, ""),
        (measure::PROGRAM, "records"),
        (measure::PROGRAM, "adaptation"),
        (REAL_TIME, ""),
    ] {
        board_cargo_of(workspace, toolchain, program, "clippy")
            .args(["--features", features, "--", "--deny", "warnings"])
            .run()?;
    }
    Ok(())
}

/// Links the firmware and returns the ELF.
fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    board_cargo(workspace, toolchain, "build")
        .hint(format!(
            "when the linker names {PANIC_SYMBOL}, the functions it lists can panic"
        ))
        .run()?;
    Ok(elf_of(workspace, toolchain, BOARD))
}

/// Checks that the runtime builds for the board with `defmt`.
fn defmt(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Error> {
    toolchain
        .cargo()
        .args(["check", "--locked", "--package", "pliant-runtime"])
        .args(["--features", "defmt", "--target", toolchain::TARGET])
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", target_folder(workspace).join(toolchain.name()))
        .run()
}

/// Links the real-time program with a policy of the benchmark's size, and returns the ELF. An adaptation of it takes about
/// 50 ms of the emulated core.
fn build_real_time(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    let options = ["--adapts", "96", "1", "--rate", "1000"];
    let image = measure::untrained(workspace, "16-64-64-4-real-time", "16-64-64-4", &options)?;
    board_cargo_of(workspace, toolchain, REAL_TIME, "build")
        .env("PLIANT_IMAGE", image)
        .run()?;
    Ok(elf_of(workspace, toolchain, REAL_TIME))
}

/// Where cargo puts the ELF of one of the board's programs.
fn elf_of(workspace: &Workspace, toolchain: &Toolchain, program: &str) -> PathBuf {
    target_folder(workspace)
        .join(toolchain.name())
        .join(toolchain::TARGET)
        .join("release")
        .join(program)
}

/// Links the firmware with a panic planted in it: that must fail, and name the symbol.
fn planted_panic(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Error> {
    let process = board_cargo(workspace, toolchain, "build").args(["--features", PLANTED_PANIC]);
    let finished = process.silent()?;
    if finished.status.success() {
        return Err(Error::Check("it did".to_owned()));
    }
    match finished.errors.contains(PANIC_SYMBOL) {
        true => Ok(()),
        false => Err(Error::Check(format!(
            "it fails to build, but not for {PANIC_SYMBOL}:\n{}",
            finished.errors
        ))),
    }
}
