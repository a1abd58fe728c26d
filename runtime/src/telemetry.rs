//! Telemetry: what happened on the device as framed records, enough to repeat its adaptations bit for bit on a host.
//!
//! A [`RecordedLearner`] stands in for the [`Learner`](crate::policy::Learner): it does what the learner does and writes a
//! [`Record`] of every call that counts. `pliant monitor` shows them as they come, `pliant replay` runs the same calls again
//! on the workstation and compares the checksum of the adapted parameters after each adaptation. `docs/telemetry.md`
//! specifies the bytes.
//!
//! - **Any byte sink.** A frame goes to a [`Sink`]: a queue that an interrupt empties into a UART, a flash log, a socket, a
//!   closure.
//! - **Never waits.** A sink takes a whole frame or refuses it. What it refuses is dropped and counted, and the count is the
//!   next thing written once there is room. Records are written by the learner's side; `act` does not know of them.
//! - **Found again.** Frames are delimited by zero bytes (COBS), numbered, and end in a CRC-32: a reader that starts in
//!   the middle, or meets damage, finds the next frame and knows how many it missed.
//!
//! ```
//! use pliant_runtime::telemetry::{Decoder, Record, Recorder};
//!
//! let mut log = Vec::new();
//! let mut recorder = Recorder::new(|frame: &[u8]| {
//!     log.extend_from_slice(frame);
//!     true
//! });
//! recorder.set_time_ms(20);
//! recorder.record(&Record::Seed(7));
//!
//! let mut decoder = Decoder::new();
//! let frame = log.iter().find_map(|byte| decoder.push(*byte)).unwrap().unwrap();
//! assert_eq!((frame.sequence, frame.time_ms, frame.record), (0, 20, Record::Seed(7)));
//! ```
//!
//! On the device:
//!
//! ```no_run
//! use pliant_runtime::experience::End;
//! use pliant_runtime::image::Image;
//! use pliant_runtime::policy::{Policy, ResetKind, workspace_len};
//! use pliant_runtime::telemetry::RecordedLearner;
//!
//! # let bytes: &[u8] = &[];
//! # let mut memory = vec![0.0; workspace_len(bytes)];
//! # fn uart(_frame: &[u8]) -> bool { true }
//! let image = Image::new_checked(bytes).unwrap();
//! let mut policy = Policy::new(&image, None, &mut memory).unwrap();
//! let (mut actor, learner) = policy.split();
//! actor.seed(7);
//! let mut learner = RecordedLearner::start(learner, &image, 7, uart);
//! // From here on as with the learner itself.
//! actor.reset(ResetKind::Episode);
//! let mut action = [0.0; 2];
//! if let Ok(step) = actor.explore(&[0.1, 0.2], &mut action) {
//!     let _dropped = learner.observe(&step, -1.0, End::Continue);
//! }
//! let _report = learner.adapt();
//! ```

mod frame;
mod learner;
mod record;
mod recorder;

pub(crate) use frame::seal;
pub use frame::{Decoder, Frame, FrameError, MAX_FRAME};
pub use learner::RecordedLearner;
pub use record::{Adapted, Example, FORMAT, Record, Reset, Revert, Start, StepRecord, Watched};
pub use recorder::{Recorder, Sink};
