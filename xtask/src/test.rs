//! `cargo xtask test`: every check of the project, cheapest first, with counts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::board;
use crate::docs;
use crate::error::{AtPath, Error, Missing};
use crate::firmware;
use crate::firmware::toolchain::Choice;
use crate::process::{Process, cargo};
use crate::provide;
use crate::tally::Tally;
use crate::trust::miri;
use crate::workspace::Workspace;

/// Integration tests whose name starts so make up the conformance step.
const CONFORMANCE: &str = "conformance";

/// The features of every test build of the workspace: the same for all, so that it is compiled once. Clippy compiles it
/// without.
const FEATURES: [&str; 2] = ["--features", "pliant-trainer/tract"];

/// One step of the test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `cargo fmt --check`.
    Format,
    /// Clippy over all targets, warnings are errors.
    Clippy,
    /// rustdoc, warnings are errors.
    Docs,
    /// Unit, integration and documentation tests.
    Unit,
    /// Every engine against the reference.
    Conformance,
    /// The runtime's hand-over of parameters between threads under Miri.
    Miri,
    /// The firmware example: linked without a reachable panic, run under the emulator, same bits as the host.
    Firmware,
    /// The example of the Linux board, emulated.
    Board,
    /// ARCHITECTURE.md against the tree, the README's figures against their source.
    Map,
}

impl Step {
    /// All steps in the order in which they run.
    const ALL: [Self; 9] = [
        Self::Format,
        Self::Clippy,
        Self::Docs,
        Self::Unit,
        Self::Conformance,
        Self::Miri,
        Self::Firmware,
        Self::Board,
        Self::Map,
    ];

    /// The step's name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Unit => "unit",
            Self::Conformance => "conformance",
            Self::Miri => "miri",
            Self::Firmware => "firmware",
            Self::Board => "board",
            Self::Map => "map",
        }
    }

    /// The step of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// What a run has found so far.
struct Run<'w> {
    workspace: &'w Workspace,
    install: bool,
    missing: Vec<Missing>,
    /// Filled by the first step that needs it: the environment that lets tests find what was brought.
    environment: Option<Vec<(&'static str, PathBuf)>>,
}

/// Runs the steps (all when the list is empty) and prints the counts; the exit code says whether all is well.
pub(crate) fn run(workspace: &Workspace, steps: &[Step], install: bool) -> Result<ExitCode, Error> {
    let steps = if steps.is_empty() { &Step::ALL } else { steps };
    let mut run = Run {
        workspace,
        install,
        missing: Vec::new(),
        environment: None,
    };
    let mut results = Vec::new();
    for &step in steps {
        println!("\n== {}", step.name());
        let started = Instant::now();
        let tally = run.step(step).unwrap_or_else(|error| match error {
            Error::Missing(missing) => {
                println!("skipped: {missing}");
                run.missing.push(missing);
                Tally::SKIP
            }
            error => {
                println!("failed: {error}");
                Tally::FAIL
            }
        });
        results.push((step, tally, started.elapsed()));
    }
    Ok(report(&results, &run.missing))
}

impl Run<'_> {
    fn step(&mut self, step: Step) -> Result<Tally, Error> {
        match step {
            Step::Format => Ok(self.passes(cargo(self.workspace).args(["fmt", "--all", "--check"]))?
                // Not `--all`: that reaches through the path dependencies into the main workspace.
                + self.passes(
                    firmware::cargo(self.workspace)
                        .args(["fmt", "--check"])
                        .args(firmware::board_packages())
                        .args(firmware::host_packages()),
                )?),
            Step::Clippy => {
                let warnings = ["--", "--deny", "warnings"];
                let all = ["clippy", "--workspace", "--all-targets", "--locked"];
                Ok(self.passes(cargo(self.workspace).args(all).args(warnings))?
                    + self.passes(
                        firmware::cargo(self.workspace)
                            .args(["clippy", "--all-targets", "--locked"])
                            .args(firmware::host_packages())
                            .args(warnings),
                    )?)
            }
            Step::Docs => self.passes(
                cargo(self.workspace)
                    .args(["doc", "--workspace", "--no-deps", "--locked"])
                    .env("RUSTDOCFLAGS", "--deny warnings"),
            ),
            Step::Unit => {
                let integration = self.integration_tests(|name| !name.starts_with(CONFORMANCE));
                let unit = self.libtest(
                    cargo(self.workspace)
                        .args(["test", "--workspace", "--lib", "--bins", "--locked", "--no-fail-fast"])
                        .args(FEATURES)
                        .args(integration),
                )?;
                let examples = self.libtest(
                    cargo(self.workspace)
                        .args(["test", "--workspace", "--doc", "--locked", "--no-fail-fast"])
                        .args(FEATURES),
                )?;
                let firmware = self.libtest(
                    firmware::cargo(self.workspace)
                        .args(["test", "--locked", "--no-fail-fast"])
                        .args(firmware::host_packages()),
                )?;
                // A build without every kernel refuses the images that need one: compiled out of the runs above.
                let missing_kernel = self.libtest(cargo(self.workspace).args([
                    "test",
                    "--package",
                    "pliant-runtime",
                    "--no-default-features",
                    "--features",
                    "kernel-unary",
                    "--test",
                    "missing_kernel",
                    "--locked",
                ]))?;
                Ok(unit + examples + firmware + missing_kernel)
            }
            Step::Conformance => {
                let suites = self.integration_tests(|name| name.starts_with(CONFORMANCE));
                if suites.is_empty() {
                    return Err(Error::Check(format!("no integration test is called {CONFORMANCE}*")));
                }
                self.libtest(
                    cargo(self.workspace)
                        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
                        .args(FEATURES)
                        .args(suites),
                )
            }
            Step::Miri => match miri::processes(self.workspace, self.install) {
                Ok(processes) => {
                    let mut tally = Tally::default();
                    for process in processes {
                        tally += self.libtest(process)?;
                    }
                    for reason in miri::SKIPPED {
                        println!("skipped: {reason}");
                        tally += Tally::SKIP;
                    }
                    Ok(tally)
                }
                // A nightly toolchain is not to be had everywhere, so that its absence is counted but is no failure.
                Err(Error::Missing(missing)) => {
                    println!("skipped: {missing}");
                    Ok(Tally::SKIP)
                }
                Err(error) => Err(error),
            },
            Step::Firmware => {
                let checked = firmware::check(self.workspace, Choice::Auto, self.install)?;
                self.missing.extend(checked.missing);
                Ok(checked.tally)
            }
            Step::Board => {
                let (tally, missing) = board::check(self.workspace, self.install);
                self.missing.extend(missing);
                Ok(tally)
            }
            Step::Map => Ok(verdict("ARCHITECTURE.md", docs::map::check(self.workspace))
                + verdict("README.md", docs::figures::run(self.workspace, true))),
        }
    }

    /// One check that is a command: it passes or it fails.
    fn passes(&self, process: Process) -> Result<Tally, Error> {
        match process.run() {
            Ok(()) => Ok(Tally::PASS),
            Err(error @ Error::Failed { .. }) => {
                println!("failed: {error}");
                Ok(Tally::FAIL)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs tests and counts them.
    fn libtest(&mut self, process: Process) -> Result<Tally, Error> {
        let skipped = self.workspace.target().join("xtask").join("skipped");
        let folder = skipped.parent().unwrap_or(self.workspace.target());
        std::fs::create_dir_all(folder).at(folder)?;
        std::fs::write(&skipped, "").at(&skipped)?;
        let mut process = process.env("PLIANT_SKIPPED", &skipped);
        for (name, value) in self.environment() {
            process = process.env(name, value);
        }
        let finished = process.shown()?;
        let reasons = std::fs::read_to_string(&skipped).at(&skipped)?;
        for reason in reasons.lines() {
            println!("skipped: {reason}");
        }
        let tally = Tally::of_libtest(&finished.output).with_skipped(reasons.lines().count());
        // A test program that does not compile, or dies, prints no count.
        Ok(match finished.status.success() || tally.failed > 0 {
            true => tally,
            false => tally + Tally::FAIL,
        })
    }

    /// `--test NAME` for each integration test whose name is wanted.
    fn integration_tests(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self
            .workspace
            .integration_tests()
            .into_iter()
            .filter(|name| wanted(name));
        names.flat_map(|name| ["--test".to_owned(), name]).collect()
    }

    /// Brings the libraries that tests use, once, and says where they are.
    fn environment(&mut self) -> Vec<(&'static str, PathBuf)> {
        if let Some(environment) = &self.environment {
            return environment.clone();
        }
        let mut environment = Vec::new();
        match provide::onnxruntime::provide(self.workspace, self.install) {
            Ok(library) => environment.push(("ORT_DYLIB_PATH", library)),
            Err(error) => self.note(error, "ONNX Runtime"),
        }
        match provide::python::provide_onnx(self.workspace, self.install) {
            Ok(folder) => {
                environment.push(("PYTHONPATH", folder));
                environment.push(("PLIANT_PYTHON", PathBuf::from(provide::python::PYTHON)));
            }
            Err(error) => self.note(error, "the ONNX checker"),
        }
        match provide::python::provide_tensorboard(self.workspace, self.install) {
            Ok(folder) => environment.push(("PLIANT_TENSORBOARD", folder)),
            Err(error) => self.note(error, "TensorBoard"),
        }
        match provide::browser::provide(self.install) {
            Ok(()) => environment.push(("PLIANT_CHROMIUM", PathBuf::from(provide::browser::PROGRAM))),
            Err(missing) => self.note(missing.into(), "Chromium"),
        }
        self.environment = Some(environment.clone());
        environment
    }

    /// Remembers what is missing. The tests that need it count themselves as skipped.
    fn note(&mut self, error: Error, what: &str) {
        println!("{error}");
        self.missing.push(match error {
            Error::Missing(missing) => missing,
            error => Missing {
                what: what.to_owned(),
                why: error.to_string(),
                commands: Vec::new(),
            },
        });
    }
}

fn verdict(name: &str, result: Result<(), Error>) -> Tally {
    match result {
        Ok(()) => {
            println!("{name}: ok");
            Tally::PASS
        }
        Err(error) => {
            println!("{name}: {error}");
            Tally::FAIL
        }
    }
}

/// Prints the table and the closing line.
fn report(results: &[(Step, Tally, Duration)], missing: &[Missing]) -> ExitCode {
    println!(
        "\n{:<12} {:>7} {:>7} {:>8} {:>8}",
        "step", "passed", "failed", "skipped", "seconds"
    );
    for (step, tally, time) in results {
        let Tally {
            passed,
            failed,
            skipped,
        } = tally;
        println!(
            "{:<12} {passed:>7} {failed:>7} {skipped:>8} {:>8.1}",
            step.name(),
            time.as_secs_f64()
        );
    }
    let total: Tally = results.iter().map(|(_, tally, _)| *tally).sum();
    for missing in missing {
        println!("\n{missing}");
    }
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    if strict && !missing.is_empty() {
        println!("\nCI=true: what could not be installed counts as a failure");
    }
    println!("\n{total}");
    match total.failed > 0 || (strict && !missing.is_empty()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_found_by_its_name() {
        for step in Step::ALL {
            assert_eq!(Step::from_name(step.name()), Some(step));
        }
        assert_eq!(Step::from_name("lint"), None);
    }
}
