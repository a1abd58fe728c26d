//! Dynamic weight average (Liu, Johns and Davison 2019, "End-to-End Multi-Task Learning with Attention", equation 7):
//! tasks whose loss falls slowly count more.
//!
//! `r_k = L_k(t - 1) / L_k(t - 2)` and `w_k = K exp(r_k / T) / sum_i exp(r_i / T)`, where `L_k(t)` is the mean loss of
//! epoch `t`. Here an epoch is `interval` steps, and the weights are divided by K, so that all equal they are the mean's.

use super::{Balancer, Needs, Weights, softmax};

/// Weights from the rates at which losses fall.
#[derive(Debug, Clone)]
pub struct DynamicWeightAverage {
    temperature: f64,
    interval: u64,
    /// Means of the last two epochs, the last one first; 0 where there was none.
    means: [Vec<f32>; 2],
    sums: Vec<f32>,
    counts: Vec<f32>,
    steps: f32,
}

impl DynamicWeightAverage {
    /// Equal weights at first; the greater the temperature, the more equal they stay (2 in the paper).
    pub fn new(tasks: usize, temperature: f64, interval: u64) -> Self {
        let zeros = vec![0.0; tasks];
        Self {
            temperature,
            interval,
            means: [zeros.clone(), zeros.clone()],
            sums: zeros.clone(),
            counts: zeros,
            steps: 0.0,
        }
    }
}

impl Balancer for DynamicWeightAverage {
    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weights(&self) -> Weights {
        let rate = |(last, before): (&f32, &f32)| {
            let rate = if *before > 0.0 {
                f64::from(*last) / f64::from(*before)
            } else {
                1.0
            };
            (rate / self.temperature) as f32
        };
        let logits: Vec<f32> = self.means[0].iter().zip(&self.means[1]).map(rate).collect();
        Weights::Absolute(softmax(&logits))
    }

    fn observe(&mut self, losses: &[f64]) {
        let sums = self.sums.iter_mut().zip(&mut self.counts);
        for ((sum, count), loss) in sums.zip(losses).filter(|(_, loss)| !loss.is_nan()) {
            *sum += *loss as f32;
            *count += 1.0;
        }
        self.steps += 1.0;
        if self.steps as u64 >= self.interval {
            self.steps = 0.0;
            for task in 0..self.sums.len() {
                if self.counts[task] > 0.0 {
                    self.means[1][task] = self.means[0][task];
                    self.means[0][task] = self.sums[task] / self.counts[task];
                }
            }
            self.sums.fill(0.0);
            self.counts.fill(0.0);
        }
    }

    fn state(&self) -> Vec<f32> {
        let [last, before] = &self.means;
        [last, before, &self.sums, &self.counts, &vec![self.steps]]
            .map(Vec::as_slice)
            .concat()
    }

    fn restore(&mut self, state: &[f32]) {
        let tasks = self.sums.len();
        if let [values @ .., steps] = state
            && values.len() == 4 * tasks
        {
            let [last, before] = &mut self.means;
            for (to, from) in [last, before, &mut self.sums, &mut self.counts]
                .into_iter()
                .zip(values.chunks_exact(tasks))
            {
                to.copy_from_slice(from);
            }
            self.steps = *steps;
        }
    }
}
