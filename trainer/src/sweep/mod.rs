//! Sweeps: which settings of a recipe train best, by successive halving.
//!
//! Many configurations train for a short time; the best share of them goes on, some times as long; and so on until a few are
//! trained to the end (Karnin, Koren and Somekh 2013, "Almost Optimal Exploration in Multi-Armed Bandits"; Jamieson and
//! Talwalkar 2016, "Non-stochastic Best Arm Identification"). A trial is a run like any other, with checkpoints: one that
//! goes on goes on from where it was. Scores are of the exported device image on *validation* tasks: a sweep never looks at
//! the tasks that test.

mod error;
mod halving;
mod space;
mod state;
mod trial;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub use error::SweepError;
pub use halving::{rungs, survivors};
pub use space::{Vary, configurations};
pub use state::{Outcome, Score, Sweep, Trial};

use crate::engine::Engine;
use crate::recipe::Source;

/// What a sweep shows while it works.
pub enum Seen<'a> {
    /// A rung begins: its number from 0, iterations it trains to, trials in it.
    Rung(usize, u64, usize),
    /// A trial has been scored, or failed.
    Scored(&'a Trial),
}

/// Trains and scores what is not scored yet, `jobs` trials at a time, each on one thread; keeps `sweep.json` in `folder`
/// after each. Whether it came to the end: `stop` ends it early, with every trial saved.
///
/// # Errors
/// A recipe that is refused with a value of the sweep, before anything trains; what cannot be read or written. A trial
/// whose training fails is none: it is out of the race, and the sweep says why.
pub fn run(
    sweep: &mut Sweep,
    source: &Source,
    folder: &Path,
    engine: &Arc<dyn Engine>,
    jobs: usize,
    stop: &(dyn Fn() -> bool + Sync),
    seen: &(dyn Fn(Seen<'_>) + Sync),
) -> Result<bool, SweepError> {
    // What a value makes of the recipe is known before anything trains.
    let recipes = sweep
        .trials
        .iter()
        .map(|trial| trial.recipe(source))
        .collect::<Result<Vec<_>, _>>()?;
    for (rung, until) in sweep.rungs.clone().into_iter().enumerate() {
        let racing = survivors(sweep, rung);
        seen(Seen::Rung(rung, until, racing.len()));
        let waiting: Vec<usize> = racing
            .into_iter()
            .filter(|&trial| sweep.trials[trial].scores.len() <= rung && sweep.trials[trial].failed.is_none())
            .collect();
        let (next, shared) = (AtomicUsize::new(0), Mutex::new(&mut *sweep));
        let work = || -> Result<(), SweepError> {
            while let Some(&trial) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
                if stop() {
                    return Ok(());
                }
                let outcome = trial::advance(&recipes[trial], &folder.join(trial_folder(trial)), engine, until, stop)?;
                let mut sweep = shared.lock().map_err(|_| SweepError::Worker)?;
                match outcome {
                    Outcome::Interrupted => return Ok(()),
                    Outcome::Failed(why) => sweep.trials[trial].failed = Some(why),
                    Outcome::Scored(score, better) => {
                        sweep.lower_is_better = Some(better.lower_is_better);
                        sweep.metric = Some(better.metric);
                        sweep.trials[trial].scores.push(score);
                    }
                }
                sweep.write(folder)?;
                seen(Seen::Scored(&sweep.trials[trial]));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.clamp(1, waiting.len().max(1)))
                .map(|_| scope.spawn(work))
                .collect();
            let done = workers
                .into_iter()
                .map(|worker| worker.join().map_err(|_| SweepError::Worker)?);
            // Every worker ends before the first error is told.
            done.collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()
        })?;
        if stop() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The folder of a trial in that of its sweep.
pub fn trial_folder(trial: usize) -> String {
    format!("trial-{trial:03}")
}
