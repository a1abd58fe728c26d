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
    let Some(last) = p.depth.checked_sub(1) else {
        return Some(());
    };
    // All that the tiles below read.
    let a = p.a.get(first..)?;
    let a = a.get(..last.checked_mul(a_step)?.checked_add(1)?)?;
    let w = p.w.get(..last.checked_mul(p.w_row)?.checked_add(p.n)?)?;
    match p.start {
        Start::Zero => out.fill(0.0),
        Start::Bias(bias) => {
            for (to, from) in out.iter_mut().zip(bias.get(..p.n)?) {
                *to = *from;
            }
        }
        Start::Output => {}
    }
    let mut sums = out.as_mut_ptr();
    let mut w = w.as_ptr();
    let mut left = p.n;
    // SAFETY: `sums` and `w` are at column `n - left` of rows of `n` columns. A tile of COLUMNS <= left columns reads `depth`
    // values of `a`, `a_step` apart, which lie in the slice `a` above; `depth` rows of COLUMNS values of `w`, `w_row` apart,
    // of which the last ends at `last * w_row + n` at most, inside the slice `w` above; and reads and writes COLUMNS values
    // of `out`, which nothing else borrows.
    unsafe {
        while left >= 8 {
            if a_step == 1 {
                tile8_dense(a.as_ptr(), a_step, w, p.w_row, p.depth, sums);
            } else {
                tile8(a.as_ptr(), a_step, w, p.w_row, p.depth, sums);
            }
            (sums, w, left) = (sums.add(8), w.add(8), left.wrapping_sub(8));
        }
        if left >= 4 {
            tile4(a.as_ptr(), a_step, w, p.w_row, p.depth, sums);
            (sums, w, left) = (sums.add(4), w.add(4), left.wrapping_sub(4));
        }
        while left > 0 {
            tile1(a.as_ptr(), a_step, w, p.w_row, p.depth, sums);
            (sums, w, left) = (sums.add(1), w.add(1), left.wrapping_sub(1));
        }
    }
    Some(())
}

/// Defines a tile: `sums[j] += a[0] * w[0][j]`, then `a[1] * w[1][j]`, ... for `depth` terms; first those by which `depth` is
/// no multiple of four, then four a turn, whose values of `a` are loaded by `$a0` to `$a3` into `s8` to `s11`.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $sums:literal, $weights:literal, [$($sum:literal += $product:literal),+],
     [$a0:literal, $a1:literal, $a2:literal, $a3:literal]) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `depth` values of `a` and rows of `w`, `a_step` and `w_row` values apart, and the sums, can be read, and the sums
        /// written.
        #[inline(always)]
        unsafe fn $name(a: *const f32, a_step: usize, w: *const f32, w_row: usize, depth: usize, sums: *mut f32) {
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
                    concat!("vldmia {sums}, ", $sums),
                    "ands {turns}, {depth}, #3",
                    "beq 3f",
                    "2:",
                    "vldr s8, [{a}]",
                    "add {a}, {a}, {a_step}",
                    term!("s8"),
                    "subs {turns}, {turns}, #1",
                    "bne 2b",
                    "3:",
                    "lsrs {turns}, {depth}, #2",
                    "beq 5f",
                    "4:",
                    $a0,
                    term!("s8"),
                    $a1,
                    term!("s9"),
                    $a2,
                    term!("s10"),
                    $a3,
                    term!("s11"),
                    "subs {turns}, {turns}, #1",
                    "bne 4b",
                    "5:",
                    concat!("vstmia {sums}, ", $sums),
                    a = inout(reg) a => _,
                    w = inout(reg) w => _,
                    sums = in(reg) sums,
                    depth = in(reg) depth,
                    turns = out(reg) _,
                    a_step = in(reg) a_step.wrapping_mul(4),
                    w_row = in(reg) w_row.wrapping_mul(4),
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

tile!(
    /// Eight columns, the values of `a` one after the other (`a_step` is 1).
    tile8_dense, "{{s0-s7}}", "{{s16-s23}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19", "s4" += "s20", "s5" += "s21", "s6" += "s22", "s7" += "s23"],
    ["vldmia {a}!, {{s8-s11}}", "", "", ""]
);
tile!(
    /// Eight columns.
    tile8, "{{s0-s7}}", "{{s16-s23}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19", "s4" += "s20", "s5" += "s21", "s6" += "s22", "s7" += "s23"],
    ["vldr s8, [{a}]\nadd {a}, {a}, {a_step}", "vldr s9, [{a}]\nadd {a}, {a}, {a_step}",
     "vldr s10, [{a}]\nadd {a}, {a}, {a_step}", "vldr s11, [{a}]\nadd {a}, {a}, {a_step}"]
);
tile!(
    /// Four columns.
    tile4, "{{s0-s3}}", "{{s16-s19}}",
    ["s0" += "s16", "s1" += "s17", "s2" += "s18", "s3" += "s19"],
    ["vldr s8, [{a}]\nadd {a}, {a}, {a_step}", "vldr s9, [{a}]\nadd {a}, {a}, {a_step}",
     "vldr s10, [{a}]\nadd {a}, {a}, {a_step}", "vldr s11, [{a}]\nadd {a}, {a}, {a_step}"]
);
tile!(
    /// One column.
    tile1, "{{s0}}", "{{s16}}",
    ["s0" += "s16"],
    ["vldr s8, [{a}]\nadd {a}, {a}, {a_step}", "vldr s9, [{a}]\nadd {a}, {a}, {a_step}",
     "vldr s10, [{a}]\nadd {a}, {a}, {a_step}", "vldr s11, [{a}]\nadd {a}, {a}, {a_step}"]
);
