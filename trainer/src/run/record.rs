//! `run.json`: what a run is and how far it came.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::log::{rfc3339, seconds_since_1970};
use super::{MetricsLine, RunDirectory, RunError, read_metrics};
use crate::checkpoint::write_atomically;
use crate::recipe::Recipe;

/// How the last sitting ended, as its process wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It had not ended when this was written.
    Unfinished,
    /// Trained as far as was asked, exported and evaluated.
    Finished,
    /// Stopped by the user, or by an error.
    Stopped,
}

/// What a run is and how far it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The recipe's name.
    pub name: String,
    /// The task family.
    pub family: String,
    /// The algorithm.
    pub algorithm: String,
    /// The seed.
    pub seed: u64,
    /// The version of pliant of the last sitting.
    pub version: String,
    /// The engine of the last sitting.
    pub engine: String,
    /// Worker threads of the last sitting.
    pub threads: usize,
    /// The command of the last sitting.
    pub command: String,
    /// When the first sitting began, UTC.
    pub started: String,
    /// When this was last written, UTC.
    pub updated: String,
    /// Meta-iterations of the recipe.
    pub iterations: u64,
    /// Meta-iterations done.
    pub completed: u64,
    /// Environment steps simulated.
    pub environment_steps: u64,
    /// Seconds trained, over all sittings.
    pub seconds: f64,
    /// How the last sitting ended.
    pub outcome: Outcome,
    /// The error that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a run is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A process holds its directory.
    Running,
    /// Done.
    Finished,
    /// Stopped, killed or failed: `--resume` goes on.
    Interrupted,
}

impl Status {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
        }
    }
}

impl RunRecord {
    const FILE: &str = "run.json";

    /// The record of a run of this recipe that begins now, under the command of this process.
    pub fn new(recipe: &Recipe, engine: &str, threads: usize) -> Self {
        Self {
            name: recipe.name.clone(),
            family: recipe.family.name().to_owned(),
            algorithm: recipe.algorithm.name().to_owned(),
            seed: recipe.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.to_owned(),
            threads,
            command: command_line(),
            started: Self::now(),
            updated: String::new(),
            iterations: 0,
            completed: 0,
            environment_steps: 0,
            seconds: 0.0,
            outcome: Outcome::Unfinished,
            error: None,
        }
    }

    /// The time now, as records have it.
    pub fn now() -> String {
        rfc3339(seconds_since_1970())
    }

    /// Reads the record of the run in the directory `path`.
    ///
    /// # Errors
    /// [`RunError::NotARun`] or [`RunError::Unreadable`].
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let file = path.join(Self::FILE);
        if !file.exists() {
            return Err(RunError::NotARun {
                path: path.to_owned(),
                missing: Self::FILE,
            });
        }
        let unreadable = |reason: String| RunError::Unreadable {
            path: file.clone(),
            reason,
        };
        let text = fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }

    /// Writes it into the directory, in one step.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write(&mut self, directory: &RunDirectory) -> Result<(), RunError> {
        self.updated = Self::now();
        let text = serde_json::to_string_pretty(self).expect("a record of strings and numbers is always JSON");
        let path = directory.join(Self::FILE);
        write_atomically(&path, text.as_bytes()).map_err(|source| RunError::Write { path, source })
    }

    /// What the run in the directory `path`, whose record this is, is doing now.
    pub fn status(&self, path: &Path) -> Status {
        match self.outcome {
            _ if RunDirectory::is_claimed(path) => Status::Running,
            Outcome::Finished => Status::Finished,
            Outcome::Unfinished | Outcome::Stopped => Status::Interrupted,
        }
    }

    /// The newest line of the metrics of the run in the directory `path`; none before the first.
    ///
    /// # Errors
    /// [`RunError::Unreadable`].
    pub fn metrics(path: &Path) -> Result<Vec<MetricsLine>, RunError> {
        let path = path.join("metrics.jsonl");
        match read_metrics(&path) {
            Ok(lines) => Ok(lines),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(RunError::Unreadable {
                path,
                reason: error.to_string(),
            }),
        }
    }
}

/// How this program was called, as a shell takes it.
fn command_line() -> String {
    repeatable(std::env::args().skip(1))
}

/// The command that repeats a run, without the folder that it wrote to: that is where the record lies, and means nothing on
/// another machine. Recipes that are files go by their names, for the run directory holds the recipe.
fn repeatable(mut arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["pliant".to_owned()];
    while let Some(argument) = arguments.next() {
        if argument == "--out" {
            arguments.next();
        } else if !argument.starts_with("--out=") {
            let path = Path::new(&argument);
            words.push(match path.file_name() {
                Some(name) if path.is_absolute() => shell_word(&name.to_string_lossy()),
                _ => shell_word(&argument),
            });
        }
    }
    words.join(" ")
}

/// A word for a POSIX shell.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The run directories in `root` and in folders in it, to a depth of three, in order of their paths; those whose record
/// cannot be read with the reason.
pub fn find_runs(root: &Path) -> Vec<(PathBuf, Result<RunRecord, RunError>)> {
    let mut found = Vec::new();
    search(root, 3, &mut found);
    found
}

fn search(path: &Path, depth: usize, found: &mut Vec<(PathBuf, Result<RunRecord, RunError>)>) {
    if path.join(RunRecord::FILE).is_file() {
        found.push((path.to_owned(), RunRecord::read(path)));
        return;
    }
    if depth == 0 {
        return;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    for folder in folders {
        search(&folder, depth - 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_command_names_no_folder_of_this_machine() {
        let command = |words: &[&str]| repeatable(words.iter().map(|&word| word.to_owned()));
        let plain = ["train", "sinusoid", "--out", "/home/me/run", "--seed", "3"];
        assert_eq!(command(&plain), "pliant train sinusoid --seed 3");
        let joined = ["train", "/home/me/my recipe.toml", "--out=/home/me/run"];
        assert_eq!(command(&joined), "pliant train 'my recipe.toml'");
        assert_eq!(
            command(&["train", "--set", "a.b=[1, 2]"]),
            "pliant train --set 'a.b=[1, 2]'"
        );
    }
}
