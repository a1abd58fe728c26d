//! One trial of a sweep: a run that trains on to a rung and is scored.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pliant_compiler::image::AlignedBytes;

use super::state::Better;
use super::{Outcome, Score, SweepError};
use crate::algorithms;
use crate::bundle::{self, BundleError, IMAGE_FILE, RECIPE_FILE};
use crate::checkpoint::write_atomically;
use crate::engine::Engine;
use crate::error::TrainError;
use crate::eval::{EvalOptions, validate};
use crate::recipe::{Recipe, Source};
use crate::run::{Outcome as Ending, RunDirectory, RunError, RunRecord, Session, SessionError};

/// Trains a trial on until `until` iterations are done, from where it was, and scores its image on validation tasks.
pub(super) fn advance(
    (source, recipe): &(Source, Recipe),
    folder: &Path,
    engine: &Arc<dyn Engine>,
    until: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, SweepError> {
    match trained(source, recipe, folder, engine, until, stop) {
        // The configuration's own fault, and the end of it alone.
        Err(SweepError::Session(SessionError::Train(error @ TrainError::Diverged { .. }))) => {
            Ok(Outcome::Failed(error.to_string()))
        }
        other => other,
    }
}

fn trained(
    source: &Source,
    recipe: &Recipe,
    folder: &Path,
    engine: &Arc<dyn Engine>,
    until: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, SweepError> {
    let directory = RunDirectory::claim(folder)?;
    let saved = match RunDirectory::newest(folder) {
        // Of this very configuration, or the folder holds another sweep's.
        Ok(Some((saved, _))) if saved.recipe == source.text => Some(saved),
        Ok(_) | Err(RunError::NotARun { .. } | RunError::Damaged { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if saved.is_none() {
        directory.clear()?;
    }
    let path = folder.join(RECIPE_FILE);
    write_atomically(&path, source.text.as_bytes()).map_err(|source| RunError::Write { path, source })?;
    let learner = algorithms::learner(recipe, engine, 1)?;
    let record = RunRecord::new(recipe, &learner.engine(), 1);
    let save_every = Duration::from_secs_f32(recipe.checkpoint.every_seconds);
    let mut session = Session::begin(directory, learner, source.text.clone(), record, saved, save_every)?;
    let until = until.min(session.learner().iterations());
    if !session.train(until, stop, &mut |_, _| {})? {
        session.note(Ending::Stopped, None)?;
        return Ok(Outcome::Interrupted);
    }
    let learned = session.learner().learned().map_err(SessionError::from)?;
    let exported = bundle::export(recipe, &learned, 1).map_err(BundleError::from)?;
    let image = exported.files.iter().find(|(name, _)| *name == IMAGE_FILE);
    let image = AlignedBytes::new(image.map_or(&[][..], |(_, bytes)| bytes));
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads: 1,
    };
    let evaluation = validate(recipe, &image, options)?;
    session.note(Ending::Finished, None)?;
    let last = evaluation.adaptation.last();
    let score = Score {
        iterations: session.learner().completed(),
        mean: last.map_or(f64::NAN, |step| step.mean),
        ci95: last.map_or([f64::NAN; 2], |step| step.ci95),
        seconds: session.seconds(),
    };
    let better = Better {
        metric: evaluation.metric,
        lower_is_better: evaluation.lower_is_better,
    };
    Ok(Outcome::Scored(score, better))
}
