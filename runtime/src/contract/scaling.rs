//! The numbers of a channel in a table, ready for the control loop.

use bytemuck::{Pod, Zeroable};

use super::ChannelKind;
use super::channel::Numbers;

/// What [`ChannelView::normalise`](super::ChannelView::normalise) needs, ready to use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservationScaling {
    mean: f32,
    scale: f32,
    clip: f32,
    max_age_ms: f32,
    /// Normalised; NaN for none.
    substitute: f32,
}

impl ObservationScaling {
    pub(crate) fn new(channel: &Numbers, substitute: Option<f32>) -> Self {
        let Numbers {
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
        let mut scaling = Self {
            mean,
            scale,
            clip,
            max_age_ms,
            substitute: f32::NAN,
        };
        if let Some(value) = substitute {
            (scaling.substitute, _) = scaling.normalise(value);
        }
        scaling
    }

    /// What stands for a dropped value, normalised.
    pub(crate) fn substitute(&self) -> Option<f32> {
        (!self.substitute.is_nan()).then_some(self.substitute)
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

/// The [`ObservationScaling`]s of all channels, each number of all channels together: the loop over the channels then
/// vectorises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservationScales<'m> {
    /// Means, scales, clips, greatest ages, substitutes, as many of each as there are channels.
    values: &'m [f32],
    channels: usize,
}

impl<'m> ObservationScales<'m> {
    /// Values a channel takes in the caller's memory.
    pub(crate) const LEN: usize = 5;

    /// Writes them into memory of [`LEN`](Self::LEN) values a channel; `None` if there is less.
    pub(crate) fn write(
        memory: &'m mut [f32],
        channels: impl ExactSizeIterator<Item = ObservationScaling>,
    ) -> Option<Self> {
        let count = channels.len();
        let values = memory.get_mut(..count.checked_mul(Self::LEN)?)?;
        for (index, channel) in channels.enumerate() {
            let numbers = [
                channel.mean,
                channel.scale,
                channel.clip,
                channel.max_age_ms,
                channel.substitute,
            ];
            let mut at = index;
            for number in numbers {
                *values.get_mut(at)? = number;
                at = at.wrapping_add(count);
            }
        }
        Some(Self {
            values,
            channels: count,
        })
    }

    /// How many channels there are.
    pub(crate) fn len(&self) -> usize {
        self.channels
    }

    /// Channel by channel.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ObservationScaling> + use<'m> {
        let Self { values, channels } = *self;
        (0..channels).map(move |index| {
            let mut at = index;
            let [mean, scale, clip, max_age_ms, substitute] = [(); Self::LEN].map(|()| {
                // There are as many of each number: never past the end.
                let number = values.get(at).copied().unwrap_or(0.0);
                at = at.wrapping_add(channels);
                number
            });
            ObservationScaling {
                mean,
                scale,
                clip,
                max_age_ms,
                substitute,
            }
        })
    }

    /// As [`ObservationScaling::normalise`], of all channels: whether the clamp changed any.
    pub(crate) fn normalise(&self, raw: &[f32], normalised: &mut [f32]) -> bool {
        let mut clipped = false;
        let (mean, rest) = self.values.split_at_checked(self.channels).unwrap_or_default();
        let (scale, rest) = rest.split_at_checked(self.channels).unwrap_or_default();
        let values = normalised.iter_mut().zip(raw).zip(mean).zip(scale).zip(rest);
        for ((((normalised, raw), mean), scale), clip) in values {
            let value = (raw - mean) / scale;
            *normalised = limit(value, -clip, *clip);
            clipped |= *normalised != value;
        }
        clipped
    }
}

/// What [`ChannelView::denormalise`](super::ChannelView::denormalise) needs, ready to use, and the safe action.
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

    pub(crate) fn new(channel: &Numbers) -> Self {
        let Numbers {
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

    /// See [`ChannelView::denormalise`](super::ChannelView::denormalise). NaN stays NaN.
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
