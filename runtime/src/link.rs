//! A policy at the other end of a byte stream: a host simulates or senses, a board acts.
//!
//! The host sends a [`Request`], the board answers with one [`Reply`]; both are framed as [telemetry](crate::telemetry) is
//! (postcard, CRC-32, COBS, a zero at the end), so that a reader which starts in the middle finds the next frame. Numbers
//! travel as the four bytes of an `f32`: what arrives has the same bits.
//!
//! ```
//! use pliant_runtime::link::{Receiver, Reply, Request, encode};
//! use pliant_runtime::telemetry::MAX_FRAME;
//!
//! let request = Request::act(&[0.1, -0.2]);
//! let mut buffer = [0; MAX_FRAME];
//! let bytes = encode(&request, &mut buffer).unwrap();
//! let mut receiver = Receiver::new();
//! let received = bytes.iter().find_map(|byte| receiver.push::<Request>(*byte)).unwrap();
//! assert_eq!(received, Ok(request));
//! ```

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::adapt::in_flight;
use crate::contract::{MAX_ACTIONS, MAX_OBSERVATIONS};
use crate::telemetry::{Decoder, FrameError, MAX_FRAME, seal};

/// What a host asks of a board.
// The order of the variants is that of the format: append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "wide",
    expect(
        clippy::large_enum_variant,
        reason = "there is no heap to put an observation on; one request lives at a time"
    )
)]
pub enum Request {
    /// Who is there? Answered by [`Reply::Ready`].
    Hello,
    /// A new episode: memory and corrections as at the start. Answered by [`Reply::Ready`].
    Reset {
        /// Whether the policy is corrected by [`in_flight`] adaptation from here on.
        adapt: bool,
    },
    /// The action for an observation. Answered by [`Reply::Acted`].
    Act {
        /// One raw value a channel of the contract.
        observation: Vec<f32, MAX_OBSERVATIONS>,
    },
    /// Nothing more comes: the board may print its figures and stop. Answered by [`Reply::Ready`], so that the host does not
    /// hang up before it has arrived.
    Goodbye,
}

impl Request {
    /// [`Act`](Self::Act) on an observation; one longer than any contract's is empty.
    pub fn act(observation: &[f32]) -> Self {
        Self::Act {
            observation: Vec::from_slice(observation).unwrap_or_default(),
        }
    }
}

/// What a board answers.
// The order of the variants is that of the format: append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It waits for observations.
    Ready {
        /// CRC-32 of the bytes of its image.
        image: u32,
    },
    /// It acted.
    Acted {
        /// One value a channel: the policy's action, or the contract's safe one.
        action: Vec<f32, MAX_ACTIONS>,
        /// Whether it is the safe action.
        refused: bool,
        /// The parameters of the correction that the action was made with.
        correction: [f32; in_flight::PARAMETERS],
    },
    /// The request before was damaged; it may be sent again.
    Damaged,
}

impl Reply {
    /// [`Acted`](Self::Acted) with an action; one longer than any contract's is empty.
    pub fn acted(action: &[f32], refused: bool, correction: [f32; in_flight::PARAMETERS]) -> Self {
        Self::Acted {
            action: Vec::from_slice(action).unwrap_or_default(),
            refused,
            correction,
        }
    }
}

/// Writes a request or a reply as a frame; `None` cannot happen: every one fits, which a test shows.
pub fn encode<'b>(message: &impl Serialize, buffer: &'b mut [u8; MAX_FRAME]) -> Option<&'b [u8]> {
    seal(message, buffer)
}

/// Finds requests or replies in bytes that come one by one.
#[derive(Clone, Debug, Default)]
pub struct Receiver(Decoder);

impl Receiver {
    /// Waits for the start of a frame.
    pub const fn new() -> Self {
        Self(Decoder::new())
    }

    /// Takes the next byte; where it ends a frame, gives what is in it, or what is wrong with it.
    pub fn push<T: for<'d> Deserialize<'d>>(&mut self, byte: u8) -> Option<Result<T, FrameError>> {
        self.0.push_any(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_messages_fit_and_come_back_with_the_same_bits() {
        let mut buffer = [0; MAX_FRAME];
        let observation = (0..MAX_OBSERVATIONS)
            .map(|i| f32::from_bits(0x3F12_3456 + i as u32))
            .collect();
        let request = Request::Act { observation };
        let mut receiver = Receiver::new();
        let bytes = encode(&request, &mut buffer).unwrap();
        assert_eq!(bytes.iter().find_map(|byte| receiver.push(*byte)), Some(Ok(request)));

        let action: Vec<f32, MAX_ACTIONS> = (0..MAX_ACTIONS)
            .map(|i| f32::from_bits(0xBF65_4321 + i as u32))
            .collect();
        let correction = [f32::MIN_POSITIVE; in_flight::PARAMETERS];
        let reply = Reply::Acted {
            action,
            refused: true,
            correction,
        };
        let bytes = encode(&reply, &mut buffer).unwrap();
        assert_eq!(bytes.iter().find_map(|byte| receiver.push(*byte)), Some(Ok(reply)));
    }

    #[test]
    fn a_flipped_bit_is_refused_and_the_next_message_found() {
        let mut buffer = [0; MAX_FRAME];
        let bytes = encode(&Request::Reset { adapt: true }, &mut buffer).unwrap();
        for bit in 0..8 * (bytes.len() - 1) {
            let mut receiver = Receiver::new();
            let damaged = bytes
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ (u8::from(i == bit / 8) << (bit % 8)));
            let found = damaged
                .filter_map(|byte| receiver.push::<Request>(byte))
                .all(|message| message.is_err());
            assert!(found, "bit {bit}");
            receiver.push::<Request>(0);
            let again = bytes.iter().find_map(|byte| receiver.push(*byte));
            assert_eq!(again, Some(Ok(Request::Reset { adapt: true })));
        }
    }
}
