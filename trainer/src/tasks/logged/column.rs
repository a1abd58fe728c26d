//! The values of a column, however its file writes them.

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// NaN where missing.
    Numbers(Vec<f64>),
    /// None where missing. Booleans are `true` and `false`.
    Text(Vec<Option<String>>),
    /// Of a type that is neither, in words: an error where the recipe uses it.
    #[cfg_attr(not(feature = "columnar"), allow(dead_code))]
    Other(String),
}

/// Above it not every integer is an f64.
const EXACT: u64 = 1 << 53;

/// What takes values one by one: numbers until the first that is none.
#[derive(Debug)]
pub(super) struct ColumnBuilder<'a> {
    /// What stands for no value, beside an empty cell.
    markers: &'a [String],
    numbers: Vec<f64>,
    text: Option<Vec<Option<String>>>,
}

impl<'a> ColumnBuilder<'a> {
    pub(super) fn new(markers: &'a [String]) -> Self {
        Self {
            markers,
            numbers: Vec::new(),
            text: None,
        }
    }

    /// A value as it stands in a text file: a number where it can be read as one.
    pub(super) fn cell(&mut self, cell: &str) {
        let cell = cell.trim();
        // Not a number by its name: whoever means a missing value by it says so. And a name, where it is a long integer.
        let long = |number: f64| number.abs() >= EXACT as f64 && cell.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        match cell.parse::<f64>() {
            Ok(number) if self.text.is_none() && !number.is_nan() && !long(number) && !self.is_marker(cell) => {
                self.number(number);
            }
            _ => self.text(cell),
        }
    }

    pub(super) fn missing(&mut self) {
        match &mut self.text {
            Some(text) => text.push(None),
            None => self.numbers.push(f64::NAN),
        }
    }

    /// NaN is a missing value only where the recipe lists it, as in a text file.
    pub(super) fn number(&mut self, value: f64) {
        match &mut self.text {
            _ if value.is_nan() => match self.markers.iter().any(|marker| marker.eq_ignore_ascii_case("nan")) {
                true => self.missing(),
                false => self.written("NaN"),
            },
            Some(text) => text.push(Some(value.to_string())),
            None => self.numbers.push(value),
        }
    }

    /// Written out where an f64 would round it: it may be a name.
    #[cfg_attr(not(feature = "columnar"), allow(dead_code))]
    pub(super) fn integer(&mut self, value: i128) {
        match value.unsigned_abs() < u128::from(EXACT) {
            true => self.number(value as f64),
            false => self.written(&value.to_string()),
        }
    }

    #[cfg_attr(not(feature = "columnar"), allow(dead_code))]
    pub(super) fn boolean(&mut self, value: bool) {
        self.written(if value { "true" } else { "false" });
    }

    pub(super) fn text(&mut self, value: &str) {
        let value = value.trim();
        match value.is_empty() || self.is_marker(value) {
            true => self.missing(),
            false => self.written(value),
        }
    }

    pub(super) fn finish(self) -> Column {
        match self.text {
            Some(text) => Column::Text(text),
            None => Column::Numbers(self.numbers),
        }
    }

    fn is_marker(&self, value: &str) -> bool {
        self.markers.iter().any(|marker| marker == value)
    }

    fn written(&mut self, value: &str) {
        let known = |number: &f64| (!number.is_nan()).then(|| number.to_string());
        self.text
            .get_or_insert_with(|| self.numbers.iter().map(known).collect())
            .push(Some(value.to_owned()));
    }
}
