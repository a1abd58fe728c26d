//! What can be wrong with a contract.

use core::fmt;

/// Which half of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Side {
    /// Inputs of the policy.
    Observation,
    /// Outputs of the policy.
    Action,
}

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The name is empty or too long.
    Name,
    /// The unit is too long.
    Unit,
    /// A number is NaN or infinite.
    NotFinite,
    /// The scale or clip is not above 0.
    Scale,
    /// The range is upside down.
    Range,
    /// The safe action is outside the range.
    Safe,
    /// An actuator among the observations, or something else among the actions.
    Source,
    /// The substitute is not finite, or the channel has two.
    Substitute,
    /// The firmware has another name at this place, and the image's nowhere.
    NameDiffers,
    /// The firmware has the image's channel, but at another place.
    OrderDiffers,
    /// The firmware has another unit at this place.
    UnitDiffers,
    /// Only one of image and firmware has this channel.
    Missing,
}

/// Why a contract was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ContractError {
    /// The bytes are not one postcard-encoded contract.
    Encoding,
    /// The buffer to encode into is too short.
    BufferTooShort,
    /// The control rate is not a number above 0, or differs from the firmware's.
    ControlRate,
    /// A side has no channels.
    NoChannels(Side),
    /// A side has more channels than [`MAX_OBSERVATIONS`](super::MAX_OBSERVATIONS) or
    /// [`MAX_ACTIONS`](super::MAX_ACTIONS).
    TooManyChannels(Side),
    /// A channel is wrong or differs from the firmware's.
    Channel {
        /// Observation or action.
        side: Side,
        /// Which channel, from 0.
        index: u8,
        /// What about it.
        fault: Fault,
    },
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Observation => "observation",
            Self::Action => "action",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => "name is empty or longer than 24 bytes",
            Self::Unit => "unit is longer than 12 bytes",
            Self::NotFinite => "a number is not finite",
            Self::Scale => "scale and clip must be above 0",
            Self::Range => "range is upside down",
            Self::Safe => "safe action is outside the range",
            Self::Source => "source does not belong on this side",
            Self::Substitute => "a second substitute, or one that is not finite",
            Self::NameDiffers => "name differs",
            Self::OrderDiffers => "order differs",
            Self::UnitDiffers => "unit differs",
            Self::Missing => "missing on one side",
        })
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => formatter.write_str("the bytes are no contract"),
            Self::BufferTooShort => formatter.write_str("the buffer is too short for the contract"),
            Self::ControlRate => formatter.write_str("control rate is not above 0 or differs"),
            Self::NoChannels(side) => write!(formatter, "no {side} channels"),
            Self::TooManyChannels(side) => write!(formatter, "too many {side} channels"),
            Self::Channel { side, index, fault } => write!(formatter, "{side} channel {index}: {fault}"),
        }
    }
}

impl core::error::Error for ContractError {}
