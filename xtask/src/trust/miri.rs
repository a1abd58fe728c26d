//! Miri over the runtime's hand-over of parameters between threads. The other `unsafe` code calls functions compiled for an
//! instruction set that was detected; the kernels' tests run it, too slowly for Miri.

use crate::error::{Error, Missing};
use crate::process::Process;
use crate::provide::has_program;
use crate::workspace::Workspace;

/// Miri comes with nightly toolchains only.
const TOOLCHAIN: &str = "nightly";

/// The library's tests that are run.
const TESTS: [&str; 1] = ["publish::"];

/// The test run under Miri, ready to start; what is missing where there is no Miri and none can be installed.
pub(crate) fn process(workspace: &Workspace, install: bool) -> Result<Process, Error> {
    provide(install)?;
    Ok(cargo()
        .args([
            "miri",
            "test",
            "--package",
            "pliant-runtime",
            "--lib",
            "--features",
            "std",
            "--",
        ])
        .args(TESTS)
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", workspace.target().join("miri")))
}

/// The nightly cargo, free of what the cargo that runs this has set.
fn cargo() -> Process {
    Process::new("rustup")
        .args(["run", TOOLCHAIN, "cargo"])
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("LD_LIBRARY_PATH")
}

fn has_miri() -> bool {
    has_program("rustup")
        && cargo()
            .args(["miri", "--version"])
            .silent()
            .is_ok_and(|done| done.status.success())
}

fn provide(install: bool) -> Result<(), Missing> {
    let add = [
        "toolchain",
        "install",
        TOOLCHAIN,
        "--profile",
        "minimal",
        "--component",
        "miri,rust-src",
    ];
    let missing = |why: &str| Missing {
        what: "Miri".to_owned(),
        why: why.to_owned(),
        commands: vec![format!("rustup {}", add.join(" "))],
    };
    if has_miri() {
        return Ok(());
    }
    if !has_program("rustup") {
        return Err(missing("no rustup here"));
    }
    if !install {
        return Err(missing("not allowed to install"));
    }
    // Its own retries can take long where the network is closed.
    let added = Process::new("rustup").args(add).limit(300).silent();
    match has_miri() {
        true => Ok(()),
        false => Err(missing(&match added {
            Ok(finished) => format!(
                "rustup: {}",
                finished.errors.lines().last().unwrap_or("it gave no reason")
            ),
            Err(error) => error.to_string(),
        })),
    }
}
