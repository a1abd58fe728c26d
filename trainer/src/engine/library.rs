//! Where the ONNX Runtime shared library is.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::EngineError;

/// The version of ONNX Runtime that Pliant is tested with and tells people to get.
pub const ONNX_RUNTIME_VERSION: &str = "1.31.1";

/// The oldest usable one is 1.this, set by the `api-NN` feature of `ort`.
pub(crate) const OLDEST_ONNX_RUNTIME_MINOR: u32 = ort::MINOR_VERSION;

/// Finds the library: `explicit` if given, otherwise the environment variable `ORT_DYLIB_PATH`, otherwise
/// `onnxruntime/` beside the executable or in a folder above it (so `target/onnxruntime/`, where `cargo xtask
/// onnxruntime` puts it), otherwise beside the executable itself, otherwise `target/onnxruntime/` of the working folder.
///
/// A path that was named (by argument or environment) is returned as it is, without a fall-back: whoever names a file
/// wants that file, or an error about it.
///
/// # Errors
/// [`EngineError::LibraryMissing`] with every place looked at.
pub fn find_onnx_runtime(explicit: Option<&Path>) -> Result<PathBuf, EngineError> {
    let named = explicit.map(Path::to_path_buf).or_else(|| {
        let value = env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    });
    if let Some(path) = named {
        // The wheel's folder is as good as the file in it.
        if path.is_dir() {
            return library_in(&path).ok_or(EngineError::LibraryMissing { searched: vec![path] });
        }
        return if path.exists() {
            Ok(path)
        } else {
            Err(EngineError::LibraryMissing { searched: vec![path] })
        };
    }
    let searched = default_places();
    match searched.iter().find_map(|folder| library_in(folder)) {
        Some(path) => Ok(path),
        None => Err(EngineError::LibraryMissing { searched }),
    }
}

/// The folders looked at when nobody names a file.
fn default_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(executable) = env::current_exe() {
        // target/release/pliant, target/debug/deps/test-…, target/<triple>/release/pliant: at most four up.
        places.extend(
            executable
                .ancestors()
                .skip(1)
                .take(4)
                .map(|folder| folder.join("onnxruntime")),
        );
        places.extend(executable.parent().map(Path::to_path_buf));
    }
    places.push(Path::new("target").join("onnxruntime"));
    places
}

/// The library in a folder, or in the `onnxruntime/capi` of a wheel unpacked there. Of several versions the last by name.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let inside = [
        folder.to_path_buf(),
        folder.join("capi"),
        folder.join("onnxruntime").join("capi"),
        folder.join("lib"),
    ];
    inside.iter().find_map(|folder| {
        let mut found: Vec<PathBuf> = fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(is_library_name)
            })
            .collect();
        found.sort();
        found.pop()
    })
}

fn is_library_name(name: &str) -> bool {
    if cfg!(windows) {
        name == "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else {
        // Not libonnxruntime_providers_shared.so.
        name.starts_with("libonnxruntime.so")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_that_is_missing_is_an_error_that_says_how_to_get_it() {
        let path = Path::new("nowhere/libonnxruntime.so");
        let error = find_onnx_runtime(Some(path)).unwrap_err();
        assert!(matches!(&error, EngineError::LibraryMissing { searched } if searched == &[path]));
        let text = error.to_string();
        assert!(
            text.contains("cargo xtask onnxruntime") && text.contains("pip download"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_is_searched_for_the_library_and_not_for_its_providers() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("onnxruntime").join("capi");
        fs::create_dir_all(&capi).unwrap();
        assert!(find_onnx_runtime(Some(folder.path())).is_err());
        let (provider, library) = if cfg!(windows) {
            ("onnxruntime_providers_shared.dll", "onnxruntime.dll")
        } else if cfg!(target_os = "macos") {
            ("libonnxruntime_providers_shared.dylib", "libonnxruntime.1.31.1.dylib")
        } else {
            ("libonnxruntime_providers_shared.so", "libonnxruntime.so.1.31.1")
        };
        fs::write(capi.join(provider), b"").unwrap();
        assert!(find_onnx_runtime(Some(folder.path())).is_err());
        fs::write(capi.join(library), b"").unwrap();
        assert_eq!(find_onnx_runtime(Some(folder.path())).unwrap(), capi.join(library));
    }
}
