//! Python and its packages.

use std::path::{Path, PathBuf};

use super::has_program;
use crate::error::{AtPath, Error, Missing};
use crate::process::Process;
use crate::workspace::Workspace;

/// The interpreter.
pub(crate) const PYTHON: &str = "python3";

/// The release of the ONNX package, whose checker judges every exported graph.
const ONNX_VERSION: &str = "1.23.2";

/// `pip` with these arguments; `Missing` where there is no pip.
pub(crate) fn pip(what: &str, arguments: &[&str], install: bool) -> Result<Process, Missing> {
    let missing = |why: &str, before: Option<&str>| Missing {
        what: what.to_owned(),
        why: why.to_owned(),
        commands: before
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{PYTHON} -m pip {}", arguments.join(" "))])
            .collect(),
    };
    if !install {
        return Err(missing("not allowed to download", None));
    }
    let there = has_program(PYTHON)
        && Process::new(PYTHON)
            .args(["-m", "pip", "--version"])
            .silent()
            .is_ok_and(|pip| pip.status.success());
    if !there {
        return Err(missing("no pip here", Some("apt-get install python3-pip")));
    }
    Ok(Process::new(PYTHON)
        .args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
        .args(arguments)
        .limit(900))
}

/// The release of TensorBoard, whose reader judges the event files of training runs.
const TENSORBOARD_VERSION: &str = "2.21.0";

/// Installs the ONNX package into the target folder, and returns the folder to put on `PYTHONPATH`.
pub(crate) fn provide_onnx(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let what = format!("the ONNX checker (Python package onnx {ONNX_VERSION})");
    provide(workspace, &what, "onnx", ONNX_VERSION, "import onnx.checker", install)
}

/// Installs TensorBoard into the target folder, and returns the folder to put on `PYTHONPATH`.
pub(crate) fn provide_tensorboard(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let what = format!("the reader of event files (Python package tensorboard {TENSORBOARD_VERSION})");
    let import = "from tensorboard.backend.event_processing import event_accumulator";
    provide(workspace, &what, "tensorboard", TENSORBOARD_VERSION, import, install)
}

/// The release of scikit-learn, whose data sets are those of `docs/diagnosis.md`.
const SCIKIT_LEARN_VERSION: &str = "1.9.1";

/// Writes the data sets inside the scikit-learn wheel, with their splits and baselines, to `target/diagnosis`.
pub(crate) fn diagnosis_data(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let what = format!("the data sets (Python package scikit-learn {SCIKIT_LEARN_VERSION})");
    let package = provide(
        workspace,
        &what,
        "scikit-learn",
        SCIKIT_LEARN_VERSION,
        "import sklearn.ensemble",
        install,
    )?;
    let folder = workspace.target().join("diagnosis");
    std::fs::create_dir_all(&folder).at(&folder)?;
    let script = workspace.root().join("trainer").join("examples").join("diagnosis.py");
    Process::new(PYTHON)
        .arg(script)
        .arg(&folder)
        .env("PYTHONPATH", &package)
        .limit(900)
        .run()?;
    Ok(folder)
}

/// Installs a package into a folder of its own, unless what is there can be imported.
fn provide(
    workspace: &Workspace,
    what: &str,
    name: &str,
    version: &str,
    import: &str,
    install: bool,
) -> Result<PathBuf, Error> {
    let folder = workspace.target().join("python").join(format!("{name}-{version}"));
    if imports(&folder, import) {
        return Ok(folder);
    }
    let (place, package) = (folder.to_string_lossy().into_owned(), format!("{name}=={version}"));
    let arguments = [
        "install",
        "--quiet",
        "--only-binary=:all:",
        "--upgrade",
        "--target",
        &place,
        &package,
    ];
    let pip = pip(what, &arguments, install)?;
    std::fs::create_dir_all(&folder).at(&folder)?;
    println!("fetching {what}");
    let command = pip.line();
    let done = pip.silent()?;
    match imports(&folder, import) {
        true => Ok(folder),
        false => {
            let why = done
                .errors
                .lines()
                .rev()
                .find(|line| line.starts_with("ERROR"))
                .unwrap_or("pip failed")
                .to_owned();
            Err(Missing {
                what: what.to_owned(),
                why,
                commands: vec![command],
            }
            .into())
        }
    }
}

fn imports(folder: &Path, statement: &str) -> bool {
    folder.is_dir()
        && Process::new(PYTHON)
            .args(["-c", statement])
            .env("PYTHONPATH", folder)
            .silent()
            .is_ok_and(|python| python.status.success())
}
