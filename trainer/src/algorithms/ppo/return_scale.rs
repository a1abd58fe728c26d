//! Mean and deviation of a task's returns, and a value function that keeps its answers while they change: PopArt (van
//! Hasselt, Guez, Hessel, Mnih and Silver 2016, "Learning values across many orders of magnitude"; for several tasks Hessel
//! et al. 2019, "Multi-task deep reinforcement learning with PopArt").

/// Least deviation of returns.
const LEAST: f64 = 1e-4;

/// Running moments of one task's returns, in the reward's unit. Held in single precision, so that a checkpoint loses nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReturnScale {
    pub(super) mean: f32,
    /// Mean of the squares.
    pub(super) second: f32,
    /// Windows taken in.
    pub(super) windows: f32,
}

impl ReturnScale {
    /// Leaves returns as they are.
    pub(super) const fn identity() -> Self {
        Self {
            mean: 0.0,
            second: 1.0,
            windows: 0.0,
        }
    }

    /// Standard deviation.
    pub(super) fn deviation(&self) -> f64 {
        let mean = f64::from(self.mean);
        (f64::from(self.second) - mean * mean).max(LEAST * LEAST).sqrt()
    }

    /// Moves towards the moments of a window by `rate` (van Hasselt et al. 2016, equation 6), but to those of the first
    /// window at once.
    pub(super) fn merge(&mut self, returns: &[f32], rate: f32) {
        let count = returns.len().max(1) as f64;
        let sum = |power: i32| returns.iter().map(|&value| f64::from(value).powi(power)).sum::<f64>() / count;
        let rate = if self.windows == 0.0 { 1.0 } else { f64::from(rate) };
        let moved = |old: f32, new: f64| ((1.0 - rate) * f64::from(old) + rate * new) as f32;
        self.mean = moved(self.mean, sum(1));
        self.second = moved(self.second, sum(2));
        self.windows += 1.0;
    }

    /// The returns as the value function learns them.
    pub(super) fn normalise(&self, returns: &mut [f32]) {
        let (mean, factor) = (f64::from(self.mean), 1.0 / self.deviation());
        for value in returns {
            *value = (factor * (f64::from(*value) - mean)) as f32;
        }
    }

    /// A last layer whose answers are in the reward's unit, from one whose answers are normalised: weight and bias.
    pub(super) fn unnormalise(&self, weight: &mut [f32], bias: &mut [f32]) {
        let (mean, deviation) = (f64::from(self.mean), self.deviation());
        weight
            .iter_mut()
            .for_each(|value| *value = (deviation * f64::from(*value)) as f32);
        bias.iter_mut()
            .for_each(|value| *value = (deviation * f64::from(*value) + mean) as f32);
    }

    /// Changes a last layer, normalised by `before`, so that normalised by `self` it says the same of the returns (van
    /// Hasselt et al. 2016, equations 8 and 9): `w' = s/s' w`, `b' = (s b + m - m')/s'`.
    pub(super) fn preserve(&self, before: &Self, weight: &mut [f32], bias: &mut [f32]) {
        let (old, new) = (before.deviation(), self.deviation());
        let shift = f64::from(before.mean) - f64::from(self.mean);
        weight
            .iter_mut()
            .for_each(|value| *value = (old / new * f64::from(*value)) as f32);
        bias.iter_mut()
            .for_each(|value| *value = ((old * f64::from(*value) + shift) / new) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stay_while_the_scale_moves() {
        let mut scale = ReturnScale::identity();
        scale.merge(&[-100.0, -300.0, -200.0], 0.1);
        assert!((scale.mean + 200.0).abs() < 1e-3 && (scale.deviation() - 81.65).abs() < 0.01);
        let features = [0.3, -0.7];
        let answer = |scale: &ReturnScale, (mut weight, mut bias): ([f32; 2], [f32; 1])| {
            scale.unnormalise(&mut weight, &mut bias);
            features.iter().zip(weight).map(|(f, w)| f * w).sum::<f32>() + bias[0]
        };
        let (mut weight, mut bias) = ([0.4, 1.1], [0.2]);
        let before = (scale, answer(&scale, (weight, bias)));
        scale.merge(&[-5.0, -3.0, 4.0], 0.5);
        assert!((scale.mean + 100.667).abs() < 1e-2, "{scale:?}");
        // Without the change of the layer the answer would be another.
        assert!((answer(&scale, (weight, bias)) - before.1).abs() > 10.0);
        scale.preserve(&before.0, &mut weight, &mut bias);
        assert!((answer(&scale, (weight, bias)) - before.1).abs() < 1e-3);
    }

    #[test]
    fn returns_are_normalised() {
        let mut returns = [3.0, 5.0, 7.0];
        let mut scale = ReturnScale::identity();
        scale.merge(&returns, 0.1);
        scale.normalise(&mut returns);
        assert!(
            (returns[0] + 1.2247).abs() < 1e-3 && returns[1].abs() < 1e-5,
            "{returns:?}"
        );
        // Returns that never vary stay finite.
        let mut constant = [2.0; 3];
        let mut scale = ReturnScale::identity();
        scale.merge(&constant, 0.1);
        scale.normalise(&mut constant);
        assert!(constant.iter().all(|value| value.is_finite()));
    }
}
