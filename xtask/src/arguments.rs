//! The command line.

use std::path::PathBuf;

use crate::docs::measure;
use crate::error::Error;
use crate::firmware::toolchain::Choice;
use crate::test;
use crate::trust::fuzz;

/// What `cargo xtask --help` prints.
pub(crate) const HELP: &str = "\
The chores of the Pliant workspace.

Usage: cargo xtask <CHORE> [OPTIONS]

Chores:
  test [STEP...]   Bring what the tests need, then run every check, cheapest first, and count.
                   Steps, in order: format, clippy, docs, unit, conformance, miri, firmware, board, map (default: all)
      --no-install   install and download nothing: skip what is missing, and name the commands
  onnxruntime      Fetch ONNX Runtime's library into the target folder and print its path
  firmware         Build the firmware example, check the ELF, run it under the emulator, compare with the host
  firmware count [IMAGE...]   Instructions of `act` on the emulated board, whole and record by record
                   (default: untrained 16-64-64-4 and 22-16-gru16-4)
  firmware size    Bytes of code in flash, of a firmware that acts and of one that also adapts
      --toolchain <rustup|debian|auto>   who compiles for the bare-metal target (default: auto)
      --no-install                       as above
  board            Build the navigation example for an aarch64 Linux board, run it there with the device image and with the
                   ONNX models over tract, emulated
      --no-install                       as above
  peers [WORK...]  The same work on Pliant's engines, ONNX Runtime, tract, candle, rl-tools, JAX and PyTorch, one thread each,
                   by turns; writes its rows of the table of docs/engines.md, for a quarter of an hour on a machine with
                   nothing else to do (works: maml, gru, policy, act-mlp, act-gru, adapt; default: all)
      --no-install                       as above
  measure [PART...]  Measure what the README states into docs/figures.json: sinusoid, navigation, quadrotor,
                   quadrotor-robust, quadrotor-small, ppo, speed, firmware; the tables of docs/algorithms/multi-task.md: task-conflict; of
                   docs/algorithms/multi-task-ppo.md: multi-task-ppo; of docs/diagnosis.md: diagnosis; and
                   how cost grows, docs/growth.svg and its tables in docs/engines.md: growth; products by instruction
                   set, a table there: products
                   (default: all; more than an hour on two cores)
  docs             Write the measured figures of docs/figures.json between the markers in README.md and docs/
      --check        only compare: fails when a page says something else
  data             Write the data sets of the recipe `diagnosis`, from the scikit-learn wheel, to target/diagnosis
      --no-install                       as above
  fuzz [TARGET...] Run the fuzzers: image, delta, telemetry, onnx, recipe (default: all; needs cargo-fuzz)
      --runs <N>     executions of each (default: ten million, a million for onnx and recipe)
  coverage         Branch coverage of the runtime by its tests; fails below 90 %
      --no-install                       as above
  deny             Licences and advisories of every dependency (needs cargo-deny)

Under CI=true a test that was skipped because something could not be installed is a failure.
";

/// One chore with its options.
#[derive(Debug, PartialEq)]
pub(crate) enum Chore {
    /// Print [`HELP`].
    Help,
    /// Run the checks; an empty list of steps means all of them.
    Test { steps: Vec<test::Step>, install: bool },
    /// Fetch ONNX Runtime.
    OnnxRuntime,
    /// Build and run the firmware example, or measure.
    Firmware {
        toolchain: Choice,
        install: bool,
        task: FirmwareTask,
    },
    /// Build and run the example of the Linux board.
    Board { install: bool },
    /// Compare with the peers; an empty list of works means all of them.
    Peers { works: Vec<String>, install: bool },
    /// Measure what the README states; an empty list of parts means all of them.
    Measure { parts: Vec<String> },
    /// Write the data sets of the recipe `diagnosis`.
    Data { install: bool },
    /// Write or check the README's figures.
    Docs { check: bool },
    /// Run the fuzzers of these names; an empty list means all of them.
    Fuzz { targets: Vec<String>, runs: Option<u64> },
    /// Measure the branch coverage of the runtime.
    Coverage { install: bool },
    /// Run cargo-deny.
    Deny,
}

/// What to do with the firmware.
#[derive(Debug, PartialEq)]
pub(crate) enum FirmwareTask {
    /// Every check of the example.
    Check,
    /// Count the instructions of `act` of these images; none: of untrained policies.
    Count(Vec<PathBuf>),
    /// Bytes of code.
    Size,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Chore, Error> {
    let mut words = arguments.peekable();
    let Some(chore) = words.next() else {
        return Ok(Chore::Help);
    };
    let rest: Vec<String> = words.collect();
    if matches!(chore.as_str(), "help" | "-h" | "--help") || rest.iter().any(|word| word == "-h" || word == "--help") {
        return Ok(Chore::Help);
    }
    let mut rest = rest.into_iter();
    match chore.as_str() {
        "test" => {
            let (mut steps, mut install) = (Vec::new(), true);
            for word in rest {
                match word.as_str() {
                    "--no-install" => install = false,
                    name => steps.push(
                        test::Step::from_name(name).ok_or_else(|| Error::Usage(format!("no test step `{name}`")))?,
                    ),
                }
            }
            Ok(Chore::Test { steps, install })
        }
        "firmware" => {
            let (mut toolchain, mut install, mut task) = (Choice::Auto, true, FirmwareTask::Check);
            while let Some(word) = rest.next() {
                match (word.as_str(), &mut task) {
                    ("count", FirmwareTask::Check) => task = FirmwareTask::Count(Vec::new()),
                    ("size", FirmwareTask::Check) => task = FirmwareTask::Size,
                    ("--no-install", _) => install = false,
                    ("--toolchain", _) => {
                        let name = rest.next().unwrap_or_default();
                        toolchain = Choice::from_name(&name)
                            .ok_or_else(|| Error::Usage(format!("no toolchain `{name}`: rustup, debian or auto")))?;
                    }
                    (image, FirmwareTask::Count(images)) if !image.starts_with('-') => images.push(image.into()),
                    (other, _) => return Err(Error::Usage(format!("firmware does not know `{other}`"))),
                }
            }
            Ok(Chore::Firmware {
                toolchain,
                install,
                task,
            })
        }
        "board" | "peers" => {
            let (names, options): (Vec<String>, Vec<String>) = rest.partition(|word| !word.starts_with('-'));
            if let Some(other) = options.iter().find(|option| *option != "--no-install") {
                return Err(Error::Usage(format!("{chore} does not know `{other}`")));
            }
            let install = options.is_empty();
            match (chore.as_str(), names.first()) {
                ("peers", _) => Ok(Chore::Peers { works: names, install }),
                (_, None) => Ok(Chore::Board { install }),
                (_, Some(other)) => Err(Error::Usage(format!("board does not know `{other}`"))),
            }
        }
        "measure" => {
            let parts: Vec<String> = rest.collect();
            match parts.iter().find(|part| !measure::PARTS.contains(&part.as_str())) {
                None => Ok(Chore::Measure { parts }),
                Some(other) => Err(Error::Usage(format!("measure does not know `{other}`"))),
            }
        }
        "fuzz" => {
            let (mut targets, mut runs) = (Vec::new(), None);
            while let Some(word) = rest.next() {
                if word == "--runs" {
                    let number = rest.next().unwrap_or_default();
                    let number = number
                        .parse()
                        .map_err(|_| Error::Usage(format!("`{number}` is no number of runs")))?;
                    runs = Some(number);
                } else if fuzz::TARGETS.iter().any(|target| target.name == word) {
                    targets.push(word);
                } else {
                    return Err(Error::Usage(format!("no fuzzer `{word}`")));
                }
            }
            Ok(Chore::Fuzz { targets, runs })
        }
        "coverage" | "data" => {
            let install = match (rest.next().as_deref(), rest.next()) {
                (None, _) => true,
                (Some("--no-install"), None) => false,
                (Some(other), _) => return Err(Error::Usage(format!("{chore} does not know `{other}`"))),
            };
            Ok(match chore.as_str() {
                "coverage" => Chore::Coverage { install },
                _ => Chore::Data { install },
            })
        }
        "docs" => match (rest.next().as_deref(), rest.next()) {
            (None, _) => Ok(Chore::Docs { check: false }),
            (Some("--check"), None) => Ok(Chore::Docs { check: true }),
            (Some(other), _) => Err(Error::Usage(format!("docs does not know `{other}`"))),
        },
        "onnxruntime" | "deny" => match rest.next() {
            Some(other) => Err(Error::Usage(format!("{chore} does not know `{other}`"))),
            None if chore == "deny" => Ok(Chore::Deny),
            None => Ok(Chore::OnnxRuntime),
        },
        other => Err(Error::Usage(format!("no chore `{other}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Chore, Error> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_every_chore() {
        assert_eq!(parsed("").unwrap(), Chore::Help);
        assert_eq!(
            parsed("test").unwrap(),
            Chore::Test {
                steps: vec![],
                install: true
            }
        );
        assert_eq!(
            parsed("test format firmware --no-install").unwrap(),
            Chore::Test {
                steps: vec![test::Step::Format, test::Step::Firmware],
                install: false
            }
        );
        assert_eq!(
            parsed("firmware --toolchain debian").unwrap(),
            Chore::Firmware {
                toolchain: Choice::Debian,
                install: true,
                task: FirmwareTask::Check
            }
        );
        assert_eq!(
            parsed("firmware count one.pliant --no-install two.pliant").unwrap(),
            Chore::Firmware {
                toolchain: Choice::Auto,
                install: false,
                task: FirmwareTask::Count(vec!["one.pliant".into(), "two.pliant".into()])
            }
        );
        assert_eq!(
            parsed("fuzz image onnx --runs 1000").unwrap(),
            Chore::Fuzz {
                targets: vec!["image".to_owned(), "onnx".to_owned()],
                runs: Some(1000)
            }
        );
        assert_eq!(parsed("docs --check").unwrap(), Chore::Docs { check: true });
        assert_eq!(parsed("test --help").unwrap(), Chore::Help);
    }

    #[test]
    fn refuses_what_it_does_not_know_by_name() {
        for (line, named) in [
            ("polish", "polish"),
            ("test lint", "lint"),
            ("docs --wite", "--wite"),
            ("deny now", "now"),
            ("fuzz images", "images"),
            ("fuzz image --runs many", "many"),
            ("coverage all", "all"),
        ] {
            let message = parsed(line).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
