//! One kernel call: the fixed-width little-endian record a plan is made of.
//!
//! A record is sixteen 32-bit words, read in place from flash. The compiler writes records, the plan executor runs
//! them; both use this file, so that writer and reader cannot drift apart. `docs/device-image.md` gives the same table
//! in prose.

use bytemuck::{Pod, Zeroable};

/// Where an operand lives. Four bits of an [`Operand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Space {
    /// Weights and constants of the image, read in place from flash.
    Const = 0,
    /// Parameters that adapt: RAM; the base pointer is swapped on commit. Read-only in every plan but `apply`.
    Adapted = 1,
    /// Scratch: offsets from liveness. Contents do not survive a plan.
    Arena = 2,
    /// Recurrent state, all states one after the other.
    State = 3,
    /// Inputs of the plan, one after the other. Read-only.
    Input = 4,
    /// Outputs of the plan, one after the other.
    Output = 5,
    /// Sums that survive from `begin` over every `accumulate` to `apply`.
    Accumulator = 6,
    /// Per-task heads and embeddings, the selected task's slice. Read-only.
    Bank = 7,
}

impl Space {
    /// Number of spaces.
    pub const COUNT: usize = 8;

    /// The space with this number, if there is one.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            0 => Self::Const,
            1 => Self::Adapted,
            2 => Self::Arena,
            3 => Self::State,
            4 => Self::Input,
            5 => Self::Output,
            6 => Self::Accumulator,
            7 => Self::Bank,
            _ => return None,
        })
    }

    /// Whether a plan may ever write there.
    pub const fn writable(self) -> bool {
        matches!(
            self,
            Self::Adapted | Self::Arena | Self::State | Self::Output | Self::Accumulator
        )
    }
}

/// An operand: space in the top four bits, offset in `f32` elements in the low 28.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Operand(pub u32);

impl Operand {
    /// No operand (an absent bias, say).
    pub const NONE: Self = Self(u32::MAX);
    /// Greatest offset, in elements.
    pub const MAX_OFFSET: u32 = (1 << 28) - 1;

    /// An operand in `space`, `offset` elements from its start. Offsets past [`Self::MAX_OFFSET`] give `None`.
    pub const fn new(space: Space, offset: u32) -> Option<Self> {
        if offset > Self::MAX_OFFSET {
            None
        } else {
            Some(Self((space as u32) << 28 | offset))
        }
    }

    /// Whether there is no operand here.
    pub const fn is_none(self) -> bool {
        self.0 == u32::MAX
    }

    /// The space, or `None` when the bits name no space (or there is no operand).
    pub const fn space(self) -> Option<Space> {
        Space::from_bits(self.0 >> 28)
    }

    /// Whether two operands lie in the same space.
    pub const fn same_space(self, other: Self) -> bool {
        self.0 >> 28 == other.0 >> 28
    }

    /// Offset in elements from the start of the space.
    pub const fn offset(self) -> u32 {
        self.0 & Self::MAX_OFFSET
    }
}

/// What a record does. The low byte of word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Opcode {
    /// `out[b][i][j] = epilogue(activation(init + sum_k a[b][i][k] * w[b][k][j]))`, `k` rising, multiply then add.
    /// `init` is `bias[b][j]` where there is a bias, the old `out[b][i][j]` with [`flags::ACCUMULATE`], otherwise zero.
    MatMul = 1,
    /// `out[i] = f(a[i])`; the function is the sub-code ([`Unary`]).
    Unary = 2,
    /// `out[i] = f(a[..], b[..])` with broadcasting by strides; the function is the sub-code ([`Binary`]).
    Binary = 3,
    /// `out[i] = f(a[..], b[..], c[..])` with broadcasting by strides; the function is the sub-code ([`Ternary`]).
    Ternary = 4,
    /// `out[o][i] = scale * reduce_r a[o][r][i]`, `r` rising; the function is the sub-code ([`Reduce`]).
    Reduce = 5,
    /// Strided copy of up to four dimensions: transposes, slices, concatenation, broadcasts.
    Copy = 6,
    /// `out[o][j][i] = data[o][index[j]][i]`; indices are integral `f32`, clamped to the axis.
    Gather = 7,
    /// `out[o][index[j]][i] += a[o][j][i]`, `j` rising; indices as in [`Opcode::Gather`].
    ScatterAdd = 8,
    /// `out[i] = value`.
    Fill = 9,
    /// Up to three [`Instruction`]s, each elementwise over contiguous values, one after the other.
    Chain = 10,
    /// The gates of a gated recurrent unit, from its two products: with `a` and `b` seen as `[outer][3][count]`,
    /// `r = sigmoid(a0 + b0)`, `z = sigmoid(a1 + b1)`, `n = tanh(a2 + r b2)`, `out = (1 - z) n + z state`, each operation
    /// rounded as in the records it stands for.
    Gru = 11,
}

impl Opcode {
    /// The operation with this number, if there is one.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::MatMul,
            2 => Self::Unary,
            3 => Self::Binary,
            4 => Self::Ternary,
            5 => Self::Reduce,
            6 => Self::Copy,
            7 => Self::Gather,
            8 => Self::ScatterAdd,
            9 => Self::Fill,
            10 => Self::Chain,
            11 => Self::Gru,
            _ => return None,
        })
    }
}

macro_rules! sub_codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $value),+ }

        impl $name {
            /// Every function, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The function with this number, if there is one.
            pub const fn from_bits(bits: u8) -> Option<Self> {
                match bits { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

sub_codes! {
    /// Functions of one value. Truth values are 1 and 0.
    Unary {
        /// The value itself.
        Identity = 0,
        /// `-a`.
        Neg = 1,
        /// `|a|`.
        Abs = 2,
        /// Square root, correctly rounded.
        Sqrt = 3,
        /// `e^a`, own polynomial.
        Exp = 4,
        /// Natural logarithm, own polynomial.
        Log = 5,
        /// Sine, own polynomial.
        Sin = 6,
        /// Cosine, own polynomial.
        Cos = 7,
        /// Hyperbolic tangent, rational polynomial.
        Tanh = 8,
        /// `1 / (1 + e^-a)`, as `0.5 tanh(0.5 a) + 0.5`.
        Sigmoid = 9,
        /// `max(a, 0)`.
        Relu = 10,
        /// `log(1 + e^a)`, as `max(a, 0) + log(1 + e^-|a|)`.
        Softplus = 11,
        /// `1 - a`: negation of a truth value.
        Not = 12,
        /// `min(max(a, lo), hi)`, bounds in words 4 and 5.
        Clip = 13,
        /// `1 / a`.
        Reciprocal = 14,
        /// `a * a`.
        Square = 15,
        /// `a * scale + shift` (two roundings), constants in words 4 and 5.
        Affine = 16,
        /// Sign: -1, 0 or 1.
        Sign = 17,
    }
}

sub_codes! {
    /// Functions of two values. Comparisons give 1 or 0.
    Binary {
        /// `a + b`.
        Add = 0,
        /// `a - b`.
        Sub = 1,
        /// `a * b`.
        Mul = 2,
        /// `a / b`.
        Div = 3,
        /// `a^b`; `a` below zero with a fractional `b` gives NaN.
        Pow = 4,
        /// The smaller; NaN if either is.
        Min = 5,
        /// The larger; NaN if either is.
        Max = 6,
        /// `a > b`.
        Greater = 7,
        /// `a < b`.
        Less = 8,
        /// `a == b`.
        Equal = 9,
        /// Both true.
        And = 10,
        /// Either true.
        Or = 11,
        /// `a * (1 - b * b)`: back through `b = tanh(x)`.
        TanhGradient = 12,
        /// `a` where `b > 0`, otherwise 0: back through `b = relu(x)`.
        ReluGradient = 13,
        /// `a * (b * (1 - b))`: back through `b = sigmoid(x)`.
        SigmoidGradient = 14,
    }
}

sub_codes! {
    /// Functions of three values.
    Ternary {
        /// `b` where `a` is not zero, otherwise `c`.
        Where = 0,
        /// `a + b * c`, two roundings.
        AddProduct = 1,
        /// `a - b * c`, two roundings.
        SubProduct = 2,
    }
}

sub_codes! {
    /// Reductions.
    Reduce {
        /// Sum in index order, times `scale`.
        Sum = 0,
        /// Maximum (of at least one value).
        Max = 1,
    }
}

sub_codes! {
    /// Functions that only a [`Opcode::Chain`] has: of two values and a number.
    Scaled {
        /// `a + b * p`, two roundings.
        AddScaled = 0,
    }
}

/// What an [`Instruction`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainFunction {
    /// A function of one value; Clip and Affine have two parameters. Numbers 0 to 31.
    Unary(Unary),
    /// A function of two values. Numbers from 32.
    Binary(Binary),
    /// A function of three values. Numbers from 64.
    Ternary(Ternary),
    /// A function of two values and a parameter. Numbers from 96.
    Scaled(Scaled),
}

impl ChainFunction {
    /// The function with this number, if there is one.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        let low = bits & 31;
        match bits >> 5 {
            0 => match Unary::from_bits(low) {
                Some(function) => Some(Self::Unary(function)),
                None => None,
            },
            1 => match Binary::from_bits(low) {
                Some(function) => Some(Self::Binary(function)),
                None => None,
            },
            2 => match Ternary::from_bits(low) {
                Some(function) => Some(Self::Ternary(function)),
                None => None,
            },
            3 => match Scaled::from_bits(low) {
                Some(function) => Some(Self::Scaled(function)),
                None => None,
            },
            _ => None,
        }
    }

    /// Its number.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Unary(function) => function as u8,
            Self::Binary(function) => 32 | function as u8,
            Self::Ternary(function) => 64 | function as u8,
            Self::Scaled(function) => 96 | function as u8,
        }
    }

    /// How many operands it has: 1 to 3.
    pub const fn operands(self) -> usize {
        match self {
            Self::Unary(_) => 1,
            Self::Binary(_) | Self::Scaled(_) => 2,
            Self::Ternary(_) => 3,
        }
    }

    /// How many parameters follow the operands: 0 to 2.
    pub const fn parameters(self) -> usize {
        match self {
            Self::Unary(Unary::Clip | Unary::Affine) => 2,
            Self::Scaled(_) => 1,
            _ => 0,
        }
    }
}

/// One step of a [`Opcode::Chain`]: `out[i] = f(a[i], ..)` for `i` below a count, every operand contiguous and apart from
/// the output.
///
/// | word | |
/// |---|---|
/// | 0 | function ([`ChainFunction`]) in bits 0 to 7, count in bits 8 to 31 |
/// | 1 | out |
/// | 2 to 4 | operands, then parameters (f32 bits), then 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Instruction {
    /// The words.
    pub words: [u32; 5],
}

impl Instruction {
    /// Greatest count.
    pub const MAX_COUNT: u32 = (1 << 24) - 1;

    /// What it computes, or `None` when this reader does not know it.
    pub const fn function(&self) -> Option<ChainFunction> {
        ChainFunction::from_bits(self.words[0] as u8)
    }

    /// Elements computed.
    pub const fn count(&self) -> u32 {
        self.words[0] >> 8
    }

    /// The output.
    pub const fn out(&self) -> Operand {
        Operand(self.words[1])
    }
}

/// Bits 16 to 31 of word 0.
pub mod flags {
    /// Matrix product: `a` is stored `[k][m]` (its transpose is multiplied).
    pub const TRANSPOSE_A: u32 = 1 << 16;
    /// Matrix product, reduction: start from the old output instead of zero.
    pub const ACCUMULATE: u32 = 1 << 17;
}

/// Sixteen little-endian words. Which word means what, by opcode:
///
/// | word | MatMul | Unary | Binary | Ternary | Reduce | Copy | Gather, ScatterAdd | Fill |
/// |---|---|---|---|---|---|---|---|---|
/// | 0 | opcode, activation ([`Unary`], `Identity` to `Relu`) in bits 8 to 15, flags | opcode, function | opcode, function | opcode, function | opcode, function, flags | opcode | opcode | opcode |
/// | 1 | out | out | out | out | out | out | out | out |
/// | 2 | a | a | a | a | a | a | data (Gather), a (ScatterAdd) | count |
/// | 3 | w | count | b | b | outer | dims 0 | index | value (f32 bits) |
/// | 4 | bias or none | parameter 0 (f32 bits) | dims 0 | c | reduced | dims 1 | outer | 0 |
/// | 5 | epilogue operand or none | parameter 1 (f32 bits) | dims 1 | dims 0 | inner | dims 2 | axis length | 0 |
/// | 6 | batch | 0 | dims 2 | dims 1 | scale (f32 bits) | dims 3 | number of indices | 0 |
/// | 7 | m | 0 | a strides 0 | a strides 0 | 0 | out strides 0 | inner | 0 |
/// | 8 | k | 0 | a strides 1 | a strides 1 | 0 | out strides 1 | 0 | 0 |
/// | 9 | n | 0 | a strides 2 | b strides 0 | 0 | out strides 2 | 0 | 0 |
/// | 10 | a batch stride | 0 | b strides 0 | b strides 1 | 0 | out strides 3 | 0 | 0 |
/// | 11 | w batch stride | 0 | b strides 1 | c strides 0 | 0 | a strides 0 | 0 | 0 |
/// | 12 | bias batch stride | 0 | b strides 2 | c strides 1 | 0 | a strides 1 | 0 | 0 |
/// | 13 | a row stride | 0 | 0 | 0 | 0 | a strides 2 | 0 | 0 |
/// | 14 | epilogue function ([`Binary`]) | 0 | 0 | 0 | 0 | a strides 3 | 0 | 0 |
/// | 15 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |
///
/// Strides and counts are in elements. The outputs of MatMul, Binary, Ternary, Reduce are dense and row-major. Unused words are zero
/// (a reader refuses others). The epilogue of a matrix product is `out = function(product, epilogue operand)`, the operand laid
/// out like the output. An operand of Unary, Binary and Ternary may be the output itself (same offset, dense strides), and so may the state
/// of a Gru; any other overlap between the output and an operand is refused.
///
/// A Gru has `out`, `a` (products of the input), `b` (products of the state), `state`, `outer` and `count` in words 1 to 6.
///
/// A Chain has the number of its [`Instruction`]s, 1 to 3, in bits 8 to 15 of word 0, and these one after the other from
/// word 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// The words.
    pub words: [u32; 16],
}

impl Record {
    /// Size in bytes.
    pub const BYTES: usize = 64;

    /// What the record does, or `None` when this reader does not know it.
    pub const fn opcode(&self) -> Option<Opcode> {
        Opcode::from_bits(self.words[0] as u8)
    }

    /// The sub-code: which function.
    pub const fn function(&self) -> u8 {
        (self.words[0] >> 8) as u8
    }

    /// Whether every one of these [`flags`] is set.
    pub const fn has(&self, flags: u32) -> bool {
        self.words[0] & flags == flags
    }

    /// The operand in word `index` (1 to 5).
    pub const fn operand(&self, index: usize) -> Operand {
        Operand(self.words[index])
    }

    /// Most [`Instruction`]s of a Chain.
    pub const INSTRUCTIONS: usize = 3;

    /// Cost of a Gru for each element written.
    const GRU_COST: u32 = 9;

    /// The instructions of a Chain; of another record, nothing that means anything.
    #[inline]
    pub fn instructions(&self) -> &[Instruction] {
        let (_, words) = self.words.split_at(1);
        let all: &[Instruction] = bytemuck::cast_slice(words);
        all.get(..usize::from(self.function())).unwrap_or(&[])
    }

    /// Cost in multiply-accumulates: batch x m x k x n for a matrix product, otherwise one for each element written
    /// (a reduction or a scatter-add: read; a Gru: nine, as the records it stands for). Saturating; 0 for an unknown opcode.
    pub const fn macs(&self) -> u64 {
        let words = &self.words;
        let dims: [u32; 4] = match self.opcode() {
            Some(Opcode::MatMul) => [words[6], words[7], words[8], words[9]],
            Some(Opcode::Unary) => [words[3], 1, 1, 1],
            Some(Opcode::Binary) => [words[4], words[5], words[6], 1],
            Some(Opcode::Ternary) => [words[5], words[6], 1, 1],
            Some(Opcode::Reduce) => [words[3], words[4], words[5], 1],
            Some(Opcode::Copy) => [words[3], words[4], words[5], words[6]],
            Some(Opcode::Gather | Opcode::ScatterAdd) => [words[4], words[6], words[7], 1],
            Some(Opcode::Fill) => [words[2], 1, 1, 1],
            Some(Opcode::Chain) => {
                let mut total = 0;
                let mut index = 0;
                while index < Self::INSTRUCTIONS && index < self.function() as usize {
                    total += words[1 + 5 * index] >> 8;
                    index += 1;
                }
                [total, 1, 1, 1]
            }
            Some(Opcode::Gru) => [words[5], words[6], Self::GRU_COST, 1],
            None => [0; 4],
        };
        (dims[0] as u64 * dims[1] as u64)
            .saturating_mul(dims[2] as u64)
            .saturating_mul(dims[3] as u64)
    }
}
