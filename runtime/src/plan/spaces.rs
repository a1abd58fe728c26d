//! The memory a plan works in.

use crate::image::record::{Operand, Space};

/// Size of each space in `f32` elements, by the number of the [`Space`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpaceSizes(pub [u32; Space::COUNT]);

impl SpaceSizes {
    /// These sizes with that of `space` set to `elements`.
    pub const fn with(mut self, space: Space, elements: u32) -> Self {
        self.0[space as usize] = elements;
        self
    }

    /// Elements of `space`.
    pub const fn get(&self, space: Space) -> u32 {
        self.0[space as usize]
    }
}

/// The parameters that adapt: shared by plans that read them, exclusive for the one that writes them.
#[derive(Debug)]
pub enum AdaptedRef<'m> {
    /// To read.
    Shared(&'m [f32]),
    /// To write.
    Exclusive(&'m mut [f32]),
}

impl AdaptedRef<'_> {
    /// The parameters.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Shared(values) => values,
            Self::Exclusive(values) => values,
        }
    }
}

impl Default for AdaptedRef<'_> {
    fn default() -> Self {
        Self::Shared(&[])
    }
}

/// Where a plan's operands live while it runs. Slices may be longer than the plan needs.
#[derive(Debug, Default)]
pub struct Spaces<'m> {
    /// Weights and constants of the image.
    pub constants: &'m [f32],
    /// The plan's inputs, one after the other.
    pub input: &'m [f32],
    /// The selected task's slice of the bank.
    pub bank: &'m [f32],
    /// Parameters that adapt.
    pub adapted: AdaptedRef<'m>,
    /// Scratch. Contents before a run do not matter.
    pub arena: &'m mut [f32],
    /// Recurrent state.
    pub state: &'m mut [f32],
    /// The plan's outputs, one after the other.
    pub output: &'m mut [f32],
    /// Sums that survive from `begin` to `apply`.
    pub accumulator: &'m mut [f32],
}

/// The spaces by number, so that to find one takes neither a branch nor a table of jumps.
pub(crate) struct Table<'v> {
    /// Those nobody writes; the others are empty here.
    shared: [&'v [f32]; Space::COUNT],
    /// Those that may be written; the others are empty here.
    exclusive: [&'v mut [f32]; Space::COUNT],
}

impl<'v> Table<'v> {
    #[inline]
    pub(crate) fn new(spaces: &'v mut Spaces<'_>) -> Self {
        let (adapted_shared, adapted): (&[f32], &mut [f32]) = match &mut spaces.adapted {
            AdaptedRef::Shared(values) => (values, &mut []),
            AdaptedRef::Exclusive(values) => (&[], values),
        };
        // In the order of the numbers of the spaces.
        Self {
            shared: [
                spaces.constants,
                adapted_shared,
                &[],
                &[],
                spaces.input,
                &[],
                &[],
                spaces.bank,
            ],
            exclusive: [
                &mut [],
                adapted,
                spaces.arena,
                spaces.state,
                &mut [],
                spaces.output,
                spaces.accumulator,
                &mut [],
            ],
        }
    }

    /// Elements of the space with this number.
    #[inline(always)]
    pub(super) fn len(&self, number: usize) -> usize {
        let length = |values: Option<&[f32]>| values.map_or(0, <[f32]>::len);
        length(self.shared.get(number).copied()).max(length(self.exclusive.get(number).map(|values| &**values)))
    }

    /// The space of an operand, to read; of no operand: any.
    #[inline(always)]
    pub(crate) fn get(&self, operand: Operand) -> &[f32] {
        let number = number(operand);
        let exclusive = &*self.exclusive[number];
        if exclusive.is_empty() {
            self.shared[number]
        } else {
            exclusive
        }
    }

    /// The space with this number: to write, or empty; and to read where nobody writes it, or empty.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn space(&mut self, number: usize) -> (&mut [f32], &'v [f32]) {
        (&mut *self.exclusive[number], self.shared[number])
    }

    /// Takes the space of an operand out to write, leaving an empty one; a space nobody may write gives an empty slice.
    #[inline(always)]
    pub(crate) fn take(&mut self, operand: Operand) -> &'v mut [f32] {
        core::mem::take(&mut self.exclusive[number(operand)])
    }

    /// Puts back what [`take`](Self::take) took.
    #[inline(always)]
    pub(crate) fn put_back(&mut self, operand: Operand, values: &'v mut [f32]) {
        self.exclusive[number(operand)] = values;
    }
}

/// The number of an operand's space. The plan was checked: there is a space with this number.
#[inline(always)]
fn number(operand: Operand) -> usize {
    (operand.0 >> 28) as usize % Space::COUNT
}
