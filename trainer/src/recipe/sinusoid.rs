//! `[family.sinusoid]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Sinusoid regression (Finn et al. 2017, section 5.1): `y = A sin(x - p)`, one amplitude and phase a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sinusoid {
    /// Labelled points from which a task is learned (K). From 1 to 1000.
    pub shots: usize,
    /// Points of a task that score the adapted policy in meta-training. From 1 to 1000.
    pub queries: usize,
    /// Amplitudes A are uniform in this interval, inside [0.001, 1000]; `[a, a]` fixes it, but not the phase too.
    pub amplitude: [f32; 2],
    /// Phases p are uniform in this interval, radians, inside [-100, 100]; `[p, p]` fixes it, but not the amplitude too.
    pub phase: [f32; 2],
    /// Inputs x are uniform in this interval, inside [-1000, 1000].
    pub input: [f32; 2],
}

impl Sinusoid {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("shots", self.shots as u64, 1, 1000);
        checker.count("queries", self.queries as u64, 1, 1000);
        checker.range("amplitude", self.amplitude, 0.001, 1000.0);
        checker.range("phase", self.phase, -100.0, 100.0);
        let fixed = |[low, high]: [f32; 2]| low == high;
        checker.require(
            !(fixed(self.amplitude) && fixed(self.phase)),
            "phase",
            format_args!("[{}, {}]", self.phase[0], self.phase[1]),
            "[low, high] with low < high where the amplitude is fixed: a family with one task leaves nothing to adapt to",
        );
        checker.interval("input", self.input, -1000.0, 1000.0);
    }
}
