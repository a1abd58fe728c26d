//! One elementwise instruction over a row of instances, its operands found beforehand.

use crate::image::record::{ChainFunction, Instruction, Operand, Space};
use crate::plan::SpaceSizes;

/// Where a row starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Number of the space, below [`Space::COUNT`].
    pub(super) space: u8,
    /// First element.
    pub(super) offset: u32,
}

/// An instruction whose rows lie inside spaces of the sizes it was made for, the output in one that may be written and apart
/// from the operands. Only [`Lane::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(super) function: u8,
    pub(super) out: Row,
    /// Of a function with fewer operands, the first again.
    pub(super) operands: [Row; 3],
    pub(super) parameters: [f32; 2],
}

impl Lane {
    /// `None` for an instruction that is not as a [`Lane`] has to be.
    pub(crate) fn new(instruction: &Instruction, sizes: &SpaceSizes) -> Option<Self> {
        let function = instruction.function()?;
        let count = instruction.count();
        let row = |word: usize| {
            let operand = Operand(instruction.words[word]);
            let space = operand.space()?;
            (operand.offset().checked_add(count)? <= sizes.get(space)).then_some(Row {
                space: space as u8,
                offset: operand.offset(),
            })
        };
        let out = row(1)?;
        let space = Operand(instruction.words[1]).space()?;
        let first = row(2)?;
        let mut operands = [first; 3];
        for (at, operand) in operands.iter_mut().enumerate().take(function.operands()) {
            *operand = row(2 + at)?;
        }
        let apart = |operand: &Row| operand.space != out.space || operand.offset.abs_diff(out.offset) >= count;
        let sound = space.writable() && space != Space::Adapted && operands.iter().all(apart);
        let first_parameter = 2 + function.operands();
        let parameter = |index: usize| {
            let given = index < function.parameters();
            f32::from_bits(if given {
                instruction.words[first_parameter + index]
            } else {
                0
            })
        };
        sound.then_some(Self {
            function: function.bits(),
            out,
            operands,
            parameters: match function {
                // Where the chain looks for it.
                ChainFunction::Scaled(_) => [0.0, parameter(0)],
                _ => [parameter(0), parameter(1)],
            },
        })
    }
}
