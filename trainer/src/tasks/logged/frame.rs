//! A file as named columns.

use std::path::{Path, PathBuf};

use super::column::Column;
use super::{DataError, text};

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
    /// Reads a file by its ending, or by its first bytes where the ending says nothing; a cell that is empty or one of
    /// `markers` is a missing value.
    pub(super) fn read(path: &Path, markers: &[String]) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of(path, bytes, markers)
    }

    /// What the bytes of a file hold.
    pub(super) fn of(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Self, DataError> {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or("")
            .to_lowercase();
        match (ending.as_str(), bytes.first_chunk()) {
            ("csv" | "tsv" | "txt", _) => text::read(path, &bytes, ending == "tsv", markers),
            ("parquet" | "pq", _) | (_, Some(b"PAR1")) => parquet(path, bytes, markers),
            ("arrow" | "arrows" | "feather" | "ipc", _) | (_, Some(b"ARRO" | b"FEA1")) => arrow(path, bytes, markers),
            _ => Err(DataError::Format {
                path: path.to_owned(),
                problem:
                    "neither its ending nor its first bytes say a format that is read; save the table as .csv, .tsv, \
                          .parquet or .arrow"
                        .to_owned(),
            }),
        }
    }

    /// A table of columns that are equally long.
    pub(super) fn new(path: &Path, names: Vec<String>, columns: Vec<Column>, rows: usize) -> Result<Self, DataError> {
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(DataError::Format {
                    path: path.to_owned(),
                    problem: format!("two columns are called `{name}`; give each a name of its own"),
                });
            }
        }
        if rows == 0 {
            return Err(DataError::Format {
                path: path.to_owned(),
                problem: "it holds no rows".to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            names,
            columns,
            rows,
            lines: Vec::new(),
        })
    }

    /// With the line of each row.
    pub(super) fn with_lines(self, lines: Vec<u64>) -> Self {
        Self { lines, ..self }
    }

    /// Where a row stands, in words.
    pub(super) fn place(&self, row: usize) -> String {
        match self.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("row {row} (from 0)"),
        }
    }

    /// The column of this name, of numbers or text.
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
        match &self.columns[index] {
            Column::Other(found) => Err(DataError::ColumnType {
                path: self.path.clone(),
                column: name.to_owned(),
                found: found.clone(),
            }),
            column => Ok(column),
        }
    }

    /// A cell as text, however it was written; none where missing.
    pub(super) fn text(&self, column: &Column, row: usize) -> Option<String> {
        match column {
            Column::Numbers(values) => (!values[row].is_nan()).then(|| values[row].to_string()),
            Column::Text(values) => values[row].clone(),
            // `column` gives none of these.
            Column::Other(_) => None,
        }
    }

    /// The numbers of a column at these rows, NaN where missing; 1 and 0 where it holds nothing but true and false.
    pub(super) fn numbers(&self, name: &str, rows: &[usize], instead: &'static str) -> Result<Vec<f64>, DataError> {
        let finite = |row: usize, value: f64| match value.is_infinite() || value.abs() > f64::from(f32::MAX) {
            true => Err(self.cell(
                name,
                row,
                &format!("{value:e}"),
                "a finite number of single precision",
                instead,
            )),
            false => Ok(value),
        };
        match self.column(name)? {
            Column::Numbers(values) => rows.iter().map(|&row| finite(row, values[row])).collect(),
            Column::Text(values) => {
                let booleans = values.iter().flatten().all(|cell| boolean(cell).is_some());
                // The first cell that is none, anywhere in these rows.
                let number = |&row: &usize| {
                    let Some(cell) = &values[row] else {
                        return Ok(f64::NAN);
                    };
                    if let (true, Some(value)) = (booleans, boolean(cell)) {
                        return Ok(f64::from(u8::from(value)));
                    }
                    match cell.parse::<f64>() {
                        Ok(value) if !value.is_nan() => finite(row, value),
                        _ => Err(self.cell(name, row, &format!("`{cell}`"), "a number", instead)),
                    }
                };
                rows.iter().map(number).collect()
            }
            Column::Other(_) => Ok(Vec::new()),
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

fn boolean(cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(feature = "columnar")]
fn parquet(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Frame, DataError> {
    super::guard::caught(path, || super::parquet::read(path, bytes, markers))
}

#[cfg(feature = "columnar")]
fn arrow(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Frame, DataError> {
    super::guard::caught(path, || super::arrow::read(path, bytes, markers))
}

#[cfg(not(feature = "columnar"))]
fn parquet(path: &Path, _: Vec<u8>, _: &[String]) -> Result<Frame, DataError> {
    Err(DataError::NotBuilt {
        path: path.to_owned(),
        format: "Parquet",
    })
}

#[cfg(not(feature = "columnar"))]
fn arrow(path: &Path, _: Vec<u8>, _: &[String]) -> Result<Frame, DataError> {
    Err(DataError::NotBuilt {
        path: path.to_owned(),
        format: "Arrow",
    })
}
