//! Matrix products, in register tiles of a few rows and a few vectors of columns.
//!
//! Every output is one running sum over `k` in rising order, whatever the tile, so tiles of any size give the same bits.
//! Long sums are cut into blocks of `k` and carried through the output, which changes no rounding.

use super::arithmetic::Ops;
use super::elementwise::{Source, UnaryFunction};
use super::{COMPACT, GRADIENT, KernelSet};
use crate::image::record::{Binary, Unary};

/// Terms of a sum in one block: a column panel of this depth stays in the first-level cache.
const DEPTH: usize = 256;

/// Rows in one panel: its outputs are still cached when the activation comes.
const PANEL: usize = 128;

/// So few columns that they do not fill a vector.
const FEW: usize = 4;

/// A decoded record; slices are exactly as long as the dimensions and strides reach.
pub(super) struct MatMul<'a> {
    pub(super) a: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) a_batch: usize,
    pub(super) w_batch: usize,
    pub(super) bias_batch: usize,
    pub(super) a_row: usize,
    pub(super) transposed: bool,
    pub(super) accumulate: bool,
    pub(super) activation: Unary,
    pub(super) epilogue: Option<(Binary, &'a [f32])>,
}

impl MatMul<'_> {
    /// A batch that shares weights and bias, its rows one after the other, is one product with more rows.
    pub(super) fn join_batch(&mut self) {
        let shared = self.w_batch == 0 && self.bias_batch == 0 && !self.transposed;
        if self.batch > 1 && shared && self.a_batch == self.m.wrapping_mul(self.a_row) {
            self.m = self.m.wrapping_mul(self.batch);
            self.batch = 1;
        }
    }
}

/// Where a sum starts.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    Bias(&'a [f32]),
    Output,
}

/// One product without a batch: what the tiles of a panel share.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// From the first row (column, if transposed) of the panel and the first term of the block.
    pub(super) a: &'a [f32],
    pub(super) a_row: usize,
    /// From the first term of the block.
    pub(super) w: &'a [f32],
    /// From term to term in `w`.
    pub(super) w_row: usize,
    /// Columns, and from row to row in the output.
    pub(super) n: usize,
    pub(super) depth: usize,
    pub(super) start: Start<'a>,
}

/// How many rows and columns of outputs one instruction set keeps in registers. `TRANSPOSED`: `a` is stored `[k][m]`.
pub(super) trait Tiles {
    /// One row of outputs.
    fn row<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, out: &mut [f32]);
    /// All outputs of a panel of rows.
    fn panel<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, rows: usize, out: &mut [f32]);
}

impl MatMul<'_> {
    /// Operands of one element of the batch.
    #[inline(always)]
    fn element(&self, b: usize) -> (&[f32], &[f32], Start<'_>) {
        let from = |values: &'_ [f32], stride: usize| b.wrapping_mul(stride).min(values.len());
        let a = self.a.get(from(self.a, self.a_batch)..).unwrap_or(&[]);
        let w = self.w.get(from(self.w, self.w_batch)..).unwrap_or(&[]);
        let start = match self.bias {
            Some(bias) => Start::Bias(bias.get(from(bias, self.bias_batch)..).unwrap_or(&[])),
            None if self.accumulate => Start::Output,
            None => Start::Zero,
        };
        (a, w, start)
    }

    /// Activation and epilogue of the outputs from element `at` on.
    #[inline(always)]
    fn finish<K: KernelSet>(&self, at: usize, out: &mut [f32]) {
        activate::<K>(self.activation, out);
        if let Some((function, operand)) = self.epilogue.filter(|_| GRADIENT) {
            K::epilogue(function, operand.get(at..).unwrap_or(&[]), out);
        }
    }
}

#[inline(always)]
fn activate<K: KernelSet>(function: Unary, out: &mut [f32]) {
    if function != Unary::Identity {
        let function = UnaryFunction {
            function,
            parameters: [0.0; 2],
        };
        K::unary(function, Source::Output, out);
    }
}

/// One row and no batch, as in acting. The product comes as the tiles take it: copying it on the way costs as much as a
/// small layer.
#[inline(always)]
pub(super) fn run_row<O: Ops, T: Tiles, K: KernelSet>(product: &Product<'_>, activation: Unary, out: &mut [f32]) {
    T::row::<O, false>(product, out);
    activate::<K>(activation, out);
}

/// Several rows; in little code also of an `a` that is stored `[k][m]`.
#[inline(always)]
pub(super) fn run_rows<O: Ops, T: Tiles, K: KernelSet>(p: &MatMul<'_>, out: &mut [f32]) {
    if COMPACT {
        run_whole::<O, T, K>(p, out);
    } else {
        run_panels::<O, T, K, false>(p, out);
    }
}

/// Each element of the batch in one go: without a cache there is nothing to cut it for.
#[inline(always)]
fn run_whole<O: Ops, T: Tiles, K: KernelSet>(p: &MatMul<'_>, out: &mut [f32]) {
    let area = p.m.wrapping_mul(p.n).max(1);
    for (b, out) in out.chunks_mut(area).enumerate() {
        let (a, w, start) = p.element(b);
        let product = Product {
            a,
            a_row: p.a_row,
            w,
            w_row: p.n,
            n: p.n,
            depth: p.k,
            start,
        };
        if p.transposed && GRADIENT {
            T::panel::<O, true>(&product, p.m, out);
        } else {
            T::panel::<O, false>(&product, p.m, out);
        }
        p.finish::<K>(b.wrapping_mul(area), out);
    }
}

/// `a` stored `[k][m]`.
#[inline(always)]
pub(super) fn run_transposed<O: Ops, T: Tiles, K: KernelSet>(p: &MatMul<'_>, out: &mut [f32]) {
    run_panels::<O, T, K, true>(p, out);
}

#[inline(always)]
fn run_panels<O: Ops, T: Tiles, K: KernelSet, const TRANSPOSED: bool>(p: &MatMul<'_>, out: &mut [f32]) {
    let area = p.m.wrapping_mul(p.n).max(1);
    for (b, out) in out.chunks_mut(area).enumerate() {
        let (a, w, start) = p.element(b);
        for (index, out) in out.chunks_mut(PANEL.wrapping_mul(p.n).max(1)).enumerate() {
            let i = index.wrapping_mul(PANEL);
            let rows = p.m.wrapping_sub(i).min(PANEL);
            if TRANSPOSED && p.n <= FEW && rows >= 4 * FEW {
                swapped_panel::<O, T>(p, a, w, start, i, rows, out);
            } else {
                panel::<O, T, TRANSPOSED>(p, a, w, start, i, rows, out);
            }
            p.finish::<K>(b.wrapping_mul(area).wrapping_add(i.wrapping_mul(p.n)), out);
        }
    }
}

/// Rows `i` to `i + rows`, one block of terms after the other.
#[inline(always)]
fn panel<O: Ops, T: Tiles, const TRANSPOSED: bool>(
    p: &MatMul<'_>,
    a: &[f32],
    w: &[f32],
    mut start: Start<'_>,
    i: usize,
    rows: usize,
    out: &mut [f32],
) {
    let mut done = 0;
    while done < p.k {
        let depth = (p.k - done).min(DEPTH);
        let first = if TRANSPOSED {
            done.wrapping_mul(p.a_row).wrapping_add(i)
        } else {
            i.wrapping_mul(p.a_row).wrapping_add(done)
        };
        let product = Product {
            a: a.get(first..).unwrap_or(&[]),
            a_row: p.a_row,
            w: w.get(done.wrapping_mul(p.n)..).unwrap_or(&[]),
            w_row: p.n,
            n: p.n,
            depth,
            start,
        };
        if rows == 1 && !TRANSPOSED {
            T::row::<O, TRANSPOSED>(&product, out);
        } else {
            T::panel::<O, TRANSPOSED>(&product, rows, out);
        }
        start = Start::Output;
        done += depth;
    }
}

/// As [`panel`] for a transposed `a` and few columns: computes the transposed output, in which the rows of `a` take the
/// place of `w` and fill whole vectors. Each sum has the same terms in the same order.
#[inline(always)]
fn swapped_panel<O: Ops, T: Tiles>(
    p: &MatMul<'_>,
    a: &[f32],
    w: &[f32],
    start: Start<'_>,
    i: usize,
    rows: usize,
    out: &mut [f32],
) {
    let mut buffer = [0.0f32; FEW * PANEL];
    for (j, column) in buffer.chunks_mut(rows.max(1)).take(p.n).enumerate() {
        match start {
            Start::Zero => {}
            Start::Bias(bias) => column.fill(bias.get(j).copied().unwrap_or(0.0)),
            Start::Output => {
                let old = out.get(j..).unwrap_or(&[]).iter().step_by(p.n.max(1));
                column.iter_mut().zip(old).for_each(|(to, &from)| *to = from);
            }
        }
    }
    let mut done = 0;
    while done < p.k {
        let depth = (p.k - done).min(DEPTH);
        let product = Product {
            a: w.get(done.wrapping_mul(p.n)..).unwrap_or(&[]),
            a_row: p.n,
            w: a.get(done.wrapping_mul(p.a_row).wrapping_add(i)..).unwrap_or(&[]),
            w_row: p.a_row,
            n: rows,
            depth,
            start: Start::Output,
        };
        if p.n == 1 {
            T::row::<O, true>(&product, &mut buffer);
        } else {
            T::panel::<O, true>(&product, p.n, &mut buffer);
        }
        done += depth;
    }
    for (j, column) in buffer.chunks(rows.max(1)).take(p.n).enumerate() {
        let to = out.get_mut(j..).unwrap_or_default().iter_mut().step_by(p.n.max(1));
        to.zip(column).for_each(|(to, &from)| *to = from);
    }
}

/// The widest of these widths, which rise from 1, that is not wider than `left`.
#[cfg(not(all(target_arch = "arm", target_abi = "eabihf")))]
#[inline(always)]
pub(super) fn widest(left: usize, widths: &[usize]) -> usize {
    widths.iter().copied().rev().find(|&width| width <= left).unwrap_or(1)
}

/// Defines [`Tiles`] from tile functions: `width = function count`, the width in columns and the function's own measure of
/// it (columns or vectors). First for a single row, which needs wide tiles to hide the latency of its additions; then, with
/// the numbers of rows a tile may have, falling to 1. Widths rise from 1. Calls go through the macro `$call`.
#[cfg(not(all(target_arch = "arm", target_abi = "eabihf")))]
macro_rules! tiles {
    ($(#[$meta:meta])* $name:ident, $call:ident {
        single { $($single:literal = $single_tile:path => $single_count:literal),+ }
        many { $($width:literal = $tile:path => $count:literal: [$($rows:literal),+]),+ }
    }) => {
        $(#[$meta])*
        pub(in crate::kernels) struct $name;

        impl Tiles for $name {
            #[inline(always)]
            fn row<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, out: &mut [f32]) {
                let mut column = 0;
                while column < product.n {
                    let width = widest(product.n - column, &[$($single),+]);
                    match width {
                        $($single => {
                            use $single_tile as tile;
                            $call!(tile::<O, 1, $single_count, TRANSPOSED>(product, 0, column, out));
                        })+
                        _ => {}
                    }
                    column = column.wrapping_add(width);
                }
            }

            #[inline(always)]
            fn panel<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, rows: usize, out: &mut [f32]) {
                let mut column = 0;
                while column < product.n {
                    let width = widest(product.n - column, &[$($width),+]);
                    match width {
                        $($width => {
                            use $tile as tile;
                            let mut row = 0;
                            $(
                                while rows.wrapping_sub(row) >= $rows {
                                    $call!(tile::<O, $rows, $count, TRANSPOSED>(product, row, column, out));
                                    row += $rows;
                                }
                            )+
                        })+
                        _ => {}
                    }
                    column = column.wrapping_add(width);
                }
            }
        }
    };
}
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) use tiles;

#[cfg(not(all(target_arch = "arm", target_abi = "eabihf")))]
macro_rules! plain_call {
    ($call:expr) => {
        $call
    };
}

#[cfg(not(target_arch = "arm"))]
tiles! {
    /// At least sixteen registers of four values.
    Portable, plain_call {
        single { 1 = portable_tile => 1, 2 = portable_tile => 2, 4 = portable_tile => 4, 8 = portable_tile => 8, 16 = portable_tile => 16 }
        many {
            1 = portable_tile => 1: [4, 1],
            2 = portable_tile => 2: [4, 1],
            4 = portable_tile => 4: [4, 1],
            8 = portable_tile => 8: [4, 1]
        }
    }
}

#[cfg(all(target_arch = "arm", not(target_abi = "eabihf")))]
tiles! {
    /// No floating-point registers: small code.
    Portable, plain_call {
        single { 1 = portable_tile => 1, 2 = portable_tile => 2, 4 = portable_tile => 4, 8 = portable_tile => 8 }
        many { 1 = portable_tile => 1: [1], 2 = portable_tile => 2: [1], 4 = portable_tile => 4: [1], 8 = portable_tile => 8: [2, 1] }
    }
}

/// Computes one tile: `ROWS` x `COLUMNS` sums held in registers.
/// `None` if a slice is too short, which the checks of the plan rule out.
// A function of its own where registers are few and code is dear; elsewhere part of each instruction set's kernel.
#[cfg(not(all(target_arch = "arm", target_abi = "eabihf")))] // These have their own.
#[cfg_attr(target_arch = "arm", inline(never))]
#[cfg_attr(not(target_arch = "arm"), inline(always))]
pub(super) fn portable_tile<O: Ops, const ROWS: usize, const COLUMNS: usize, const TRANSPOSED: bool>(
    p: &Product<'_>,
    row: usize,
    column: usize,
    out: &mut [f32],
) -> Option<()> {
    let mut sums = [[0.0f32; COLUMNS]; ROWS];
    match p.start {
        Start::Zero => {}
        Start::Bias(bias) => sums = [*bias.get(column..)?.first_chunk::<COLUMNS>()?; ROWS],
        Start::Output => {
            let mut at = row.wrapping_mul(p.n).wrapping_add(column);
            for sums in &mut sums {
                *sums = *out.get(at..)?.first_chunk::<COLUMNS>()?;
                at = at.wrapping_add(p.n);
            }
        }
    }
    let mut w_at = column;
    if TRANSPOSED {
        let mut a_at = row;
        for _ in 0..p.depth {
            let w = p.w.get(w_at..)?.first_chunk::<COLUMNS>()?;
            let a = p.a.get(a_at..)?.first_chunk::<ROWS>()?;
            for i in 0..ROWS {
                for j in 0..COLUMNS {
                    sums[i][j] = O::add_product(sums[i][j], a[i], w[j]);
                }
            }
            w_at = w_at.wrapping_add(p.w_row);
            a_at = a_at.wrapping_add(p.a_row);
        }
    } else {
        let mut a_rows: [&[f32]; ROWS] = [&[]; ROWS];
        let mut a_at = row.wrapping_mul(p.a_row);
        for a in &mut a_rows {
            *a = p.a.get(a_at..)?.get(..p.depth)?;
            a_at = a_at.wrapping_add(p.a_row);
        }
        for term in 0..p.depth {
            let w = p.w.get(w_at..)?.first_chunk::<COLUMNS>()?;
            for i in 0..ROWS {
                let a = *a_rows[i].get(term)?;
                for j in 0..COLUMNS {
                    sums[i][j] = O::add_product(sums[i][j], a, w[j]);
                }
            }
            w_at = w_at.wrapping_add(p.w_row);
        }
    }
    let mut at = row.wrapping_mul(p.n).wrapping_add(column);
    for sums in &sums {
        *out.get_mut(at..)?.first_chunk_mut::<COLUMNS>()? = *sums;
        at = at.wrapping_add(p.n);
    }
    Some(())
}
