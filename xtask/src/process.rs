//! Child processes.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::workspace::Workspace;

/// A command line to run, with what to say when it fails.
pub(crate) struct Process {
    command: Command,
    hint: Option<String>,
    limit: Option<Duration>,
}

/// What a finished process left behind.
pub(crate) struct Finished {
    /// Everything it wrote to standard output.
    pub(crate) output: String,
    /// Everything it wrote to standard error; empty where that was shown as it came.
    pub(crate) errors: String,
    /// Its exit status.
    pub(crate) status: ExitStatus,
}

/// The cargo that runs this program.
pub(crate) fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Cargo, in the workspace's root.
pub(crate) fn cargo(workspace: &Workspace) -> Process {
    Process::new(cargo_path()).current_dir(workspace.root())
}

impl Process {
    /// A process of this program, which is looked up on `PATH`.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            hint: None,
            limit: None,
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Puts a folder in front of the child's `PATH`.
    pub(crate) fn path_first(self, folder: &Path) -> Self {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&rest));
        match std::env::join_paths(folders) {
            Ok(path) => self.env("PATH", path),
            // A folder with a separator in its name cannot be on a PATH at all.
            Err(_) => self,
        }
    }

    /// What the user can do when this fails.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Stops the process when it runs longer than this.
    pub(crate) fn limit(mut self, seconds: u64) -> Self {
        self.limit = Some(Duration::from_secs(seconds));
        self
    }

    /// Runs it with its output shown; a failure is an error.
    pub(crate) fn run(self) -> Result<(), Error> {
        let line = self.line();
        let hint = self.hint.clone();
        let status = self.shown()?.status;
        checked(status, line, hint)
    }

    /// Runs it with its output shown as it comes, and kept.
    pub(crate) fn shown(mut self) -> Result<Finished, Error> {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        self.wait(true)
    }

    /// Runs it silently, whatever its exit status.
    pub(crate) fn silent(mut self) -> Result<Finished, Error> {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.wait(false)
    }

    /// Runs it silently and returns its standard output; a failure is an error.
    pub(crate) fn output(self) -> Result<String, Error> {
        let line = self.line();
        let hint = self.hint.clone();
        let finished = self.silent()?;
        if !finished.status.success() {
            eprint!("{}", finished.errors);
        }
        checked(finished.status, line, hint)?;
        Ok(finished.output)
    }

    /// The command line as a person would type it.
    pub(crate) fn line(&self) -> String {
        let words: Vec<OsString> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_os_string)
            .collect();
        words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn wait(mut self, show: bool) -> Result<Finished, Error> {
        let command = self.line();
        let mut child = self.command.spawn().map_err(|source| Error::Start {
            program: self.command.get_program().to_string_lossy().into_owned(),
            source,
            hint: self.hint.clone(),
        })?;
        // Both pipes are drained by threads: a child that fills one while we read the other would never end.
        let output = child
            .stdout
            .take()
            .map(|pipe| std::thread::spawn(move || collect(pipe, show)));
        let errors = child
            .stderr
            .take()
            .map(|pipe| std::thread::spawn(move || collect(pipe, show)));
        let started = Instant::now();
        let status = loop {
            let polled = match self.limit {
                None => child.wait().map(Some),
                Some(_) => child.try_wait(),
            };
            match polled {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(source) => {
                    return Err(Error::Start {
                        program: command,
                        source,
                        hint: None,
                    });
                }
            }
            if let Some(limit) = self.limit.filter(|limit| started.elapsed() > *limit) {
                // It may have ended by itself between the two calls; either way it is gone.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::TimedOut {
                    command,
                    seconds: limit.as_secs(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let joined = |thread: Option<std::thread::JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        Ok(Finished {
            output: joined(output),
            errors: joined(errors),
            status,
        })
    }
}

fn checked(status: ExitStatus, command: String, hint: Option<String>) -> Result<(), Error> {
    match status.success() {
        true => Ok(()),
        false => Err(Error::Failed {
            command,
            status: status.to_string(),
            hint,
        }),
    }
}

/// Reads a pipe to its end, line by line, and shows each line as it comes.
fn collect(pipe: impl Read, show: bool) -> String {
    let mut reader = BufReader::new(pipe);
    let mut all = String::new();
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
        let text = String::from_utf8_lossy(&line);
        if show {
            print!("{text}");
        }
        all.push_str(&text);
        line.clear();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_streams_and_the_status() {
        let finished = Process::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .silent()
            .unwrap();
        assert_eq!((finished.output.as_str(), finished.errors.as_str()), ("out\n", "err\n"));
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn stops_what_runs_too_long() {
        let error = Process::new("sleep").arg("30").limit(0).silent().err().unwrap();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_with_the_hint() {
        let error = Process::new("pliant-no-such-program")
            .hint("install it")
            .run()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("pliant-no-such-program") && error.contains("install it"),
            "{error}"
        );
    }
}
