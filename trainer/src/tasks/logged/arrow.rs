//! Arrow's IPC formats: the stream, and the file (Feather version 2) with its footer, both by their messages.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, types};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::DataType;

use super::DataError;
use super::column::{Column, ColumnBuilder};
use super::frame::Frame;
use super::guard::damaged;

const MAGIC: &[u8] = b"ARROW1";

/// Reads a table; a null is a missing value, and so is text that is empty or one of `markers`.
pub(super) fn read(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Frame, DataError> {
    if bytes.starts_with(b"FEA1") {
        return Err(DataError::Format {
            path: path.to_owned(),
            problem: "it is of Feather's version 1; write it anew with version 2".to_owned(),
        });
    }
    let (start, end, batches) = match bytes.starts_with(MAGIC) {
        true => footer(&bytes).map_err(|problem| damaged(path, problem))?,
        false => (0, bytes.len(), None),
    };
    let (end, found) = messages(&bytes[..end], start).map_err(|problem| damaged(path, problem))?;
    if batches.is_some_and(|batches| batches != found) {
        return Err(damaged(path, "its footer names other batches than it holds"));
    }
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from_vec(bytes).slice_with_length(start, end - start);
    let mut columns: Vec<Result<ColumnBuilder, String>> = Vec::new();
    let (mut rows, mut place) = (0, None);
    while !rest.is_empty() {
        let batch = decoder.decode(&mut rest).map_err(|error| damaged(path, error))?;
        let Some(batch) = batch else { continue };
        if columns.is_empty() {
            let new = |array: &std::sync::Arc<dyn Array>| match is_read(array.data_type()) {
                true => Ok(ColumnBuilder::new(markers)),
                false => Err(array.data_type().to_string()),
            };
            columns = batch.columns().iter().map(new).collect();
        }
        place = take(&batch, &mut columns).or(place);
        rows += batch.num_rows();
    }
    decoder.finish().map_err(|error| damaged(path, error))?;
    let schema = decoder.schema().ok_or_else(|| damaged(path, "it has no schema"))?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some(column) = place {
        return Err(DataError::Column {
            path: path.to_owned(),
            column: names[column].clone(),
            problem: "it is not what the schema says; write the file anew".to_owned(),
        });
    }
    let column = |column: Result<ColumnBuilder, String>| match column {
        Ok(builder) => builder.finish(),
        Err(found) => Column::Other(found),
    };
    Frame::new(path, names, columns.into_iter().map(column).collect(), rows)
}

/// Where a file's messages begin and end, and how many batches of rows its footer names.
fn footer(bytes: &[u8]) -> Result<(usize, usize, Option<usize>), String> {
    const START: usize = 8;
    let end = || {
        let before = bytes.strip_suffix(MAGIC)?;
        let (before, length) = before.split_last_chunk()?;
        let end = before
            .len()
            .checked_sub(usize::try_from(i32::from_le_bytes(*length)).ok()?)?;
        (end >= START).then(|| (end, &before[end..]))
    };
    let (end, footer) = end().ok_or("it does not end as an Arrow file does")?;
    let footer = arrow_ipc::root_as_footer(footer).map_err(|error| error.to_string())?;
    Ok((
        START,
        end,
        Some(footer.recordBatches().map_or(0, |batches| batches.len())),
    ))
}

/// Where the messages end, and how many batches of rows there are. The decoder makes room for what a compressed buffer says
/// it holds, before it looks whether it does: whoever says too much is refused here.
fn messages(bytes: &[u8], start: usize) -> Result<(usize, usize), String> {
    const CONTINUED: u32 = u32::MAX;
    let mut at = start;
    let mut batches = 0;
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    while at < bytes.len() {
        let cut = || format!("it ends within the message at byte {at}");
        let mut size = number(at).ok_or_else(cut)?;
        let mut from = at + 4;
        if size == CONTINUED {
            size = number(from).ok_or_else(cut)?;
            from += 4;
        }
        if size == 0 {
            return Ok((from, batches));
        }
        let body = from + size as usize;
        let message = bytes.get(from..body).ok_or_else(cut)?;
        let message = arrow_ipc::root_as_message(message).map_err(|error| error.to_string())?;
        let length = usize::try_from(message.bodyLength()).map_err(|error| error.to_string())?;
        let body = bytes.get(body..).and_then(|rest| rest.get(..length)).ok_or_else(cut)?;
        batches += usize::from(message.header_as_record_batch().is_some());
        let batch = message.header_as_record_batch();
        let batch = batch.or_else(|| message.header_as_dictionary_batch()?.data());
        let compression = batch.and_then(|batch| batch.compression());
        if let (Some(batch), Some(compression)) = (batch, compression) {
            // As far as the format can press: LZ4 a byte to 255, zstd a block of 128 KiB into 4 bytes.
            let most = match compression.codec() {
                arrow_ipc::CompressionType::LZ4_FRAME => 255,
                _ => 1 << 15,
            };
            for buffer in batch.buffers().into_iter().flatten() {
                let said = usize::try_from(buffer.offset()).ok();
                let said = said.and_then(|offset| body.get(offset..)?.first_chunk());
                let said = said.map_or(0, |length| i64::from_le_bytes(*length));
                if said > buffer.length().saturating_mul(most) {
                    return Err(format!("{said} bytes cannot come out of {}", buffer.length()));
                }
            }
        }
        at = from + size as usize + length;
    }
    Ok((at, batches))
}

/// Whether a column of this type is numbers, booleans or text.
fn is_read(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => !matches!(**values, DataType::Dictionary(..)) && is_read(values),
        kind => {
            kind.is_integer()
                || matches!(
                    kind,
                    DataType::Null
                        | DataType::Boolean
                        | DataType::Float16
                        | DataType::Float32
                        | DataType::Float64
                        | DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                )
        }
    }
}

/// Takes the rows of a batch; the first column that is not what it was.
fn take(batch: &RecordBatch, columns: &mut [Result<ColumnBuilder<'_>, String>]) -> Option<usize> {
    let mut wrong = None;
    for (place, (array, builder)) in batch.columns().iter().zip(columns).enumerate() {
        let Ok(builder) = builder else { continue };
        let taken = match array.as_any_dictionary_opt() {
            Some(dictionary) => {
                let keys = dictionary.keys();
                let normalised = match dictionary.values().is_empty() {
                    true => vec![0; keys.len()],
                    false => dictionary.normalized_keys(),
                };
                let values = dictionary.values();
                let rows = (0..keys.len()).map(|row| (keys.is_valid(row)).then_some(normalised[row]));
                values_at(values, rows.map(|row| row.filter(|row| values.is_valid(*row))), builder)
            }
            None => values_at(
                array,
                (0..array.len()).map(|row| array.is_valid(row).then_some(row)),
                builder,
            ),
        };
        if taken.is_none() {
            wrong = wrong.or(Some(place));
        }
    }
    wrong
}

/// Takes values by their place; none is a missing one.
fn values_at(
    array: &dyn Array,
    rows: impl Iterator<Item = Option<usize>>,
    builder: &mut ColumnBuilder<'_>,
) -> Option<()> {
    /// As the type `$kind`, by the builder's method `$method`.
    macro_rules! each {
        ($array:expr, $method:ident, |$value:ident| $as:expr) => {{
            let array = $array?;
            for row in rows {
                match row {
                    None => builder.missing(),
                    Some(row) => {
                        let $value = array.value(row);
                        builder.$method($as);
                    }
                }
            }
        }};
    }
    macro_rules! integer {
        ($kind:ty) => {
            each!(array.as_primitive_opt::<$kind>(), integer, |value| i128::from(
                value
            ))
        };
    }
    match array.data_type() {
        DataType::Null => rows.for_each(|_| builder.missing()),
        DataType::Boolean => each!(array.as_boolean_opt(), boolean, |value| value),
        DataType::Int8 => integer!(types::Int8Type),
        DataType::Int16 => integer!(types::Int16Type),
        DataType::Int32 => integer!(types::Int32Type),
        DataType::Int64 => integer!(types::Int64Type),
        DataType::UInt8 => integer!(types::UInt8Type),
        DataType::UInt16 => integer!(types::UInt16Type),
        DataType::UInt32 => integer!(types::UInt32Type),
        DataType::UInt64 => integer!(types::UInt64Type),
        DataType::Float16 => each!(array.as_primitive_opt::<types::Float16Type>(), number, |value| value
            .to_f64()),
        DataType::Float32 => each!(array.as_primitive_opt::<types::Float32Type>(), number, |value| {
            f64::from(value)
        }),
        DataType::Float64 => each!(array.as_primitive_opt::<types::Float64Type>(), number, |value| value),
        DataType::Utf8 => each!(array.as_string_opt::<i32>(), text, |value| value),
        DataType::LargeUtf8 => each!(array.as_string_opt::<i64>(), text, |value| value),
        DataType::Utf8View => each!(array.as_string_view_opt(), text, |value| value),
        _ => return None,
    }
    Some(())
}
