//! `cargo xtask board`: the navigation example on an emulated aarch64 Linux board, with the device image and with the ONNX
//! models over tract.

use std::path::PathBuf;

use crate::error::{Error, Missing};
use crate::firmware::{same_as_host, toolchain};
use crate::process::{Process, cargo};
use crate::provide::{apt, has_program};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// 64-bit Arm with the GNU C library.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Debian's cross compiler: the linker, and what compiles tract's kernels.
const LINKER: &str = "aarch64-linux-gnu-gcc";
const LINKER_PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// Where these packages put the board's shared libraries.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Runs the board's programs as processes of this machine.
const EMULATOR: &str = "qemu-aarch64";

/// The program, and the profile that compiles it fast enough.
const PROGRAM: &str = "linux-board";
const PROFILE: &str = "emulated";

/// A run takes a minute or two; one that hangs is stopped.
const LIMIT_SECONDS: u64 = 900;

/// What the checks come to: three, or as many skipped where something cannot be installed.
pub(crate) fn check(workspace: &Workspace, install: bool) -> (Tally, Option<Missing>) {
    if let Err(missing) = provide(install) {
        return (
            Tally {
                skipped: 3,
                ..Tally::default()
            },
            Some(missing),
        );
    }
    let mut tally = Tally::default();
    let mut verdict = |sentence: &str, result: Result<String, Error>| match result {
        Ok(report) => {
            println!("ok: {sentence}");
            tally += Tally::PASS;
            Some(report)
        }
        Err(error) => {
            println!("failed: {sentence}: {error}");
            tally += Tally::FAIL;
            None
        }
    };
    let build = build(workspace);
    if let Some(program) = verdict("the example links for an aarch64 Linux board", build) {
        let plan = run(&program, &["plan"]).and_then(|report| same_as_host(workspace, &report).map(|()| report));
        verdict("on the board the device image gives the host's bits", plan);
        let folder = workspace.root().join("models").join("point-navigation");
        let models = run(&program, &["tract", &folder.to_string_lossy()]);
        verdict("on the board the ONNX models adapt and get better", models);
    } else {
        tally.skipped += 2;
    }
    (tally, None)
}

/// `cargo xtask board`: the checks, with the reports shown.
pub(crate) fn build_and_run(workspace: &Workspace, install: bool) -> Result<(), Error> {
    let (tally, missing) = check(workspace, install);
    println!("\n{tally}");
    match (missing, tally.failed) {
        (Some(missing), _) => Err(missing.into()),
        (None, 0) => Ok(()),
        (None, failed) => Err(Error::Check(format!("{failed} checks of the board failed"))),
    }
}

fn provide(install: bool) -> Result<(), Missing> {
    toolchain::rustup(TARGET, install)?;
    if !has_program(LINKER) {
        apt::provide("a linker for aarch64", &LINKER_PACKAGES, install)?;
    }
    match has_program(EMULATOR) {
        true => Ok(()),
        false => apt::provide("the emulator of aarch64 programs", &["qemu-user"], install),
    }
}

/// Builds the program and returns where it lies.
fn build(workspace: &Workspace) -> Result<String, Error> {
    let target = workspace.target().join("board");
    cargo(workspace)
        .current_dir(&workspace.root().join("firmware-examples").join(PROGRAM))
        .args(["build", "--locked", "--profile", PROFILE, "--target", TARGET])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .run()?;
    let program: PathBuf = [target.as_path(), TARGET.as_ref(), PROFILE.as_ref(), PROGRAM.as_ref()]
        .iter()
        .collect();
    Ok(program.to_string_lossy().into_owned())
}

/// Runs the program under the emulator; its report when it ends with exit status 0.
fn run(program: &str, words: &[&str]) -> Result<String, Error> {
    let process = Process::new(EMULATOR)
        .args(["-L", LIBRARIES, program])
        .args(words)
        .limit(LIMIT_SECONDS);
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
