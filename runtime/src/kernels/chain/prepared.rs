//! Chains decoded once, for who runs them a million times.
//!
//! To find an instruction's operands and to compare them with their spaces takes longer than to compute 64 elements. So a
//! workstation does that once: what is kept are only instructions known to stay inside spaces of the sizes kept with them.

use std::boxed::Box;

use crate::image::record::{ChainFunction, Instruction, Operand, Record, Space};
use crate::plan::SpaceSizes;

/// An instruction whose operands are all there: those its function does not take are its first once more.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Step {
    /// [`ChainFunction::bits`].
    pub(in crate::kernels) function: u8,
    pub(in crate::kernels) count: u32,
    pub(in crate::kernels) out: Operand,
    pub(in crate::kernels) operands: [Operand; 3],
    pub(in crate::kernels) parameters: [f32; 2],
}

/// Steps one after the other. Each is inside spaces of `sizes`, writes only spaces of `written`, and does not read what it
/// writes: nothing outside of [`Chain::new`] makes or changes one.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    steps: Box<[Step]>,
    sizes: SpaceSizes,
    /// By number, whether a step writes the space.
    written: [bool; Space::COUNT],
}

impl Chain {
    /// The instructions of records, all of them chains. `None` if one breaks a rule of plans.
    pub(crate) fn new(records: &[Record], sizes: SpaceSizes) -> Option<Self> {
        let mut written = [false; Space::COUNT];
        let steps = records
            .iter()
            .flat_map(Record::instructions)
            .map(|instruction| {
                let step = Step::new(instruction, &sizes)?;
                *written.get_mut(step.out.space()? as usize)? = true;
                Some(step)
            })
            .collect::<Option<Box<[Step]>>>()?;
        Some(Self { steps, sizes, written })
    }

    pub(in crate::kernels) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Elements that each space must have.
    #[cfg(target_arch = "x86_64")]
    pub(in crate::kernels) fn sizes(&self) -> &[u32; Space::COUNT] {
        &self.sizes.0
    }

    /// Which spaces are written.
    #[cfg(target_arch = "x86_64")]
    pub(in crate::kernels) fn written(&self) -> &[bool; Space::COUNT] {
        &self.written
    }
}

impl Step {
    fn new(instruction: &Instruction, sizes: &SpaceSizes) -> Option<Self> {
        let [_, out, a, b, c] = instruction.words;
        let function = instruction.function()?;
        let count = instruction.count();
        let operands = match function.operands() {
            1 => [a, a, a],
            2 => [a, b, a],
            _ => [a, b, c],
        }
        .map(Operand);
        let parameters = match function {
            ChainFunction::Scaled(_) => [0.0, f32::from_bits(c)],
            _ => [f32::from_bits(b), f32::from_bits(c)],
        };
        let out = Operand(out);
        let writable = !matches!(out.space()?, Space::Const | Space::Input | Space::Bank);
        let apart = |operand: Operand| {
            !operand.same_space(out) || operand.offset().abs_diff(out.offset()) >= count || count == 0
        };
        let inside = |operand: Operand| {
            let end = operand.offset().checked_add(count)?;
            Some(end <= sizes.get(operand.space()?))
        };
        let kept = writable && inside(out)? && operands.into_iter().all(|o| apart(o) && inside(o) == Some(true));
        kept.then_some(Self {
            function: function.bits(),
            count,
            out,
            operands,
            parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::Binary;

    fn operand(space: Space, offset: u32) -> u32 {
        Operand::new(space, offset).unwrap().0
    }

    #[test]
    fn a_step_outside_of_its_spaces_is_not_prepared() {
        let sizes = SpaceSizes::default().with(Space::Input, 8).with(Space::Arena, 12);
        let chain = |out: u32, b: u32, count: u32| {
            let mut record = Record { words: [0; 16] };
            record.words[0] = crate::image::record::Opcode::Chain as u32 | 1 << 8;
            record.words[1] = u32::from(ChainFunction::Binary(Binary::Add).bits()) | count << 8;
            record.words[2] = out;
            record.words[3] = operand(Space::Input, 4);
            record.words[4] = b;
            Chain::new(&[record], sizes)
        };
        let (out, b) = (operand(Space::Arena, 0), operand(Space::Arena, 4));
        let kept = chain(out, b, 4).unwrap();
        assert_eq!(kept.steps().len(), 1);
        assert_eq!(kept.written, core::array::from_fn(|n| n == Space::Arena as usize));
        // The first operand past its end; the second; the output; the second inside the output; a space nobody writes.
        assert!(chain(out, b, 5).is_none());
        assert!(chain(out, operand(Space::Arena, 9), 4).is_none());
        assert!(chain(operand(Space::Arena, 9), b, 4).is_none());
        assert!(chain(out, operand(Space::Arena, 3), 4).is_none());
        assert!(chain(operand(Space::Input, 0), b, 4).is_none());
    }
}
