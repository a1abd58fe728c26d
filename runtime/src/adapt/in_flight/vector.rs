//! Groups of three values in an observation.

pub(super) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn length(vector: [f32; 3]) -> f32 {
    libm::sqrtf(dot(vector, vector))
}

/// A value; NaN past the end, so that it is refused.
pub(super) fn get(values: &[f32], index: usize) -> f32 {
    values.get(index).copied().unwrap_or(f32::NAN)
}

pub(super) fn three(values: &[f32], first: usize) -> [f32; 3] {
    [0, 1, 2].map(|index| get(values, first + index))
}

pub(super) fn write(values: &mut [f32], first: usize, from: &[f32]) {
    values
        .iter_mut()
        .skip(first)
        .zip(from)
        .for_each(|(to, from)| *to = *from);
}
