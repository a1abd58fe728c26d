//! `[family.task-conflict]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Regression tasks that conflict: pairs of nearly opposite directions in a shared space of features, targets over two
/// orders of magnitude, and from few rows to many. Everything is drawn from the recipe's seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConflict {
    /// Labelled rows of each task; as many tasks as there are numbers. From 2 to 64 tasks of 2 to 100000 rows.
    pub rows: Vec<usize>,
    /// Rows that calibrate, of each task. From 2 to 100000; default 256.
    #[serde(default = "TaskConflict::default_validation_rows")]
    pub validation_rows: usize,
    /// Rows that score, of each task. From 2 to 100000; default 4096.
    #[serde(default = "TaskConflict::default_test_rows")]
    pub test_rows: usize,
}

impl TaskConflict {
    fn default_validation_rows() -> usize {
        256
    }

    fn default_test_rows() -> usize {
        4096
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        let fine = (2..=64).contains(&self.rows.len()) && self.rows.iter().all(|rows| (2..=100_000).contains(rows));
        checker.require(
            fine,
            "rows",
            format_args!("{:?}", self.rows),
            "2 to 64 whole numbers from 2 to 100000",
        );
        checker.count("validation_rows", self.validation_rows as u64, 2, 100_000);
        checker.count("test_rows", self.test_rows as u64, 2, 100_000);
    }
}
