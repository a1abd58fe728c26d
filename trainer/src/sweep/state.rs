//! What a sweep is and how far it came: `sweep.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SweepError;
use super::halving::ranked;
use crate::checkpoint::write_atomically;
use crate::recipe::{Recipe, Source};

/// A sweep, as `sweep.json` keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's text before anything is varied.
    pub text: String,
    /// One in so many trials goes on.
    pub keep: usize,
    /// Validation tasks that score.
    pub tasks: u64,
    /// Iterations that each rung trains to.
    pub rungs: Vec<u64>,
    /// What the scores measure; none before the first.
    pub metric: Option<String>,
    /// Whether lower scores are better; none before the first.
    pub lower_is_better: Option<bool>,
    /// The configurations.
    pub trials: Vec<Trial>,
}

/// One configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The fields it sets, as `FIELD=VALUE`.
    pub sets: Vec<String>,
    /// Its scores, one a rung.
    pub scores: Vec<Score>,
    /// Why its training failed, if it did.
    pub failed: Option<String>,
}

/// The score of a trial after a rung.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Iterations trained.
    pub iterations: u64,
    /// Mean over validation tasks, after the last adaptation step.
    pub mean: f64,
    /// 95 % bootstrap interval over tasks.
    pub ci95: [f64; 2],
    /// Seconds trained, over all sittings.
    pub seconds: f64,
}

/// What a score measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Better {
    /// What the scores measure.
    pub metric: String,
    /// Whether lower is better.
    pub lower_is_better: bool,
}

/// What became of a trial in a rung.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Trained and scored.
    Scored(Score, Better),
    /// Its training failed, diverged for instance.
    Failed(String),
    /// Stopped and saved.
    Interrupted,
}

impl Trial {
    /// A configuration that has not begun.
    pub fn new(sets: Vec<String>) -> Self {
        Self {
            sets,
            ..Self::default()
        }
    }

    /// The recipe with what the trial sets.
    ///
    /// # Errors
    /// [`SweepError::Recipe`].
    pub fn recipe(&self, source: &Source) -> Result<(Source, Recipe), SweepError> {
        let mut source = source.clone();
        let mut parse = || {
            self.sets.iter().try_for_each(|set| source.set(set))?;
            source.parse()
        };
        let parsed = parse();
        match parsed {
            Ok(recipe) => Ok((source, recipe)),
            Err(error) => Err(SweepError::Recipe {
                values: self.sets.join(", "),
                source: error,
            }),
        }
    }
}

impl Sweep {
    const FILE: &str = "sweep.json";

    /// Reads the sweep in a folder; none where there is none.
    ///
    /// # Errors
    /// [`SweepError::File`].
    pub fn read(folder: &Path) -> Result<Option<Self>, SweepError> {
        let path = folder.join(Self::FILE);
        let wrong = |path: PathBuf, reason: String| SweepError::File { path, reason };
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| wrong(path, error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(path, error.to_string())),
        }
    }

    /// Writes it into the folder, in one step.
    ///
    /// # Errors
    /// [`SweepError::File`].
    pub fn write(&self, folder: &Path) -> Result<(), SweepError> {
        let path = folder.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_atomically(&path, text.as_bytes()).map_err(|error| SweepError::File {
            path,
            reason: error.to_string(),
        })
    }

    /// Whether this sweep, whatever it scored so far, is that other one.
    pub fn is_same(&self, other: &Self) -> bool {
        let bare = |sweep: &Self| {
            let mut bare = sweep.clone();
            (bare.metric, bare.lower_is_better) = (None, None);
            for trial in &mut bare.trials {
                (trial.scores, trial.failed) = (Vec::new(), None);
            }
            bare
        };
        bare(self) == bare(other)
    }

    /// The trials, those that came farthest first, and among them the best.
    pub fn ranking(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.trials.len()).collect();
        let mut ranking = Vec::new();
        for rung in (0..self.rungs.len()).rev() {
            let (there, rest): (Vec<usize>, Vec<usize>) = left
                .into_iter()
                .partition(|&trial| self.trials[trial].scores.len() == rung + 1);
            ranking.extend(ranked(self, &there, rung));
            left = rest;
        }
        ranking.extend(left);
        ranking
    }
}
