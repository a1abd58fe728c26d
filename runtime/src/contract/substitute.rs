//! What stands for a channel that is dropped.

use serde::{Deserialize, Serialize};

use super::{ContractError, Fault, Side, take};

/// The value that stands for an observation channel where the channel's own is too old, NaN or infinite.
///
/// Only sensible for a policy that was trained with this channel masked now and then by this value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Substitute {
    /// Index of the observation channel.
    pub channel: u8,
    /// In the channel's unit, finite. Normalised and clipped as a measured value is.
    pub value: f32,
}

/// The substitutes of a contract, decoded one by one from the image, in rising order of the channel.
#[derive(Clone, Copy, Debug)]
pub struct Substitutes<'a> {
    bytes: &'a [u8],
    remaining: usize,
}

impl<'a> Substitutes<'a> {
    /// None in a contract that ends with its channels; otherwise a count above 0 and as many, to the end.
    pub(super) fn new_checked(bytes: &'a [u8], observations: usize) -> Result<Self, ContractError> {
        if bytes.is_empty() {
            return Ok(Self { bytes, remaining: 0 });
        }
        let (count, bytes) = take::<u32>(bytes)?;
        if count == 0 || count as usize > observations {
            return Err(ContractError::Encoding);
        }
        let (mut rest, mut least) = (bytes, 0);
        for _ in 0..count {
            let (Substitute { channel, value }, after) = take(rest)?;
            if channel < least || usize::from(channel) >= observations {
                return Err(ContractError::Encoding);
            }
            if !value.is_finite() {
                return Err(ContractError::Channel {
                    side: Side::Observation,
                    index: channel,
                    fault: Fault::Substitute,
                });
            }
            (rest, least) = (after, channel + 1);
        }
        if !rest.is_empty() {
            return Err(ContractError::Encoding);
        }
        Ok(Self {
            bytes,
            remaining: count as usize,
        })
    }

    /// What stands for this channel, if anything does.
    pub fn of_channel(self, index: usize) -> Option<f32> {
        let mut substitutes = self;
        substitutes
            .find(|substitute| usize::from(substitute.channel) == index)
            .map(|substitute| substitute.value)
    }
}

impl Iterator for Substitutes<'_> {
    type Item = Substitute;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        // Checked in `new_checked`: this succeeds.
        let (substitute, rest) = take(self.bytes).ok()?;
        self.bytes = rest;
        self.remaining -= 1;
        Some(substitute)
    }
}
