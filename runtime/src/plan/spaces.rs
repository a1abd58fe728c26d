//! The memory a plan works in.

use crate::image::record::Space;

/// Size of each space in `f32` elements, by the number of the [`Space`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl Spaces<'_> {
    /// Length of each slice, by the number of the space.
    pub(super) fn lengths(&self) -> [usize; Space::COUNT] {
        [
            self.constants.len(),
            self.adapted.values().len(),
            self.arena.len(),
            self.state.len(),
            self.input.len(),
            self.output.len(),
            self.accumulator.len(),
            self.bank.len(),
        ]
    }

    /// The space to read from.
    #[inline]
    pub(crate) fn get(&self, space: Space) -> &[f32] {
        match space {
            Space::Const => self.constants,
            Space::Adapted => self.adapted.values(),
            Space::Arena => self.arena,
            Space::State => self.state,
            Space::Input => self.input,
            Space::Output => self.output,
            Space::Accumulator => self.accumulator,
            Space::Bank => self.bank,
        }
    }
}

impl<'m> Spaces<'m> {
    /// Takes a writable space out, leaving an empty one; a space nobody may write gives an empty slice.
    #[inline]
    pub(crate) fn take(&mut self, space: Space) -> &'m mut [f32] {
        match space {
            Space::Arena => core::mem::take(&mut self.arena),
            Space::State => core::mem::take(&mut self.state),
            Space::Output => core::mem::take(&mut self.output),
            Space::Accumulator => core::mem::take(&mut self.accumulator),
            Space::Adapted => match core::mem::take(&mut self.adapted) {
                AdaptedRef::Exclusive(values) => values,
                shared @ AdaptedRef::Shared(_) => {
                    self.adapted = shared;
                    &mut []
                }
            },
            Space::Const | Space::Input | Space::Bank => &mut [],
        }
    }

    /// Puts back what [`take`](Self::take) took.
    #[inline]
    pub(crate) fn put_back(&mut self, space: Space, values: &'m mut [f32]) {
        match space {
            Space::Arena => self.arena = values,
            Space::State => self.state = values,
            Space::Output => self.output = values,
            Space::Accumulator => self.accumulator = values,
            Space::Adapted => self.adapted = AdaptedRef::Exclusive(values),
            Space::Const | Space::Input | Space::Bank => {}
        }
    }
}
