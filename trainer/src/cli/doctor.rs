//! `pliant doctor`: what is here, and how to get the rest.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use pliant_compiler::graph::{DType, Graph};
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::engine::{CompileOptions, ENGINE_NAMES, EngineError, select};

const AFTER_HELP: &str = "\
Training and evaluating need nothing but pliant: the engine `plan` is always
there. The rest makes training faster or checks more.

Examples:
  pliant doctor
  pliant doctor --json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DoctorArgs {
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Something that is here or not.
#[derive(Debug, Serialize)]
struct Finding {
    group: &'static str,
    name: String,
    here: bool,
    /// What was found, or what is wrong.
    detail: String,
    /// How to get it, where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    get: Option<String>,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    findings: Vec<Finding>,
}

pub(super) fn run(args: &DoctorArgs) -> Result<(), CliError> {
    let mut findings = vec![processor()];
    findings.extend(gpus());
    for name in ENGINE_NAMES.into_iter().filter(|name| *name != "auto") {
        findings.push(engine(name)?);
    }
    findings.push(columnar());
    findings.extend(programs());
    findings.extend(targets());
    if args.json {
        return print_json(&Report {
            version: env!("CARGO_PKG_VERSION"),
            findings,
        });
    }
    let mut text = format!("pliant {}\n", env!("CARGO_PKG_VERSION"));
    let mut group = "";
    for finding in &findings {
        // Writing to a String cannot fail.
        if finding.group != group {
            group = finding.group;
            let _ = writeln!(text, "\n{group}");
        }
        let mark = if finding.here { "yes" } else { "no " };
        let _ = writeln!(text, "  {mark}  {:29} {}", finding.name, finding.detail);
        if let Some(get) = &finding.get {
            let _ = writeln!(text, "         get it: {get}");
        }
    }
    print_text(&text)
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Finding {
        group: "processor",
        name: std::env::consts::ARCH.to_owned(),
        here: true,
        detail: format!("{cores} hardware threads{}", instruction_sets()),
        get: None,
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        ", AVX-512"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        ", AVX2"
    } else {
        ", no AVX2: kernels run at the speed of SSE2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> &'static str {
    ""
}

fn gpus() -> Vec<Finding> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    let found = said("nvidia-smi", &query).unwrap_or_default();
    let gpu = |line: &str| Finding {
        group: "GPU",
        name: "NVIDIA".to_owned(),
        here: true,
        detail: line.trim().to_owned(),
        get: None,
    };
    let gpus: Vec<Finding> = found.lines().filter(|line| !line.trim().is_empty()).map(gpu).collect();
    if !gpus.is_empty() {
        return gpus;
    }
    vec![Finding {
        group: "GPU",
        name: "NVIDIA".to_owned(),
        here: false,
        detail: "nvidia-smi finds none; the engine `ort-cuda` needs one".to_owned(),
        get: None,
    }]
}

/// Whether an engine runs a graph.
fn engine(name: &'static str) -> Result<Finding, CliError> {
    let mut graph = Graph::new();
    let squares = graph
        .input("x", DType::F32, &[2])
        .and_then(|x| graph.square(x))
        .and_then(|y| graph.output("y", y));
    squares.map_err(|error| CliError::Train(error.into()))?;
    let options = CompileOptions::default();
    let works = || -> Result<[f32; 2], EngineError> {
        let choice = select(name, None, &graph, &options)?;
        let mut program = choice.engine.compile(&graph, &options)?;
        program.set(0, &[2.0, 3.0])?;
        program.run()?;
        let mut y = [0.0; 2];
        program.get(0, &mut y)?;
        Ok(y)
    };
    let works = works();
    let here = matches!(works, Ok([4.0, 9.0]));
    let (detail, get) = match works {
        Ok([4.0, 9.0]) => ("runs a graph".to_owned(), None),
        Ok(wrong) => (format!("computes 2^2, 3^2 as {wrong:?}"), None),
        Err(EngineError::LibraryMissing { .. }) => (
            "its library is not installed".to_owned(),
            Some("cargo xtask onnxruntime, or set ORT_DYLIB_PATH to libonnxruntime.so".to_owned()),
        ),
        // The first sentence: the rest is about the command line of `train`.
        Err(error) => {
            let text = error.to_string();
            (text.split(['\n', ';']).next().unwrap_or_default().to_owned(), None)
        }
    };
    Ok(Finding {
        group: "engines",
        name: name.to_owned(),
        here,
        detail,
        get,
    })
}

/// Whether this build reads columnar files.
fn columnar() -> Finding {
    let here = cfg!(feature = "columnar");
    Finding {
        group: "logged data",
        name: "Parquet, Arrow".to_owned(),
        here,
        detail: match here {
            true => "read beside CSV".to_owned(),
            false => "not part of this build, which reads CSV".to_owned(),
        },
        get: (!here).then(|| "cargo build --release -p pliant-trainer --features columnar".to_owned()),
    }
}

fn programs() -> Vec<Finding> {
    let program = |group, name: &str, what: &str, get: &str| {
        let path = find_program(name);
        Finding {
            group,
            name: name.to_owned(),
            here: path.is_some(),
            detail: what.to_owned(),
            get: path.is_none().then(|| get.to_owned()),
        }
    };
    let apt = |package: &str| format!("apt-get install --no-install-recommends {package}");
    vec![
        program(
            "emulators",
            "qemu-system-arm",
            "Cortex-M firmware examples",
            &apt("qemu-system-arm"),
        ),
        program(
            "emulators",
            "qemu-system-riscv32",
            "RISC-V firmware example",
            &apt("qemu-system-misc"),
        ),
        program(
            "emulators",
            "qemu-aarch64",
            "Linux boards with 64-bit Arm",
            &apt("qemu-user"),
        ),
        program("tools", "cargo", "builds firmware", "https://rustup.rs"),
        program(
            "tools",
            "python3",
            "checks ONNX files and event files in tests",
            &apt("python3 python3-pip"),
        ),
        program(
            "tools",
            "tensorboard",
            "shows a run's tensorboard/ folder",
            "pip install tensorboard",
        ),
        program("tools", "chromium", "opens reports in tests", &apt("chromium")),
    ]
}

/// Rust targets of the firmware examples and of Linux boards.
fn targets() -> Vec<Finding> {
    let sysroot = said("rustc", &["--print", "sysroot"]).map(|path| PathBuf::from(path.trim()));
    let target = |(name, what): (&str, &str)| {
        let here = sysroot
            .as_ref()
            .is_some_and(|root| root.join("lib/rustlib").join(name).join("lib").is_dir());
        Finding {
            group: "targets of this Rust",
            name: name.to_owned(),
            here,
            detail: what.to_owned(),
            get: (!here).then(|| format!("rustup target add {name}")),
        }
    };
    [
        ("thumbv6m-none-eabi", "Cortex-M0+"),
        ("thumbv7em-none-eabihf", "Cortex-M4F, M7"),
        ("thumbv8m.main-none-eabihf", "Cortex-M33, M55"),
        ("riscv32imac-unknown-none-elf", "RISC-V microcontrollers"),
        ("aarch64-unknown-linux-gnu", "Linux boards"),
    ]
    .map(target)
    .into()
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// What a program prints, if it is here and succeeds.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
