//! What can go wrong with an engine, and what to do next.

use std::{fmt::Write as _, path::PathBuf};

use super::ENGINE_NAMES;
use crate::engine::library::{OLDEST_ONNX_RUNTIME_MINOR, ONNX_RUNTIME_VERSION};

/// An engine that is missing, or failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The name is none of [`ENGINE_NAMES`].
    #[error("there is no engine `{name}`; choose one of {}", ENGINE_NAMES.join(", "))]
    UnknownEngine {
        /// The name asked for.
        name: String,
    },
    /// No ONNX Runtime library where Pliant looks.
    #[error("no ONNX Runtime library found{}; {}", list(.searched), how_to_get())]
    LibraryMissing {
        /// Where it was looked for, in order.
        searched: Vec<PathBuf>,
    },
    /// The file is there but cannot be used as ONNX Runtime.
    #[error("`{}` cannot be loaded as ONNX Runtime: {reason}; {}", .path.display(), how_to_get())]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library is older than Pliant can use.
    #[error(
        "`{}` is ONNX Runtime {found}; Pliant needs 1.{OLDEST_ONNX_RUNTIME_MINOR} or newer; {}",
        .path.display(), how_to_get()
    )]
    LibraryTooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A process can hold one ONNX Runtime library, and it holds another one.
    #[error("ONNX Runtime was already loaded from `{}`; `{}` needs a new process", .loaded.display(), .asked.display())]
    LibraryAlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// ONNX Runtime is there, its CUDA execution provider is not, or found no device.
    #[error(
        "the CUDA execution provider cannot be used: {reason}; it needs an NVIDIA GPU, its driver, the CUDA 13 and cuDNN 9 \
         libraries on the loader's path, and the GPU build of ONNX Runtime (`pip download --no-deps \
         onnxruntime-gpu=={ONNX_RUNTIME_VERSION}`, unzip it, and set ORT_DYLIB_PATH to its libonnxruntime.so), or choose \
         `--engine ort` or `--engine plan`"
    )]
    CudaUnavailable {
        /// What ONNX Runtime said.
        reason: String,
    },
    /// This build has no tract.
    #[error("this build has no engine `tract`; build with `--features tract`, or choose `--engine plan`")]
    TractMissing,
    /// A resident pair names an input or output that the graph does not have, or one named before.
    #[error("resident pair ({input}, {output}): {problem}")]
    Resident {
        /// Name of the input.
        input: String,
        /// Name of the output.
        output: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An input or output number past the last one.
    #[error("there is no {kind} number {index}: the program has {count}")]
    NoSuchPort {
        /// `input` or `output`.
        kind: &'static str,
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A slice of the wrong length.
    #[error("`{name}` has {expected} elements, the slice {found}")]
    Length {
        /// Name of the input or output.
        name: String,
        /// Elements it has.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// The graph could not be written as ONNX.
    #[error("the graph cannot be exported to ONNX")]
    Onnx(#[from] pliant_compiler::onnx::OnnxError),
    /// The graph could not be lowered to a plan.
    #[error("the graph cannot be lowered to a plan")]
    Lower(#[from] pliant_compiler::image::LowerError),
    /// The plan executor refused the plan: a bug in the lowering.
    #[error("the plan executor refused its plan: {0:?}")]
    Plan(pliant_runtime::plan::PlanError),
    /// tract failed.
    #[error("tract failed while {doing}: {message}")]
    Tract {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        message: String,
    },
    /// ONNX Runtime failed.
    #[error("ONNX Runtime failed while {doing}: {message}")]
    OnnxRuntime {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        message: String,
    },
}

impl EngineError {
    /// Whether the error says that an engine is not installed here (as opposed to: it is and failed).
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::LibraryMissing { .. }
                | Self::LibraryUnusable { .. }
                | Self::LibraryTooOld { .. }
                | Self::CudaUnavailable { .. }
                | Self::TractMissing
        )
    }
}

fn list(searched: &[PathBuf]) -> String {
    let mut text = String::new();
    for (index, path) in searched.iter().enumerate() {
        let lead = if index == 0 { " (looked at " } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{lead}{}", path.display());
    }
    if !text.is_empty() {
        text.push(')');
    }
    text
}

fn how_to_get() -> String {
    format!(
        "get it with `cargo xtask onnxruntime` in the source tree, or `pip download --no-deps \
         onnxruntime=={ONNX_RUNTIME_VERSION}`, unzip the wheel and set ORT_DYLIB_PATH to its \
         onnxruntime/capi/libonnxruntime.so.{ONNX_RUNTIME_VERSION}; or choose `--engine plan`, which needs nothing"
    )
}
