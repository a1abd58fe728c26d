//! Picking rows by index, and adding rows back where they were picked.

/// A decoded record: the picked side is `[outer][indices][inner]`, the whole side `[outer][axis][inner]`.
pub(super) struct Picked<'a> {
    pub(super) index: &'a [f32],
    pub(super) axis: usize,
    pub(super) inner: usize,
}

impl Picked<'_> {
    /// Truncated toward zero and clamped to the axis; NaN is 0.
    #[inline(always)]
    fn clamp(&self, index: f32) -> usize {
        // The conversion saturates, and sends NaN to 0.
        (index as u32 as usize).min(self.axis.saturating_sub(1))
    }

    #[inline(always)]
    fn lens(&self) -> (usize, usize, usize) {
        let whole = self.axis.wrapping_mul(self.inner).max(1);
        let picked = self.index.len().wrapping_mul(self.inner).max(1);
        (whole, picked, self.inner.max(1))
    }
}

/// `out[o][j][i] = data[o][index[j]][i]`.
#[inline(always)]
pub(super) fn gather(p: &Picked<'_>, data: &[f32], out: &mut [f32]) {
    let (whole, picked, inner) = p.lens();
    for (data, out) in data.chunks_exact(whole).zip(out.chunks_exact_mut(picked)) {
        for (&index, out) in p.index.iter().zip(out.chunks_exact_mut(inner)) {
            let start = p.clamp(index).wrapping_mul(inner);
            let from = data.get(start..).unwrap_or(&[]);
            out.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
}

/// `out[o][index[j]][i] += a[o][j][i]`, `j` rising.
#[inline(always)]
pub(super) fn scatter_add(p: &Picked<'_>, a: &[f32], out: &mut [f32]) {
    let (whole, picked, inner) = p.lens();
    for (a, out) in a.chunks_exact(picked).zip(out.chunks_exact_mut(whole)) {
        for (&index, a) in p.index.iter().zip(a.chunks_exact(inner)) {
            let start = p.clamp(index).wrapping_mul(inner);
            let to = out.get_mut(start..).unwrap_or_default();
            to.iter_mut().zip(a).for_each(|(to, &from)| *to += from);
        }
    }
}
