//! One channel: owned, and read in place.

use heapless::String;
use serde::{Deserialize, Serialize};

use super::{ActionScaling, Fault, MAX_NAME, MAX_UNIT, ObservationScaling, RawChannel, Side};

/// Whether a channel is a real number or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A real number.
    Continuous,
    /// An integer; actions are rounded to the nearest one.
    Discrete,
}

/// Where the values of a channel come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// Least and greatest physical value, in [`unit`](Self::unit). Actions are clamped to it; for observations it
    /// documents what the sensor can give.
    pub range: [f32; 2],
    /// Observation: mean over training. Action: physical value of the unit-less action 0. In [`unit`](Self::unit).
    pub mean: f32,
    /// Observation: standard deviation over training. Action: physical size of one unit-less step. In
    /// [`unit`](Self::unit), above 0.
    pub scale: f32,
    /// Greatest magnitude of the normalised observation or unit-less action, above 0.
    pub clip: f32,
    /// Observation: greatest age of a sample in milliseconds, checked by
    /// [`Actor::act_aged`](crate::policy::Actor::act_aged); older, its [`Substitute`](super::Substitute) stands for it, or the
    /// policy is refused. Action: how long firmware may hold the last action when no
    /// new one came. 0: no limit.
    pub max_age_ms: u32,
    /// Action: the physical value to send when the policy is refused, inside [`range`](Self::range). Observation:
    /// unused, 0.
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

    /// With this greatest age in milliseconds; 0 for no limit.
    pub fn with_max_age_ms(mut self, max_age_ms: u32) -> Self {
        self.max_age_ms = max_age_ms;
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

/// What a channel is but for its texts.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) kind: ChannelKind,
    pub(crate) source: Source,
    pub(crate) range: [f32; 2],
    pub(crate) mean: f32,
    pub(crate) scale: f32,
    pub(crate) clip: f32,
    pub(crate) max_age_ms: u32,
    pub(crate) safe: f32,
}

impl ChannelView<'_> {
    fn numbers(&self) -> Numbers {
        Numbers {
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

    /// A raw observation, normalised and clipped. The second value says whether the clip took effect.
    pub fn normalise(&self, raw: f32) -> (f32, bool) {
        ObservationScaling::new(&self.numbers(), None).normalise(raw)
    }

    /// A unit-less action in physical units, rounded where discrete, inside the range.
    pub fn denormalise(&self, action: f32) -> f32 {
        ActionScaling::new(&self.numbers()).denormalise(action)
    }
}

impl Default for RawChannel<'_> {
    fn default() -> Self {
        Self {
            name: &[],
            unit: &[],
            numbers: Numbers {
                kind: ChannelKind::Continuous,
                source: Source::Sensor,
                range: [0.0; 2],
                mean: 0.0,
                scale: 1.0,
                clip: 0.0,
                max_age_ms: 0,
                safe: 0.0,
            },
        }
    }
}

impl<'a> RawChannel<'a> {
    /// The channel with its texts.
    pub(super) fn view(&self) -> ChannelView<'a> {
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
        ChannelView {
            name: text(self.name),
            unit: text(self.unit),
            kind: self.numbers.kind,
            source: self.numbers.source,
            range: self.numbers.range,
            mean: self.numbers.mean,
            scale: self.numbers.scale,
            clip: self.numbers.clip,
            max_age_ms: self.numbers.max_age_ms,
            safe: self.numbers.safe,
        }
    }

    pub(super) fn validate(&self, side: Side) -> Result<(), Fault> {
        let Numbers {
            source,
            range: [low, high],
            mean,
            scale,
            clip,
            safe,
            ..
        } = self.numbers;
        if self.name.is_empty() || self.name.len() > MAX_NAME {
            Err(Fault::Name)
        } else if self.unit.len() > MAX_UNIT {
            Err(Fault::Unit)
        } else if [low, high, mean, scale, clip, safe]
            .iter()
            .any(|number| !number.is_finite())
        {
            Err(Fault::NotFinite)
        } else if scale <= 0.0 || clip <= 0.0 {
            Err(Fault::Scale)
        } else if low > high {
            Err(Fault::Range)
        } else if source == Source::Actuator && !(low <= safe && safe <= high) {
            Err(Fault::Safe)
        } else if (source == Source::Actuator) != (side == Side::Action) {
            Err(Fault::Source)
        } else {
            Ok(())
        }
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
