//! Pliant's engines, ONNX Runtime, tract and candle at the same work as `peers.py`: `pliant-peers WORK PEER` prints a line of
//! JSON, then takes turns as [`take_turns`] says.
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
#[cfg(feature = "candle")]
mod candle;
mod growth;
#[cfg(feature = "candle")]
mod products;
mod training;
mod work;

use std::error::Error;
use std::time::{Duration, Instant};

use pliant_trainer::engine::{Engine, OrtEngine, PlanEngine, Provider};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Median time of a step over about `patience`, after two to warm up.
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

/// What is known of a work before its turns.
struct Prepared {
    /// Seconds to compile.
    setup: f64,
    /// The first step's loss, or the sum of the outputs: the peers' answers must agree. Not finite where there is none.
    loss: f64,
    note: String,
}

/// Says what was prepared, then takes turns: a line with a number of seconds is answered with the time of a step over about
/// as long, after one to warm up. At the end of the input, the greatest resident set. `step` does `together` steps: a clock
/// costs as much as an action.
fn take_turns(prepared: &Prepared, together: u32, mut step: impl FnMut() -> Outcome<()>) -> Outcome<()> {
    step()?;
    let Prepared { setup, loss, note } = prepared;
    println!("{}", json!({ "setup": setup, "loss": loss, "note": note }));
    for line in std::io::stdin().lines() {
        let span = Duration::from_secs_f64(line?.trim().parse()?);
        step()?;
        let mut count = 0;
        let start = Instant::now();
        while count == 0 || start.elapsed() < span {
            step()?;
            count += together;
        }
        println!("{:e}", start.elapsed().as_secs_f64() / f64::from(count));
    }
    println!("{}", json!({ "peak_mib": peak_mib() }));
    Ok(())
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
    match words[..] {
        ["growth", figure] => growth::run(figure.as_ref()),
        #[cfg(feature = "candle")]
        ["products"] => products::run(),
        #[cfg(feature = "candle")]
        [work, "candle"] => candle::run(work),
        [work @ ("maml" | "gru" | "policy"), peer] => training::run(work, &*engine(peer)?),
        [work @ ("act-mlp" | "act-gru"), peer] => act::run(work, peer),
        ["adapt", peer] => act::adapt(peer),
        _ => Err("usage: pliant-peers WORK PEER, growth FIGURE.svg, or products".into()),
    }
}
