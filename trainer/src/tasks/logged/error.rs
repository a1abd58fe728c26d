//! What is wrong with logged data, where, and what to do.

use std::path::PathBuf;

/// Why logged data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be read.
    #[error(
        "cannot read {}: {source}; files are looked for in `family.logged.folder`, as seen from where pliant runs",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a file of a format that is read.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A column that the recipe names is not there.
    #[error("{}: no column `{column}`; it has {}", path.display(), list(.found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// What is there.
        found: Vec<String>,
    },
    /// A column that the recipe uses is of a type that is neither numbers nor text.
    #[error(
        "{}, column `{column}`: it holds {found}, not numbers, booleans or text; write it as one of these, or name the columns to \
         use with `inputs`",
        path.display()
    )]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type, in words.
        found: String,
    },
    /// A column of a damaged file.
    #[error("{}, column `{column}`: {problem}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// This build does not read the format.
    #[error(
        "{}: this build of pliant reads no {format}; build with `--features columnar` (part of the default features), or save the \
         table as .csv",
        path.display()
    )]
    NotBuilt {
        /// The file.
        path: PathBuf,
        /// What the file is.
        format: &'static str,
    },
    /// A cell does not hold what its column is used for.
    #[error("{}, {place}, column `{column}`: {found} is not {wanted}; {instead}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line or row.
        place: String,
        /// The column.
        column: String,
        /// What is there.
        found: String,
        /// What must be.
        wanted: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The rows of a task are not enough, or not of the kind that the recipe says.
    #[error("task `{task}`: {problem}")]
    Task {
        /// The task.
        task: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The recipe speaks of a task that no file has.
    #[error("the recipe has `[family.logged.tasks.{task}]`, but the files hold {}", list(.found))]
    NoTask {
        /// The task.
        task: String,
        /// What is there.
        found: Vec<String>,
    },
    /// The features cannot be computed.
    #[error("cannot compute the features: {0}")]
    Features(String),
}

fn list(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    shown.join(", ")
}
