//! The fixed-width parts of the device image: what stands at which byte.
//!
//! Every struct here is read in place and written by the compiler as it is. `docs/device-image.md` is the specification.

use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("device images are read in place and are little-endian; this target is big-endian");

/// First eight bytes of an image: `PLIANT`, SUB, LF.
pub const MAGIC: [u8; 8] = *b"PLIANT\x1a\n";

/// The format version this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Sections start at multiples of this many bytes: a cache line of most cores, and the widest vector register.
pub const SECTION_ALIGNMENT: usize = 64;

/// First byte that the CRC covers; it covers everything from here to the end of the image.
pub const CRC_START: usize = 20;

/// The first 128 bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Bytes of the whole image, a multiple of [`SECTION_ALIGNMENT`].
    pub length: u32,
    /// [`crc32`](super::crc32) of the bytes from [`CRC_START`] to `length`.
    pub crc: u32,
    /// Entries in the section table, which follows the header.
    pub section_count: u32,
    /// Zero.
    pub reserved: [u32; 2],
    /// How much memory the image needs.
    pub workspace: Workspace,
    /// Zero.
    pub reserved_end: [u32; 8],
}

impl Header {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
}

/// Sizes of everything the image needs, in `f32` elements; bytes 32 to 95 of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Workspace {
    /// Elements of the constants section.
    pub constants: u32,
    /// Parameters that adapt.
    pub adapted: u32,
    /// One task's slice of the bank.
    pub bank: u32,
    /// All recurrent states together.
    pub state: u32,
    /// Sums that live from `begin` to `apply`.
    pub accumulator: u32,
    /// Scratch of `act`.
    pub act_arena: u32,
    /// Input of `act`.
    pub act_input: u32,
    /// Output of `act`.
    pub act_output: u32,
    /// Greatest scratch of all plans but `act`.
    pub learn_arena: u32,
    /// Greatest input of all plans but `act`.
    pub learn_input: u32,
    /// Greatest output of all plans but `act`.
    pub learn_output: u32,
    /// Rows the support set holds; 0 when nothing adapts.
    pub support_rows: u32,
    /// Elements of one row of the support set; 0 when nothing adapts.
    pub support_row_width: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

impl Workspace {
    /// Byte at which the workspace sizes start in an image.
    pub const OFFSET: usize = 32;

    /// Reads the sizes from the bytes of an image, in a constant expression too, checking nothing but that there are
    /// enough bytes and that they start with the [`MAGIC`] and the [`FORMAT_VERSION`] of this crate.
    pub const fn of_image(image: &[u8]) -> Option<Self> {
        if image.len() < Header::BYTES {
            return None;
        }
        let mut i = 0;
        while i < MAGIC.len() {
            if image[i] != MAGIC[i] {
                return None;
            }
            i += 1;
        }
        if word(image, 8) != FORMAT_VERSION {
            return None;
        }
        Some(Self {
            constants: word(image, 32),
            adapted: word(image, 36),
            bank: word(image, 40),
            state: word(image, 44),
            accumulator: word(image, 48),
            act_arena: word(image, 52),
            act_input: word(image, 56),
            act_output: word(image, 60),
            learn_arena: word(image, 64),
            learn_input: word(image, 68),
            learn_output: word(image, 72),
            support_rows: word(image, 76),
            support_row_width: word(image, 80),
            reserved: [0; 3],
        })
    }
}

/// Little-endian word at `offset`, zero past the end. Callers have checked the length.
const fn word(bytes: &[u8], offset: usize) -> u32 {
    if offset + 4 > bytes.len() {
        return 0;
    }
    u32::from_le_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

/// One entry of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SectionEntry {
    /// A [`SectionKind`].
    pub kind: u16,
    /// The [`PlanKind`] of a plan, otherwise zero.
    pub instance: u16,
    /// [`REQUIRED`](Self::REQUIRED) or zero.
    pub flags: u32,
    /// Bytes from the start of the image, a multiple of [`SECTION_ALIGNMENT`].
    pub offset: u32,
    /// Bytes, without padding.
    pub length: u32,
}

impl SectionEntry {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
    /// Flag: a reader that does not know the section refuses the image.
    pub const REQUIRED: u32 = 1;
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum SectionKind {
    /// The contract, postcard-encoded.
    Contract = 1,
    /// The constants, `f32`.
    Constants = 2,
    /// Initial values of the parameters that adapt, `f32`.
    AdaptedInitial = 3,
    /// A [`PlanHeader`] and its records; the instance is the [`PlanKind`].
    Plan = 4,
    /// [`StateEntry`] each.
    States = 5,
    /// An [`AdaptationSpec`](super::AdaptationSpec).
    Adaptation = 6,
    /// A [`BankHeader`] and tasks x slice `f32`.
    Bank = 7,
    /// Golden steps: [`GoldenHeader`], input, expected output, each.
    Golden = 8,
    /// UTF-8 text.
    Card = 9,
    /// A [`SignatureSection`].
    Signature = 10,
    /// [`ChoiceNode`](super::ChoiceNode) each: a tree that chooses how to adapt.
    Choice = 11,
}

impl SectionKind {
    /// The kind with this number, if this reader knows it.
    pub const fn from_bits(bits: u16) -> Option<Self> {
        Some(match bits {
            1 => Self::Contract,
            2 => Self::Constants,
            3 => Self::AdaptedInitial,
            4 => Self::Plan,
            5 => Self::States,
            6 => Self::Adaptation,
            7 => Self::Bank,
            8 => Self::Golden,
            9 => Self::Card,
            10 => Self::Signature,
            11 => Self::Choice,
            _ => return None,
        })
    }

    /// Whether a writer flags the section as required: all but golden vectors, card and signature, which
    /// change nothing about what the image does, and the choice, without which the device adapts as the spec says.
    pub const fn required(self) -> bool {
        !matches!(self, Self::Golden | Self::Card | Self::Signature | Self::Choice)
    }
}

/// What a plan computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum PlanKind {
    /// Observation and state to action and state.
    Act = 0,
    /// Clears the accumulators.
    Begin = 1,
    /// Folds one chunk of the support set into the accumulators.
    Accumulate = 2,
    /// Turns the accumulators into new parameters, in place.
    Apply = 3,
    /// Folds one chunk into the score that accepts or rejects.
    Score = 4,
    /// Chooses the task's slice of the bank.
    Select = 5,
}

impl PlanKind {
    /// Number of kinds.
    pub const COUNT: usize = 6;
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Act,
        Self::Begin,
        Self::Accumulate,
        Self::Apply,
        Self::Score,
        Self::Select,
    ];

    /// The kind with this number, if there is one.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            0 => Self::Act,
            1 => Self::Begin,
            2 => Self::Accumulate,
            3 => Self::Apply,
            4 => Self::Score,
            5 => Self::Select,
            _ => return None,
        })
    }

    /// Name, as `pliant inspect` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Begin => "begin",
            Self::Accumulate => "accumulate",
            Self::Apply => "apply",
            Self::Score => "score",
            Self::Select => "select",
        }
    }
}

/// In front of the records of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PlanHeader {
    /// A [`PlanKind`], the same as the section's instance.
    pub kind: u32,
    /// Number of records, at least 1.
    pub records: u32,
    /// Elements of the input space.
    pub input: u32,
    /// Elements of the output space.
    pub output: u32,
    /// Elements of scratch.
    pub arena: u32,
    /// [`WRITES_ADAPTED`](Self::WRITES_ADAPTED) or zero.
    pub flags: u32,
    /// Low and high word of [`Plan::macs`](crate::plan::Plan::macs).
    pub macs: [u32; 2],
}

impl PlanHeader {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
    /// Flag: the plan writes the adapted space. Only `apply` may.
    pub const WRITES_ADAPTED: u32 = 1;
}

/// One recurrent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StateEntry {
    /// 0: `f32`.
    pub dtype: u32,
    /// A [`ResetRule`].
    pub reset: u32,
    /// First element in the state space.
    pub offset: u32,
    /// First element of the initial value in the constants, or [`ZERO`](Self::ZERO).
    pub initial: u32,
    /// Shape; leading dimensions 1.
    pub shape: [u32; 4],
}

impl StateEntry {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
    /// `initial` of a state that starts from zero.
    pub const ZERO: u32 = u32::MAX;

    /// Elements of the state, or `None` past 32 bits.
    pub fn elements(&self) -> Option<u32> {
        self.shape
            .iter()
            .try_fold(1u32, |product, &dim| product.checked_mul(dim))
    }

    /// When the state goes back to its initial value; `None` for a number without a meaning.
    pub const fn reset_rule(&self) -> Option<ResetRule> {
        Some(match self.reset {
            0 => ResetRule::Episode,
            1 => ResetRule::Task,
            2 => ResetRule::Never,
            _ => return None,
        })
    }
}

/// When a recurrent state goes back to its initial value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum ResetRule {
    /// At the start of each episode.
    Episode = 0,
    /// At the start of each task.
    Task = 1,
    /// Never.
    Never = 2,
}

/// In front of the bank's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BankHeader {
    /// Number of tasks.
    pub tasks: u32,
    /// Elements of one task.
    pub slice: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

impl BankHeader {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
}

/// In front of the input and the expected output of a golden step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GoldenHeader {
    /// A [`PlanKind`].
    pub plan: u32,
    /// Elements of the input.
    pub input: u32,
    /// Elements of the expected output.
    pub output: u32,
    /// CRC-32 of the bytes of the adapted space after the step.
    pub adapted_crc: u32,
    /// CRC-32 of the bytes of the state space after the step.
    pub state_crc: u32,
    /// CRC-32 of the bytes of the accumulator after the step.
    pub accumulator_crc: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

impl GoldenHeader {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
}

/// Who vouches for the image: contents of the signature section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SignatureSection {
    /// [`ED25519`](Self::ED25519).
    pub algorithm: u32,
    /// Number of the release, for refusing older ones.
    pub release: u32,
    /// First eight bytes of the public key.
    pub key: [u8; 8],
    /// Signature of all bytes of the image, where the CRC and these 64 bytes count as zero.
    pub signature: [u8; 64],
}

impl SignatureSection {
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();
    /// Algorithm: pure Ed25519 (RFC 8032).
    pub const ED25519: u32 = 1;
}

const _: () = assert!(
    Header::BYTES == 128
        && core::mem::offset_of!(Header, workspace) == Workspace::OFFSET
        && SectionEntry::BYTES == 16
        && PlanHeader::BYTES == 32
        && StateEntry::BYTES == 32
        && BankHeader::BYTES == 16
        && GoldenHeader::BYTES == 32
        && SignatureSection::BYTES == 80
);
