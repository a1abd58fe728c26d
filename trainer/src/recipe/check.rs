//! Range checks of recipe fields: every field states its range once, and a value outside is refused by name, range and line.

use std::fmt;

/// A field whose value lies outside its range.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfRange {
    /// The dotted path of the field, for instance `algorithm.maml.inner_rate`.
    pub field: String,
    /// The value as written.
    pub value: String,
    /// The accepted range in words, for instance `greater than 0, at most 10`.
    pub range: String,
    /// The line in the recipe (from 1), where the recipe came from text.
    pub line: Option<usize>,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(
            f,
            "`{}` = {} is out of range: it must be {}",
            self.field, self.value, self.range
        )
    }
}

/// Collects what is out of range while a recipe walks through its sections.
#[derive(Debug, Default)]
pub struct Checker {
    path: Vec<String>,
    pub(super) problems: Vec<OutOfRange>,
}

impl Checker {
    /// Checks a sub-section called `name`.
    pub fn section(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        check(self);
        self.path.pop();
    }

    /// Refuses `field` unless `fine`; `range` completes the sentence "it must be ...".
    pub fn require(&mut self, fine: bool, field: &str, value: impl fmt::Display, range: impl fmt::Display) {
        if !fine {
            let mut path = self.path.clone();
            path.push(field.to_owned());
            self.problems.push(OutOfRange {
                field: path.join("."),
                value: value.to_string(),
                range: range.to_string(),
                line: None,
            });
        }
    }

    /// `value` must lie in `[low, high]`.
    pub fn between(&mut self, field: &str, value: f32, low: f32, high: f32) {
        self.require(
            value >= low && value <= high,
            field,
            value,
            format_args!("from {low} to {high}"),
        );
    }

    /// `value` must lie in `(0, high]`.
    pub fn positive(&mut self, field: &str, value: f32, high: f32) {
        self.require(
            value > 0.0 && value <= high,
            field,
            value,
            format_args!("greater than 0, at most {high}"),
        );
    }

    /// `value` must lie in `[low, high]`.
    pub fn count(&mut self, field: &str, value: u64, low: u64, high: u64) {
        self.require(
            (low..=high).contains(&value),
            field,
            value,
            format_args!("a whole number from {low} to {high}"),
        );
    }

    /// `value` must be `[low, high]` with `low <= high`, inside `[least, greatest]`.
    pub fn range(&mut self, field: &str, value: [f32; 2], least: f32, greatest: f32) {
        let fine = value[0] <= value[1] && value[0] >= least && value[1] <= greatest;
        self.require(
            fine,
            field,
            format_args!("[{}, {}]", value[0], value[1]),
            format_args!("[low, high] with low <= high, inside [{least}, {greatest}]"),
        );
    }

    /// `value` must be an interval `[low, high]` with `low < high`, inside `[least, greatest]`.
    pub fn interval(&mut self, field: &str, value: [f32; 2], least: f32, greatest: f32) {
        let fine = value[0] < value[1] && value[0] >= least && value[1] <= greatest;
        self.require(
            fine,
            field,
            format_args!("[{}, {}]", value[0], value[1]),
            format_args!("[low, high] with low < high, inside [{least}, {greatest}]"),
        );
    }
}
