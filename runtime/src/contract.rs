//! The contract: what every observation and action channel is, and how a raw value becomes a network input.
//!
//! What breaks robots is not the matrix product but the unit, the order, the missing normaliser, the un-applied action
//! scale. So the contract travels with the policy, in the device image (postcard) and in the ONNX metadata (JSON), and is
//! applied inside [`Actor::act`](crate::policy::Actor::act): raw observation in, physical action out.
//!
//! - An observation `x` becomes `clamp((x - mean) / scale, -clip, clip)`.
//! - A policy output `a` (unit-less) becomes `clamp(clamp(a, -clip, clip) * scale + mean, range)`, rounded to the nearest
//!   integer before the last clamp where the channel is [`Discrete`](ChannelKind::Discrete).
//!
//! [`Contract`] owns its channels (about 5 KiB: for workstations); [`ContractView`] reads the same bytes in place, channel
//! by channel, and is what the device uses. Firmware states what it is wired to with an [`Interface`]; a difference in
//! number, order, name, unit or control rate refuses to load.
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
//! assert_eq!(error.to_string(), "observation channel 0: unit differs");
//! ```

use core::fmt;

use bytemuck::{Pod, Zeroable};
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Most observation channels a contract can have.
pub const MAX_OBSERVATIONS: usize = 32;
/// Most action channels a contract can have.
pub const MAX_ACTIONS: usize = 16;
/// Longest channel name, in bytes of UTF-8.
pub const MAX_NAME: usize = 24;
/// Longest unit, in bytes of UTF-8.
pub const MAX_UNIT: usize = 12;
/// Control rates that differ by no more than this share are taken as equal.
pub const RATE_TOLERANCE: f32 = 1e-3;

/// Whether a channel is a real number or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A real number.
    Continuous,
    /// An integer; actions are rounded to the nearest one.
    Discrete,
}

/// Where the values of a channel come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Measured (or estimated from measurements).
    Sensor,
    /// The action of the step before.
    PreviousAction,
    /// The reward of the step before.
    Reward,
    /// 1 at the first step of an episode, otherwise 0.
    Done,
    /// Describes the task: a goal, a set point, a task number.
    Task,
    /// An action channel: goes to an actuator.
    Actuator,
}

/// One observation or action channel. All numbers are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Name, 1 to [`MAX_NAME`] bytes.
    pub name: String<MAX_NAME>,
    /// Unit, up to [`MAX_UNIT`] bytes; empty for a pure number.
    pub unit: String<MAX_UNIT>,
    /// Real number or integer.
    pub kind: ChannelKind,
    /// Where the values come from.
    pub source: Source,
    /// Least and greatest physical value, in [`unit`](Self::unit). Actions are clamped to it; for observations it documents
    /// what the sensor can give.
    pub range: [f32; 2],
    /// Observation: mean over training. Action: physical value of the unit-less action 0. In [`unit`](Self::unit).
    pub mean: f32,
    /// Observation: standard deviation over training. Action: physical size of one unit-less step. In
    /// [`unit`](Self::unit), above 0.
    pub scale: f32,
    /// Greatest magnitude of the normalised observation or unit-less action, above 0.
    pub clip: f32,
    /// Observation: greatest age of a sample in milliseconds, checked by
    /// [`Actor::act_aged`](crate::policy::Actor::act_aged). Action: how long firmware may hold the last action when no new
    /// one came. 0: no limit.
    pub max_age_ms: u32,
    /// Action: the physical value to send when the policy is refused, inside [`range`](Self::range). Observation: unused, 0.
    pub safe: f32,
}

impl Channel {
    fn new(name: &str, unit: &str, source: Source) -> Self {
        Self {
            name: shorten(name),
            unit: shorten(unit),
            kind: ChannelKind::Continuous,
            source,
            range: [f32::MIN, f32::MAX],
            mean: 0.0,
            scale: 1.0,
            clip: f32::MAX,
            max_age_ms: 0,
            safe: 0.0,
        }
    }

    /// A continuous sensor channel with no normaliser, clip, range or age limit. A longer name or unit than the format
    /// holds is cut at a character boundary.
    pub fn observation(name: &str, unit: &str) -> Self {
        Self::new(name, unit, Source::Sensor)
    }

    /// A continuous actuator channel with unit scale, no range limit and the safe action 0. Names as in
    /// [`observation`](Self::observation).
    pub fn action(name: &str, unit: &str) -> Self {
        Self::new(name, unit, Source::Actuator)
    }

    /// With this mean and scale (standard deviation; the size of one unit-less action), in the channel's unit.
    pub fn with_normaliser(mut self, mean: f32, scale: f32) -> Self {
        (self.mean, self.scale) = (mean, scale);
        self
    }

    /// With this clip on the normalised magnitude.
    pub fn with_clip(mut self, clip: f32) -> Self {
        self.clip = clip;
        self
    }

    /// With this physical range.
    pub fn with_range(mut self, low: f32, high: f32) -> Self {
        self.range = [low, high];
        self
    }

    /// With this safe action, in the channel's unit.
    pub fn with_safe(mut self, safe: f32) -> Self {
        self.safe = safe;
        self
    }

    /// Borrows the channel in the form the device reads.
    pub fn view(&self) -> ChannelView<'_> {
        ChannelView {
            name: &self.name,
            unit: &self.unit,
            kind: self.kind,
            source: self.source,
            range: self.range,
            mean: self.mean,
            scale: self.scale,
            clip: self.clip,
            max_age_ms: self.max_age_ms,
            safe: self.safe,
        }
    }
}

/// As much of `text` as fits.
fn shorten<const N: usize>(text: &str) -> String<N> {
    let mut short = String::new();
    for character in text.chars() {
        if short.push(character).is_err() {
            break;
        }
    }
    short
}

/// A [`Channel`] read in place: the same fields in the same order, strings borrowed from the image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelView<'a> {
    /// See [`Channel::name`].
    #[serde(borrow)]
    pub name: &'a str,
    /// See [`Channel::unit`].
    #[serde(borrow)]
    pub unit: &'a str,
    /// See [`Channel::kind`].
    pub kind: ChannelKind,
    /// See [`Channel::source`].
    pub source: Source,
    /// See [`Channel::range`].
    pub range: [f32; 2],
    /// See [`Channel::mean`].
    pub mean: f32,
    /// See [`Channel::scale`].
    pub scale: f32,
    /// See [`Channel::clip`].
    pub clip: f32,
    /// See [`Channel::max_age_ms`].
    pub max_age_ms: u32,
    /// See [`Channel::safe`].
    pub safe: f32,
}

impl ChannelView<'_> {
    /// A raw observation, normalised and clipped. The second value says whether the clip took effect.
    pub fn normalise(&self, raw: f32) -> (f32, bool) {
        ObservationScaling::new(self).normalise(raw)
    }

    /// A unit-less action in physical units, rounded where discrete, inside the range.
    pub fn denormalise(&self, action: f32) -> f32 {
        ActionScaling::new(self).denormalise(action)
    }

    fn validate(&self) -> Result<(), Fault> {
        let numbers = [
            self.range[0],
            self.range[1],
            self.mean,
            self.scale,
            self.clip,
            self.safe,
        ];
        if self.name.is_empty() || self.name.len() > MAX_NAME {
            Err(Fault::Name)
        } else if self.unit.len() > MAX_UNIT {
            Err(Fault::Unit)
        } else if numbers.iter().any(|number| !number.is_finite()) {
            Err(Fault::NotFinite)
        } else if self.scale <= 0.0 || self.clip <= 0.0 {
            Err(Fault::Scale)
        } else if self.range[0] > self.range[1] {
            Err(Fault::Range)
        } else if self.source == Source::Actuator && !(self.range[0] <= self.safe && self.safe <= self.range[1]) {
            Err(Fault::Safe)
        } else {
            Ok(())
        }
    }
}

/// What [`ChannelView::normalise`] needs, ready to use.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ObservationScaling {
    mean: f32,
    scale: f32,
    clip: f32,
    max_age_ms: f32,
}

impl ObservationScaling {
    /// Values it takes in the caller's memory.
    pub(crate) const LEN: usize = size_of::<Self>() / size_of::<f32>();

    pub(crate) fn new(channel: &ChannelView<'_>) -> Self {
        let ChannelView {
            mean,
            scale,
            clip,
            max_age_ms,
            ..
        } = *channel;
        let max_age_ms = if max_age_ms == 0 {
            f32::INFINITY
        } else {
            max_age_ms as f32
        };
        Self {
            mean,
            scale,
            clip,
            max_age_ms,
        }
    }

    /// `clamp((raw - mean) / scale, -clip, clip)` and whether the clamp changed it. NaN stays NaN.
    pub(crate) fn normalise(&self, raw: f32) -> (f32, bool) {
        let value = (raw - self.mean) / self.scale;
        let clipped = limit(value, -self.clip, self.clip);
        (clipped, clipped != value)
    }

    pub(crate) fn is_stale(&self, age_ms: u32) -> bool {
        age_ms as f32 > self.max_age_ms
    }
}

/// What [`ChannelView::denormalise`] needs, ready to use, and the safe action.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ActionScaling {
    mean: f32,
    scale: f32,
    clip: f32,
    low: f32,
    high: f32,
    /// 1 if the channel is discrete.
    discrete: f32,
    pub(crate) safe: f32,
}

impl ActionScaling {
    /// Values it takes in the caller's memory.
    pub(crate) const LEN: usize = size_of::<Self>() / size_of::<f32>();

    pub(crate) fn new(channel: &ChannelView<'_>) -> Self {
        let ChannelView {
            mean,
            scale,
            clip,
            range: [low, high],
            safe,
            ..
        } = *channel;
        let discrete = if channel.kind == ChannelKind::Discrete {
            1.0
        } else {
            0.0
        };
        Self {
            mean,
            scale,
            clip,
            low,
            high,
            discrete,
            safe,
        }
    }

    /// See [`ChannelView::denormalise`]. NaN stays NaN.
    pub(crate) fn denormalise(&self, action: f32) -> f32 {
        let mut physical = limit(action, -self.clip, self.clip) * self.scale + self.mean;
        if self.discrete != 0.0 {
            physical = libm::roundf(physical);
        }
        limit(physical, self.low, self.high)
    }

    /// A physical action as the policy would have to give it: neither clipped nor rounded.
    pub(crate) fn unitless(&self, physical: f32) -> f32 {
        (physical - self.mean) / self.scale
    }
}

/// `f32::clamp` without its panic; NaN stays NaN.
fn limit(value: f32, low: f32, high: f32) -> f32 {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// The whole contract, owned. `observations` and `actions` are in the order of the policy's inputs and outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// How often the policy is called, Hz, above 0.
    pub control_rate_hz: f32,
    /// Observation channels, at least one.
    pub observations: Vec<Channel, MAX_OBSERVATIONS>,
    /// Action channels, at least one.
    pub actions: Vec<Channel, MAX_ACTIONS>,
}

impl Contract {
    /// A contract without channels yet.
    pub const fn new(control_rate_hz: f32) -> Self {
        Self {
            control_rate_hz,
            observations: Vec::new(),
            actions: Vec::new(),
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
}

impl<'a> ContractView<'a> {
    /// Checks every channel.
    ///
    /// # Errors
    /// [`ContractError::Encoding`] when the bytes are no contract (or more than one), otherwise what is wrong and where.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, ContractError> {
        let (control_rate_hz, bytes) = take::<f32>(bytes)?;
        if !(control_rate_hz.is_finite() && control_rate_hz > 0.0) {
            return Err(ContractError::ControlRate);
        }
        let (observations, bytes) = Channels::take_checked(bytes, Side::Observation, MAX_OBSERVATIONS)?;
        let (actions, bytes) = Channels::take_checked(bytes, Side::Action, MAX_ACTIONS)?;
        if !bytes.is_empty() {
            return Err(ContractError::Encoding);
        }
        Ok(Self {
            control_rate_hz,
            observations,
            actions,
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

    /// Compares with what the firmware is wired to.
    ///
    /// # Errors
    /// The first difference, with the side and index of the channel.
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
        Ok(contract)
    }
}

impl ChannelView<'_> {
    /// The channel with its own copy of the strings.
    pub fn to_channel(&self) -> Channel {
        Channel {
            name: shorten(self.name),
            unit: shorten(self.unit),
            kind: self.kind,
            source: self.source,
            range: self.range,
            mean: self.mean,
            scale: self.scale,
            clip: self.clip,
            max_age_ms: self.max_age_ms,
            safe: self.safe,
        }
    }
}

/// The channels of one side, decoded one by one from the image: an iterator that can be copied to start again.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    bytes: &'a [u8],
    remaining: usize,
}

impl<'a> Channels<'a> {
    fn take_checked(bytes: &'a [u8], side: Side, most: usize) -> Result<(Self, &'a [u8]), ContractError> {
        let (count, bytes) = take::<u32>(bytes)?;
        let remaining = count as usize;
        if remaining > most {
            return Err(ContractError::TooManyChannels(side));
        }
        if remaining == 0 {
            return Err(ContractError::NoChannels(side));
        }
        let mut rest = bytes;
        for index in 0..count as u8 {
            let (channel, after) = take::<ChannelView<'a>>(rest)?;
            channel
                .validate()
                .map_err(|fault| ContractError::Channel { side, index, fault })?;
            if (channel.source == Source::Actuator) != (side == Side::Action) {
                return Err(ContractError::Channel {
                    side,
                    index,
                    fault: Fault::Source,
                });
            }
            rest = after;
        }
        Ok((Self { bytes, remaining }, rest))
    }

    fn check(self, ports: &[Port<'_>], side: Side) -> Result<(), ContractError> {
        let mut index = 0;
        for (channel, port) in self.zip(ports) {
            if channel.name != port.name {
                return Err(ContractError::Channel {
                    side,
                    index,
                    fault: Fault::NameDiffers,
                });
            }
            if channel.unit != port.unit {
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
        if self.remaining == 0 {
            return None;
        }
        // Checked in `take_checked`: this succeeds.
        let (channel, rest) = take(self.bytes).ok()?;
        self.bytes = rest;
        self.remaining -= 1;
        Some(channel)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Channels<'_> {}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), ContractError> {
    postcard::take_from_bytes(bytes).map_err(|_| ContractError::Encoding)
}

/// What firmware is wired to: compared with the contract when a policy is loaded. All borrowed, so that it can be a constant.
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

/// Which half of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Inputs of the policy.
    Observation,
    /// Outputs of the policy.
    Action,
}

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The firmware has another name at this place.
    NameDiffers,
    /// The firmware has another unit at this place.
    UnitDiffers,
    /// Only one of image and firmware has this channel.
    Missing,
}

/// Why a contract was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A side has more channels than [`MAX_OBSERVATIONS`] or [`MAX_ACTIONS`].
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
            Self::NameDiffers => "name differs",
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
