//! Event files for TensorBoard: `tensorboard/events.out.tfevents.*`.
//!
//! A file is a sequence of TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data; all
//! little-endian), each holding one `Event` message. The messages are written here: field numbers are facts of the format
//! (`tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// `tensorflow.Event`
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The iteration.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What it says.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// The kinds of event that are written here.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// The first event of a file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Measurements.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// A sitting begins: measurements of earlier sittings from this step on are void.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// `tensorflow.Summary`
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// One value a measurement.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `tensorflow.Summary.Value`
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name; `group/name` sorts it into a group.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The number.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

/// `tensorflow.SessionLog`
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// 1: start.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

const START: i32 = 1;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: BufWriter<File>,
}

impl EventWriter {
    /// Begins a new file in `folder` for a sitting that goes on after `completed` iterations; TensorBoard drops what
    /// earlier sittings wrote about later ones.
    ///
    /// # Errors
    /// The system's.
    pub fn create(folder: &Path, completed: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let now = now();
        // Sorted by name, files must be in the order in which they were begun: the first number is compared as text.
        let name = format!(
            "events.out.tfevents.{:010}.{:09}",
            now as u64,
            (now.fract() * 1e9) as u32
        );
        let mut writer = Self {
            file: BufWriter::new(File::create(folder.join(name))?),
        };
        writer.write(now, 0, What::FileVersion("brain.Event:2".into()))?;
        if completed > 0 {
            let first = completed as i64 + 1;
            writer.write(now, first, What::SessionLog(SessionLog { status: START }))?;
        }
        Ok(writer)
    }

    /// Adds measurements of one step.
    ///
    /// # Errors
    /// The system's.
    pub fn scalars(&mut self, step: u64, values: impl IntoIterator<Item = (String, f32)>) -> io::Result<()> {
        let value = |(tag, value)| Value {
            tag,
            simple_value: Some(value),
        };
        let value = values.into_iter().map(value).collect();
        self.write(now(), step as i64, What::Summary(Summary { value }))
    }

    /// Hands what was written to the system, where TensorBoard sees it.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&mut self, wall_time: f64, step: i64, what: What) -> io::Result<()> {
        let event = Event {
            wall_time,
            step,
            what: Some(what),
        };
        self.file.write_all(&record(&event.encode_to_vec()))
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// `data` as a TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked_crc(data).to_le_bytes());
    bytes
}

/// A checksum that may itself be checksummed: rotated and offset (TensorFlow's `crc32c::Mask`).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events in the bytes of a file, up to the first record that is not whole.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let mut writer = pliant_trainer::run::EventWriter::create(folder.path(), 0)?;
/// writer.scalars(7, [("loss".to_owned(), 0.5)])?;
/// writer.flush()?;
/// let file = std::fs::read_dir(folder.path())?.next().unwrap()?.path();
/// let events = pliant_trainer::run::read_events(&std::fs::read(file)?);
/// assert_eq!((events.len(), events[1].step), (2, 7));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_events(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((event, rest)) = read_event(bytes) {
        events.push(event);
        bytes = rest;
    }
    events
}

fn read_event(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (data_crc, rest) = rest.split_first_chunk::<4>()?;
    let whole =
        u32::from_le_bytes(*length_crc) == masked_crc(length) && u32::from_le_bytes(*data_crc) == masked_crc(data);
    whole.then(|| Event::decode(data).ok().map(|event| (event, rest)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out by hand from the protobuf wire format.
    #[test]
    fn known_bytes() {
        let event = Event {
            wall_time: 0.0,
            step: 0,
            what: Some(What::FileVersion("brain.Event:2".into())),
        };
        let data = event.encode_to_vec();
        assert_eq!(data, b"\x1a\x0dbrain.Event:2");
        let event = Event {
            wall_time: 1.0,
            step: 3,
            what: Some(What::Summary(Summary {
                value: vec![Value {
                    tag: "a".into(),
                    simple_value: Some(0.5),
                }],
            })),
        };
        // Field 1 as a double, field 2 as a varint, field 5 with value { tag "a", simple_value 0.5 }.
        let expected = b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x03\x2a\x0a\x0a\x08\x0a\x01a\x15\x00\x00\x00\x3f";
        assert_eq!(event.encode_to_vec(), expected);
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720, appendix B.4 and its check value).
        assert_eq!(
            masked_crc(b"123456789"),
            0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn a_damaged_record_ends_the_reading() {
        let mut bytes = record(&Event::default().encode_to_vec());
        bytes.extend(record(b"\x1a\x0dbrain.Event:2"));
        assert_eq!(read_events(&bytes).len(), 2);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read_events(&bytes).len(), 1);
    }
}
