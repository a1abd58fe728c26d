//! Reads the bytes of a contract in place: postcard's encoding, in a tenth of the code that serde makes of it.

use super::channel::Numbers;
use super::{ChannelKind, ContractError, Source};

/// What is left of the bytes. Every method takes something off the front, or gives `None` when it is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    /// A number in groups of seven bits, the lowest first, the last without its top bit: at most 32 bits in five bytes.
    pub(super) fn number(&mut self) -> Option<u32> {
        let (mut value, mut shift) = (0, 0);
        while shift < 35 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // Of the fifth byte only four bits fit.
                return (shift < 28 || byte < 16).then_some(value);
            }
            shift += 7;
        }
        None
    }

    pub(super) fn float(&mut self) -> Option<f32> {
        let (bytes, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(f32::from_le_bytes(*bytes))
    }

    /// The bytes of a text that is UTF-8.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        is_utf8(text).then_some(text)
    }

    pub(super) fn channel(&mut self) -> Option<RawChannel<'a>> {
        let (name, unit) = (self.text()?, self.text()?);
        let kind = match self.number()? {
            0 => ChannelKind::Continuous,
            1 => ChannelKind::Discrete,
            _ => return None,
        };
        let source = match self.number()? {
            0 => Source::Sensor,
            1 => Source::PreviousAction,
            2 => Source::Reward,
            3 => Source::Done,
            4 => Source::Task,
            5 => Source::Actuator,
            _ => return None,
        };
        let mut floats = [0.0; 5];
        for float in &mut floats {
            *float = self.float()?;
        }
        let [low, high, mean, scale, clip] = floats;
        Some(RawChannel {
            name,
            unit,
            numbers: Numbers {
                kind,
                source,
                range: [low, high],
                mean,
                scale,
                clip,
                max_age_ms: self.number()?,
                safe: self.float()?,
            },
        })
    }
}

/// What it means when something is not there.
pub(super) fn encoded<T>(value: Option<T>) -> Result<T, ContractError> {
    value.ok_or(ContractError::Encoding)
}

/// A channel whose texts were checked to be UTF-8 but are not `str`: the control loop has no use for them.
#[derive(Clone, Copy)]
pub(crate) struct RawChannel<'a> {
    pub(super) name: &'a [u8],
    pub(super) unit: &'a [u8],
    pub(crate) numbers: Numbers,
}

/// Whether these bytes are UTF-8 (RFC 3629). That of `core` takes 600 bytes of flash.
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    let mut bytes = bytes.iter().copied();
    while let Some(first) = bytes.next() {
        // How many bytes follow, and between what the first of these lies.
        let (more, mut least, mut most) = match first {
            0x00..=0x7F => (0, 0x80, 0xBF),
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return false,
        };
        for _ in 0..more {
            match bytes.next() {
                Some(byte) if least <= byte && byte <= most => (least, most) = (0x80, 0xBF),
                _ => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::{ChannelView, Substitute};
    use super::*;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    /// Every sequence of up to three bytes, and those of four whose parts lie around the limits.
    #[test]
    fn utf8_is_what_core_says() {
        let agree = |bytes: &[u8]| assert_eq!(is_utf8(bytes), core::str::from_utf8(bytes).is_ok(), "{bytes:x?}");
        agree(&[]);
        let step = if cfg!(miri) { 4999 } else { 1 };
        for bits in (0..1u32 << 24).step_by(step) {
            let [a, b, c, _] = bits.to_le_bytes();
            agree(&[a, b, c]);
            if c == 0 {
                agree(&[a, b]);
                agree(&[a]);
            }
        }
        let edges = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xED, 0xF4, 0xFF,
        ];
        for first in 0xEE..=0xFF {
            for b in edges {
                for c in edges {
                    for d in edges {
                        agree(&[first, b, c, d]);
                        agree(&[first, b, c, d, b]);
                    }
                }
            }
        }
    }

    /// As long as no text is longer than a 32-bit core could have.
    #[test]
    fn whatever_the_bytes_postcard_reads_the_same() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(4);
        let channel = ChannelView {
            name: "wheel é",
            unit: "rad/s",
            kind: ChannelKind::Discrete,
            source: Source::Task,
            range: [-1.0, 1.0],
            mean: 0.5,
            scale: 2.0,
            clip: 3.0,
            max_age_ms: 70_000,
            safe: 0.25,
        };
        let mut whole = [0u8; 64];
        let length = postcard::to_slice(&channel, &mut whole).unwrap().len();
        let (mut read, mut refused) = (0, 0);
        for _ in 0..if cfg!(miri) { 100 } else { 100_000 } {
            let mut bytes = whole;
            for _ in 0..random.next_u32() % 4 {
                let at = (random.next_u32() as usize) % length;
                bytes[at] = random.next_u32() as u8;
            }
            let bytes = &bytes[..(length - 2) + (random.next_u32() % 4) as usize];
            let ours = {
                let mut reader = Reader::new(bytes);
                reader.channel().map(|raw| (raw.view(), reader.bytes.len()))
            };
            let theirs = postcard::take_from_bytes::<ChannelView<'_>>(bytes).ok();
            let theirs = theirs.map(|(channel, rest)| (channel, rest.len()));
            // NaN is not itself.
            assert_eq!(ours.is_some(), theirs.is_some(), "{bytes:x?}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                let bits = |view: &ChannelView<'_>| {
                    let numbers = [
                        view.range[0],
                        view.range[1],
                        view.mean,
                        view.scale,
                        view.clip,
                        view.safe,
                    ];
                    (numbers.map(f32::to_bits), view.max_age_ms, view.kind, view.source)
                };
                assert_eq!(
                    (ours.0.name, ours.0.unit, ours.1),
                    (theirs.0.name, theirs.0.unit, theirs.1)
                );
                assert_eq!(bits(&ours.0), bits(&theirs.0));
                read += 1;
            } else {
                refused += 1;
            }
            let mut reader = Reader::new(bytes);
            let ours = reader.byte().zip(reader.float());
            let theirs = postcard::take_from_bytes::<Substitute>(bytes).ok();
            assert_eq!(
                ours.map(|(channel, value)| (channel, value.to_bits())),
                theirs.map(|(substitute, _)| (substitute.channel, substitute.value.to_bits()))
            );
            let ours = Reader::new(bytes).number();
            assert_eq!(
                ours,
                postcard::take_from_bytes::<u32>(bytes).ok().map(|(number, _)| number)
            );
        }
        assert!(
            cfg!(miri) || (read > 10_000 && refused > 10_000),
            "{read} read, {refused} refused"
        );
    }

    /// Where the number of bytes of a number, or of bits in it, comes to its limit.
    #[test]
    fn numbers_of_all_lengths() {
        for value in [
            0,
            1,
            0x7F,
            0x80,
            0x3FFF,
            0x4000,
            0x001F_FFFF,
            0x0FFF_FFFF,
            0x1000_0000,
            u32::MAX,
        ] {
            let mut bytes = [0u8; 5];
            let bytes = postcard::to_slice(&value, &mut bytes).unwrap();
            assert_eq!(Reader::new(bytes).number(), Some(value));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).number(), None);
        }
        for bytes in [
            [0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
            [0xFF, 0xFF, 0xFF, 0xFF, 0x10],
            [0xFF, 0xFF, 0xFF, 0xFF, 0x8F],
            [0x80, 0x80, 0x80, 0x80, 0x00],
        ] {
            let theirs = postcard::take_from_bytes::<u32>(&bytes).ok().map(|(number, _)| number);
            assert_eq!(Reader::new(&bytes).number(), theirs, "{bytes:x?}");
        }
    }
}
