//! Register tiles of matrix products for 32-bit ARM cores with a floating-point unit (Cortex-M4F, M7, M33; 32 registers of
//! one value).
//!
//! The compiler loads weights one by one; loading a row of a tile with one `vldmia` takes 2.3 instructions a
//! multiply-accumulate in place of 3.3. Multiply, round, add, round, in index order, as everywhere: the same bits.
//! (`vfma` would be no faster on a Cortex-M4: 3 cycles, where `vmul` and `vadd` take 1 each.)
#![allow(unsafe_code)]

use core::arch::asm;

use crate::kernels::arithmetic::Ops;
use crate::kernels::matmul::{Product, Start, Tiles};

/// Square root, correctly rounded, as IEEE 754 has it.
#[inline(always)]
pub(in crate::kernels) fn sqrt(x: f32) -> f32 {
    let mut bits = x.to_bits();
    // SAFETY: touches nothing but the two registers, which every core with this calling convention has.
    unsafe {
        asm!(
            "vmov s0, {bits}",
            "vsqrt.f32 s0, s0",
            "vmov {bits}, s0",
            bits = inout(reg) bits,
            out("s0") _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    f32::from_bits(bits)
}

/// Tiles of one row and eight, four or one columns.
pub(in crate::kernels) struct Scalars;

impl Tiles for Scalars {
    #[inline(always)]
    fn row<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, out: &mut [f32]) {
        let _ = columns(product, 0, TRANSPOSED, out);
    }

    #[inline(always)]
    fn panel<O: Ops, const TRANSPOSED: bool>(product: &Product<'_>, rows: usize, out: &mut [f32]) {
        for row in 0..rows {
            let _ = columns(product, row, TRANSPOSED, out);
        }
    }
}

/// One row of outputs. `None` if a slice is too short, which the checks of the plan rule out.
#[inline(never)]
fn columns(p: &Product<'_>, row: usize, transposed: bool, out: &mut [f32]) -> Option<()> {
    // From term to term in `a`; the first term.
    let (a_step, first) = if transposed {
        (p.a_row, row)
    } else {
        (1, row.wrapping_mul(p.a_row))
    };
    let out = out.get_mut(row.wrapping_mul(p.n)..)?.get_mut(..p.n)?;
    // All that the tiles below read.
    let reach = |step: usize, width: usize| match p.depth.checked_sub(1) {
        Some(last) => last.checked_mul(step)?.checked_add(width),
        None => Some(0),
    };
    let a = p.a.get(first..)?.get(..reach(a_step, 1)?)?;
    let w = p.w.get(..reach(p.w_row, p.n)?)?;
    let bias = match p.start {
        Start::Zero => {
            out.fill(0.0);
            None
        }
        Start::Bias(bias) => Some(bias.get(..p.n)?),
        Start::Output => None,
    };
    let (sums, mut w, mut left) = (out.as_mut_ptr(), w.as_ptr(), p.n);
    let mut tile = Tile {
        a: a.as_ptr(),
        a_step,
        w_row: p.w_row,
        depth: p.depth,
        first: bias.map_or(sums.cast_const(), <[f32]>::as_ptr),
        sums,
    };
    // SAFETY: `sums`, `first` and `w` are at column `n - left` of rows of `n` columns. A tile of COLUMNS <= left columns reads
    // `depth` values of `a`, `a_step` apart, which lie in the slice `a` above; `depth` rows of COLUMNS values of `w`, `w_row`
    // apart, of which the last ends at `last * w_row + n` at most, inside the slice `w` above; reads COLUMNS values where the
    // sums start, in `out` or a bias of `n` values; and writes as many of `out`, which nothing else borrows.
    unsafe {
        while left >= 8 {
            #[cfg(feature = "kernel-gradient")]
            if a_step == 1 {
                tile8_dense(tile, w);
            } else {
                tile8(tile, w);
            }
            #[cfg(not(feature = "kernel-gradient"))]
            tile8_dense(tile, w);
            (tile, w, left) = (tile.next(8), w.wrapping_add(8), left.wrapping_sub(8));
        }
        if left >= 4 {
            tile4(tile, w);
            (tile, w, left) = (tile.next(4), w.wrapping_add(4), left.wrapping_sub(4));
        }
        while left > 0 {
            tile1(tile, w);
            (tile, w, left) = (tile.next(1), w.wrapping_add(1), left.wrapping_sub(1));
        }
    }
    Some(())
}

/// What a tile works on.
#[derive(Clone, Copy)]
struct Tile {
    a: *const f32,
    /// From term to term in `a`.
    a_step: usize,
    /// From term to term in `w`.
    w_row: usize,
    depth: usize,
    /// Where the sums start from.
    first: *const f32,
    /// Where they go.
    sums: *mut f32,
}

impl Tile {
    /// So many columns on.
    fn next(mut self, columns: usize) -> Self {
        self.first = self.first.wrapping_add(columns);
        self.sums = self.sums.wrapping_add(columns);
        self
    }
}

/// Defines a tile: `sums = first`, then `sums[j] += a[0] * w[0][j]`, `a[1] * w[1][j]`, ... for `depth` terms. Where the
/// values of `a` lie one after the other (`dense`), four terms make a turn, after those by which `depth` is no multiple of
/// four.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $sums:literal, $weights:literal, [$($sum:literal += $product:literal),+] $(, $dense:ident)?) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `depth` values of `a` and rows of `w`, `a_step` and `w_row` values apart, and the first values can be read, the sums
        /// written.
        #[inline(always)]
        unsafe fn $name(tile: Tile, w: *const f32) {
            // One term, its value of `a` in the register named.
            macro_rules! term {
                ($a:literal) => {
                    concat!(
                        "vldmia {w}, ", $weights, "\n",
                        "add {w}, {w}, {w_row}\n",
                        $("vmul.f32 ", $product, ", ", $product, ", ", $a, "\n",)+
                        $("vadd.f32 ", $sum, ", ", $sum, ", ", $product, "\n",)+
                    )
                };
            }
            // SAFETY: reads what the caller vouches for, writes the sums, and changes no other memory, no stack, and no
            // register but those named here.
            unsafe {
                asm!(
                    concat!("vldmia {first}, ", $sums),
                    single_terms!($($dense)?),
                    "beq 3f",
                    "2:",
                    "vldr s8, [{a}]",
                    "add {a}, {a}, {a_step}",
                    term!("s8"),
                    "subs {turns}, {turns}, #1",
                    "bne 2b",
                    "3:",
                    four_terms!(term $($dense)?),
                    concat!("vstmia {sums}, ", $sums),
                    a = inout(reg) tile.a => _,
                    w = inout(reg) w => _,
                    first = in(reg) tile.first,
                    sums = in(reg) tile.sums,
                    depth = in(reg) tile.depth,
                    turns = out(reg) _,
                    a_step = in(reg) tile.a_step.wrapping_mul(4),
                    w_row = in(reg) tile.w_row.wrapping_mul(4),
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _,
                    out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    options(nostack),
                );
            }
        }
    };
}

/// How many terms are taken one by one; sets the zero flag when there are none.
macro_rules! single_terms {
    (dense) => {
        "ands {turns}, {depth}, #3"
    };
    () => {
        "movs {turns}, {depth}"
    };
}

/// The others.
macro_rules! four_terms {
    ($term:ident dense) => {
        concat!(
            "lsrs {turns}, {depth}, #2\n",
            "beq 5f\n",
            "4:\n",
            "vldmia {a}!, {{s8-s11}}\n",
            $term!("s8"),
            $term!("s9"),
            $term!("s10"),
            $term!("s11"),
            "subs {turns}, {turns}, #1\n",
            "bne 4b\n",
            "5:"
        )
    };
    ($term:ident) => {
        ""
    };
}

tile!(
    /// Eight columns, `a_step` 1.
    tile8_dense, "{{s0-s7}}", "{{s16-s23}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19", "s4" += "s20", "s5" += "s21", "s6" += "s22", "s7" += "s23"],
    dense
);
#[cfg(feature = "kernel-gradient")]
tile!(
    /// Eight columns.
    tile8, "{{s0-s7}}", "{{s16-s23}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19", "s4" += "s20", "s5" += "s21", "s6" += "s22", "s7" += "s23"]
);
tile!(
    /// Four columns.
    tile4, "{{s0-s3}}", "{{s16-s19}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19"]
);
tile!(
    /// One column.
    tile1, "{{s0}}", "{{s16}}",
    ["s0" += "s16"]
);
