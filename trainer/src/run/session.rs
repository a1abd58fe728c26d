//! One sitting of a run: the training loop that records, saves and stops.

use std::time::{Duration, Instant};

use super::{EventWriter, MetricsLine, MetricsLog, Outcome, RunDirectory, RunError, RunRecord};
use crate::algorithms::{Algorithm, Iteration};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::error::TrainError;

/// Lines of metrics reach the disk at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Why a sitting ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The algorithm failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The state cannot be saved or restored.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run directory cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A training run under way in its directory.
pub struct Session {
    directory: RunDirectory,
    learner: Box<dyn Algorithm>,
    recipe: String,
    record: RunRecord,
    metrics: MetricsLog,
    events: EventWriter,
    save_every: Duration,
    /// Seconds of the sittings before this one.
    seconds_before: f64,
    started: Instant,
    /// Seconds of training, once it has ended.
    trained: Option<f64>,
}

impl Session {
    /// Takes a run up: from `saved`, or from its start. `recipe` is the text that decides the run; `record` says what it
    /// is.
    ///
    /// # Errors
    /// A state that is not of this learner, or a directory that cannot be written.
    pub fn begin(
        directory: RunDirectory,
        mut learner: Box<dyn Algorithm>,
        recipe: String,
        mut record: RunRecord,
        saved: Option<Checkpoint>,
        save_every: Duration,
    ) -> Result<Self, SessionError> {
        let (mut window, mut seconds_before) = Default::default();
        if let Some(saved) = saved {
            learner.restore(&saved.state)?;
            (window, seconds_before) = (saved.window, saved.seconds);
        }
        (record.iterations, record.completed) = (learner.iterations(), learner.completed());
        (record.outcome, record.error) = (Outcome::Unfinished, None);
        record.write(&directory)?;
        let failed = |entry: &str| {
            let path = directory.join(entry);
            move |source| RunError::Write { path, source }
        };
        let (iterations, completed) = (learner.iterations(), learner.completed());
        let metrics = MetricsLog::open(&directory.join("metrics.jsonl"), iterations, completed, window)
            .map_err(failed("metrics.jsonl"))?;
        let events = EventWriter::create(&directory.join("tensorboard"), completed).map_err(failed("tensorboard"))?;
        Ok(Self {
            directory,
            learner,
            recipe,
            record,
            metrics,
            events,
            save_every,
            seconds_before,
            started: Instant::now(),
            trained: None,
        })
    }

    /// Trains until `until` meta-iterations are done or `stop` says so, and saves either way. `watch` sees each iteration
    /// and, now and then, a warning. Whether it came to the end.
    ///
    /// # Errors
    /// The algorithm's, and a last checkpoint that cannot be written.
    pub fn train(
        &mut self,
        until: u64,
        stop: &dyn Fn() -> bool,
        watch: &mut dyn FnMut(u64, Watched<'_>),
    ) -> Result<bool, SessionError> {
        let (mut last_save, mut last_flush, mut stopped) = (Instant::now(), Instant::now(), false);
        while self.learner.completed() < until && !stopped {
            let iteration = self.learner.step()?;
            let completed = self.learner.completed();
            // Training may outlive a full disk: say so and go on.
            if let Err(error) = self.measured(&iteration) {
                watch(completed, Watched::Warning(&error.to_string()));
            }
            watch(completed, Watched::Iteration(&iteration));
            stopped = stop();
            if last_save.elapsed() >= self.save_every {
                if let Err(error) = self.save() {
                    watch(completed, Watched::Warning(&error.to_string()));
                }
                last_save = Instant::now();
            } else if last_flush.elapsed() >= FLUSH_EVERY {
                // Whoever watches sees it; what is lost in a crash is written again after resuming.
                let _ = self.metrics.sync().and(self.events.flush());
                last_flush = Instant::now();
            }
        }
        self.trained = Some(self.seconds());
        self.save()?;
        Ok(self.learner.completed() >= until)
    }

    fn measured(&mut self, iteration: &Iteration) -> Result<(), RunError> {
        let (completed, last) = (
            self.learner.completed(),
            self.learner.completed() == self.learner.iterations(),
        );
        let (steps, seconds) = (self.learner.environment_steps(), self.seconds());
        let failed = |path: &str| {
            let path = self.directory.join(path);
            move |source| RunError::Write { path, source }
        };
        let line = self
            .metrics
            .record(completed, steps, seconds, &iteration.metrics, last)
            .map_err(failed("metrics.jsonl"))?;
        if let Some(line) = line {
            self.events
                .scalars(completed, scalars(&line))
                .map_err(failed("tensorboard"))?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), SessionError> {
        // The metrics first: a checkpoint says that all before it was measured.
        let synced = self.metrics.sync().and(self.events.flush());
        synced.map_err(|source| RunError::Write {
            path: self.directory.join("metrics.jsonl"),
            source,
        })?;
        let checkpoint = Checkpoint {
            recipe: self.recipe.clone(),
            engine: self.learner.engine(),
            seconds: self.seconds(),
            window: self.metrics.window().clone(),
            state: self.learner.state()?,
        };
        self.directory.save(&checkpoint)?;
        Ok(self.note(self.record.outcome, None)?)
    }

    /// Writes down how far the run came and how the sitting ended.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn note(&mut self, outcome: Outcome, error: Option<String>) -> Result<(), RunError> {
        self.record.completed = self.learner.completed();
        self.record.environment_steps = self.learner.environment_steps();
        self.record.seconds = self.seconds();
        (self.record.outcome, self.record.error) = (outcome, error);
        self.record.write(&self.directory)
    }

    /// Adds a curve to the event files that is not over iterations: `values` at steps 0, 1, ...
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn curve(&mut self, name: &str, values: impl IntoIterator<Item = (u64, f32)>) -> Result<(), RunError> {
        let mut written = Ok(());
        for (step, value) in values {
            written = written.and(self.events.scalars(step, [(name.to_owned(), value)]));
        }
        written.and(self.events.flush()).map_err(|source| RunError::Write {
            path: self.directory.join("tensorboard"),
            source,
        })
    }

    /// What is trained.
    pub fn learner(&mut self) -> &mut dyn Algorithm {
        self.learner.as_mut()
    }

    /// Where the run is.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// What the run is.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Seconds trained so far, over all sittings.
    pub fn seconds(&self) -> f64 {
        let sitting = || self.seconds_before + self.started.elapsed().as_secs_f64();
        self.trained.unwrap_or_else(sitting)
    }
}

/// What [`Session::train`] shows.
pub enum Watched<'a> {
    /// An iteration is done.
    Iteration(&'a Iteration),
    /// Something could not be written.
    Warning(&'a str),
}

fn scalars(line: &MetricsLine) -> impl Iterator<Item = (String, f32)> + '_ {
    let measured = line.metrics.0.iter();
    let measured = measured.map(|(name, summary)| (format!("train/{name}"), summary.mean as f32));
    let rate = line.iteration as f64 / line.seconds.max(1e-9);
    let cost = [
        ("iterations per second", rate),
        ("environment steps", line.environment_steps as f64),
    ];
    let cost = cost.map(|(name, value)| (format!("cost/{name}"), value as f32));
    let keep = usize::from(line.environment_steps > 0) + 1;
    measured.chain(cost.into_iter().take(keep))
}
