//! Why the store refused.

use core::fmt;

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};

use crate::policy::RestoreError;
#[cfg(feature = "signatures")]
use crate::signature::SignatureError;

/// Why the store refused. Whatever it is, what the next boot finds is what it would have found before the call, or
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError {
    /// The flash driver failed.
    Flash(NorFlashErrorKind),
    /// The layout does not suit the flash.
    Layout(LayoutError),
    /// The layout has no slots of this kind.
    NoSlots,
    /// More bytes than a slot holds, or than the record said.
    TooLong,
    /// What was written reads back differently: a worn or failing flash, or bytes damaged on the way.
    Damaged,
    /// The bytes are no image or delta of a version this build reads.
    Malformed,
    /// The delta belongs to another image.
    OtherImage,
    /// The store holds this no longer.
    Unknown,
    /// Only what is on trial can be confirmed.
    NotOnTrial,
    /// The running image is on trial: confirm or revert it first.
    OnTrial,
    /// Another write into the same kind of slot was begun after this one.
    Superseded,
    /// Its release is below the lowest that is still accepted.
    Retired {
        /// The lowest release that is still accepted.
        minimum: u32,
    },
    /// Retiring this release would leave the confirmed image behind.
    InUse {
        /// The release of the confirmed image.
        release: u32,
    },
    /// The journal has no sequence number left.
    Exhausted,
    /// The learner did not take the parameters.
    Restore(RestoreError),
    /// The signature is not as it must be.
    #[cfg(feature = "signatures")]
    Signature(SignatureError),
}

impl StoreError {
    /// What the driver said.
    pub(super) fn flash(error: impl NorFlashError) -> Self {
        Self::Flash(error.kind())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Flash(kind) => return write!(formatter, "flash: {kind}"),
            Self::Layout(error) => return error.fmt(formatter),
            Self::Retired { minimum } => return write!(formatter, "releases below {minimum} are retired"),
            Self::InUse { release } => return write!(formatter, "the confirmed image is of release {release}"),
            Self::Restore(error) => return error.fmt(formatter),
            #[cfg(feature = "signatures")]
            Self::Signature(error) => return error.fmt(formatter),
            Self::NoSlots => "the layout has no such slots",
            Self::TooLong => "longer than a slot or than announced",
            Self::Damaged => "the bytes are damaged",
            Self::Malformed => "neither an image nor a delta that this build reads",
            Self::OtherImage => "the delta belongs to another image",
            Self::Unknown => "no longer in the store",
            Self::NotOnTrial => "not on trial",
            Self::OnTrial => "the running image is on trial",
            Self::Superseded => "another write was begun",
            Self::Exhausted => "the journal has no sequence number left",
        })
    }
}

impl core::error::Error for StoreError {}

/// Why a [`Layout`](super::Layout) does not suit the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LayoutError {
    /// The flash reads or writes in units of more than 128 or 256 bytes, or not a power of two.
    Unit,
    /// The start, or the size of a slot, is not a multiple of the erase size.
    Alignment,
    /// The journal needs 2 to 16 pages.
    JournalPages,
    /// There must be no delta slots, or 3 to 8.
    DeltaSlots,
    /// A slot cannot hold even a header.
    SlotSize,
    /// The store ends past the end of the flash.
    Capacity,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unit => "the flash's read or write unit is too large or not a power of two",
            Self::Alignment => "start and slot sizes must be multiples of the erase size",
            Self::JournalPages => "the journal needs 2 to 16 pages",
            Self::DeltaSlots => "there must be no delta slots, or 3 to 8",
            Self::SlotSize => "a slot is smaller than a header",
            Self::Capacity => "the store ends past the end of the flash",
        })
    }
}

impl core::error::Error for LayoutError {}

impl From<LayoutError> for StoreError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}
