//! The other end of a device's telemetry: its log read, watched and replayed.
//!
//! The device writes framed records (`docs/telemetry.md`). [`frames`] finds them in a log, [`Watch`] sums them up as they
//! come, and [`replay`] does again what the learner did, to compare it to the last bit.

mod replay;
mod watch;

pub use replay::{ActionChecks, AdaptationCheck, ReplayError, ReplayReport, SessionReport, Stop, replay};
pub use watch::{Watch, json};

use pliant_runtime::telemetry::{Decoder, Frame, FrameError};

/// A frame of a log, or what is wrong with the bytes where one should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Where it starts, in bytes from the start of the log.
    pub offset: u64,
    /// The frame; `None` where the log ends in the middle of one.
    pub frame: Option<Result<Frame, FrameError>>,
}

/// The frames of a log.
///
/// ```
/// use pliant_runtime::telemetry::{Record, Recorder};
/// use pliant_trainer::telemetry::frames;
///
/// let mut log = Vec::new();
/// Recorder::new(|frame: &[u8]| { log.extend_from_slice(frame); true }).record(&Record::Frozen(true));
/// let whole: Vec<_> = frames(&log).collect();
/// assert!(matches!(&whole[..], [one] if one.frame.as_ref().unwrap().is_ok()));
/// let cut: Vec<_> = frames(&log[..4]).collect();
/// assert!(matches!(&cut[..], [one] if one.frame.is_none()));
/// ```
pub fn frames(log: &[u8]) -> impl Iterator<Item = Located> + '_ {
    let mut reader = Reader::default();
    // A cut frame gives nothing by itself.
    log.iter().map(Some).chain([None]).filter_map(move |byte| match byte {
        Some(byte) => reader.push(*byte),
        None => reader.finish(),
    })
}

/// Finds frames in bytes that come one by one, and says where they were.
#[derive(Debug, Default)]
pub struct Reader {
    decoder: Decoder,
    position: u64,
    start: u64,
}

impl Reader {
    /// Takes the next byte; gives the frame that it ends.
    pub fn push(&mut self, byte: u8) -> Option<Located> {
        if self.decoder.pending() == 0 {
            self.start = self.position;
        }
        self.position += 1;
        let frame = self.decoder.push(byte)?;
        Some(Located {
            offset: self.start,
            frame: Some(frame),
        })
    }

    /// The frame that the end of the bytes cut off.
    pub fn finish(&mut self) -> Option<Located> {
        (self.decoder.pending() > 0).then(|| Located {
            offset: self.start,
            frame: None,
        })
    }
}
