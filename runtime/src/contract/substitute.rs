//! What stands for a channel that is dropped.

use serde::{Deserialize, Serialize};

use super::reader::{Reader, encoded};
use super::{ContractError, Fault, Side};

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
    reader: Reader<'a>,
    remaining: usize,
}

impl<'a> Substitutes<'a> {
    /// None in a contract that ends with its channels; otherwise a count above 0 and as many, to the end.
    pub(super) fn new_checked(mut reader: Reader<'a>, observations: usize) -> Result<Self, ContractError> {
        if reader.is_empty() {
            return Ok(Self { reader, remaining: 0 });
        }
        let remaining = encoded(reader.number())? as usize;
        if remaining == 0 || remaining > observations {
            return Err(ContractError::Encoding);
        }
        let substitutes = Self { reader, remaining };
        let (mut rest, mut least) = (substitutes, 0);
        while rest.remaining > 0 {
            let Substitute { channel, value } = encoded(rest.next())?;
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
            least = channel + 1;
        }
        if !rest.reader.is_empty() {
            return Err(ContractError::Encoding);
        }
        Ok(substitutes)
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
        self.remaining = self.remaining.checked_sub(1)?;
        // Checked in `new_checked`: this succeeds.
        let (channel, value) = (self.reader.byte()?, self.reader.float()?);
        Some(Substitute { channel, value })
    }
}
