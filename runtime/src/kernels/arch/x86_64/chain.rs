//! Chains of elementwise steps: operands are found with a few instructions and no branch that depends on which they are.
//!
//! A simulation step is a thousand of them over one row of instances each. Splitting a space around an output, as the portable
//! chains do, then takes longer than to compute it. Here every operand is a pointer that has been compared with its space
//! and with the output.

use core::slice;

use crate::image::record::{Operand, Record, Space};
use crate::kernels::{KernelSet, chain};
use crate::plan::Table;

/// Where a space lies and how many elements it has.
#[derive(Clone, Copy)]
struct Extent {
    start: *mut f32,
    len: usize,
}

/// The spaces while nothing else uses them.
struct Pointers {
    /// By number; nothing is written through those that [`Self::written`] leaves empty.
    read: [Extent; Space::COUNT],
    written: [usize; Space::COUNT],
}

impl Pointers {
    #[inline(always)]
    fn new(table: &mut Table<'_>) -> Self {
        let mut written = [0; Space::COUNT];
        let read = core::array::from_fn(|number| {
            let (exclusive, shared) = table.space(number);
            written[number] = exclusive.len();
            if exclusive.is_empty() {
                Extent {
                    start: shared.as_ptr().cast_mut(),
                    len: shared.len(),
                }
            } else {
                Extent {
                    start: exclusive.as_mut_ptr(),
                    len: exclusive.len(),
                }
            }
        });
        Self { read, written }
    }

    /// Where an operand starts, and whether `count` elements from there are inside its space.
    #[inline(always)]
    fn at(&self, operand: Operand, count: usize) -> (*mut f32, bool) {
        let space = self.read[number(operand)];
        let offset = operand.offset() as usize;
        (
            space.start.wrapping_add(offset),
            offset.wrapping_add(count) <= space.len,
        )
    }
}

/// The number of an operand's space; any number of one that is none.
#[inline(always)]
fn number(operand: Operand) -> usize {
    (operand.0 >> 28) as usize % Space::COUNT
}

/// Runs the instructions of records, all of them chains. One that reaches outside of its spaces, or reads what it
/// writes, is left out: the checks of the plan rule both out.
#[inline(always)]
pub(super) fn run<K: KernelSet>(records: &[Record], table: &mut Table<'_>) {
    let pointers = Pointers::new(table);
    for instruction in records.iter().flat_map(Record::instructions) {
        let [head, out, a, b, c] = instruction.words;
        let count = instruction.count() as usize;
        let (to, inside) = pointers.at(Operand(out), count);
        let inside = inside & (pointers.written[number(Operand(out))] > 0);
        // `count` elements there and `count` from `to` on do not meet.
        let apart = |from: *mut f32| to.addr().abs_diff(from.addr()) >= count.wrapping_mul(size_of::<f32>());
        let (first, found) = pointers.at(Operand(a), count);
        if !(inside & found & apart(first)) {
            continue;
        }
        // Of a function with fewer operands these words are something else; it does not look at what they point to.
        let operand = |word: u32| {
            let (start, found) = pointers.at(Operand(word), count);
            if found & apart(start) { start } else { first }
        };
        let (second, third) = (operand(b), operand(c));
        // SAFETY: each of the four is `count` elements inside one slice of the table, which is borrowed for as long as
        // `pointers` lives and not used meanwhile; the first is in a slice that is exclusive; the others, which are only
        // read, do not overlap it.
        let (to, operands) = unsafe {
            (
                slice::from_raw_parts_mut(to, count),
                [first, second, third].map(|start| slice::from_raw_parts(start.cast_const(), count)),
            )
        };
        let parameters = [f32::from_bits(b), f32::from_bits(c)];
        let _ = chain::apply::<K>(head as u8, operands, parameters, to);
    }
}
