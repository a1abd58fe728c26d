//! `[family.half-circle]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Sparse 2D navigation (Rakelly et al. 2019): a goal on a half circle of radius 1, felt only within 0.2 of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfCircle {
    /// Steps of an episode. From 10 to 1000.
    pub horizon: usize,
}

impl HalfCircle {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("horizon", self.horizon as u64, 10, 1000);
    }
}
