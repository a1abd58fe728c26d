//! Running mean and deviation of observations.

use super::super::ObservationScale;

/// Greatest magnitude of a normalised observation.
pub(super) const CLIP: f32 = 10.0;

/// Deviations below this count as 1: a channel that never changes is left as it is.
const CONSTANT: f32 = 1e-6;

/// Mean and variance of every channel over all steps seen so far.
///
/// Held in single precision between windows, so that a checkpoint loses nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normaliser {
    pub(super) count: f32,
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

/// Sums over one window of what a normaliser gave: of each channel, and of its square.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) sum: Vec<f64>,
    pub(super) squares: Vec<f64>,
}

impl Normaliser {
    /// Leaves observations as they are.
    pub(super) fn identity(width: usize) -> Self {
        Self {
            count: 0.0,
            mean: vec![0.0; width],
            variance: vec![1.0; width],
        }
    }

    /// Mean and factor of each channel.
    pub(super) fn scale(&self) -> ObservationScale {
        let deviation = |variance: &f32| {
            let deviation = variance.sqrt();
            if deviation < CONSTANT { 1.0 } else { deviation }
        };
        ObservationScale {
            mean: self.mean.clone(),
            deviation: self.variance.iter().map(deviation).collect(),
            clip: CLIP,
        }
    }

    /// Takes in the moments of raw observations, relative to the mean as it is: sums of `x - mean` and of its square (Chan
    /// et al. 1979).
    pub(super) fn merge(&mut self, moments: &Moments) {
        if moments.count == 0.0 {
            return;
        }
        let (old, new) = (f64::from(self.count), moments.count);
        let total = old + new;
        for (channel, (mean, variance)) in self.mean.iter_mut().zip(&mut self.variance).enumerate() {
            let shift = moments.sum[channel] / new;
            let within = moments.squares[channel] - new * shift * shift;
            let between = shift * shift * old * new / total;
            *variance = ((f64::from(*variance) * old + within.max(0.0) + between) / total) as f32;
            *mean = (f64::from(*mean) + shift * new / total) as f32;
        }
        self.count = total as f32;
    }
}

impl Moments {
    pub(super) fn new(width: usize) -> Self {
        Self {
            count: 0.0,
            sum: vec![0.0; width],
            squares: vec![0.0; width],
        }
    }

    /// Takes in one channel's raw values.
    pub(super) fn add(&mut self, channel: usize, mean: f32, values: &[f32]) {
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            let difference = f64::from(value - mean);
            sum += difference;
            squares += difference * difference;
        }
        self.sum[channel] += sum;
        self.squares[channel] += squares;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_merge_to_the_moments_of_all() {
        let windows: [&[f32]; 3] = [&[3.0, 5.0], &[10.0, -2.0, 4.0], &[0.5]];
        let mut normaliser = Normaliser::identity(1);
        for window in windows {
            let mut moments = Moments::new(1);
            moments.add(0, normaliser.mean[0], window);
            moments.count = window.len() as f64;
            normaliser.merge(&moments);
        }
        let all: Vec<f64> = windows.concat().iter().map(|&x| f64::from(x)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
        assert!((f64::from(normaliser.mean[0]) - mean).abs() < 1e-6);
        assert!((f64::from(normaliser.variance[0]) - variance).abs() < 1e-5);
    }

    #[test]
    fn a_constant_channel_is_left_alone() {
        let mut normaliser = Normaliser::identity(1);
        let mut moments = Moments::new(1);
        moments.add(0, 0.0, &[2.0; 8]);
        moments.count = 8.0;
        normaliser.merge(&moments);
        assert_eq!(normaliser.scale().deviation, [1.0]);
        assert_eq!(normaliser.scale().mean, [2.0]);
    }
}
