//! Frames: COBS, a sequence number, a time and a checksum around each record.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::contract::MAX_OBSERVATIONS;
use crate::image::crc32;

/// Bytes of the checksum at the end of a frame.
const CRC: usize = 4;
/// Bytes of the longest payload: a step of the greatest contract, its checksum, and room to grow.
const MAX_PAYLOAD: usize = 152 + 4 * MAX_OBSERVATIONS;
/// Bytes of the longest frame, the zero at its end included.
pub const MAX_FRAME: usize = stuffed_len(MAX_PAYLOAD);

/// Greatest length of a payload after stuffing, with the zero that ends it.
const fn stuffed_len(payload: usize) -> usize {
    payload + payload / 254 + 2
}

/// A record with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Records before this one since the last [`Start`](super::Start), those that were dropped included. Wraps.
    pub sequence: u32,
    /// Milliseconds since some moment in the past, as the firmware told them; 0 where it did not. Wraps after 49 days.
    pub time_ms: u32,
    /// What happened.
    pub record: Record,
}

/// As [`Frame`], borrowed, to be written: the same fields in the same order.
#[derive(Serialize)]
pub(super) struct FrameRef<'r> {
    pub(super) sequence: u32,
    pub(super) time_ms: u32,
    pub(super) record: &'r Record,
}

impl FrameRef<'_> {
    /// Writes the frame into `buffer` and gives its bytes. `None` cannot happen: every record fits, which a test shows.
    pub(super) fn write<'b>(&self, buffer: &'b mut [u8; MAX_FRAME]) -> Option<&'b [u8]> {
        seal(self, buffer)
    }
}

/// Writes anything as a frame and gives its bytes; `None` where it is too long.
pub(crate) fn seal<'b>(value: &impl Serialize, buffer: &'b mut [u8; MAX_FRAME]) -> Option<&'b [u8]> {
    let mut payload = [0; MAX_PAYLOAD];
    let room = payload.get_mut(..MAX_PAYLOAD - CRC)?;
    let length = postcard::to_slice(value, room).ok()?.len();
    let crc = crc32(payload.get(..length)?).to_le_bytes();
    let end = payload.get_mut(length..)?;
    end.iter_mut().zip(crc).for_each(|(place, byte)| *place = byte);
    let length = stuff(payload.get(..length + CRC)?, buffer)?;
    buffer.get(..length)
}

/// Consistent overhead byte stuffing (Cheshire and Baker 1999): no zero but the one at the end. Gives the length.
fn stuff(payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut code_at, mut at, mut code) = (0, 1, 1u8);
    for &byte in payload {
        if byte != 0 {
            *out.get_mut(at)? = byte;
            at += 1;
            code += 1;
        }
        if byte == 0 || code == u8::MAX {
            *out.get_mut(code_at)? = code;
            (code_at, code) = (at, 1);
            at += 1;
        }
    }
    *out.get_mut(code_at)? = code;
    *out.get_mut(at)? = 0;
    Some(at + 1)
}

/// The inverse of [`stuff`], in place and without the zero at the end. Gives the length.
fn unstuff(frame: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while let Some(&code) = frame.get(from) {
        let end = from + usize::from(code);
        if code == 0 || end > frame.len() {
            return None;
        }
        // `to` stays behind `from`: every code byte is taken out. By single bytes: `copy_within` could panic for all that the
        // compiler knows.
        for at in from + 1..end {
            *frame.get_mut(to)? = *frame.get(at)?;
            to += 1;
        }
        from = end;
        if code != u8::MAX && from < frame.len() {
            *frame.get_mut(to)? = 0;
            to += 1;
        }
    }
    Some(to)
}

/// Why a frame was refused. The next one may be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than any frame: the zero that ends it is missing.
    TooLong,
    /// No valid byte stuffing.
    Stuffing,
    /// The checksum does not fit.
    Crc,
    /// No record that this version knows; or bytes are left over.
    Record,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => "longer than any frame",
            Self::Stuffing => "no valid byte stuffing",
            Self::Crc => "the checksum does not fit",
            Self::Record => "no record that this version knows",
        })
    }
}

impl core::error::Error for FrameError {}

/// Finds frames in bytes that come one by one.
#[derive(Clone, Debug)]
pub struct Decoder {
    buffer: [u8; MAX_FRAME],
    len: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Waits for the start of a frame.
    pub const fn new() -> Self {
        Self {
            buffer: [0; MAX_FRAME],
            len: 0,
        }
    }

    /// Takes the next byte; where it ends a frame, gives that frame or what is wrong with it. Zeros between frames are
    /// skipped.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame, FrameError>> {
        self.push_any(byte)
    }

    /// As [`push`](Self::push), of anything that [`seal`] wrote.
    pub(crate) fn push_any<T: for<'d> Deserialize<'d>>(&mut self, byte: u8) -> Option<Result<T, FrameError>> {
        if byte != 0 {
            // Past the end only the length grows: that tells a frame that is too long from one that just fits.
            if let Some(place) = self.buffer.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return None;
        }
        let len = core::mem::take(&mut self.len);
        (len > 0).then(|| self.decode(len))
    }

    /// Bytes of a frame that has not ended. Not zero at the end of a log: it is cut off there.
    pub const fn pending(&self) -> usize {
        self.len
    }

    fn decode<T: for<'d> Deserialize<'d>>(&mut self, len: usize) -> Result<T, FrameError> {
        let stuffed = self.buffer.get_mut(..len).ok_or(FrameError::TooLong)?;
        let len = unstuff(stuffed).ok_or(FrameError::Stuffing)?;
        let payload = stuffed.get(..len).unwrap_or(&[]);
        let (body, crc) = payload
            .len()
            .checked_sub(CRC)
            .and_then(|at| payload.split_at_checked(at))
            .ok_or(FrameError::Crc)?;
        if crc32(body).to_le_bytes() != crc {
            return Err(FrameError::Crc);
        }
        match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(FrameError::Record),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn stuffing_comes_back_and_holds_no_zero() {
        let mut cases: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![1], vec![1, 0], vec![0, 1]];
        for length in [252, 253, 254, 255, 256, MAX_PAYLOAD] {
            cases.push(vec![7; length]);
            cases.push((0..length).map(|i| (i % 256) as u8).collect());
        }
        for payload in cases {
            let mut frame = [0xAA; MAX_FRAME];
            let length = stuff(&payload, &mut frame).unwrap();
            assert!(length <= stuffed_len(payload.len()));
            let (end, stuffed) = frame[..length].split_last_mut().unwrap();
            assert_eq!(*end, 0);
            assert!(stuffed.iter().all(|byte| *byte != 0));
            let back = unstuff(stuffed).unwrap();
            assert_eq!(&stuffed[..back], payload);
        }
        // Examples of the paper's table, and what no encoder writes.
        let mut frame = [0; 16];
        let length = stuff(&[0x11, 0x22, 0x00, 0x33], &mut frame).unwrap();
        assert_eq!(frame[..length], [3, 0x11, 0x22, 2, 0x33, 0]);
        assert_eq!(unstuff(&mut [5, 1, 2]), None);
        assert_eq!(stuff(&[1, 2, 3], &mut [0; 4]), None, "no room");
    }

    fn decode(bytes: &[u8]) -> Vec<Result<Frame, FrameError>> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    fn seed(sequence: u32) -> Vec<u8> {
        let record = Record::Seed(0x0102_0304_0506_0708);
        let frame = FrameRef {
            sequence,
            time_ms: 1000,
            record: &record,
        };
        frame.write(&mut [0; MAX_FRAME]).unwrap().to_vec()
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_told_and_the_next_one_found() {
        let good = seed(3);
        let frame = Frame {
            sequence: 3,
            time_ms: 1000,
            record: Record::Seed(0x0102_0304_0506_0708),
        };
        assert_eq!(decode(&good), [Ok(frame.clone())]);
        assert_eq!(decode(&[0, 0, 0]), [], "zeros in between are no frames");

        let mut damaged = good.clone();
        damaged[5] ^= 0x80;
        assert_eq!(
            decode(&[damaged, good.clone()].concat()),
            [Err(FrameError::Crc), Ok(frame.clone())]
        );
        assert_eq!(decode(&[9, 1, 0]), [Err(FrameError::Stuffing)]);
        assert_eq!(decode(&[2, 1, 0]), [Err(FrameError::Crc)], "too short for a checksum");
        let endless = vec![1; 3 * MAX_FRAME];
        assert_eq!(
            decode(&[endless, vec![0], good].concat()),
            [Err(FrameError::TooLong), Ok(frame)]
        );

        // A whole frame of a record from the future, and one with a byte too many.
        for body in [&[0u8, 0, 0x7F][..], &[0, 0, 1, 7, 9]] {
            let payload = [body, &crc32(body).to_le_bytes()].concat();
            let mut bytes = [0; MAX_FRAME];
            let length = stuff(&payload, &mut bytes).unwrap();
            assert_eq!(decode(&bytes[..length]), [Err(FrameError::Record)]);
        }
    }

    #[test]
    fn a_cut_is_pending() {
        let good = seed(0);
        for cut in 0..good.len() {
            let mut decoder = Decoder::new();
            assert!(good[..cut].iter().all(|byte| decoder.push(*byte).is_none()));
            assert_eq!(decoder.pending(), cut);
        }
    }
}
