//! Branch coverage of the runtime by its own tests.

use std::path::{Path, PathBuf};

use crate::error::{AtPath, Error};
use crate::process::{Process, cargo};
use crate::provide::{apt, has_program};
use crate::workspace::Workspace;

/// Least share of branches, percent.
const LEAST: f64 = 90.0;

/// Runs the runtime's tests instrumented, prints the table and compares the total with [`LEAST`].
pub(crate) fn run(workspace: &Workspace, install: bool) -> Result<(), Error> {
    let tools = tools(install)?;
    let folder = workspace.target().join("coverage");
    let profiles = folder.join("profiles");
    if profiles.is_dir() {
        std::fs::remove_dir_all(&profiles).at(&profiles)?;
    }
    std::fs::create_dir_all(&profiles).at(&profiles)?;
    let tests = |more: &[&str]| {
        cargo(workspace)
            .args([
                "test",
                "--package",
                "pliant-runtime",
                "--features",
                // All of it but `onnx`, whose tests are the trainer's and whose hundred and fifty crates are not ours.
                "std,store,signatures",
                "--lib",
                "--tests",
                "--locked",
            ])
            .args(more)
            .env("CARGO_TARGET_DIR", &folder)
            .env("RUSTFLAGS", "-Cinstrument-coverage -Zcoverage-options=branch")
            // -Z options on a released compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"))
    };
    let built = tests(&["--no-run", "--message-format=json"]).output()?;
    tests(&["--quiet"]).run()?;

    let merged = folder.join("merged.profdata");
    Process::new(tools.join("llvm-profdata"))
        .args(["merge", "--sparse", "--output"])
        .arg(&merged)
        .args(files(&profiles)?)
        .run()?;
    let mut report = Process::new(tools.join("llvm-cov"))
        .args([
            "report",
            "--show-branch-summary",
            "--show-region-summary=false",
            "--instr-profile",
        ])
        .arg(&merged)
        // Of the libraries, only the runtime; of the runtime, not its tests.
        .args([
            "--ignore-filename-regex",
            r"/(registry|rustc|rustlib|tests|compiler|coverage)/",
        ]);
    for (program, index) in programs(&built).iter().zip(0..) {
        report = match index {
            0 => report.arg(program),
            _ => report.arg("--object").arg(program),
        };
    }
    let table = report.output()?;
    println!("{table}");
    let share = branches(&table).ok_or_else(|| Error::Check("llvm-cov printed no total of branches".to_owned()))?;
    println!("branch coverage of the runtime: {share:.2} % (at least {LEAST} %)");
    match share >= LEAST {
        true => Ok(()),
        false => Err(Error::Check(format!("branch coverage {share:.2} % is below {LEAST} %"))),
    }
}

/// Percent of branches in the last line of the table: the last column.
fn branches(table: &str) -> Option<f64> {
    let total = table.lines().find(|line| line.starts_with("TOTAL"))?;
    total.split_whitespace().last()?.strip_suffix('%')?.parse().ok()
}

/// The test programs among cargo's messages.
fn programs(messages: &str) -> Vec<PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).at(folder)?;
    entries.map(|entry| Ok(entry.at(folder)?.path())).collect()
}

/// The folder with `llvm-cov` and `llvm-profdata` of the LLVM version that the compiler is built with.
fn tools(install: bool) -> Result<PathBuf, Error> {
    let version = Process::new("rustc").arg("-vV").output()?;
    let version = version.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version
        .and_then(|version| version.split('.').next())
        .unwrap_or_default()
        .to_owned();
    let sysroot = Process::new("rustc").args(["--print", "target-libdir"]).output()?;
    let of_rustup = Path::new(sysroot.trim()).with_file_name("bin");
    let of_debian = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
    let found = || {
        let folders = [&of_rustup, &of_debian];
        folders
            .into_iter()
            .find(|folder| folder.join("llvm-cov").is_file())
            .cloned()
    };
    if let Some(folder) = found() {
        return Ok(folder);
    }
    if install && has_program("rustup") {
        let component = ["component", "add", "llvm-tools"];
        let _ = Process::new("rustup").args(component).limit(180).silent();
    }
    if let Some(folder) = found() {
        return Ok(folder);
    }
    apt::provide("llvm-cov", &[&format!("llvm-{major}")], install)?;
    found().ok_or_else(|| Error::Check(format!("llvm-{major} is installed, but holds no llvm-cov")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_branches_is_the_last_number_of_the_total() {
        let table =
            "Filename Branches Missed Cover\nplan.rs 10 1 90.00%\nTOTAL 16 0 100.00% 200 10 95.00% 40 3 92.50%\n";
        assert_eq!(branches(table), Some(92.5));
        assert_eq!(branches("error: no coverage"), None);
    }

    #[test]
    fn test_programs_are_found_among_the_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":"/t/image-1"}"#,
            "\nwarning: text\n"
        );
        assert_eq!(programs(messages), [PathBuf::from("/t/image-1")]);
    }
}
