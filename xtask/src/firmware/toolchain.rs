//! Who compiles for the bare-metal target.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Missing;
use crate::process::{Process, cargo_path};
use crate::provide::{apt, has_program};

/// Debian's newest Rust, with the sources of the standard library. It ships no bare-metal target, so `core` is compiled
/// with the firmware.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The toolchain that runs this program where it has, or can be given, the target; otherwise Debian's.
    Auto,
    /// Only the toolchain that runs this program.
    Rustup,
    /// Only Debian's packages.
    Debian,
}

impl Choice {
    /// The choice of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "rustup" => Some(Self::Rustup),
            "debian" => Some(Self::Debian),
            _ => None,
        }
    }
}

/// A toolchain that can link for a bare-metal target.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The toolchain that runs this program, with the target's prebuilt `core`.
    Rustup,
    /// Debian's compiler, which builds `core` from source and links with the other toolchain's `rust-lld`.
    Debian {
        cargo: PathBuf,
        rustc: PathBuf,
        linker_folder: PathBuf,
    },
}

impl Toolchain {
    /// A name for folders and options.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian { .. } => "debian",
        }
    }

    /// Its cargo, ready for `build --target`.
    pub(crate) fn cargo(&self) -> Process {
        match self {
            Self::Rustup => Process::new(cargo_path()),
            Self::Debian {
                cargo,
                rustc,
                linker_folder,
            } => Process::new(cargo)
                .args(["-Z", "build-std=core"])
                .env("RUSTC", rustc)
                // -Z options on a released compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .path_first(linker_folder)
                // The outer cargo points these at its own toolchain.
                .env_remove("CARGO")
                .env_remove("LD_LIBRARY_PATH")
                .env_remove("RUSTUP_TOOLCHAIN"),
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustup => f.write_str("core of the Rust that runs this"),
            Self::Debian { rustc, .. } => write!(f, "core built from source by {}", rustc.display()),
        }
    }
}

/// Finds or installs a toolchain for `target`.
pub(crate) fn provide(target: &str, choice: Choice, install: bool) -> Result<Toolchain, Missing> {
    match choice {
        Choice::Rustup => rustup(target, install),
        Choice::Debian => debian(target, install),
        Choice::Auto => rustup(target, install).or_else(|first| {
            debian(target, install).map_err(|second| Missing {
                why: format!("{}; {}", first.why, second.why),
                commands: first
                    .commands
                    .into_iter()
                    .chain(["# or, on Debian:".to_owned()])
                    .chain(second.commands)
                    .collect(),
                ..second
            })
        }),
    }
}

pub(crate) fn rustup(target: &str, install: bool) -> Result<Toolchain, Missing> {
    let missing = |why: &str| Missing {
        what: format!("the Rust target {target}"),
        why: why.to_owned(),
        commands: vec![format!("rustup target add {target}")],
    };
    if has_target(target) {
        return Ok(Toolchain::Rustup);
    }
    if !install {
        return Err(missing("not allowed to install"));
    }
    if !has_program("rustup") {
        return Err(missing("no rustup here"));
    }
    println!("rustup target add {target}");
    // Its own retries can take long where the network is closed.
    let added = Process::new("rustup")
        .args(["target", "add", target])
        .limit(180)
        .silent();
    match has_target(target) {
        true => Ok(Toolchain::Rustup),
        false => Err(missing(&match added {
            Ok(finished) => format!(
                "rustup: {}",
                finished.errors.lines().last().unwrap_or("it gave no reason")
            ),
            Err(error) => error.to_string(),
        })),
    }
}

fn debian(target: &str, install: bool) -> Result<Toolchain, Missing> {
    let what = format!("a Rust for {target}");
    apt::provide(&what, &DEBIAN_PACKAGES, install)?;
    let missing = |why: &str| Missing {
        what: what.clone(),
        why: why.to_owned(),
        commands: Vec::new(),
    };
    let program = |package: &str, name: &str| {
        let files = apt::files_of(package).into_iter().map(PathBuf::from);
        files
            .into_iter()
            .find(|path| path.ends_with(Path::new("bin").join(name)))
    };
    let cargo = program("cargo-web", "cargo").ok_or_else(|| missing("the package cargo-web holds no cargo"))?;
    let rustc = program("rustc-web", "rustc").ok_or_else(|| missing("the package rustc-web holds no rustc"))?;
    let linker_folder = linker_folder().ok_or_else(|| missing("the Rust that runs this ships no rust-lld"))?;
    Ok(Toolchain::Debian {
        cargo,
        rustc,
        linker_folder,
    })
}

/// Whether the compiler that runs this has the target's prebuilt `core`.
fn has_target(target: &str) -> bool {
    rustc_prints(&["--print", "target-libdir", "--target", target]).is_some_and(|folder| folder.is_dir())
}

/// The folder of the `rust-lld` that comes with the compiler that runs this.
fn linker_folder() -> Option<PathBuf> {
    let targets = rustc_prints(&["--print", "sysroot"])?.join("lib").join("rustlib");
    let folders = std::fs::read_dir(targets)
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"));
    folders.into_iter().find(|folder| folder.join("rust-lld").is_file())
}

fn rustc_prints(arguments: &[&str]) -> Option<PathBuf> {
    // Beside the cargo that runs this: `rustc` on PATH may be another one.
    let rustc = cargo_path().with_file_name("rustc");
    let rustc = if rustc.is_file() { rustc } else { PathBuf::from("rustc") };
    let printed = Process::new(rustc)
        .args(arguments)
        .silent()
        .ok()
        .filter(|done| done.status.success())?;
    Some(PathBuf::from(printed.output.trim()))
}
