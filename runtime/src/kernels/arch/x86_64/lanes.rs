//! Lanes: a block of instances through a whole stretch of instructions, then the next block.

use core::slice;

use super::super::super::lane::{Lane, Row};
use crate::image::record::Space;
use crate::kernels::{KernelSet, Vectorised, chain};
use crate::plan::{SpaceSizes, Table};

/// Instances of a block: few, so that the values of a stretch stay in the nearest cache; and enough to be worth finding them.
pub(in super::super::super) const BLOCK: usize = 32;

/// A stretch to run with the kernels of one set.
pub(in super::super) struct Stretch<'s, 't, 'v, K> {
    pub(in super::super) lanes: &'s [Lane],
    /// Elements of a row, a multiple of [`BLOCK`].
    pub(in super::super) width: usize,
    /// What the lanes were made for.
    pub(in super::super) sizes: &'s SpaceSizes,
    pub(in super::super) table: &'t mut Table<'v>,
    pub(in super::super) kernels: core::marker::PhantomData<K>,
}

impl<K: KernelSet> Vectorised for Stretch<'_, '_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let mut long_enough = true;
        let starts: [*mut f32; Space::COUNT] = core::array::from_fn(|number| {
            let (exclusive, shared) = self.table.space(number);
            long_enough &= exclusive.len().max(shared.len()) >= self.sizes.0[number] as usize;
            if exclusive.is_empty() {
                shared.as_ptr().cast_mut()
            } else {
                exclusive.as_mut_ptr()
            }
        });
        // A lane writes no space that is only shared: in an arena, state or output that is not given, it has no room.
        if !long_enough {
            return;
        }
        // Not a constant to the compiler: it would unroll the loops over a block before it turns them into vectors, and then not.
        let count = core::hint::black_box(BLOCK);
        for block in 0..self.width / BLOCK {
            for lane in self.lanes {
                let at = |row: Row| {
                    let start = starts[usize::from(row.space) % Space::COUNT];
                    start.wrapping_add(row.offset as usize + block * BLOCK)
                };
                let out = at(lane.out);
                let [first, second, third] = lane.operands;
                let (first, second, third) = (at(first), at(second), at(third));
                // SAFETY: a `Lane` says that each row is inside a space of `sizes`, and the spaces are at least that long, so
                // each block is inside one slice of the table, which is borrowed for as long as `self` lives and not used
                // meanwhile; the output's is exclusive (`Lane` says that it may be written, and `long_enough` that it is
                // there), and no operand overlaps it.
                let (out, operands) = unsafe {
                    (
                        slice::from_raw_parts_mut(out, count),
                        [
                            slice::from_raw_parts(first.cast_const(), count),
                            slice::from_raw_parts(second.cast_const(), count),
                            slice::from_raw_parts(third.cast_const(), count),
                        ],
                    )
                };
                let _ = chain::apply::<K>(lane.function, operands, lane.parameters, out);
            }
        }
    }
}
