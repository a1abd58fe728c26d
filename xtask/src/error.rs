//! What may go wrong in a chore; every message says what to do next.

use std::fmt;
use std::path::PathBuf;

/// Why a chore could not be done.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line was not understood.
    Usage(String),
    /// A program could not be started.
    Start {
        program: String,
        source: std::io::Error,
        hint: Option<String>,
    },
    /// A program ran and failed.
    Failed {
        command: String,
        status: String,
        hint: Option<String>,
    },
    /// A program ran longer than it was given.
    TimedOut { command: String, seconds: u64 },
    /// A file could not be read or written.
    File { path: PathBuf, source: std::io::Error },
    /// Something the tests need is not there and may not, or could not, be installed.
    Missing(Missing),
    /// A check found what it looks for.
    Check(String),
}

/// A thing that the tests need and that is not on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// The thing, as a person names it: "ONNX Runtime 1.31.1".
    pub(crate) what: String,
    /// Why it was not brought.
    pub(crate) why: String,
    /// The exact commands that bring it.
    pub(crate) commands: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing ({}). To install it:", self.what, self.why)?;
        for command in &self.commands {
            write!(f, "\n    {command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => write!(f, "{what}; see `cargo xtask --help`"),
            Error::Start { program, source, hint } => {
                write!(f, "cannot start `{program}`: {source}")?;
                write_hint(f, hint)
            }
            Error::Failed { command, status, hint } => {
                write!(f, "`{command}` failed ({status})")?;
                write_hint(f, hint)
            }
            Error::TimedOut { command, seconds } => write!(f, "`{command}` was stopped after {seconds} s"),
            Error::File { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Missing(missing) => missing.fmt(f),
            Error::Check(what) => f.write_str(what),
        }
    }
}

fn write_hint(f: &mut fmt::Formatter<'_>, hint: &Option<String>) -> fmt::Result {
    hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
}

impl std::error::Error for Error {}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        Error::Missing(missing)
    }
}

/// Attaches a path to a file error.
pub(crate) trait AtPath<T> {
    /// The same result, with the path that it is about.
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::File {
            path: path.into(),
            source,
        })
    }
}
