//! Checkpoints: the whole training state in one safetensors file, written so that a crash or a full disk never harms the
//! last one.
//!
//! The tensors are parameters and optimiser moments under their names, `F32`: any safetensors reader opens them. The
//! metadata entry `pliant` holds the rest as `CRC JSON`: eight hexadecimal digits of the CRC-32 (IEEE) of the JSON and of
//! the tensors' bytes in its order, a space, and the JSON itself (recipe, engine, counters, the metrics window, names and
//! shapes of the tensors). So a file that was cut short or damaged is refused, whichever bit changed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::algorithms::{NamedTensor, TrainingState};
use crate::run::Window;

/// The metadata entry.
const ENTRY: &str = "pliant";

/// A training run as it stood between two meta-iterations.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The recipe's text with all overrides in it.
    pub recipe: String,
    /// Name of the engine that was training.
    pub engine: String,
    /// Seconds trained so far, over all sittings.
    pub seconds: f64,
    /// Measurements since the last line of the metrics.
    pub window: Window,
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
    window: Window,
    tensors: Vec<(String, Vec<usize>)>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Writing failed; what was at the path before is still there, whole.
    #[error(
        "cannot write {path}: {source}; the checkpoints that were there before are untouched: free some space or choose another --out"
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
    #[error("{path} is not a usable checkpoint: {reason}")]
    Invalid {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Checkpoint {
    /// Writes atomically: see [`write_atomically`].
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomically(path, &self.encode()).map_err(|source| CheckpointError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads and checks a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] or [`CheckpointError::Invalid`].
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
            window: self.window.clone(),
            tensors: self
                .state
                .tensors
                .iter()
                .map(|tensor| (tensor.name.clone(), tensor.shape.clone()))
                .collect(),
        };
        let json = serde_json::to_string(&header).expect("a header of strings and numbers is always JSON");
        let bytes: Vec<Vec<u8>> = self
            .state
            .tensors
            .iter()
            .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let entry = format!("{:08x} {json}", checksum(&json, bytes.iter().map(Vec::as_slice)));
        let tensors = self.state.tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
            (&tensor.name, view.expect("a named tensor is as long as its shape says"))
        });
        safetensors::serialize(tensors, Some(HashMap::from([(ENTRY.to_owned(), entry)])))
            .expect("tensors with different names can be written")
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let refused = |error: safetensors::SafeTensorError| format!("it is not a whole safetensors file ({error})");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(refused)?;
        let entry = metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let entry = entry.ok_or_else(|| format!("its metadata has no entry `{ENTRY}`"))?;
        let (crc, json) = entry
            .split_once(' ')
            .ok_or_else(|| format!("its metadata entry `{ENTRY}` has no checksum"))?;
        let header: Header = serde_json::from_str(json).map_err(|error| format!("its state: {error}"))?;
        let file = SafeTensors::deserialize(bytes).map_err(refused)?;
        let mut views = Vec::with_capacity(header.tensors.len());
        for (name, shape) in &header.tensors {
            let view = file.tensor(name).map_err(|_| format!("it lacks the tensor {name}"))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                return Err(format!("its tensor {name} is not F32 {shape:?}"));
            }
            views.push(view);
        }
        if file.len() != views.len() {
            return Err("it holds tensors that its state does not name".into());
        }
        if format!("{:08x}", checksum(json, views.iter().map(TensorView::data))) != crc {
            return Err("its checksum does not match: it was damaged".into());
        }
        let tensors = header.tensors.into_iter().zip(views).map(|((name, shape), view)| {
            let values = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            NamedTensor { name, shape, values }
        });
        Ok(Self {
            recipe: header.recipe,
            engine: header.engine,
            seconds: header.seconds,
            window: header.window,
            state: TrainingState {
                completed: header.completed,
                environment_steps: header.environment_steps,
                tensors: tensors.collect(),
            },
        })
    }
}

fn checksum<'a>(json: &str, tensors: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(json.as_bytes());
    tensors.for_each(|bytes| crc.update(bytes));
    crc.finalize()
}

/// Replaces the file at `path` by `bytes`, or leaves it as it is: writes a temporary file beside it, flushes it to the
/// disk, and renames it over the old one, which the file system does as one step. A failure removes the temporary file.
///
/// # Errors
/// The system's.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file(path, |file| file.write_all(bytes))
}

fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // Not unique a process: what a killed process left is written over by the next one.
    name.push(".part");
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
        let mut window = Window::default();
        window.add(&[("loss", 0.1), ("other", -3.0)]);
        window.add(&[("loss", 0.7), ("other", 1e-30)]);
        Checkpoint {
            recipe: "name = \"x\"\n".into(),
            engine: "plan".into(),
            seconds: 1.5,
            window,
            state: TrainingState {
                completed,
                environment_steps: 7,
                tensors: vec![
                    NamedTensor {
                        name: "b".into(),
                        shape: vec![2, 3],
                        values: vec![1.0, -2.0, 3.5, 0.0, -0.0, f32::MAX],
                    },
                    NamedTensor {
                        name: "a".into(),
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

    #[test]
    fn any_safetensors_reader_finds_the_tensors() {
        let bytes = checkpoint(3).encode();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor("b").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[2, 3][..]));
        assert_eq!(tensor.data()[..4], 1.0f32.to_le_bytes());
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
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                // A flip may leave the meaning (`\u` escapes, white space): then nothing was damaged.
                assert!(
                    Checkpoint::decode(&flipped).map_or(true, |same| same == checkpoint(3)),
                    "bit {bit} of byte {position}"
                );
            }
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Checkpoint::decode(&longer).is_err());
    }
}
