//! Pliant's engines, and tract, at the same work as `peers.py`: `pliant-peers WORK PEER` prints one line of JSON.
//!
//! | work | what |
//! |---|---|
//! | `maml` | a training step of second-order MAML: 25 sinusoids, 1-40-40-1, one inner step, Adam |
//! | `gru` | a training step of a GRU-64: 64 steps, 256 sequences, Adam |
//! | `policy` | a training step of policy-gradient MAML: 64x64 tanh, 40 tasks of 2,000 rows |
//! | `act-mlp`, `act-gru` | one action of the 16-64-64-4 and the 22-16-16-4 policy |
//! | `adapt` | one adaptation step of `models/sinusoid`, ten rows |
//!
//! Everything on one thread. Each work in a process of its own: what is reported as memory is the greatest resident set.

mod act;
mod growth;
mod training;
mod work;

use std::error::Error;
use std::time::{Duration, Instant};

use pliant_trainer::engine::{Engine, OrtEngine, PlanEngine, Provider};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long a step is repeated; `PLIANT_PEER_SECONDS` of both programs.
fn patience() -> Duration {
    let seconds = std::env::var("PLIANT_PEER_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(4.0))
}

/// Median time of a step, after two to warm up.
fn median(patience: Duration, mut step: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    step()?;
    step()?;
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < patience || times.len() < 5 {
        let before = Instant::now();
        step()?;
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What a work came to.
struct Measured {
    seconds: f64,
    /// Seconds to compile.
    setup: f64,
    /// The first step's loss, or the sum of the outputs: the peers' answers must agree.
    loss: f64,
    note: String,
}

fn engine(peer: &str) -> Outcome<Box<dyn Engine>> {
    Ok(match peer {
        "plan" => Box::new(PlanEngine::fast()),
        "plan-exact" => Box::new(PlanEngine::exact()),
        "ort" => Box::new(OrtEngine::new(None, Provider::Cpu)?),
        #[cfg(feature = "tract")]
        "tract" => Box::new(pliant_trainer::engine::TractEngine::new()),
        other => return Err(format!("no peer `{other}`").into()),
    })
}

/// Greatest resident set of this process, MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (work, peer, measured) = match words[..] {
        ["growth", figure] => return growth::run(figure.as_ref()),
        [work @ ("maml" | "gru" | "policy"), peer] => (work, peer, training::run(work, &*engine(peer)?)?),
        [work @ ("act-mlp" | "act-gru"), peer] => (work, peer, act::run(work, peer)?),
        ["adapt", peer] => ("adapt", peer, act::adapt(peer)?),
        _ => return Err("usage: pliant-peers WORK PEER, or growth FIGURE.svg".into()),
    };
    let Measured {
        seconds,
        setup,
        loss,
        note,
    } = measured;
    println!(
        "{}",
        json!({
            "work": work, "peer": peer, "seconds": seconds, "setup": setup, "peak_mib": peak_mib(), "loss": loss,
            "note": note,
        })
    );
    Ok(())
}
