//! A run directory, claimed by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::checkpoint::{Checkpoint, CheckpointError};

/// Checkpoints that are kept: should the newest be damaged, there is one before it.
const KEPT: usize = 2;
const EXTENSION: &str = "safetensors";
/// A lister holds the lock for an instant; another trainer for long.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directory of a run, locked until it is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It cannot be made.
    #[error("cannot create {path}: {source}; choose another folder with --out")]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process trains there.
    #[error("another process is training in {path}; wait for it, stop it, or choose another folder with --out")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// Not a run directory.
    #[error("{path} is no run: it has no `{missing}`; `pliant train` makes one, `pliant runs` lists them")]
    NotARun {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// A file of the run cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the run cannot be written.
    #[error("cannot write {path}: {source}; what it held before its last change is untouched: free some space")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No checkpoint is whole.
    #[error("none of the checkpoints in {path} is usable ({first}); start afresh without --resume")]
    Damaged {
        /// The folder of the checkpoints.
        path: PathBuf,
        /// What is wrong with the newest.
        first: CheckpointError,
    },
}

impl RunDirectory {
    /// Makes the directory if need be, and claims it.
    ///
    /// # Errors
    /// [`RunError::Create`] or [`RunError::Busy`].
    pub fn claim(path: &Path) -> Result<Self, RunError> {
        let failed = |source| RunError::Create {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(RunError::Busy { path: path.to_owned() }),
                // A file system without locks cannot tell: then nobody is kept out.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Whether a process holds the run directory `path`.
    pub fn is_claimed(path: &Path) -> bool {
        let lock = File::open(path.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry.
    pub fn join(&self, entry: &str) -> PathBuf {
        self.path.join(entry)
    }

    /// Removes the traces of an earlier run; its bundle stays until the new one replaces it.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn clear(&self) -> Result<(), RunError> {
        // The checkpoints first: killed half-way, what is left must not be taken up again.
        for entry in ["checkpoints", "tensorboard"] {
            let path = self.join(entry);
            match fs::remove_dir_all(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(RunError::Write { path, source });
                }
                _ => {}
            }
        }
        for entry in ["run.json", "metrics.jsonl", "log.txt", "evaluation.json"] {
            let path = self.join(entry);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(RunError::Write { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Saves a checkpoint, then removes those that are no longer kept.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]; the checkpoints before are whole.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let folder = checkpoints_folder(&self.path);
        let path = folder.join(format!("iteration-{:010}.{EXTENSION}", checkpoint.state.completed));
        fs::create_dir_all(&folder).map_err(|source| CheckpointError::Write {
            path: path.clone(),
            source,
        })?;
        checkpoint.save(&path)?;
        for old in Self::checkpoints(&self.path).into_iter().skip(KEPT) {
            // Best effort: one too many harms nobody.
            let _ = fs::remove_file(old);
        }
        Ok(path)
    }

    /// The checkpoints in the run directory `path`, the newest first.
    pub fn checkpoints(path: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(checkpoints_folder(path)).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .collect();
        found.sort();
        found.reverse();
        found
    }

    /// The newest checkpoint that is whole, with what is wrong with newer ones; none where the run was stopped before its
    /// first.
    ///
    /// # Errors
    /// [`RunError::NotARun`] where no run was begun, [`RunError::Damaged`] where there are checkpoints and none is whole.
    pub fn newest(path: &Path) -> Result<Option<(Checkpoint, Vec<CheckpointError>)>, RunError> {
        if !path.join("run.json").is_file() {
            return Err(RunError::NotARun {
                path: path.to_owned(),
                missing: "run.json",
            });
        }
        let mut damaged = Vec::new();
        for candidate in Self::checkpoints(path) {
            match Checkpoint::load(&candidate) {
                Ok(checkpoint) => return Ok(Some((checkpoint, damaged))),
                Err(error) => damaged.push(error),
            }
        }
        match damaged.into_iter().next() {
            Some(first) => Err(RunError::Damaged {
                path: checkpoints_folder(path),
                first,
            }),
            None => Ok(None),
        }
    }
}

fn checkpoints_folder(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::TrainingState;
    use crate::run::Window;

    fn checkpoint(completed: u64) -> Checkpoint {
        Checkpoint {
            recipe: String::new(),
            engine: "plan".into(),
            seconds: 0.0,
            window: Window::default(),
            state: TrainingState {
                completed,
                ..TrainingState::default()
            },
        }
    }

    #[test]
    fn a_directory_is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("run");
        assert!(!RunDirectory::is_claimed(&path));
        let first = RunDirectory::claim(&path).unwrap();
        assert!(RunDirectory::is_claimed(&path));
        assert!(matches!(RunDirectory::claim(&path), Err(RunError::Busy { .. })));
        drop(first);
        assert!(!RunDirectory::is_claimed(&path));
        RunDirectory::claim(&path).unwrap();
    }

    #[test]
    fn a_damaged_checkpoint_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(folder.path()).unwrap();
        assert!(matches!(
            RunDirectory::newest(run.path()),
            Err(RunError::NotARun { .. })
        ));
        fs::write(run.join("run.json"), "{}").unwrap();
        assert!(
            RunDirectory::newest(run.path()).unwrap().is_none(),
            "stopped before the first"
        );
        for completed in [5, 10, 15] {
            run.save(&checkpoint(completed)).unwrap();
        }
        let files = RunDirectory::checkpoints(run.path());
        assert_eq!(files.len(), KEPT);
        assert_eq!(RunDirectory::newest(run.path()).unwrap().unwrap().0, checkpoint(15));
        fs::write(&files[0], "no").unwrap();
        let (older, damaged) = RunDirectory::newest(run.path()).unwrap().unwrap();
        assert_eq!((older, damaged.len()), (checkpoint(10), 1));
        fs::write(&files[1], "no").unwrap();
        assert!(matches!(
            RunDirectory::newest(run.path()),
            Err(RunError::Damaged { .. })
        ));
        run.clear().unwrap();
        assert!(matches!(
            RunDirectory::newest(run.path()),
            Err(RunError::NotARun { .. })
        ));
    }
}
