//! ONNX Runtime's shared library, out of its Python wheel.

use std::path::{Path, PathBuf};

use super::python::{PYTHON, pip};
use crate::error::{AtPath, Error, Missing};
use crate::process::Process;
use crate::workspace::Workspace;

/// The release that the tests run against.
const VERSION: &str = "1.31.1";

/// The interpreter release whose wheel is taken where pip finds none for the one that is here: the library inside does
/// not depend on it.
const ANY_PYTHON: &str = "3.12";

/// Fetches the library into `onnxruntime/lib` of the target folder unless it is there, and returns its path.
pub(crate) fn provide(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let home = workspace.target().join("onnxruntime");
    let place = home.join("lib");
    if let Some(library) = library_in(&place) {
        return Ok(library);
    }
    let scratch = home.join("download");
    // What an interrupted download left behind.
    let _ = std::fs::remove_dir_all(&scratch);
    let wheel = download(&scratch, install)?;
    let unpacked = scratch.join("unpacked");
    Process::new(PYTHON)
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&unpacked)
        .output()?;
    let inside = unpacked.join("onnxruntime").join("capi");
    if library_in(&inside).is_none() {
        return Err(Error::Check(format!("{} holds no libonnxruntime", wheel.display())));
    }
    // The folder appears under its final name only when it is whole.
    let whole = scratch.join("lib");
    std::fs::create_dir(&whole).at(&whole)?;
    for entry in std::fs::read_dir(&inside).at(&inside)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("libonnxruntime") {
            std::fs::rename(entry.path(), whole.join(entry.file_name())).at(entry.path())?;
        }
    }
    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(&whole, &place).at(&place)?;
    std::fs::remove_dir_all(&scratch).at(&scratch)?;
    library_in(&place).ok_or_else(|| Error::Check(format!("{} vanished while it was put in place", place.display())))
}

/// The library of exactly this release in a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let names = [
        format!("libonnxruntime.so.{VERSION}"),
        format!("libonnxruntime.{VERSION}.dylib"),
    ];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Downloads the wheel, first for the Python that is here, then for any.
fn download(folder: &Path, install: bool) -> Result<PathBuf, Error> {
    let (place, package) = (folder.to_string_lossy().into_owned(), format!("onnxruntime=={VERSION}"));
    let what = format!("ONNX Runtime {VERSION}");
    let plain = [
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        &place,
        &package,
    ];
    let platform = format!("manylinux_2_28_{}", std::env::consts::ARCH);
    let any = [
        "--implementation",
        "cp",
        "--python-version",
        ANY_PYTHON,
        "--platform",
        &platform,
    ];
    let for_any: Vec<&str> = plain.iter().chain(&any).copied().collect();
    // Asked first, so that a refusal to download leaves no folder behind.
    pip(&what, &plain, install)?;
    std::fs::create_dir_all(folder).at(folder)?;
    println!("fetching {what}");
    let mut why = String::from("pip downloaded no wheel");
    for arguments in [plain.as_slice(), for_any.as_slice()] {
        let finished = pip(&what, arguments, install)?.silent()?;
        let wheel = std::fs::read_dir(folder)
            .at(folder)?
            .flatten()
            .map(|entry| entry.path());
        if let Some(wheel) = wheel
            .into_iter()
            .find(|path| path.extension().is_some_and(|end| end == "whl"))
        {
            return Ok(wheel);
        }
        if let Some(line) = finished.errors.lines().rev().find(|line| line.starts_with("ERROR")) {
            why = line.to_owned();
        }
    }
    let commands = vec![
        format!("{PYTHON} -m pip {}", plain.join(" ")),
        "cargo xtask onnxruntime".to_owned(),
    ];
    Err(Missing { what, why, commands }.into())
}
