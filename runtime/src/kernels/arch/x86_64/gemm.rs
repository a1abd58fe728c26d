//! Large products by `matrixmultiply`, which packs its operands into blocks that fit the caches.
//!
//! With AVX2 it is the faster one where the second operand does not fit the first-level cache; with AVX-512, which it has no
//! kernels for, the tiles here are. `docs/engines.md` has the figures.

use crate::kernels::KernelSet;
use crate::kernels::matmul::{MatMul, Start};

/// Fewest numbers of the second operand: 64 KiB.
const LEAST: usize = 128 * 128;
/// Fewest rows, which repay the packing of the second operand.
const ROWS: usize = 64;

/// Computes a product if it is large enough; else gives false.
pub(super) fn run<K: KernelSet>(p: &MatMul<'_>, out: &mut [f32]) -> bool {
    let area = p.m.saturating_mul(p.n);
    if p.m < ROWS || p.n.saturating_mul(p.k) < LEAST {
        return false;
    }
    for (b, out) in out.chunks_exact_mut(area).enumerate() {
        let (a, w, start) = p.element(b);
        product(p, a, w, start, out);
        p.finish::<K>(b * area, out);
    }
    true
}

/// One element of the batch; nothing if an operand is too short, which the checks of the plan rule out.
fn product(p: &MatMul<'_>, a: &[f32], w: &[f32], start: Start<'_>, out: &mut [f32]) {
    let &MatMul { m, k, n, a_row, .. } = p;
    // How far apart rows and columns of `a` are, and one more than the offset of its last element.
    let (row, column) = if p.transposed { (1, a_row) } else { (a_row, 1) };
    let reach = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
    let extent = reach(m, row).saturating_add(reach(k, column)).saturating_add(1);
    let fits = a.len() >= extent && w.len() >= k.saturating_mul(n) && out.len() >= m.saturating_mul(n);
    // Strides are passed as signed numbers.
    let (Ok(row), Ok(column), Ok(width)) = (row.try_into(), column.try_into(), n.try_into()) else {
        return;
    };
    if !fits || k == 0 {
        return;
    }
    let old = match start {
        Start::Zero => 0.0,
        Start::Output => 1.0,
        Start::Bias(bias) => {
            for row in out.chunks_exact_mut(n) {
                row.iter_mut().zip(bias).for_each(|(to, &bias)| *to = bias);
            }
            1.0
        }
    };
    // SAFETY: `a` is read at `i * row + j * column` for `i < m`, `j < k`, `w` at `j * n + l` and `out` accessed at `i * n + l`
    // for `l < n`; all of them are inside their slices, and `out` is exclusive.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            row,
            column,
            w.as_ptr(),
            width,
            1,
            old,
            out.as_mut_ptr(),
            width,
            1,
        );
    }
}
