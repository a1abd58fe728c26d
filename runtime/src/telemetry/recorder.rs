//! Writes records to a sink that may be full.

use super::Record;
use super::frame::{FrameRef, MAX_FRAME};

/// Where frames go: a queue in front of a UART, a flash log, a socket. Closures are sinks.
pub trait Sink {
    /// Takes the whole frame and says `true`, or nothing of it and says `false`. Must not wait.
    fn write(&mut self, frame: &[u8]) -> bool;
}

impl<F: FnMut(&[u8]) -> bool> Sink for F {
    fn write(&mut self, frame: &[u8]) -> bool {
        self(frame)
    }
}

/// A queue of bytes, to be emptied by the interrupt of a UART: the other end is
/// [`Consumer::dequeue`](heapless::spsc::Consumer::dequeue).
///
/// ```
/// use heapless::spsc::Queue;
/// use pliant_runtime::telemetry::{Record, Recorder};
///
/// let mut queue: Queue<u8, 512> = Queue::new();
/// let (producer, mut consumer) = queue.split();
/// let mut recorder = Recorder::new(producer);
/// recorder.record(&Record::Frozen(true));
/// assert!(consumer.dequeue().is_some());
/// assert_eq!(recorder.dropped(), 0);
/// ```
impl Sink for heapless::spsc::Producer<'_, u8> {
    fn write(&mut self, frame: &[u8]) -> bool {
        // The consumer only makes room in the meantime.
        let fits = self.capacity().saturating_sub(self.len()) >= frame.len();
        fits && frame.iter().all(|byte| self.enqueue(*byte).is_ok())
    }
}

/// Numbers records, frames them, and counts what the sink refuses.
#[derive(Clone, Debug)]
pub struct Recorder<S> {
    sink: S,
    sequence: u32,
    time_ms: u32,
    dropped: u32,
    /// Of those dropped, the ones that the log has been told of.
    told: u32,
}

impl<S: Sink> Recorder<S> {
    /// Nothing is written yet.
    pub const fn new(sink: S) -> Self {
        Self {
            sink,
            sequence: 0,
            time_ms: 0,
            dropped: 0,
            told: 0,
        }
    }

    /// The time of the records that follow, in milliseconds since some moment in the past. Without it the time is 0, and
    /// `pliant monitor` goes by its own clock.
    pub fn set_time_ms(&mut self, time_ms: u32) {
        self.time_ms = time_ms;
    }

    /// Writes a record. Gives whether the sink took it.
    pub fn record(&mut self, record: &Record) -> bool {
        if matches!(record, Record::Start(_)) {
            self.sequence = 0;
        } else if self.told != self.dropped {
            // Refused, the notice is no loss: the count goes with a later one.
            if self.send(&Record::Dropped(self.dropped)) {
                self.told = self.dropped;
                self.sequence = self.sequence.wrapping_add(1);
            }
        }
        let taken = self.send(record);
        // A dropped record leaves a gap in the numbers.
        self.sequence = self.sequence.wrapping_add(1);
        self.dropped = self.dropped.saturating_add(u32::from(!taken));
        taken
    }

    /// Records that the sink refused.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Gives the sink back.
    pub fn into_sink(self) -> S {
        self.sink
    }

    fn send(&mut self, record: &Record) -> bool {
        let frame = FrameRef {
            sequence: self.sequence,
            time_ms: self.time_ms,
            record,
        };
        let mut buffer = [0; MAX_FRAME];
        frame.write(&mut buffer).is_some_and(|frame| self.sink.write(frame))
    }
}
