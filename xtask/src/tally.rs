//! Counts of what passed, failed and was skipped.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// How many checks passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// One check that passed.
    pub(crate) const PASS: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    /// One check that failed.
    pub(crate) const FAIL: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// One check that could not run here.
    pub(crate) const SKIP: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// All checks that were counted.
    pub(crate) const fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// The sum over every `test result:` line that libtest printed.
    pub(crate) fn of_libtest(output: &str) -> Self {
        output.lines().filter_map(Self::of_line).sum()
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`
    fn of_line(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count = |name: &str| {
            counts
                .split(';')
                .find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<usize>().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }

    /// Moves tests that returned early because they cannot run here from `passed` to `skipped`.
    pub(crate) fn with_skipped(self, count: usize) -> Self {
        let count = count.min(self.passed);
        Self {
            passed: self.passed - count,
            skipped: self.skipped + count,
            ..self
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_lines_of_libtest() {
        let output = "running 4 tests\ntest a ... ok\n\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
            test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(
            Tally::of_libtest(output),
            Tally {
                passed: 13,
                failed: 2,
                skipped: 1
            }
        );
        assert_eq!(Tally::of_libtest("no tests here"), Tally::default());
    }

    #[test]
    fn a_skipped_test_leaves_the_passed_ones() {
        let tally = Tally {
            passed: 5,
            failed: 1,
            skipped: 0,
        }
        .with_skipped(2);
        assert_eq!(
            tally,
            Tally {
                passed: 3,
                failed: 1,
                skipped: 2
            }
        );
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 2 skipped");
        assert_eq!(Tally::PASS.with_skipped(9), Tally::SKIP);
    }
}
