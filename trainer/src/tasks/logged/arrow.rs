//! Arrow's IPC formats: the stream, and the file (Feather version 2) with its footer, by its footer.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, types};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{FileDecoder, StreamDecoder};
use arrow_ipc::{Block, CompressionType, Message};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::DataError;
use super::column::{Column, ColumnBuilder};
use super::frame::Frame;
use super::guard::damaged;

const MAGIC: &[u8] = b"ARROW1";
/// Before the length of a message, since version 0.15 of the format.
const CONTINUED: &[u8] = &[0xff; 4];

/// Reads a table; a null is a missing value, and so is text that is empty or one of `markers`.
pub(super) fn read(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Frame, DataError> {
    if bytes.starts_with(b"FEA1") {
        return Err(DataError::Format {
            path: path.to_owned(),
            problem: "it is of Feather's version 1; write it anew with version 2".to_owned(),
        });
    }
    let read = match bytes.starts_with(MAGIC) {
        true => file(bytes),
        false => stream(bytes),
    };
    let (schema, batches) = read.map_err(|error| damaged(path, error))?;
    let mut columns: Vec<Result<ColumnBuilder, String>> = (schema.fields().iter())
        .map(|field| match is_read(field.data_type()) {
            true => Ok(ColumnBuilder::new(markers)),
            false => Err(field.data_type().to_string()),
        })
        .collect();
    for batch in &batches {
        take(batch, &mut columns);
    }
    let column = |column: Result<ColumnBuilder, String>| match column {
        Ok(builder) => builder.finish(),
        Err(found) => Column::Other(found),
    };
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    Frame::new(path, names, columns.into_iter().map(column).collect(), rows)
}

/// The batches that a file's footer names. (What stands before the first is not looked at: polars writes no message there.)
fn file(bytes: Vec<u8>) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let buffer = Buffer::from_vec(bytes);
    let end = || {
        let (before, length) = buffer.strip_suffix(MAGIC)?.split_last_chunk()?;
        let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
        before.get(before.len().checked_sub(length)?..)
    };
    let footer = end().ok_or_else(|| wrong("it does not end as an Arrow file does"))?;
    let footer = arrow_ipc::root_as_footer(footer).map_err(wrong)?;
    let schema = footer.schema().ok_or_else(|| wrong("it has no schema"))?;
    let schema = Arc::new(arrow_ipc::convert::try_fb_to_schema(schema)?);
    let mut decoder = FileDecoder::new(schema.clone(), footer.version());
    let part = |block: &Block| {
        let offset = usize::try_from(block.offset()).ok();
        let (metadata, body) = (
            block.metaDataLength().try_into().ok(),
            block.bodyLength().try_into().ok(),
        );
        let message = || {
            let (offset, metadata, body): (usize, usize, usize) = (offset?, metadata?, body?);
            let length = metadata.checked_add(body)?;
            let (message, body) = buffer.get(offset..)?.get(..length)?.split_at_checked(metadata)?;
            let message = message.strip_prefix(CONTINUED).unwrap_or(message).get(4..)?;
            Some((message, body, offset, length))
        };
        let (message, body, offset, length) =
            message().ok_or_else(|| wrong("it names a part that it does not hold"))?;
        let message = arrow_ipc::root_as_message(message).map_err(wrong)?;
        can_be(&message, body)?;
        Ok::<_, ArrowError>(buffer.slice_with_length(offset, length))
    };
    for block in footer.dictionaries().into_iter().flatten() {
        decoder.read_dictionary(block, &part(block)?)?;
    }
    let mut batches = Vec::new();
    for block in footer.recordBatches().into_iter().flatten() {
        batches.extend(decoder.read_record_batch(block, &part(block)?)?);
    }
    Ok((schema, batches))
}

/// The batches of a stream, which may end without a mark.
fn stream(bytes: Vec<u8>) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut at = 0;
    while at < bytes.len() {
        let parts = || {
            let rest = &bytes[at..];
            let rest = rest.strip_prefix(CONTINUED).unwrap_or(rest);
            let (length, rest) = rest.split_first_chunk()?;
            rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        };
        let cut = || wrong(format_args!("it ends within the message at byte {at}"));
        let (message, rest) = parts().ok_or_else(cut)?;
        if message.is_empty() {
            at = bytes.len() - rest.len();
            break;
        }
        let message = arrow_ipc::root_as_message(message).map_err(wrong)?;
        let body = usize::try_from(message.bodyLength()).ok();
        let body = body.and_then(|length| rest.get(..length)).ok_or_else(cut)?;
        can_be(&message, body)?;
        at = bytes.len() - rest.len() + body.len();
    }
    let mut rest = Buffer::from_vec(bytes).slice_with_length(0, at);
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        batches.extend(decoder.decode(&mut rest)?);
    }
    decoder.finish()?;
    let schema = decoder.schema().ok_or_else(|| wrong("it has no schema"))?;
    Ok((schema, batches))
}

/// The decoder makes room for what a compressed buffer says it holds, before it looks whether it does: whoever says too much
/// is refused.
fn can_be(message: &Message<'_>, body: &[u8]) -> Result<(), ArrowError> {
    let batch = message.header_as_record_batch();
    let batch = batch.or_else(|| message.header_as_dictionary_batch()?.data());
    let compression = batch.and_then(|batch| batch.compression());
    let (Some(batch), Some(compression)) = (batch, compression) else {
        return Ok(());
    };
    // As far as the format can press: LZ4 a byte to 255, zstd a block of 128 KiB into 4 bytes.
    let most = match compression.codec() {
        CompressionType::LZ4_FRAME => 255,
        _ => 1 << 15,
    };
    for buffer in batch.buffers().into_iter().flatten() {
        let said = usize::try_from(buffer.offset()).ok();
        let said = said.and_then(|offset| body.get(offset..)?.first_chunk());
        let said = said.map_or(0, |said| i64::from_le_bytes(*said));
        if buffer.length() > 0 && said > buffer.length().saturating_mul(most) {
            return Err(wrong(format_args!(
                "{said} bytes cannot come out of {}",
                buffer.length()
            )));
        }
    }
    Ok(())
}

fn wrong(problem: impl std::fmt::Display) -> ArrowError {
    ArrowError::IpcError(problem.to_string())
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

/// Takes the rows of a batch.
fn take(batch: &RecordBatch, columns: &mut [Result<ColumnBuilder<'_>, String>]) {
    for (array, builder) in batch.columns().iter().zip(columns) {
        let Ok(builder) = builder else { continue };
        match array.as_any_dictionary_opt() {
            Some(dictionary) => {
                let (keys, values) = (dictionary.keys(), dictionary.values());
                let places = match values.is_empty() {
                    true => vec![0; keys.len()],
                    false => dictionary.normalized_keys(),
                };
                let here = |row: usize| (keys.is_valid(row) && values.is_valid(places[row])).then_some(places[row]);
                values_at(values, (0..keys.len()).map(here), builder);
            }
            None => {
                let here = |row: usize| array.is_valid(row).then_some(row);
                values_at(array, (0..array.len()).map(here), builder);
            }
        }
    }
}

/// Takes the values at these places of a column that `is_read`; no place is a missing value.
fn values_at(array: &dyn Array, places: impl Iterator<Item = Option<usize>>, builder: &mut ColumnBuilder<'_>) {
    macro_rules! each {
        ($array:expr, $method:ident, |$value:ident| $as:expr) => {{
            let array = $array;
            for place in places {
                match place {
                    None => builder.missing(),
                    Some(place) => {
                        let $value = array.value(place);
                        builder.$method($as);
                    }
                }
            }
        }};
    }
    macro_rules! integer {
        ($kind:ty) => {
            each!(array.as_primitive::<$kind>(), integer, |value| i128::from(value))
        };
    }
    match array.data_type() {
        DataType::Boolean => each!(array.as_boolean(), boolean, |value| value),
        DataType::Int8 => integer!(types::Int8Type),
        DataType::Int16 => integer!(types::Int16Type),
        DataType::Int32 => integer!(types::Int32Type),
        DataType::Int64 => integer!(types::Int64Type),
        DataType::UInt8 => integer!(types::UInt8Type),
        DataType::UInt16 => integer!(types::UInt16Type),
        DataType::UInt32 => integer!(types::UInt32Type),
        DataType::UInt64 => integer!(types::UInt64Type),
        DataType::Float16 => each!(array.as_primitive::<types::Float16Type>(), number, |value| value
            .to_f64()),
        DataType::Float32 => each!(array.as_primitive::<types::Float32Type>(), number, |value| f64::from(
            value
        )),
        DataType::Float64 => each!(array.as_primitive::<types::Float64Type>(), number, |value| value),
        DataType::Utf8 => each!(array.as_string::<i32>(), text, |value| value),
        DataType::LargeUtf8 => each!(array.as_string::<i64>(), text, |value| value),
        DataType::Utf8View => each!(array.as_string_view(), text, |value| value),
        // A column of nothing.
        _ => places.for_each(|_| builder.missing()),
    }
}
