//! What `--keep` keeps of a training, so that it is not repeated.

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bundle::BundleError;
use crate::checkpoint::write_atomically;
use crate::cli::error::CliError;
use crate::recipe::Recipe;

/// What a training came to.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// What was trained and scored, seed and overrides included.
    fn recipe(&self) -> &Recipe;
}

/// What was kept of this recipe; nothing where there is no such file.
pub(super) fn read<K: Kept>(path: &Path, recipe: &Recipe) -> Result<Option<K>, CliError> {
    let problem = |problem: String| CliError::Kept {
        path: path.to_owned(),
        problem,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(error.to_string())),
    };
    let kept: K = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
    if kept.recipe() != recipe {
        return Err(problem("it is of another recipe".to_owned()));
    }
    Ok(Some(kept))
}

/// Keeps it.
pub(super) fn write<K: Kept>(kept: &K, path: &Path) -> Result<(), CliError> {
    let failed = |source| BundleError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let text = serde_json::to_string(kept).map_err(|error| failed(error.into()))?;
    Ok(write_atomically(path, text.as_bytes()).map_err(failed)?)
}
