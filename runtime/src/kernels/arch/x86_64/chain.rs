//! Prepared chains: an operand is found with a few instructions and no branch.
//!
//! A simulation step is a thousand instructions over one row of instances each. Splitting a space around an output, as the
//! portable chains do, or comparing an operand with the end of its space, takes longer than to compute it. The comparing was
//! done when the chain was prepared; what is left to do, once a chain, is to see that the spaces are as large as then.

use core::{ptr, slice};

use crate::image::record::{Operand, Space};
use crate::kernels::KernelSet;
use crate::kernels::chain::prepared::{Chain, Step};
use crate::kernels::chain::{functions, number, slow};
use crate::plan::Table;

/// Runs a prepared chain; nothing, if a space is smaller than it was prepared for, or one that it writes is only to read.
#[inline(always)]
pub(super) fn run<K: Blocks>(chain: &Chain, table: &mut Table<'_>) {
    let mut starts: Starts = [ptr::null_mut(); Space::COUNT];
    for (number, start) in starts.iter_mut().enumerate() {
        let (exclusive, shared) = table.space(number);
        let to_write = !exclusive.is_empty();
        let (values, len) = if to_write {
            (exclusive.as_mut_ptr(), exclusive.len())
        } else {
            // Nothing is written through it: see below.
            (shared.as_ptr().cast_mut(), shared.len())
        };
        if len < chain.sizes()[number] as usize || (chain.written()[number] && !to_write) {
            return;
        }
        *start = values;
    }
    for step in chain.steps() {
        // SAFETY: `Chain::new` keeps only steps of which the output and every operand are `count` elements inside a space of
        // the chain's sizes, and of which no operand overlaps the output; no space is smaller, and those that are written
        // are exclusive. The slices of the table are borrowed for as long as this function runs and not used meanwhile.
        unsafe { dispatch::<K>(step, &starts) };
    }
}

/// Where each space starts.
type Starts = [*mut f32; Space::COUNT];

/// Elements computed at once: four of the widest vectors.
const BLOCK: usize = 64;
/// And of what is left behind such blocks.
const HALF: usize = BLOCK / 2;

macro_rules! by_number {
    ($($name:ident = $kind:ident::$function:ident),+ $(,)?) => {
        /// Runs a step.
        ///
        /// # Safety
        /// The output and the operands are `count` elements each from where they start, nothing else accesses the output
        /// while this runs, nothing writes the operands, and none of them overlaps the output.
        #[inline(always)]
        unsafe fn dispatch<K: Blocks>(step: &Step, starts: &Starts) {
            // SAFETY: as this function's.
            unsafe {
                match step.function {
                    $(number::$name => run_step::<K, { number::$name }>(step, starts),)+
                    _ => {
                        let (out, [a, b, _]) = slices(step, starts, 0);
                        let _ = slow::<K>(step.function, a, b, out);
                    }
                }
            }
        }
    };
}
functions!(by_number!);

/// A kernel set that computes blocks.
pub(super) trait Blocks: KernelSet {
    /// Computes a block with the function of this number. Not inlined: what the compiler knows of a function's arguments,
    /// that they do not overlap, it forgets where it inlines it.
    fn block<const FUNCTION: u8, const N: usize>(out: &mut [f32; N], operands: [&[f32; N]; 3], parameters: [f32; 2]);

    /// Computes what is left behind the blocks. Not inlined: each function would have all of them.
    fn rest(function: u8, operands: [&[f32]; 3], parameters: [f32; 2], out: &mut [f32]);
}

/// Runs a step of this function.
///
/// # Safety
/// As [`dispatch`].
#[inline(always)]
unsafe fn run_step<K: Blocks, const FUNCTION: u8>(step: &Step, starts: &Starts) {
    let count = step.count as usize;
    let mut done = 0;
    while done + BLOCK <= count {
        // SAFETY: as this function's, and a block fits.
        unsafe { run_block::<K, FUNCTION, BLOCK>(step, starts, done) };
        done += BLOCK;
    }
    if done + HALF <= count {
        // SAFETY: as this function's, and a block fits.
        unsafe { run_block::<K, FUNCTION, HALF>(step, starts, done) };
        done += HALF;
    }
    if done < count {
        // SAFETY: as this function's.
        let (out, operands) = unsafe { slices(step, starts, done) };
        K::rest(step.function, operands, step.parameters, out);
    }
}

/// Runs `N` elements of a step.
///
/// # Safety
/// As [`dispatch`]; `from + N` is no more than `count`.
#[inline(always)]
unsafe fn run_block<K: Blocks, const FUNCTION: u8, const N: usize>(step: &Step, starts: &Starts, from: usize) {
    let at = |operand: Operand| start(operand, starts).wrapping_add(from).cast::<[f32; N]>();
    // SAFETY: as this function's; a block is aligned as its elements.
    let (block, of) = unsafe {
        (
            &mut *at(step.out),
            step.operands.map(|operand| &*at(operand).cast_const()),
        )
    };
    K::block::<FUNCTION, N>(block, of, step.parameters);
}

/// Where an operand starts.
#[inline(always)]
fn start(operand: Operand, starts: &Starts) -> *mut f32 {
    starts[(operand.0 >> 28) as usize % Space::COUNT].wrapping_add(operand.offset() as usize)
}

/// The output and the operands of a step, from element `from` on.
///
/// # Safety
/// As [`dispatch`]; `from` is no more than `count`.
#[inline(always)]
unsafe fn slices<'a>(step: &Step, starts: &Starts, from: usize) -> (&'a mut [f32], [&'a [f32]; 3]) {
    let count = step.count as usize - from;
    let at = |operand: Operand| start(operand, starts).wrapping_add(from);
    // SAFETY: as this function's.
    unsafe {
        (
            slice::from_raw_parts_mut(at(step.out), count),
            step.operands
                .map(|operand| slice::from_raw_parts(at(operand).cast_const(), count)),
        )
    }
}
