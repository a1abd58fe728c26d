//! Golden steps: inputs and bit-exact outputs of every plan, so that a board can check itself.

use super::{GoldenHeader, PlanKind};

/// One plan run with what must come out. Steps run in order; memory carries over from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoldenStep<'a> {
    /// Which plan.
    pub plan: PlanKind,
    /// The plan's input.
    pub input: &'a [f32],
    /// The output that must come out, bit for bit.
    pub output: &'a [f32],
    /// [`crc32`](super::crc32) of the bytes of the adapted space after the step.
    pub adapted_crc: u32,
    /// The same of the state space.
    pub state_crc: u32,
    /// The same of the accumulator.
    pub accumulator_crc: u32,
}

/// The golden steps of an image, in order.
#[derive(Clone, Debug)]
pub struct GoldenSteps<'a> {
    rest: &'a [u8],
}

impl<'a> GoldenSteps<'a> {
    pub(super) fn new(section: &'a [u8]) -> Self {
        Self { rest: section }
    }

    /// Bytes not read yet: all of them were steps if none is left at the end.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Splits `elements` floats off the front.
fn split_floats(bytes: &[u8], elements: u32) -> Option<(&[f32], &[u8])> {
    let (floats, rest) = bytes.split_at_checked((elements as usize).checked_mul(4)?)?;
    Some((bytemuck::try_cast_slice(floats).ok()?, rest))
}

impl<'a> Iterator for GoldenSteps<'a> {
    type Item = GoldenStep<'a>;

    fn next(&mut self) -> Option<GoldenStep<'a>> {
        let (header, rest) = self.rest.split_at_checked(GoldenHeader::BYTES)?;
        let header: &GoldenHeader = bytemuck::try_from_bytes(header).ok()?;
        if header.reserved != [0; 2] {
            return None;
        }
        let (input, rest) = split_floats(rest, header.input)?;
        let (output, rest) = split_floats(rest, header.output)?;
        let plan = PlanKind::from_bits(header.plan)?;
        self.rest = rest;
        Some(GoldenStep {
            plan,
            input,
            output,
            adapted_crc: header.adapted_crc,
            state_crc: header.state_crc,
            accumulator_crc: header.accumulator_crc,
        })
    }
}
