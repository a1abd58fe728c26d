//! A file as named columns.

use std::path::{Path, PathBuf};

use super::DataError;

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// NaN where missing.
    Numbers(Vec<f64>),
    /// None where missing.
    Text(Vec<Option<String>>),
}

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

    /// A value as it stands in a text file.
    pub(super) fn push_text(&mut self, cell: &str) {
        let cell = cell.trim();
        let missing = cell.is_empty() || self.markers.iter().any(|marker| marker == cell);
        // Not a number by its name: whoever means a missing value by it says so.
        let number = cell.parse::<f64>().ok().filter(|number| !number.is_nan());
        if let Some(text) = &mut self.text {
            text.push((!missing).then(|| cell.to_owned()));
        } else if missing {
            self.numbers.push(f64::NAN);
        } else if let Some(number) = number {
            self.numbers.push(number);
        } else {
            let known = |number: &f64| (!number.is_nan()).then(|| number.to_string());
            let mut text: Vec<Option<String>> = self.numbers.iter().map(known).collect();
            text.push(Some(cell.to_owned()));
            self.text = Some(text);
        }
    }

    pub(super) fn finish(self) -> Column {
        match self.text {
            Some(text) => Column::Text(text),
            None => Column::Numbers(self.numbers),
        }
    }
}

/// A table read from a file.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
    /// Line of each row in a text file; empty otherwise.
    lines: Vec<u64>,
}

impl Frame {
    /// Reads a file by its ending; a cell that is empty or one of `markers` is a missing value.
    pub(super) fn read(path: &Path, markers: &[String]) -> Result<Self, DataError> {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or("")
            .to_lowercase();
        let frame = match ending.as_str() {
            "csv" | "tsv" | "txt" => Self::read_text(path, ending == "tsv", markers)?,
            _ => {
                return Err(DataError::Format {
                    path: path.to_owned(),
                    problem: "its ending says no format that is read; save the table as .csv or .tsv".to_owned(),
                });
            }
        };
        if frame.rows == 0 {
            return Err(DataError::Format {
                path: path.to_owned(),
                problem: "it holds no rows below its header".to_owned(),
            });
        }
        Ok(frame)
    }

    /// A table of columns that are equally long.
    pub(super) fn new(
        path: &Path,
        names: Vec<String>,
        columns: Vec<Column>,
        lines: Vec<u64>,
    ) -> Result<Self, DataError> {
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(DataError::Format {
                    path: path.to_owned(),
                    problem: format!("two columns are called `{name}`; give each a name of its own"),
                });
            }
        }
        let rows = columns.first().map_or(0, |column| match column {
            Column::Numbers(values) => values.len(),
            Column::Text(values) => values.len(),
        });
        Ok(Self {
            path: path.to_owned(),
            names,
            columns,
            rows,
            lines,
        })
    }

    fn read_text(path: &Path, tabs: bool, markers: &[String]) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        let wrong = |problem: String| DataError::Format {
            path: path.to_owned(),
            problem,
        };
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(text).map_err(|error| {
            let line = 1 + text[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            wrong(format!("line {line} is not UTF-8; save the file in that encoding"))
        })?;
        let header = text.lines().next().unwrap_or_default();
        // Without commas a semicolon separates, as spreadsheets of many countries write.
        let delimiter = match (tabs, header.contains(','), header.contains(';')) {
            (true, ..) => b'\t',
            (false, false, true) => b';',
            _ => b',',
        };
        let mut records = Records::new(text, delimiter);
        let names: Vec<String> = records.next().map(|(_, cells)| cells).unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        let mut columns: Vec<ColumnBuilder> = names.iter().map(|_| ColumnBuilder::new(markers)).collect();
        let mut lines = Vec::new();
        for (line, cells) in records {
            if cells.len() != names.len() {
                return Err(wrong(format!(
                    "line {line} has {} cells, the header {}; is a comma or a quote missing there?",
                    cells.len(),
                    names.len()
                )));
            }
            lines.push(line);
            for (column, cell) in columns.iter_mut().zip(&cells) {
                column.push_text(cell);
            }
        }
        let columns = columns.into_iter().map(ColumnBuilder::finish).collect();
        Self::new(path, names, columns, lines)
    }

    /// Where a row stands, in words.
    pub(super) fn place(&self, row: usize) -> String {
        match self.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("row {row} (from 0)"),
        }
    }

    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Result<&Column, DataError> {
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .ok_or_else(|| DataError::NoColumn {
                path: self.path.clone(),
                column: name.to_owned(),
                found: self.names.clone(),
            })?;
        Ok(&self.columns[index])
    }

    /// A cell as text, however it was written; none where missing.
    pub(super) fn text(&self, column: &Column, row: usize) -> Option<String> {
        match column {
            Column::Numbers(values) => (!values[row].is_nan()).then(|| values[row].to_string()),
            Column::Text(values) => values[row].clone(),
        }
    }

    /// The numbers of a column at these rows, NaN where missing.
    pub(super) fn numbers(&self, name: &str, rows: &[usize], instead: &'static str) -> Result<Vec<f64>, DataError> {
        match self.column(name)? {
            Column::Numbers(values) => {
                let number = |&row: &usize| match values[row] {
                    value if value.is_infinite() || value.abs() > f64::from(f32::MAX) => Err(self.cell(
                        name,
                        row,
                        &format!("{value:e}"),
                        "a finite number of single precision",
                        instead,
                    )),
                    value => Ok(value),
                };
                rows.iter().map(number).collect()
            }
            Column::Text(values) => {
                // The first cell that is none, anywhere in these rows.
                let number = |&row: &usize| match &values[row] {
                    None => Ok(f64::NAN),
                    Some(cell) => cell
                        .parse()
                        .ok()
                        .filter(|number: &f64| !number.is_nan())
                        .ok_or_else(|| self.cell(name, row, &format!("`{cell}`"), "a number", instead)),
                };
                rows.iter().map(number).collect()
            }
        }
    }

    pub(super) fn cell(
        &self,
        column: &str,
        row: usize,
        found: &str,
        wanted: &'static str,
        instead: &'static str,
    ) -> DataError {
        DataError::Cell {
            path: self.path.clone(),
            place: self.place(row),
            column: column.to_owned(),
            found: found.to_owned(),
            wanted,
            instead,
        }
    }
}

/// The records of a text, each with the line it ends on.
struct Records<'a> {
    reader: csv_core::Reader,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn new(text: &'a str, delimiter: u8) -> Self {
        Self {
            reader: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            rest: text.as_bytes(),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = (u64, Vec<String>);

    fn next(&mut self) -> Option<Self::Item> {
        use csv_core::ReadRecordResult as Read;
        let (mut cells, mut ends) = (vec![0; 256], vec![0; 64]);
        let (mut written, mut found, mut last) = (0, 0, 0);
        loop {
            let (read, taken, wrote, ended) =
                self.reader
                    .read_record(self.rest, &mut cells[written..], &mut ends[found..]);
            if taken > 0 {
                last = self.rest[taken - 1];
            }
            self.rest = &self.rest[taken..];
            (written, found) = (written + wrote, found + ended);
            match read {
                // Called again without input, the reader ends its last record.
                Read::InputEmpty => {}
                Read::OutputFull => cells.resize(2 * cells.len(), 0),
                Read::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                Read::End => return None,
                Read::Record => break,
            }
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let cell = |(start, &end): (usize, &usize)| String::from_utf8_lossy(&cells[start..end]).into_owned();
        let line = self.reader.line() - u64::from(last == b'\n');
        Some((line, starts.zip(&ends[..found]).map(cell).collect()))
    }
}
