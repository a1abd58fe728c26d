//! The same table from every format; what is wrong with a file is said, and no file, however damaged, is a panic.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int16Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Int8Array, Int64Array, LargeStringArray, NullArray, RecordBatch,
    StringViewArray, UInt64Array,
};

use super::column::Column;
use super::frame::Frame;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logged")
}

fn frame(file: &str) -> Frame {
    Frame::read(&folder().join(file), &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Every bit of a column, but for the sign of NaN.
fn bits(column: &Column) -> String {
    format!("{column:?}")
}

/// The message of a file of these bytes, or of the use of its column `x` as numbers.
fn refusal(file: &str, bytes: &[u8], markers: &[&str]) -> String {
    let markers: Vec<String> = markers.iter().map(|marker| (*marker).to_owned()).collect();
    let used = |frame: Frame| frame.numbers("x", &(0..frame.rows).collect::<Vec<_>>(), "correct it");
    match Frame::of(Path::new(file), bytes.to_vec(), &markers).and_then(used) {
        Ok(numbers) => panic!("{file} was accepted: {numbers:?}"),
        Err(error) => error.to_string(),
    }
}

/// Written by pyarrow, pandas and polars: see `write.py` there.
const WRITTEN: [&str; 10] = [
    "pyarrow.parquet",
    "pandas.parquet",
    "polars.parquet",
    "groups.parquet",
    "delta.parquet",
    "timed.parquet",
    "lz4.feather",
    "polars.arrow",
    "file.arrow",
    "stream.arrows",
];

#[test]
fn what_other_tools_write_is_the_table_in_text() {
    let text = frame("table.csv");
    assert_eq!(text.names, ["site", "x", "count", "open", "note", "y"]);
    for file in WRITTEN.into_iter().chain(["timed.feather"]) {
        let table = frame(file);
        assert_eq!(table.rows, text.rows, "{file}");
        assert_eq!(table.names[..6], text.names, "{file}");
        for (name, (column, expected)) in text.names.iter().zip(table.columns.iter().zip(&text.columns)) {
            assert_eq!(bits(column), bits(expected), "{file}, {name}");
        }
    }
}

#[test]
fn columns_that_are_no_numbers_are_named_where_they_are_used() {
    for file in ["timed.parquet", "timed.feather"] {
        let table = frame(file);
        let message = |name: &str| table.column(name).unwrap_err().to_string();
        let (time, list) = (message("when").to_lowercase(), message("parts").to_lowercase());
        assert!(
            time.contains(file) && time.contains("column `when`: it holds timestamp") && time.contains("`inputs`"),
            "{time}"
        );
        assert!(list.contains("list"), "{list}");
        let none = message("z");
        assert!(none.contains("no column `z`; it has `site`, `x`"), "{none}");
        let word = table.numbers("note", &[0], "correct it").unwrap_err().to_string();
        assert!(
            word.contains("row 0 (from 0), column `note`: `plain` is not a number"),
            "{word}"
        );
        // True and false are numbers, here as in text.
        assert_eq!(table.numbers("open", &[0, 1], "").unwrap(), [1.0, 0.0]);
    }
    assert_eq!(frame("table.csv").numbers("open", &[0, 1], "").unwrap(), [1.0, 0.0]);
}

/// Two row groups of a table of every type that a Parquet column of numbers, booleans or text has.
fn written(compression: Compression, dictionary: bool) -> Vec<u8> {
    let schema = "message table {
        optional double x; required float single; optional int32 small (INTEGER(8,true)); required int64 big (INTEGER(64,false));
        optional boolean yes; optional binary word (STRING); required fixed_len_byte_array(2) half (FLOAT16);
        required int32 day (DATE); required int64 money (DECIMAL(18,2)); required int96 old; required binary raw;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(dictionary)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for group in 0..2 {
        let mut rows = writer.next_row_group().unwrap();
        let mut place = 0;
        while let Some(mut column) = rows.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::DoubleColumnWriter(to) => {
                    to.write_batch(&[0.1, f64::from(group)], Some(&[1, 0, 1]), None)
                }
                ColumnWriter::FloatColumnWriter(to) => to.write_batch(&[0.5, 1.5, -2.0], None, None),
                ColumnWriter::Int32ColumnWriter(to) if place == 2 => to.write_batch(&[-7], Some(&[0, 1, 0]), None),
                ColumnWriter::Int32ColumnWriter(to) => to.write_batch(&[1, 2, 3], None, None),
                // The greatest of 64 bits without a sign: no f64, but a name.
                ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&[-1, 5, 6], None, None),
                ColumnWriter::BoolColumnWriter(to) => to.write_batch(&[true, false], Some(&[1, 1, 0]), None),
                ColumnWriter::ByteArrayColumnWriter(to) if place == 5 => to.write_batch(
                    &[ByteArray::from(" padded "), ByteArray::from("")],
                    Some(&[1, 1, 0]),
                    None,
                ),
                ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&vec![ByteArray::from("b"); 3], None, None),
                ColumnWriter::FixedLenByteArrayColumnWriter(to) => {
                    let half = half::f16::from_f64(1.25).to_le_bytes().to_vec();
                    to.write_batch(&vec![half.into(); 3], None, None)
                }
                ColumnWriter::Int96ColumnWriter(to) => to.write_batch(&[Default::default(); 3], None, None),
            }
            .unwrap();
            column.close().unwrap();
            place += 1;
        }
        rows.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn every_type_compression_and_encoding_of_parquet_is_read() {
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::try_new(3).unwrap()),
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
    ];
    let nan = f64::NAN;
    for (compression, dictionary) in compressions.into_iter().flat_map(|each| [(each, true), (each, false)]) {
        let table = Frame::of(Path::new("t.parquet"), written(compression, dictionary), &[]).unwrap();
        let word = |word: &str| Some(word.to_owned());
        let twice = |values: [Option<String>; 3]| Column::Text([values.clone(), values].concat());
        let expected = [
            Column::Numbers(vec![0.1, nan, 0.0, 0.1, nan, 1.0]),
            Column::Numbers([0.5, 1.5, -2.0].repeat(2)),
            Column::Numbers([nan, -7.0, nan].repeat(2)),
            twice([word("18446744073709551615"), word("5"), word("6")]),
            twice([word("true"), word("false"), None]),
            twice([word("padded"), None, None]),
            Column::Numbers(vec![1.25; 6]),
            Column::Other("dates".to_owned()),
            Column::Other("decimals".to_owned()),
            Column::Other("timestamps".to_owned()),
            Column::Other("bytes".to_owned()),
        ];
        assert_eq!(table.rows, 6);
        for (name, (column, expected)) in table.names.iter().zip(table.columns.iter().zip(&expected)) {
            assert_eq!(bits(column), bits(expected), "{compression}, {name}");
        }
    }
}

fn batch() -> RecordBatch {
    let mut categories = StringDictionaryBuilder::<Int16Type>::new();
    categories.extend([Some("b"), None, Some("a")]);
    let columns: [(&str, ArrayRef); 8] = [
        ("x", Arc::new(Float32Array::from(vec![Some(0.5), None, Some(2.0)]))),
        ("tiny", Arc::new(Int8Array::from(vec![-1, 0, 1]))),
        ("long", Arc::new(Int64Array::from(vec![Some(3), None, Some(4)]))),
        ("name", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2]))),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("large", Arc::new(LargeStringArray::from(vec!["u", "", "w"]))),
        (
            "view",
            Arc::new(StringViewArray::from(vec![
                Some("a string longer than twelve"),
                None,
                Some("z"),
            ])),
        ),
        ("category", Arc::new(categories.finish())),
    ];
    let nothing: ArrayRef = Arc::new(NullArray::new(3));
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .chain([("nothing", nothing)])
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn every_type_of_arrow_is_read_from_a_file_and_from_a_stream() {
    let batch = batch();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    let nan = f64::NAN;
    let text = |values: [Option<&str>; 3]| {
        Column::Text(
            values
                .repeat(2)
                .into_iter()
                .map(|value| value.map(str::to_owned))
                .collect(),
        )
    };
    let expected = [
        Column::Numbers([0.5, nan, 2.0].repeat(2)),
        Column::Numbers([-1.0, 0.0, 1.0].repeat(2)),
        Column::Numbers([3.0, nan, 4.0].repeat(2)),
        text([Some("18446744073709551615"), Some("1"), Some("2")]),
        text([Some("true"), None, Some("false")]),
        text([Some("u"), None, Some("w")]),
        text([Some("a string longer than twelve"), None, Some("z")]),
        text([Some("b"), None, Some("a")]),
        Column::Numbers(vec![nan; 6]),
    ];
    // Without an ending the first bytes of a file say what it is; those of a stream do not.
    for (name, bytes) in [("t.arrow", &file), ("t", &file), ("t.arrows", &stream(&batch))] {
        let table = Frame::of(Path::new(name), bytes.clone(), &[]).unwrap();
        for (column, expected) in table.columns.iter().zip(&expected) {
            assert_eq!(bits(column), bits(expected), "{name}");
        }
    }
}

#[test]
fn not_a_number_is_missing_only_where_the_recipe_says_so() {
    let column: ArrayRef = Arc::new(Float32Array::from(vec![1.5, f32::NAN]));
    let bytes = stream(&RecordBatch::try_from_iter([("x", column)]).unwrap());
    let message = refusal("t.arrows", &bytes, &[]);
    assert!(
        message.contains("row 1 (from 0), column `x`: `NaN` is not a number"),
        "{message}"
    );
    let table = Frame::of(Path::new("t.arrows"), bytes, &["nan".to_owned()]).unwrap();
    assert!(table.numbers("x", &[1], "").unwrap()[0].is_nan());
}

#[test]
fn long_names_of_digits_keep_every_digit() {
    let text = b"id,x\n9007199254740993,1\n9007199254740992,2\n".to_vec();
    let table = Frame::of(Path::new("t.csv"), text, &[]).unwrap();
    let names = [0, 1].map(|row| table.text(&table.columns[0], row).unwrap());
    assert_eq!(names, ["9007199254740993", "9007199254740992"]);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let parquet = std::fs::read(folder().join("pyarrow.parquet")).unwrap();
    let cut = refusal("cut.parquet", &parquet[..parquet.len() - 100], &[]);
    assert!(cut.contains("cut.parquet: the file is damaged or not whole"), "{cut}");
    let text = refusal("text.parquet", b"x,y\n1,2\n", &[]);
    assert!(
        text.contains("text.parquet: the file is damaged or not whole"),
        "{text}"
    );
    let brotli = refusal(
        "b.parquet",
        &std::fs::read(folder().join("brotli.parquet")).unwrap(),
        &[],
    );
    assert!(
        brotli.contains("b.parquet, column `site`: it is compressed by BROTLI") && brotli.contains("zstd"),
        "{brotli}"
    );
    // A byte of the first column's compressed values.
    let mut flipped = parquet;
    flipped[60] ^= 0xff;
    let flipped = refusal("flipped.parquet", &flipped, &[]);
    assert!(
        flipped.contains("flipped.parquet, column `site`: it is damaged or not whole"),
        "{flipped}"
    );
    let first = refusal("old.feather", b"FEA1and so on", &[]);
    assert!(first.contains("version 1"), "{first}");
    let unknown = refusal("table.doc", b"x", &[]);
    assert!(
        unknown.contains("save the table as .csv, .tsv, .parquet or .arrow"),
        "{unknown}"
    );
    let column: ArrayRef = Arc::new(Float32Array::from(Vec::<f32>::new()));
    let none = stream(&RecordBatch::try_from_iter([("x", column)]).unwrap());
    let none = refusal("none.arrows", &none, &[]);
    assert!(none.contains("it holds no rows"), "{none}");
}

/// Reads every file cut and with a flipped bit, at one byte in `every`; how many were refused.
fn damage(every: usize) -> usize {
    let mut refused = 0;
    for file in WRITTEN {
        let path = folder().join(file);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(every) {
            let cut = Frame::of(&path, whole[..at].to_vec(), &[]);
            // A stream may end after any message.
            assert!(cut.is_err() || file == "stream.arrows", "{file} cut at byte {at}");
            let bits = if every == 1 { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                refused += usize::from(Frame::of(&path, flipped, &[]).is_err());
            }
        }
    }
    refused
}

#[test]
fn damaged_files_are_refused_or_read() {
    assert!(damage(41) > 100);
}

#[test]
#[ignore = "slow: every bit of every file"]
fn damaged_files_are_refused_or_read_at_every_bit() {
    assert!(damage(1) > 1000);
}
