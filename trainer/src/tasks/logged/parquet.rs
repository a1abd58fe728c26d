//! Parquet files: flat columns, any encoding, compressed by snappy, zstd, gzip, LZ4 or not at all.

use std::path::Path;

use ::parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use ::parquet::data_type::DataType;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::{ColumnDescriptor, Type};
use bytes::Bytes;

use super::DataError;
use super::column::{Column, ColumnBuilder};
use super::frame::Frame;
use super::guard::damaged;

/// How the values of a column are taken.
enum Kind {
    Boolean,
    Signed,
    Unsigned,
    Half,
    Float,
    Text,
}

/// Reads a table; a null is a missing value, and so is text that is empty or one of `markers`.
pub(super) fn read(path: &Path, bytes: Vec<u8>, markers: &[String]) -> Result<Frame, DataError> {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(|error| damaged(path, error))?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let rows: Option<Vec<usize>> = (metadata.row_groups().iter())
        .map(|group| usize::try_from(group.num_rows()).ok())
        .collect();
    let total = rows.and_then(|rows| rows.into_iter().try_fold(0_usize, usize::checked_add));
    let total = total
        .filter(|total| *total as i64 == metadata.file_metadata().num_rows())
        .ok_or_else(|| damaged(path, "its row groups do not add up"))?;
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (place, field) in schema.root_schema().get_fields().iter().enumerate() {
        let name = field.name().to_owned();
        // A list or a structure has several leaves or none.
        let leaf = (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == place);
        let column = match (kind(field), leaf) {
            (Ok(kind), Some(leaf)) => {
                let mut builder = ColumnBuilder::new(markers);
                for group in 0..metadata.num_row_groups() {
                    let wrong = |problem: String| DataError::Column {
                        path: path.to_owned(),
                        column: name.clone(),
                        problem,
                    };
                    let group = reader.get_row_group(group).map_err(|error| damaged(path, error))?;
                    readable(group.metadata().column(leaf)).map_err(wrong)?;
                    chunk(group.metadata(), leaf, &kind, &mut builder, || {
                        group.get_column_page_reader(leaf)
                    })
                    .map_err(|error| {
                        wrong(format!(
                            "it is damaged or not whole ({error}); copy or write the file anew"
                        ))
                    })?;
                }
                builder.finish()
            }
            (Err(found), _) => Column::Other(found),
            (Ok(_), None) => Column::Other("no values".to_owned()),
        };
        names.push(name);
        columns.push(column);
    }
    Frame::new(path, names, columns, total)
}

/// How to take a column's values, or what they are in words.
fn kind(field: &Type) -> Result<Kind, String> {
    let info = field.get_basic_info();
    if !field.is_primitive() || (info.has_repetition() && info.repetition() == ::parquet::basic::Repetition::REPEATED) {
        return Err("lists or structures".to_owned());
    }
    let (logical, converted) = (info.logical_type_ref(), info.converted_type());
    let unsigned = match logical {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(
            converted,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    };
    let in_words = || match (logical, converted) {
        (Some(LogicalType::Timestamp(_)), _)
        | (_, ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS) => "timestamps".to_owned(),
        (Some(LogicalType::Date), _) | (_, ConvertedType::DATE) => "dates".to_owned(),
        (Some(LogicalType::Time(_)), _) | (_, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS) => {
            "times of day".to_owned()
        }
        (Some(LogicalType::Decimal(_)), _) | (_, ConvertedType::DECIMAL) => "decimals".to_owned(),
        (Some(logical), _) => format!("{logical:?}"),
        (None, ConvertedType::NONE) => "bytes".to_owned(),
        (None, converted) => format!("{converted}"),
    };
    let plain = matches!(logical, None | Some(LogicalType::Integer(_) | LogicalType::Unknown))
        && matches!(
            converted,
            ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        );
    let text = matches!(
        logical,
        Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
    ) || matches!(
        converted,
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
    );
    match field.get_physical_type() {
        Physical::BOOLEAN => Ok(Kind::Boolean),
        Physical::INT32 | Physical::INT64 if plain && unsigned => Ok(Kind::Unsigned),
        Physical::INT32 | Physical::INT64 if plain => Ok(Kind::Signed),
        Physical::FLOAT | Physical::DOUBLE => Ok(Kind::Float),
        Physical::FIXED_LEN_BYTE_ARRAY if matches!(logical, Some(LogicalType::Float16)) => Ok(Kind::Half),
        Physical::BYTE_ARRAY if text => Ok(Kind::Text),
        Physical::INT96 => Err("timestamps".to_owned()),
        _ => Err(in_words()),
    }
}

fn readable(chunk: &ColumnChunkMetaData) -> Result<(), String> {
    match chunk.compression() {
        compression @ (Compression::BROTLI(_) | Compression::LZO) => Err(format!(
            "it is compressed by {compression}, which is not read; write the file with snappy, zstd, gzip, LZ4 or without compression"
        )),
        _ => Ok(()),
    }
}

/// Takes the values of a column in one row group.
fn chunk(
    group: &RowGroupMetaData,
    leaf: usize,
    kind: &Kind,
    builder: &mut ColumnBuilder<'_>,
    pages: impl FnOnce() -> ParquetResult<Box<dyn PageReader>>,
) -> ParquetResult<()> {
    let descriptor = group.column(leaf).column_descr_ptr();
    let rows = group.num_rows() as usize;
    let checked = CheckedPages {
        pages: pages()?,
        rows,
        levels: descriptor.max_def_level() > 0,
    };
    let column = descriptor.clone();
    match get_column_reader(descriptor, Box::new(checked)) {
        ColumnReader::BoolColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.boolean(*value);
            Ok(())
        }),
        ColumnReader::Int32ColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.integer(match kind {
                Kind::Unsigned => i128::from(value.cast_unsigned()),
                _ => i128::from(*value),
            });
            Ok(())
        }),
        ColumnReader::Int64ColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.integer(match kind {
                Kind::Unsigned => i128::from(value.cast_unsigned()),
                _ => i128::from(*value),
            });
            Ok(())
        }),
        ColumnReader::FloatColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.number(f64::from(*value));
            Ok(())
        }),
        ColumnReader::DoubleColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.number(*value);
            Ok(())
        }),
        ColumnReader::ByteArrayColumnReader(reader) => values(reader, &column, rows, builder, |builder, value| {
            builder.text(std::str::from_utf8(value.data()).map_err(|error| ParquetError::General(error.to_string()))?);
            Ok(())
        }),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            values(reader, &column, rows, builder, |builder, value| {
                let bytes = value.data().try_into();
                let bytes = bytes.map_err(|_| ParquetError::General("not two bytes a value".to_owned()))?;
                builder.number(half::f16::from_le_bytes(bytes).to_f64());
                Ok(())
            })
        }
        // `kind` says that such a column is none.
        ColumnReader::Int96ColumnReader(_) => Ok(()),
    }
}

/// Takes `rows` values, missing ones included.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    rows: usize,
    builder: &mut ColumnBuilder<'_>,
    take: impl Fn(&mut ColumnBuilder<'_>, &T::T) -> ParquetResult<()>,
) -> ParquetResult<()> {
    /// Rows at once.
    const BATCH: usize = 4096;
    let present = column.max_def_level();
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut taken = 0;
    while taken < rows {
        levels.clear();
        values.clear();
        let (read, _, _) = reader.read_records(BATCH.min(rows - taken), Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::General(format!("{taken} values in {rows} rows")));
        }
        if present == 0 {
            values.iter().try_for_each(|value| take(builder, value))?;
        } else {
            let mut values = values.iter();
            for level in &levels {
                match (*level == present).then(|| values.next()).flatten() {
                    Some(value) => take(builder, value)?,
                    None => builder.missing(),
                }
            }
        }
        taken += read;
    }
    Ok(())
}

/// Pages whose counts can be: the decoders make room for as many values as a page says it has.
struct CheckedPages {
    pages: Box<dyn PageReader>,
    /// In the row group.
    rows: usize,
    /// Whether levels stand before the values.
    levels: bool,
}

impl CheckedPages {
    fn check(&self, page: &Page) -> ParquetResult<()> {
        use ::parquet::basic::Encoding::{DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY};
        let most = match page {
            // No value takes less than a byte there.
            Page::DictionaryPage { buf, .. } => buf.len(),
            Page::DataPage { .. } | Page::DataPageV2 { .. } => self.rows,
        };
        let said = page.num_values() as usize;
        let delta = matches!(page.encoding(), DELTA_BYTE_ARRAY | DELTA_LENGTH_BYTE_ARRAY);
        // The count of the first lengths; that of suffixes stands behind them and is not looked for.
        let lengths = match page {
            Page::DataPage { buf, .. } if delta && self.levels => {
                let length = buf
                    .first_chunk()
                    .map_or(0, |length| u32::from_le_bytes(*length) as usize);
                lengths(buf.get(4 + length..).unwrap_or_default())
            }
            Page::DataPage { buf, .. } if delta => lengths(buf),
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } if delta => {
                let before = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                lengths(buf.get(before..).unwrap_or_default())
            }
            _ => Some(0),
        };
        match said <= most && lengths.is_some_and(|lengths| lengths <= said as u64) {
            true => Ok(()),
            false => Err(ParquetError::General(format!("a page that says it has {said} values"))),
        }
    }
}

/// The count of values in the header of delta-encoded lengths: the third number of variable length.
fn lengths(bytes: &[u8]) -> Option<u64> {
    let mut bytes = bytes.iter();
    let mut number = || {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    number()?;
    number()?;
    number()
}

impl Iterator for CheckedPages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> ParquetResult<bool> {
        self.pages.at_record_boundary()
    }
}
