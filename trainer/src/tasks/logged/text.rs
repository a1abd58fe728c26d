//! Text files with a header and a separator (RFC 4180): CSV, and with tabs.

use std::path::Path;

use super::DataError;
use super::column::ColumnBuilder;
use super::frame::Frame;

/// Reads a table; a cell that is empty or one of `markers` is a missing value.
pub(super) fn read(path: &Path, bytes: &[u8], tabs: bool, markers: &[String]) -> Result<Frame, DataError> {
    let wrong = |problem: String| DataError::Format {
        path: path.to_owned(),
        problem,
    };
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
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
            column.cell(cell);
        }
    }
    if lines.is_empty() {
        return Err(wrong("it holds no rows below its header".to_owned()));
    }
    let columns = columns.into_iter().map(ColumnBuilder::finish).collect();
    Ok(Frame::new(path, names, columns, lines.len())?.with_lines(lines))
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
