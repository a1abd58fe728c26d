//! Why an image is refused.

use core::fmt;

use super::{AdaptationSpecError, PlanKind, SectionKind};
use crate::plan::PlanError;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ImageError {
    /// Fewer bytes than the header, or than the header says.
    Truncated,
    /// The bytes do not start at a multiple of 4: use `include_image!`.
    Misaligned,
    /// Not a device image.
    Magic,
    /// A format version this build does not read.
    Version(u32),
    /// Length in the header: not a multiple of 64, or not what the sections fill.
    Length,
    /// The checksum does not fit: the bytes are damaged.
    Crc,
    /// A reserved field or padding is not zero.
    Reserved,
    /// A required section of a kind this build does not know.
    UnknownRequired(u16),
    /// The section with this index in the table has bad flags, instance, offset or length.
    Section(u16),
    /// A section appears twice.
    Duplicate(SectionKind),
    /// A section that must be there is not.
    Missing(SectionKind),
    /// A plan that must be there is not.
    MissingPlan(PlanKind),
    /// The contents of the section are malformed.
    Contents(SectionKind),
    /// Plan header: kind, count, flags or cost.
    PlanHeader(PlanKind),
    /// A plan breaks a rule.
    Plan(PlanKind, PlanError),
    /// The adaptation spec is out of range.
    Adaptation(AdaptationSpecError),
    /// The workspace sizes in the header are not what the sections say.
    Workspace,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the image is cut short"),
            Self::Misaligned => f.write_str("the image does not lie at a multiple of 4 bytes; use include_image!"),
            Self::Magic => f.write_str("not a device image"),
            Self::Version(version) => {
                write!(
                    f,
                    "format version {version}; this build reads version {}",
                    super::FORMAT_VERSION
                )
            }
            Self::Length => f.write_str("the length in the header is wrong"),
            Self::Crc => f.write_str("the checksum does not fit: the image is damaged"),
            Self::Reserved => f.write_str("a reserved field is not zero"),
            Self::UnknownRequired(kind) => write!(f, "needs a section of kind {kind}, which this build does not know"),
            Self::Section(index) => write!(f, "entry {index} of the section table is malformed"),
            Self::Duplicate(kind) => write!(f, "section {kind:?} appears twice"),
            Self::Missing(kind) => write!(f, "section {kind:?} is missing"),
            Self::MissingPlan(kind) => write!(f, "plan `{}` is missing", kind.name()),
            Self::Contents(kind) => write!(f, "section {kind:?} is malformed"),
            Self::PlanHeader(kind) => write!(f, "the header of plan `{}` is malformed", kind.name()),
            Self::Plan(kind, error) => write!(f, "plan `{}`: {error}", kind.name()),
            Self::Adaptation(error) => write!(f, "adaptation spec: {error:?} is out of range"),
            Self::Workspace => f.write_str("the workspace sizes in the header are not what the sections say"),
        }
    }
}

impl core::error::Error for ImageError {}
