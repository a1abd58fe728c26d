//! Choosing an engine by name, or the faster one by measuring.

use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use pliant_compiler::graph::Graph;

use super::{CompileOptions, Engine, EngineError, OrtEngine, PlanEngine, Provider};

/// Names [`select`] knows. `auto` measures; `plan` may fuse and reassociate, `plan-exact` gives the device's bits.
/// `tract` is there in builds with the cargo feature of that name.
pub const ENGINE_NAMES: [&str; 6] = ["auto", "plan", "plan-exact", "ort", "ort-cuda", "tract"];

/// How long `auto` measures each engine, besides compiling.
const PROBE_TIME: Duration = Duration::from_millis(60);
/// Least number of timed runs, for graphs so large that one run takes longer than [`PROBE_TIME`].
const PROBE_RUNS: usize = 3;

/// How fast an engine ran the probe graph.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Name of the engine.
    pub engine: &'static str,
    /// Median time of one run, inputs set beforehand.
    pub run: Duration,
    /// Time to compile the graph.
    pub creation: Duration,
}

/// The engine taken, and why.
#[derive(Clone)]
pub struct EngineChoice {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// One sentence: which engine and why, with the measured times or what is missing.
    pub reason: String,
    /// What was measured; empty when the engine was asked for by name.
    pub timings: Vec<Timing>,
}

impl std::fmt::Debug for EngineChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineChoice")
            .field("engine", &self.engine.name())
            .field("reason", &self.reason)
            .field("timings", &self.timings)
            .finish()
    }
}

/// The engine of this name (one of [`ENGINE_NAMES`]).
///
/// `auto` compiles `probe` (the graph that is going to run, with its `options`) on every engine present, runs it for
/// some tens of milliseconds with all inputs at 0.1, and takes the fastest. An engine that is not installed, or that
/// cannot compile the graph, is named in the reason and is no error; `plan` is always there. `library` is the path of
/// the ONNX Runtime library if the user gave one.
///
/// # Errors
/// [`EngineError::UnknownEngine`]; for an engine asked for by name and missing, an error that says how to get it; with
/// `auto`, the plan engine's own error if no engine can run the graph.
pub fn select(
    name: &str,
    library: Option<&Path>,
    probe: &Graph,
    options: &CompileOptions,
) -> Result<EngineChoice, EngineError> {
    let by_name = |engine: Arc<dyn Engine>| {
        let reason = format!("engine `{}`, as asked for", engine.name());
        Ok(EngineChoice {
            engine,
            reason,
            timings: Vec::new(),
        })
    };
    match name {
        "plan" => by_name(Arc::new(PlanEngine::fast())),
        "plan-exact" => by_name(Arc::new(PlanEngine::exact())),
        "ort" => by_name(Arc::new(OrtEngine::new(library, Provider::Cpu)?)),
        "ort-cuda" => by_name(Arc::new(OrtEngine::new(library, Provider::Cuda { device: 0 })?)),
        "tract" => by_name(tract()?),
        "auto" => fastest(library, probe, options),
        _ => Err(EngineError::UnknownEngine { name: name.to_owned() }),
    }
}

/// The tract engine, where this build has it.
fn tract() -> Result<Arc<dyn Engine>, EngineError> {
    #[cfg(feature = "tract")]
    return Ok(Arc::new(super::TractEngine::new()));
    #[cfg(not(feature = "tract"))]
    Err(EngineError::TractMissing)
}

fn fastest(library: Option<&Path>, probe: &Graph, options: &CompileOptions) -> Result<EngineChoice, EngineError> {
    let candidates: [Result<Arc<dyn Engine>, EngineError>; 4] = [
        Ok(Arc::new(PlanEngine::fast())),
        OrtEngine::new(library, Provider::Cpu).map(|engine| Arc::new(engine) as Arc<dyn Engine>),
        OrtEngine::new(library, Provider::Cuda { device: 0 }).map(|engine| Arc::new(engine) as Arc<dyn Engine>),
        tract(),
    ];
    let mut best: Option<(Arc<dyn Engine>, Duration)> = None;
    let mut timings = Vec::new();
    let mut without = String::new();
    let mut first_error = None;
    for (candidate, name) in candidates.into_iter().zip(["plan", "ort", "ort-cuda", "tract"]) {
        let measured = candidate.and_then(|engine| Ok((time(&*engine, probe, options)?, engine)));
        match measured {
            Ok((timing, engine)) => {
                if best.as_ref().is_none_or(|(_, least)| timing.run < *least) {
                    best = Some((engine, timing.run));
                }
                timings.push(timing);
            }
            Err(error) => {
                // A build without it was made so on purpose.
                if matches!(error, EngineError::TractMissing) {
                    continue;
                }
                // Why CUDA cannot be used interests only those who have it: say so in two words.
                let why = match &error {
                    EngineError::LibraryMissing { .. } => {
                        "not installed (`cargo xtask onnxruntime` gets it)".to_owned()
                    }
                    EngineError::CudaUnavailable { .. } => "not available".to_owned(),
                    other => other.to_string(),
                };
                // Writing to a String cannot fail. With no library at all, one mention is enough.
                if !(name == "ort-cuda" && matches!(error, EngineError::LibraryMissing { .. })) {
                    let _ = write!(without, "; {name}: {why}");
                }
                first_error.get_or_insert(error);
            }
        }
    }
    let Some((engine, _)) = best else {
        // Every candidate failed, so there is a first error: the plan engine's.
        return Err(first_error.unwrap_or(EngineError::UnknownEngine {
            name: "auto".to_owned(),
        }));
    };
    let mut reason = format!("engine `{}`", engine.name());
    reason.push_str(if timings.len() > 1 {
        ", the fastest here: "
    } else {
        ", the only one here: "
    });
    for (index, timing) in timings.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(
            reason,
            "{separator}{} {:.3} ms a step",
            timing.engine,
            timing.run.as_secs_f64() * 1e3
        );
    }
    reason.push_str(&without);
    Ok(EngineChoice {
        engine,
        reason,
        timings,
    })
}

/// Compiles and times one engine on one thread.
fn time(engine: &dyn Engine, graph: &Graph, options: &CompileOptions) -> Result<Timing, EngineError> {
    let mut program = engine.compile(graph, options)?;
    let lengths: Vec<usize> = program.inputs().iter().map(super::Port::len).collect();
    for (index, length) in lengths.into_iter().enumerate() {
        // Not zero: denormals and infinities from 1/0 would be timed instead of the graph.
        program.set(index, &vec![0.1; length])?;
    }
    // The first runs touch memory and fill caches.
    program.run()?;
    program.run()?;
    let mut runs = Vec::new();
    let start = Instant::now();
    while runs.len() < PROBE_RUNS || start.elapsed() < PROBE_TIME {
        let one = Instant::now();
        program.run()?;
        runs.push(one.elapsed());
    }
    runs.sort();
    Ok(Timing {
        engine: engine.name(),
        run: runs[runs.len() / 2],
        creation: program.statistics().creation,
    })
}
