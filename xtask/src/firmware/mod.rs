//! The firmware example: builds it for each board, looks into the ELF, runs it under the emulator, compares it with the host.

mod boards;
mod elf;
mod flight;
pub(crate) mod measure;
mod motifs;
mod run;
pub(crate) mod toolchain;
mod trust;

use std::path::PathBuf;

use crate::error::{Error, Missing};
use crate::process::{Process, cargo_path};
use crate::tally::Tally;
use crate::workspace::Workspace;
use boards::{BOARDS, Board};
pub(crate) use run::same_as_host;
use toolchain::{Choice, Toolchain};

/// The application, and the program that runs it on the workstation.
const APPLICATION: &str = "navigation-example";
const HOST: &str = "navigation-host";

/// The program that acts in an interrupt while it adapts; the first board's.
const REAL_TIME: &str = "real-time";

/// What the boards' programs share.
const SUPPORT: [&str; 2] = ["mps2", "semihosting-console"];

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

/// Cargo's words for the packages of all boards.
pub(crate) fn board_packages() -> impl Iterator<Item = &'static str> {
    let programs = BOARDS
        .iter()
        .flat_map(|board| board.programs.iter().map(|(package, _)| *package));
    let mut packages: Vec<&str> = programs.chain(SUPPORT).collect();
    // A program with several sets of features is listed once for each.
    packages.dedup();
    packages.into_iter().flat_map(|package| ["--package", package])
}

/// The workstation's cargo in the firmware workspace.
pub(crate) fn cargo(workspace: &Workspace) -> Process {
    Process::new(cargo_path())
        .current_dir(&workspace.root().join("firmware-examples"))
        .env("CARGO_TARGET_DIR", target_folder(workspace))
}

/// `cargo xtask firmware`: all checks, with the boards' reports shown.
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

/// Builds the firmware of the first board and runs it under the emulator: its report.
pub(crate) fn report(workspace: &Workspace, choice: Choice, install: bool) -> Result<String, Error> {
    let board = &BOARDS[0];
    let toolchain = toolchain::provide(board.target, choice, install)?;
    board.provide_emulator(install)?;
    run::on_the_board(board, &build(workspace, board, &toolchain)?)
}

/// Runs every check that this machine can run.
pub(crate) fn check(workspace: &Workspace, choice: Choice, install: bool) -> Result<Checked, Error> {
    let mut checks = Checks {
        tally: Tally::default(),
        missing: Vec::new(),
    };
    for board in &BOARDS {
        println!("-- {}", board.package);
        check_board(workspace, board, choice, install, &mut checks);
    }
    Ok(Checked {
        tally: checks.tally,
        missing: checks.missing,
    })
}

/// Runs the checks of one board; those that could not be run count as skipped.
fn check_board(workspace: &Workspace, board: &Board, choice: Choice, install: bool, checks: &mut Checks) {
    let before = checks.tally.total();
    run_checks(workspace, board, choice, install, checks);
    let run = checks.tally.total() - before;
    checks.tally.skipped += Check::of(board).count() - run;
}

fn run_checks(workspace: &Workspace, board: &Board, choice: Choice, install: bool, checks: &mut Checks) -> Option<()> {
    let toolchain = checks.provided(toolchain::provide(board.target, choice, install));
    let emulator = checks.provided(board.provide_emulator(install));
    let toolchain = toolchain?;
    println!("{}: {toolchain}", board.target);
    // Debian's packages bring no clippy for a target without a prebuilt `core`.
    if matches!(toolchain, Toolchain::Rustup) {
        checks.verdict(Check::Clippy, clippy(workspace, board, &toolchain));
    }
    checks.verdict(Check::Defmt, defmt(workspace, board, &toolchain));
    // First the one that must not link: the folder is left with the good ELF.
    checks.verdict(Check::PlantedPanic, planted_panic(workspace, board, &toolchain));
    let elf = checks.verdict(Check::Links, build(workspace, board, &toolchain))?;
    checks.verdict(Check::Symbols, elf::check(&elf));
    let real_time = board
        .runs(REAL_TIME)
        .then(|| checks.verdict(Check::RealTimeLinks, build_real_time(workspace, board, &toolchain)));
    emulator?;
    if let Some(report) = checks.verdict(Check::Runs, run::on_the_board(board, &elf)) {
        checks.verdict(Check::SameBits, run::same_as_host(workspace, &report));
    }
    if let Some(elf) = real_time.flatten() {
        checks.verdict(Check::RealTime, run::in_real_time(board, &elf));
    }
    if board.runs(trust::PACKAGE) {
        checks.verdict(Check::Damage, trust::corruption(workspace, board, &toolchain));
        checks.verdict(Check::Replay, trust::replay(workspace, board, &toolchain));
    }
    if board.runs(motifs::PACKAGE) {
        checks.verdict(Check::Motifs, motifs::adapt(workspace, board, &toolchain));
    }
    if board.runs(flight::PACKAGE)
        && let Some(elf) = checks.verdict(Check::FlightLinks, flight::build(workspace, board, &toolchain))
    {
        checks.verdict(Check::Flight, flight::fly(workspace, board, &elf));
    }
    Some(())
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
    Damage,
    Replay,
    Motifs,
    FlightLinks,
    Flight,
}

impl Check {
    const ALL: [Self; 14] = [
        Self::Clippy,
        Self::PlantedPanic,
        Self::Links,
        Self::Symbols,
        Self::Runs,
        Self::SameBits,
        Self::Defmt,
        Self::RealTimeLinks,
        Self::RealTime,
        Self::Damage,
        Self::Replay,
        Self::Motifs,
        Self::FlightLinks,
        Self::Flight,
    ];

    /// Those that make sense on a board.
    fn of(board: &Board) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|check| match check {
            Self::RealTimeLinks | Self::RealTime => board.runs(REAL_TIME),
            Self::Damage | Self::Replay => board.runs(trust::PACKAGE),
            Self::Motifs => board.runs(motifs::PACKAGE),
            Self::FlightLinks | Self::Flight => board.runs(flight::PACKAGE),
            _ => true,
        })
    }

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
            Self::Damage => "on the board every truncation and flipped bit of an image is refused or harmless",
            Self::FlightLinks => "the flight controller links, so no panic is reachable",
            Self::Flight => {
                "flown by the emulated Cortex-M4F and M7, quadrotors go where the host's inference takes them, bit for bit"
            }
            Self::Motifs => "an unseen motif is learned on the board from twenty sequences, with the host's bits",
            Self::Replay => "what the board learned is replayed on the host from its telemetry, bit for bit",
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
}

fn target_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("firmware")
}

/// Cargo for the board, in its folder: the linker's arguments stand in the `.cargo/config.toml` there.
fn board_cargo(workspace: &Workspace, board: &Board, toolchain: &Toolchain, command: &str) -> Process {
    board_cargo_of(workspace, board, toolchain, board.package, command)
}

/// Cargo for the board, in the folder of one of its programs.
fn board_cargo_of(
    workspace: &Workspace,
    board: &Board,
    toolchain: &Toolchain,
    program: &str,
    command: &str,
) -> Process {
    toolchain
        .cargo()
        .args([command, "--release", "--locked", "--target", board.target])
        .current_dir(&workspace.root().join("firmware-examples").join(program))
        .env("CARGO_TARGET_DIR", target_folder(workspace).join(toolchain.name()))
        // It would replace the linker's arguments.
        .env_remove("RUSTFLAGS")
}

/// Lints the board's own code.
fn clippy(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    for (program, features) in board.programs {
        board_cargo_of(workspace, board, toolchain, program, "clippy")
            .args(["--features", features, "--", "--deny", "warnings"])
            .run()?;
    }
    Ok(())
}

/// Links the firmware and returns the ELF.
fn build(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    board_cargo(workspace, board, toolchain, "build")
        .hint(format!(
            "when the linker names {PANIC_SYMBOL}, the functions it lists can panic"
        ))
        .run()?;
    Ok(elf_of(workspace, board, toolchain, board.package))
}

/// Checks that the runtime builds for the board with `defmt`.
fn defmt(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    toolchain
        .cargo()
        .args(["check", "--locked", "--package", "pliant-runtime"])
        .args(["--features", "defmt", "--target", board.target])
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", target_folder(workspace).join(toolchain.name()))
        .run()
}

/// Links the real-time program with a policy of the benchmark's size, and returns the ELF. An adaptation of it takes about
/// 50 ms of the emulated core.
fn build_real_time(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    let options = ["--adapts", "96", "1", "--rate", "1000"];
    let image = measure::untrained(workspace, "16-64-64-4-real-time", "16-64-64-4", &options)?;
    board_cargo_of(workspace, board, toolchain, REAL_TIME, "build")
        .env("PLIANT_IMAGE", image)
        .run()?;
    Ok(elf_of(workspace, board, toolchain, REAL_TIME))
}

/// Where cargo puts the ELF of one of the board's programs.
fn elf_of(workspace: &Workspace, board: &Board, toolchain: &Toolchain, program: &str) -> PathBuf {
    target_folder(workspace)
        .join(toolchain.name())
        .join(board.target)
        .join("release")
        .join(program)
}

/// Links the firmware with a panic planted in it: that must fail, and name the symbol.
fn planted_panic(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    let process = board_cargo(workspace, board, toolchain, "build").args(["--features", PLANTED_PANIC]);
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
