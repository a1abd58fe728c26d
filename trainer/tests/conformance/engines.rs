//! Which engines are here, and what counts as skipped.

use std::{env, fs::OpenOptions, io::Write as _};

use pliant_trainer::engine::{Engine, EngineError, OrtEngine, PlanEngine, Provider};

/// Runs a test on the engine of this name, or counts it as skipped where that is not installed.
pub(crate) fn with_engine(name: &'static str, test: impl FnOnce(&dyn Engine)) {
    match engine(name) {
        Ok(engine) => test(&*engine),
        Err(error) if error.is_missing() => skip(name, &error),
        Err(error) => panic!("{name}: {error}"),
    }
}

fn engine(name: &str) -> Result<Box<dyn Engine>, EngineError> {
    Ok(match name {
        "plan" => Box::new(PlanEngine::fast()),
        "plan-exact" => Box::new(PlanEngine::exact()),
        "ort" => Box::new(OrtEngine::new(None, Provider::Cpu)?),
        "ort-cuda" => Box::new(OrtEngine::new(None, Provider::Cuda { device: 0 })?),
        "tract" => return tract(),
        _ => return Err(EngineError::UnknownEngine { name: name.to_owned() }),
    })
}

#[cfg(feature = "tract")]
fn tract() -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(pliant_trainer::engine::TractEngine::new()))
}

#[cfg(not(feature = "tract"))]
fn tract() -> Result<Box<dyn Engine>, EngineError> {
    Err(EngineError::TractMissing)
}

/// Says so, and adds a line to the file that `cargo xtask test` counts.
fn skip(name: &str, error: &EngineError) {
    let reason = format!("conformance on {name}: {error}").replace('\n', " ");
    println!("skipped: {reason}");
    // A machine without a GPU is no defect of the set-up.
    let is_failure = env::var("CI").is_ok_and(|value| value == "true") && name != "ort-cuda";
    assert!(!is_failure, "{reason}");
    if let Some(path) = env::var_os("PLIANT_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{reason}"))
            .expect("the list of skipped tests can be written");
    }
}
