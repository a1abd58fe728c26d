//! Checkpoints: the whole training state in one file, written so that a crash or a full disk never harms the last one.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `PLIANTCK` |
//! | 4 | format version, little-endian `u32` |
//! | 4 | length n of the header, little-endian `u32` |
//! | n | header, JSON: recipe text, counters, learning curve, names and shapes of the tensors |
//! | 4 a value | the tensors one after the other, little-endian `f32` |
//! | 4 | CRC-32 (IEEE) of everything before, little-endian `u32` |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::algorithms::{NamedTensor, TrainingState};
use crate::report::History;

const MAGIC: [u8; 8] = *b"PLIANTCK";
const VERSION: u32 = 1;
const PREFIX: usize = 16;

/// A training run as it stood between two meta-iterations.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The recipe's text with all overrides in it.
    pub recipe: String,
    /// Name of the engine that was training.
    pub engine: String,
    /// Seconds trained so far, over all sittings.
    pub seconds: f64,
    /// The learning curve so far.
    pub history: History,
    /// Parameters, optimiser moments and counters.
    pub state: TrainingState,
}

#[derive(Serialize, Deserialize)]
struct Header {
    recipe: String,
    engine: String,
    seconds: f64,
    completed: u64,
    environment_steps: u64,
    history: History,
    tensors: Vec<(String, Vec<usize>)>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Writing failed; what was at the path before is still there, whole.
    #[error(
        "cannot write {path}: {source}; the file that was there before is untouched: free some space or choose another --out"
    )]
    Write {
        /// The checkpoint.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The checkpoint.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Not a checkpoint, or not whole.
    #[error("{path} is not a usable checkpoint: {reason}; start afresh without --resume")]
    Invalid {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Checkpoint {
    /// Writes atomically: see [`write_atomically`].
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.encode();
        write_atomically(path, &bytes).map_err(|source| CheckpointError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads and checks a checkpoint.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|source| CheckpointError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::decode(&bytes).map_err(|reason| CheckpointError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let header = Header {
            recipe: self.recipe.clone(),
            engine: self.engine.clone(),
            seconds: self.seconds,
            completed: self.state.completed,
            environment_steps: self.state.environment_steps,
            history: self.history.clone(),
            tensors: self
                .state
                .tensors
                .iter()
                .map(|t| (t.name.clone(), t.shape.clone()))
                .collect(),
        };
        let header = serde_json::to_vec(&header).expect("a header of strings and numbers is always JSON");
        let values: usize = self.state.tensors.iter().map(|t| t.values.len()).sum();
        let mut bytes = Vec::with_capacity(PREFIX + header.len() + 4 * values + 4);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(u32::try_from(header.len()).expect("a header below 4 GiB").to_le_bytes());
        bytes.extend(header);
        for tensor in &self.state.tensors {
            bytes.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < PREFIX + 4 || bytes[..8] != MAGIC {
            return Err("it does not start like one".into());
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(8) != VERSION {
            return Err(format!(
                "it has format version {}, this program reads version {VERSION}",
                word(8)
            ));
        }
        let (body, crc) = bytes.split_at(bytes.len() - 4);
        if crc32fast::hash(body).to_le_bytes() != crc {
            return Err("its checksum does not match: it was cut short or damaged".into());
        }
        let (header, mut values) = body[PREFIX..]
            .split_at_checked(word(12) as usize)
            .ok_or("its header is longer than the file")?;
        let header: Header = serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
        let mut tensors = Vec::with_capacity(header.tensors.len());
        for (name, shape) in header.tensors {
            let size = shape
                .iter()
                .try_fold(4usize, |product, &axis| product.checked_mul(axis))
                .filter(|&size| size <= values.len())
                .ok_or_else(|| format!("tensor {name} is cut short"))?;
            let (own, rest) = values.split_at(size);
            values = rest;
            let own = own
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            tensors.push(NamedTensor {
                name,
                shape,
                values: own,
            });
        }
        if !values.is_empty() {
            return Err(format!("{} bytes follow the last tensor", values.len()));
        }
        Ok(Self {
            recipe: header.recipe,
            engine: header.engine,
            seconds: header.seconds,
            history: header.history,
            state: TrainingState {
                completed: header.completed,
                environment_steps: header.environment_steps,
                tensors,
            },
        })
    }
}

/// Replaces the file at `path` by `bytes`, or leaves it as it is: writes a temporary file beside it, flushes it to the
/// disk, and renames it over the old one, which the file system does as one step. A failure removes the temporary file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file(path, |file| file.write_all(bytes))
}

fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = directory.join(name);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // Best effort: the error that matters is the one being returned.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    // The rename itself reaches the disk with the directory; not every system lets one be opened.
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(completed: u64) -> Checkpoint {
        let mut history = History::new(&["loss"], 4);
        history.record(1, &[0.5]);
        Checkpoint {
            recipe: "name = \"x\"\n".into(),
            engine: "plan".into(),
            seconds: 1.5,
            history,
            state: TrainingState {
                completed,
                environment_steps: 7,
                tensors: vec![
                    NamedTensor {
                        name: "a".into(),
                        shape: vec![2, 3],
                        values: vec![1.0, -2.0, 3.5, 0.0, -0.0, f32::MAX],
                    },
                    NamedTensor {
                        name: "scale".into(),
                        shape: vec![],
                        values: vec![0.25],
                    },
                ],
            },
        }
    }

    #[test]
    fn what_is_saved_is_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        checkpoint(3).save(&path).unwrap();
        checkpoint(4).save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(4));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no temporary file stays");
    }

    /// A disk that fills up at any byte leaves the old checkpoint whole and no litter.
    #[test]
    fn a_failed_write_leaves_the_previous_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        checkpoint(3).save(&path).unwrap();
        let bytes = checkpoint(4).encode();
        for room in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let failed = replace_file(&path, |file| {
                file.write_all(&bytes[..room])?;
                Err(io::ErrorKind::StorageFull.into())
            });
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(3));
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        }
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        let bytes = checkpoint(3).encode();
        for length in 0..bytes.len() {
            assert!(Checkpoint::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            assert!(Checkpoint::decode(&flipped).is_err(), "bit flipped in byte {position}");
        }
        // With a checksum that matches, structure is still checked.
        let mut longer = bytes[..bytes.len() - 4].to_vec();
        longer.extend([0; 4]);
        longer.extend(crc32fast::hash(&longer).to_le_bytes());
        assert!(Checkpoint::decode(&longer).unwrap_err().contains("4 bytes follow"));
    }
}
