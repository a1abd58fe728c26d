//! Miri over the runtime's `unsafe` code: the hand-over of parameters between threads, and the kernels of x86-64's instruction
//! sets. What it cannot run is counted as skipped.

use crate::error::{Error, Missing};
use crate::process::Process;
use crate::provide::has_program;
use crate::workspace::Workspace;

/// Miri comes with nightly toolchains only.
const TOOLCHAIN: &str = "nightly";

/// Instruction sets of the kernels, which Miri takes for those of the machine that it interprets.
const VECTORS: &str = "-Ctarget-feature=+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl";

/// Tests with `unsafe` code that Miri interprets: names of the test program and of the tests.
const TESTS: [(&[&str], &str); 2] = [
    (&["--lib"], "publish::"),
    (&["--test", "kernels"], "small_shapes_of_every_kernel"),
];

/// `unsafe` code that Miri does not interpret, and why.
pub(crate) const SKIPPED: [&str; 1] =
    ["runtime/src/kernels/arch/arm.rs: assembler of a Cortex-M, which only `cargo xtask firmware` runs"];

/// The tests run under Miri, ready to start; what is missing where there is no Miri and none can be installed.
pub(crate) fn processes(workspace: &Workspace, install: bool) -> Result<Vec<Process>, Error> {
    provide(install)?;
    let process = |(program, tests): (&[&str], &str)| {
        let process = cargo()
            .args(["miri", "test", "--package", "pliant-runtime", "--features", "std"])
            .args(program)
            .args(["--", tests])
            .current_dir(workspace.root())
            .env("CARGO_TARGET_DIR", workspace.target().join("miri"));
        match cfg!(target_arch = "x86_64") {
            true => process.env("RUSTFLAGS", VECTORS),
            false => process,
        }
    };
    Ok(TESTS.into_iter().map(process).collect())
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
