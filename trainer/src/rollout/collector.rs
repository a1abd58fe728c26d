//! Collects the trajectories of one task: one batch of environments, one set of parameters.

use pliant_runtime::experience::End;

use crate::{
    envs::Environment,
    random::{Stream, fill_standard_normal},
};

/// A Gaussian policy with a state-independent standard deviation, evaluated on a whole batch of observations.
pub trait BatchPolicy {
    /// What went wrong in the evaluation.
    type Error;

    /// Reads `observations` `[batch, observation_width]`, writes `means` `[batch, action_width]` in units of the policy's
    /// output, and `log_std` `[action_width]`, after the floor.
    fn evaluate(&mut self, observations: &[f32], means: &mut [f32], log_std: &mut [f32]) -> Result<(), Self::Error>;
}

/// The transitions of a few trajectories of one task.
///
/// Rows are packed as a device's support set holds them: trajectory after trajectory, steps in order, nothing in
/// between; unused rows at the end are zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experience {
    /// `[rows, observation_width]`.
    pub observations: Vec<f32>,
    /// Sampled actions in units of the policy's output, before any clipping, `[rows, action_width]`.
    pub actions: Vec<f32>,
    /// Log-density of each action under the policy that sampled it, `[rows]`.
    pub log_probs: Vec<f32>,
    /// Reward of each transition, `[rows]`.
    pub rewards: Vec<f32>,
    /// Whether a transition is the last of its trajectory, and why, `[transitions]`.
    pub ends: Vec<End>,
    /// 1 for a transition, 0 for an unused row, `[rows]`.
    pub weights: Vec<f32>,
    /// Steps of each trajectory, in the order of the rows; their sum is the number of transitions.
    pub lengths: Vec<usize>,
}

impl Experience {
    /// Number of transitions, which is also the number of environment steps they cost.
    pub fn transitions(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Undiscounted sum of rewards of each trajectory.
    pub fn returns(&self) -> impl Iterator<Item = f64> + '_ {
        let mut rewards = self.rewards.iter();
        self.lengths
            .iter()
            .map(move |&length| rewards.by_ref().take(length).map(|&reward| f64::from(reward)).sum())
    }

    /// Mean undiscounted return of the trajectories.
    pub fn mean_return(&self) -> f64 {
        self.returns().sum::<f64>() / self.lengths.len() as f64
    }

    /// Sets the shape and zeroes every row.
    fn clear(&mut self, rows: usize, observation_width: usize, action_width: usize) {
        for (field, width) in [
            (&mut self.observations, observation_width),
            (&mut self.actions, action_width),
            (&mut self.log_probs, 1),
            (&mut self.rewards, 1),
            (&mut self.weights, 1),
        ] {
            field.clear();
            field.resize(rows * width, 0.0);
        }
        self.ends.clear();
        self.lengths.clear();
    }
}

/// Steps a policy in an environment, keeping its buffers from one rollout to the next.
#[derive(Debug)]
pub struct Collector {
    action_scale: Vec<f32>,
    normal: Vec<f32>,
    means: Vec<f32>,
    log_std: Vec<f32>,
    rewards: Vec<f32>,
    ends: Vec<End>,
    ends_before: Vec<End>,
    /// The trajectories as they are gathered: every array is `[batch, horizon, width]`.
    trajectories: Experience,
    observations: Vec<f32>,
    actions: Vec<f32>,
}

impl Collector {
    /// A collector that multiplies the policy's outputs by `action_scale` `[action_width]`, the scale of the contract's
    /// action channels, on their way to the environment.
    pub fn new(action_scale: &[f32]) -> Self {
        Self {
            action_scale: action_scale.to_vec(),
            normal: Vec::new(),
            means: Vec::new(),
            log_std: Vec::new(),
            rewards: Vec::new(),
            ends: Vec::new(),
            ends_before: Vec::new(),
            trajectories: Experience::default(),
            observations: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Runs every instance of `environment` for one episode and packs the transitions into `experience`, which then has
    /// `batch * horizon` rows.
    ///
    /// Actions are sampled when `random` drives them (`sampled`), otherwise they are the means. The same stream gives the
    /// same experience, whatever else runs beside it.
    ///
    /// # Errors
    ///
    /// Those of the policy.
    pub fn collect<P: BatchPolicy>(
        &mut self,
        environment: &mut dyn Environment,
        policy: &mut P,
        random: &mut Stream,
        sampled: bool,
        experience: &mut Experience,
    ) -> Result<(), P::Error> {
        let (batch, horizon) = (environment.batch(), environment.horizon());
        let (observation_width, action_width) = (environment.observation_width(), environment.action_width());
        self.normal.resize(batch * action_width, 0.0);
        self.means.resize(batch * action_width, 0.0);
        self.actions.resize(batch * action_width, 0.0);
        self.observations.resize(batch * observation_width, 0.0);
        self.log_std.resize(action_width, 0.0);
        self.rewards.resize(batch, 0.0);
        self.ends.clear();
        self.ends.resize(batch, End::Continue);
        self.trajectories
            .clear(batch * horizon, observation_width, action_width);
        self.trajectories.lengths.resize(batch, 0);

        environment.reset(random);
        for step in 0..horizon {
            environment.observe(&mut self.observations);
            policy.evaluate(&self.observations, &mut self.means, &mut self.log_std)?;
            if sampled {
                fill_standard_normal(random, &mut self.normal);
            }
            for i in 0..batch {
                if self.ends[i].is_last() {
                    continue;
                }
                let row = i * horizon + step;
                self.trajectories.lengths[i] += 1;
                self.trajectories.observations[row * observation_width..][..observation_width]
                    .copy_from_slice(&self.observations[i * observation_width..][..observation_width]);
                let mut log_prob = 0.0;
                for j in 0..action_width {
                    let (normal, log_std) = (self.normal[i * action_width + j], self.log_std[j]);
                    let action = self.means[i * action_width + j] + log_std.exp() * normal;
                    log_prob -= 0.5 * normal * normal + log_std + HALF_LOG_TAU;
                    self.actions[i * action_width + j] = self.action_scale[j] * action;
                    self.trajectories.actions[row * action_width + j] = action;
                }
                self.trajectories.log_probs[row] = log_prob;
            }
            self.ends_before.clone_from(&self.ends);
            environment.step(&self.actions, &mut self.rewards, &mut self.ends);
            for i in (0..batch).filter(|&i| !self.ends_before[i].is_last()) {
                self.trajectories.rewards[i * horizon + step] = self.rewards[i];
            }
            if self.ends.iter().all(|end| end.is_last()) {
                break;
            }
        }
        self.pack(horizon, observation_width, action_width, experience);
        Ok(())
    }

    /// Copies the trajectories close together.
    fn pack(&self, horizon: usize, observation_width: usize, action_width: usize, experience: &mut Experience) {
        let from = &self.trajectories;
        experience.clear(from.lengths.len() * horizon, observation_width, action_width);
        experience.lengths.extend_from_slice(&from.lengths);
        let mut to = 0;
        for (i, &length) in from.lengths.iter().enumerate() {
            let copy = |source: &[f32], target: &mut [f32], width: usize| {
                target[to * width..][..length * width]
                    .copy_from_slice(&source[i * horizon * width..][..length * width]);
            };
            copy(&from.observations, &mut experience.observations, observation_width);
            copy(&from.actions, &mut experience.actions, action_width);
            copy(&from.log_probs, &mut experience.log_probs, 1);
            copy(&from.rewards, &mut experience.rewards, 1);
            to += length;
        }
        experience.weights[..to].fill(1.0);
        experience.ends.resize(to, End::Continue);
        let mut last = 0;
        for (&length, &end) in from.lengths.iter().zip(&self.ends) {
            last += length;
            experience.ends[last - 1] = end;
        }
    }
}

/// Half the logarithm of 2 pi.
const HALF_LOG_TAU: f32 = 0.918_938_5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{envs::Navigation, random::stream};
    use core::convert::Infallible;

    /// Moves towards a fixed point at a tenth of full scale.
    struct Towards([f32; 2]);

    impl BatchPolicy for Towards {
        type Error = Infallible;

        fn evaluate(&mut self, observations: &[f32], means: &mut [f32], log_std: &mut [f32]) -> Result<(), Infallible> {
            for (i, (mean, observation)) in means.iter_mut().zip(observations).enumerate() {
                *mean = (10.0 * (self.0[i % 2] - observation)).clamp(-1.0, 1.0);
            }
            log_std.fill(-5.0);
            Ok(())
        }
    }

    fn collect(sampled: bool) -> Experience {
        let mut experience = Experience::default();
        let mut batch = Navigation::new(&[[0.25, 0.0], [0.4, 0.0], [0.4, 0.4]]);
        Collector::new(&[0.1, 0.1])
            .collect(
                &mut batch,
                &mut Towards([0.25, 0.0]),
                &mut stream(0, "noise", &[]),
                sampled,
                &mut experience,
            )
            .unwrap();
        experience
    }

    #[test]
    fn trajectories_are_packed_and_padded() {
        let experience = collect(false);
        assert_eq!(experience.lengths, [3, 100, 100]);
        assert_eq!(experience.rewards.len(), 300);
        assert_eq!(experience.weights.iter().sum::<f32>(), 203.0);
        assert_eq!(experience.weights[202..204], [1.0, 0.0]);
        assert_eq!(experience.ends.len(), 203);
        assert_eq!(
            experience
                .ends
                .iter()
                .enumerate()
                .filter(|(_, end)| end.is_last())
                .collect::<Vec<_>>(),
            [(2, &End::Terminated), (102, &End::Truncated), (202, &End::Truncated)]
        );
        // The second trajectory starts at row 3, at the origin.
        assert_eq!(experience.observations[2 * 3..][..2], [0.0, 0.0]);
        let first = experience.returns().next().unwrap();
        assert!((first + 0.15 + 0.05).abs() < 1e-6, "{first}");
    }

    #[test]
    fn log_probs_are_the_density_of_the_actions() {
        let experience = collect(true);
        let (action, observation) = (
            &experience.actions[2 * 7..][..2],
            &experience.observations[2 * 7..][..2],
        );
        let mut expected = 0.0;
        for i in 0..2 {
            let mean = f64::from((10.0 * ([0.25, 0.0][i] - observation[i])).clamp(-1.0, 1.0));
            let deviation = (-5.0f64).exp();
            let z = (f64::from(action[i]) - mean) / deviation;
            expected -= 0.5 * z * z + deviation.ln() + 0.5 * (2.0 * core::f64::consts::PI).ln();
        }
        assert!((f64::from(experience.log_probs[7]) - expected).abs() < 1e-3);
    }

    #[test]
    fn the_same_stream_gives_the_same_experience() {
        assert_eq!(collect(true), collect(true));
    }
}
