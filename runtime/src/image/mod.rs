//! The device image: header, sections, a view checked once and panic-free after.
//!
//! [`Image`] reads; the compiler writes with the very same types ([`Header`], [`SectionEntry`], [`PlanHeader`],
//! [`AdaptationSpec`], ...). The specification is `docs/device-image.md`.

mod adaptation_spec;
mod choice;
mod crc;
mod error;
mod format;
mod golden;
pub mod record;
mod self_test;
mod view;

pub use adaptation_spec::{AdaptationRule, AdaptationSpec, AdaptationSpecError, Field, FieldKind, Objective};
pub use choice::{Choice, ChoiceNode, Choices, Statistic, SupportStatistics};
#[cfg(feature = "store")]
pub(crate) use crc::Crc32;
pub use crc::crc32;
pub use error::ImageError;
pub use format::{
    BankHeader, CRC_START, FORMAT_VERSION, GoldenHeader, Header, MAGIC, PlanHeader, PlanKind, ResetRule,
    SECTION_ALIGNMENT, SectionEntry, SectionKind, SignatureSection, StateEntry, Workspace,
};
pub use golden::{GoldenStep, GoldenSteps};
pub use self_test::{SelfTestError, TestBench};
pub use view::{Bank, Image};

/// Includes a file as a 64-byte aligned `&'static [u8]`, so that the weights in a device image can be read in place.
///
/// The path is relative to the file that says it, as in [`include_bytes!`].
///
/// ```
/// const BYTES: &[u8] = pliant_runtime::include_image!("mod.rs");
/// # // Any file will do to show the alignment.
/// assert_eq!(BYTES.as_ptr() as usize % 64, 0);
/// ```
#[macro_export]
macro_rules! include_image {
    ($path:expr $(,)?) => {{
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        const IMAGE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &IMAGE.0
    }};
}
