//! A board at the other end of a byte stream.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use pliant_runtime::adapt::in_flight::PARAMETERS;
use pliant_runtime::link::{Receiver, Reply, Request, encode};
use pliant_runtime::telemetry::MAX_FRAME;

use super::pilot::{Pilot, PilotError};

/// How long a board may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a board does not fly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// The stream ended or failed.
    #[error("the board's byte stream failed: {0}")]
    Stream(#[from] io::Error),
    /// It does not answer.
    #[error("the board did not answer within {} s; does firmware-examples/flight-controller run on it?", PATIENCE.as_secs())]
    Silent,
    /// It answers something else.
    #[error("the board answered {0} where an action was asked for")]
    Answer(&'static str),
    /// It holds another image.
    #[error("the board holds another image (CRC-32 {board:08x}) than the bundle ({bundle:08x}); flash the bundle's")]
    OtherImage {
        /// The board's.
        board: u32,
        /// The bundle's.
        bundle: u32,
    },
    /// It refused to act.
    #[error("the board refused to act: it sent the safe action")]
    Refused,
}

/// A board that flies: the other end of [`pliant_runtime::link`].
pub struct Board<S> {
    stream: S,
    receiver: Receiver,
    observations: usize,
    adapts: bool,
    used: [f32; PARAMETERS],
}

impl<S: Read + Write> Board<S> {
    /// Greets the board and makes sure that it holds the image with this CRC-32, which observes so many numbers.
    ///
    /// # Errors
    /// No answer, or another image.
    pub fn open(stream: S, image: u32, observations: usize, adapts: bool) -> Result<Self, BoardError> {
        let mut board = Self {
            stream,
            receiver: Receiver::new(),
            observations,
            adapts,
            used: [0.0; PARAMETERS],
        };
        match board.ask(&Request::Hello)? {
            Reply::Ready { image: found } if found == image => Ok(board),
            Reply::Ready { image: found } => Err(BoardError::OtherImage {
                board: found,
                bundle: image,
            }),
            Reply::Acted { .. } => Err(BoardError::Answer("an action")),
            Reply::Damaged => Err(BoardError::Answer("that it did not understand")),
        }
    }

    /// Whether it adapts from the next episode on.
    pub fn set_adapts(&mut self, adapts: bool) {
        self.adapts = adapts;
    }

    /// Tells the board that nothing more comes.
    ///
    /// # Errors
    /// The stream failed.
    pub fn close(mut self) -> Result<(), BoardError> {
        self.ask(&Request::Goodbye).map(|_| ())
    }

    fn send(&mut self, request: &Request) -> Result<(), BoardError> {
        let mut buffer = [0; MAX_FRAME];
        let bytes = encode(request, &mut buffer).unwrap_or(&[]);
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, BoardError> {
        self.send(request)?;
        let started = Instant::now();
        let mut buffer = [0; MAX_FRAME];
        while started.elapsed() < PATIENCE {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(error) => return Err(error.into()),
            };
            for byte in &buffer[..count] {
                // What is damaged is waited out: the board sends one frame a request.
                if let Some(Ok(reply)) = self.receiver.push::<Reply>(*byte) {
                    return Ok(reply);
                }
            }
        }
        Err(BoardError::Silent)
    }
}

impl<S: Read + Write> Pilot for Board<S> {
    fn observations(&self) -> usize {
        self.observations
    }

    fn reset(&mut self) -> Result<(), PilotError> {
        match self.ask(&Request::Reset { adapt: self.adapts })? {
            Reply::Ready { .. } => Ok(()),
            Reply::Acted { .. } | Reply::Damaged => Err(BoardError::Answer("something else").into()),
        }
    }

    fn act(&mut self, observation: &[f32], action: &mut [f32; 4]) -> Result<(), PilotError> {
        match self.ask(&Request::act(observation))? {
            Reply::Acted { refused: true, .. } => Err(BoardError::Refused.into()),
            Reply::Acted {
                action: given,
                correction,
                ..
            } => {
                let given: &[f32] = &given;
                *action = given
                    .try_into()
                    .map_err(|_| BoardError::Answer("another number of actions"))?;
                self.used = correction;
                Ok(())
            }
            Reply::Ready { .. } => Err(BoardError::Answer("that it is ready").into()),
            Reply::Damaged => Err(BoardError::Answer("that it did not understand").into()),
        }
    }

    fn correction(&self) -> [f32; PARAMETERS] {
        self.used
    }
}
