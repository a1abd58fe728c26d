//! What counts as equal.

use std::{error::Error, fmt::Write as _};

use pliant_compiler::{graph::DType, reference::Tensor64};

/// For one operator, its gradient and its second-order gradient.
pub(crate) const OPERATOR: f64 = 1e-5;
/// For a whole adaptation.
pub(crate) const ADAPTATION: f64 = 1e-4;

/// The values as an engine takes them.
pub(crate) fn values(tensor: &Tensor64) -> Vec<f32> {
    tensor.data.iter().map(|&value| value as f32).collect()
}

/// Compares with the reference: `max |a - b| <= bar * max(1, max |b|)`; integers and truth values exactly.
pub(crate) fn check(found: &[f32], expected: &Tensor64, bar: f64) -> Result<(), String> {
    if found.len() != expected.data.len() {
        return Err(format!("{} elements instead of {}", found.len(), expected.data.len()));
    }
    let largest = expected
        .data
        .iter()
        .fold(1.0f64, |largest, value| largest.max(value.abs()));
    let allowed = if expected.dtype == DType::F32 {
        bar * largest
    } else {
        0.0
    };
    for (index, (&a, &b)) in found.iter().zip(&expected.data).enumerate() {
        let error = (f64::from(a) - b).abs();
        if error.is_nan() || error > allowed {
            return Err(format!(
                "element {index} is {a} instead of {b}: off by {error:.2e}, allowed {allowed:.2e}"
            ));
        }
    }
    Ok(())
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
