//! The contract: what every observation and action channel is, and how a raw value becomes a network input.
//!
//! What breaks robots is not the matrix product but the unit, the order, the missing normaliser, the un-applied action
//! scale. So the contract travels with the policy, in the device image (postcard) and in the ONNX metadata (JSON), and
//! is applied inside [`Actor::act`](crate::policy::Actor::act): raw observation in, physical action out.
//!
//! - An observation `x` becomes `clamp((x - mean) / scale, -clip, clip)`.
//! - A policy output `a` (unit-less) becomes `clamp(clamp(a, -clip, clip) * scale + mean, range)`, rounded to the
//!   nearest integer before the last clamp where the channel is [`Discrete`](ChannelKind::Discrete).
//!
//! - Where a channel is dropped (older than its greatest age, NaN or infinite) the policy is refused and the channels' safe
//!   actions are sent; unless the contract declares a [`Substitute`] for the channel, a value the policy was trained to see
//!   in its place (the mask).
//!
//! [`Contract`] owns its channels (about 5 KiB: for workstations); [`ContractView`] reads the same bytes in place,
//! channel by channel, and is what the device uses. Firmware states what it is wired to with an [`Interface`]; a
//! difference in number, order, name, unit or control rate refuses to load.
//!
//! ```
//! use pliant_runtime::contract::{Channel, Contract, ContractView, Interface, Port};
//!
//! let mut contract = Contract::new(20.0);
//! contract.observe(Channel::observation("angle", "rad").with_normaliser(0.0, 1.8)).unwrap();
//! contract.actuate(Channel::action("torque", "N m").with_range(-2.0, 2.0).with_normaliser(0.0, 2.0)).unwrap();
//! let mut bytes = [0; 256];
//! let bytes = contract.encode(&mut bytes).unwrap();
//!
//! let view = ContractView::new_checked(bytes).unwrap();
//! let wired = Interface {
//!     observations: &[Port::new("angle", "deg")],
//!     actions: &[Port::new("torque", "N m")],
//!     control_rate_hz: 20.0,
//! };
//! let error = view.check(&wired).unwrap_err();
//! assert_eq!(
//!     view.explain(error, &wired).to_string(),
//!     "observation channel 0: unit differs: `angle` in `rad` in the image, `angle` in `deg` in the firmware"
//! );
//! ```

mod channel;
mod error;
mod explanation;
mod reader;
mod scaling;
mod substitute;

use heapless::Vec;
use serde::{Deserialize, Serialize};

pub use channel::{Channel, ChannelKind, ChannelView, Source};
pub use error::{ContractError, Fault, Side};
pub use explanation::Explanation;
pub(crate) use reader::{RawChannel, is_utf8};
use reader::{Reader, encoded};
pub(crate) use scaling::{ActionScaling, ObservationScales, ObservationScaling};
pub use substitute::{Substitute, Substitutes};

/// Most observation channels a contract can have: 32, or 64 with the feature `wide`. Steps, telemetry and messages have room
/// for so many in RAM; an image with more is refused by name.
pub const MAX_OBSERVATIONS: usize = if cfg!(feature = "wide") { 64 } else { 32 };
/// Most action channels a contract can have.
pub const MAX_ACTIONS: usize = 16;
/// Longest channel name, in bytes of UTF-8.
pub const MAX_NAME: usize = 24;
/// Longest unit, in bytes of UTF-8.
pub const MAX_UNIT: usize = 12;
/// Control rates that differ by no more than this share are taken as equal.
pub const RATE_TOLERANCE: f32 = 1e-3;

/// The whole contract, owned. `observations` and `actions` are in the order of the policy's inputs and outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// How often the policy is called, Hz, above 0.
    pub control_rate_hz: f32,
    /// Observation channels, at least one.
    pub observations: Vec<Channel, MAX_OBSERVATIONS>,
    /// Action channels, at least one.
    pub actions: Vec<Channel, MAX_ACTIONS>,
    /// What stands for dropped observation channels, in rising order of the channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitutes: Vec<Substitute, MAX_OBSERVATIONS>,
}

impl Contract {
    /// A contract without channels yet.
    pub const fn new(control_rate_hz: f32) -> Self {
        Self {
            control_rate_hz,
            observations: Vec::new(),
            actions: Vec::new(),
            substitutes: Vec::new(),
        }
    }

    /// Appends an observation channel.
    ///
    /// # Errors
    /// [`ContractError::TooManyChannels`] past [`MAX_OBSERVATIONS`].
    pub fn observe(&mut self, channel: Channel) -> Result<(), ContractError> {
        self.observations
            .push(channel)
            .map_err(|_| ContractError::TooManyChannels(Side::Observation))
    }

    /// Appends an action channel.
    ///
    /// # Errors
    /// [`ContractError::TooManyChannels`] past [`MAX_ACTIONS`].
    pub fn actuate(&mut self, channel: Channel) -> Result<(), ContractError> {
        self.actions
            .push(channel)
            .map_err(|_| ContractError::TooManyChannels(Side::Action))
    }

    /// Declares what stands for the observation channel appended last when it is dropped, in the channel's unit.
    ///
    /// # Errors
    /// [`ContractError::NoChannels`] before the first channel; [`ContractError::Channel`] when the channel has one already.
    pub fn substitute(&mut self, value: f32) -> Result<(), ContractError> {
        let side = Side::Observation;
        let last = self.observations.len().checked_sub(1);
        let channel = last.ok_or(ContractError::NoChannels(side))? as u8;
        if self.substitutes.last().is_some_and(|last| last.channel >= channel) {
            let (index, fault) = (channel, Fault::Substitute);
            return Err(ContractError::Channel { side, index, fault });
        }
        // There is room for one a channel.
        let _full = self.substitutes.push(Substitute { channel, value });
        Ok(())
    }

    /// Writes the contract as the image carries it (postcard) and gives the bytes used.
    ///
    /// # Errors
    /// What [`ContractView::new_checked`] would refuse, and [`ContractError::BufferTooShort`].
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], ContractError> {
        let bytes = postcard::to_slice(self, buffer).map_err(|_| ContractError::BufferTooShort)?;
        ContractView::new_checked(bytes)?;
        Ok(bytes)
    }
}

/// A contract checked once and read in place.
#[derive(Clone, Copy, Debug)]
pub struct ContractView<'a> {
    control_rate_hz: f32,
    observations: Channels<'a>,
    actions: Channels<'a>,
    substitutes: Substitutes<'a>,
}

impl<'a> ContractView<'a> {
    /// Checks every channel.
    ///
    /// # Errors
    /// [`ContractError::Encoding`] when the bytes are no contract (or more than one), otherwise what is wrong and
    /// where.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, ContractError> {
        let mut reader = Reader::new(bytes);
        let control_rate_hz = encoded(reader.float())?;
        if !(control_rate_hz.is_finite() && control_rate_hz > 0.0) {
            return Err(ContractError::ControlRate);
        }
        let observations = Channels::take_checked(&mut reader, Side::Observation, MAX_OBSERVATIONS)?;
        let actions = Channels::take_checked(&mut reader, Side::Action, MAX_ACTIONS)?;
        let substitutes = Substitutes::new_checked(reader, observations.len())?;
        Ok(Self {
            control_rate_hz,
            observations,
            actions,
            substitutes,
        })
    }

    /// How often the policy is called, Hz.
    pub fn control_rate_hz(&self) -> f32 {
        self.control_rate_hz
    }

    /// The observation channels, in the order of the policy's inputs.
    pub fn observations(&self) -> Channels<'a> {
        self.observations
    }

    /// The action channels, in the order of the policy's outputs.
    pub fn actions(&self) -> Channels<'a> {
        self.actions
    }

    /// What stands for dropped observation channels.
    pub fn substitutes(&self) -> Substitutes<'a> {
        self.substitutes
    }

    /// An error in words that name the channel and what each side has, for a person at a console.
    pub fn explain<'b>(&'b self, error: ContractError, wired: &'b Interface<'b>) -> Explanation<'b> {
        Explanation::new(self, error, wired)
    }

    /// Compares with what the firmware is wired to.
    ///
    /// # Errors
    /// The first difference, with the side and index of the channel; [`explain`](Self::explain) has the words.
    pub fn check(&self, wired: &Interface<'_>) -> Result<(), ContractError> {
        let difference = wired.control_rate_hz - self.control_rate_hz;
        // A NaN rate is refused too.
        if difference.is_nan() || difference.abs() > RATE_TOLERANCE * self.control_rate_hz {
            return Err(ContractError::ControlRate);
        }
        self.observations.check(wired.observations, Side::Observation)?;
        self.actions.check(wired.actions, Side::Action)
    }

    /// The contract with its own copy of every channel (about 5 KiB).
    ///
    /// # Errors
    /// [`ContractError::Encoding`] never for a checked view.
    pub fn to_contract(&self) -> Result<Contract, ContractError> {
        let mut contract = Contract::new(self.control_rate_hz);
        for channel in self.observations {
            contract.observe(channel.to_channel())?;
        }
        for channel in self.actions {
            contract.actuate(channel.to_channel())?;
        }
        contract.substitutes = self.substitutes.collect();
        Ok(contract)
    }
}

/// The channels of one side, decoded one by one from the image: an iterator that can be copied to start again.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    reader: Reader<'a>,
    remaining: usize,
}

impl<'a> Channels<'a> {
    fn take_checked(reader: &mut Reader<'a>, side: Side, most: usize) -> Result<Self, ContractError> {
        let remaining = encoded(reader.number())? as usize;
        if remaining > most {
            return Err(ContractError::TooManyChannels(side));
        }
        if remaining == 0 {
            return Err(ContractError::NoChannels(side));
        }
        let channels = Self {
            reader: *reader,
            remaining,
        };
        for index in 0..remaining as u8 {
            encoded(reader.channel())?
                .validate(side)
                .map_err(|fault| ContractError::Channel { side, index, fault })?;
        }
        Ok(channels)
    }

    /// As [`next`](Iterator::next), without its texts as `str`.
    fn next_raw(&mut self) -> Option<RawChannel<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        // Checked in `take_checked`: this succeeds.
        self.reader.channel()
    }

    /// The channels without their texts as `str`, for who needs the numbers.
    pub(crate) fn raw(mut self) -> impl ExactSizeIterator<Item = RawChannel<'a>> {
        let count = self.remaining;
        (0..count).map(move |_| self.next_raw().unwrap_or_default())
    }

    fn check(self, ports: &[Port<'_>], side: Side) -> Result<(), ContractError> {
        let mut index = 0;
        let mut channels = self;
        for port in ports {
            let Some(channel) = channels.next_raw() else { break };
            if channel.name != port.name.as_bytes() {
                let elsewhere = ports.iter().any(|port| port.name.as_bytes() == channel.name);
                let fault = if elsewhere {
                    Fault::OrderDiffers
                } else {
                    Fault::NameDiffers
                };
                return Err(ContractError::Channel { side, index, fault });
            }
            if channel.unit != port.unit.as_bytes() {
                return Err(ContractError::Channel {
                    side,
                    index,
                    fault: Fault::UnitDiffers,
                });
            }
            index += 1;
        }
        if self.remaining != ports.len() {
            // The first channel that only one of the two has.
            return Err(ContractError::Channel {
                side,
                index,
                fault: Fault::Missing,
            });
        }
        Ok(())
    }
}

impl<'a> Iterator for Channels<'a> {
    type Item = ChannelView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_raw()?.view())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }

    fn count(self) -> usize {
        self.remaining
    }
}

impl ExactSizeIterator for Channels<'_> {}

/// What firmware is wired to: compared with the contract when a policy is loaded. All borrowed, so that it can be a
/// constant.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// Observation channels in the order in which firmware passes them.
    pub observations: &'a [Port<'a>],
    /// Action channels in the order in which firmware applies them.
    pub actions: &'a [Port<'a>],
    /// How often firmware calls the policy, Hz.
    pub control_rate_hz: f32,
}

/// One wired channel: its name and unit, as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// See [`Channel::name`].
    pub name: &'a str,
    /// See [`Channel::unit`].
    pub unit: &'a str,
}

impl<'a> Port<'a> {
    /// A channel with this name and unit.
    pub const fn new(name: &'a str, unit: &'a str) -> Self {
        Self { name, unit }
    }
}
