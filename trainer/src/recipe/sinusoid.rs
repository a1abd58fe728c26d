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
    /// `[algorithm.multi-task]`: tasks of the training split that are learned together, a head each. From 2 to 64; default 20.
    #[serde(default = "Sinusoid::default_together")]
    pub together: usize,
    /// `[algorithm.multi-task]`: labelled points of each of them, and as many that validate and that test. From 2 to 100000;
    /// default 100.
    #[serde(default = "Sinusoid::default_rows")]
    pub rows: usize,
}

impl Sinusoid {
    fn default_together() -> usize {
        20
    }

    fn default_rows() -> usize {
        100
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("shots", self.shots as u64, 1, 1000);
        checker.count("queries", self.queries as u64, 1, 1000);
        checker.count("together", self.together as u64, 2, 64);
        checker.count("rows", self.rows as u64, 2, 100_000);
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
