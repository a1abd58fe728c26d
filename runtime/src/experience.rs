//! What a policy-gradient adaptation does with trajectories before the gradient: discounted returns, a linear feature
//! baseline, generalised advantage estimation and standardised advantages.
//!
//! Plain functions over slices. The learner on the device runs the same code row by row (so that a pass can be cut into
//! slices of bounded work), the trainer's rollouts run it at once through [`advantages`]: the same bits on both sides.
//!
//! The order is that of Finn et al., "Model-Agnostic Meta-Learning" (2017), and the linear feature baseline of Duan et
//! al., "Benchmarking Deep Reinforcement Learning" (2016): fit the baseline to this support set's discounted returns,
//! then estimate advantages with it. The value after the last step of a trajectory is taken as 0 both where the episode
//! [`Terminated`](End::Terminated) and where the horizon [`Truncated`](End::Truncated) it, as they do: the baseline
//! sees the time step, so it learns what is left of the horizon.

mod advantage;
mod baseline;
pub(crate) mod support;

use serde::{Deserialize, Serialize};

pub use advantage::{AdvantageSweep, ReturnSweep, Standardiser, standardise};
pub use baseline::{Baseline, baseline_features, baseline_scratch, baseline_width};

/// What happened after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum End {
    /// The episode goes on.
    #[default]
    Continue,
    /// The episode reached a terminal state: success or failure.
    Terminated,
    /// The episode was cut off, by the horizon or by the operator.
    Truncated,
}

impl End {
    /// Whether this was the last step of its episode.
    pub const fn is_last(self) -> bool {
        !matches!(self, Self::Continue)
    }
}

/// The constants of the advantage estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimator {
    /// Discount for each step, 0 to 1.
    pub gamma: f32,
    /// Lambda of generalised advantage estimation, 0 (one-step) to 1 (returns minus baseline).
    pub lambda: f32,
    /// Ridge of the baseline fit as a share of each feature's squared sum, above 0; Duan et al. use 1e-5.
    pub ridge: f32,
}

/// Complete trajectories one after the other, `n` steps in all.
#[derive(Clone, Copy, Debug)]
pub struct Trajectories<'a> {
    /// Normalised observations before each action, `[n, width]`.
    pub observations: &'a [f32],
    /// Observation channels, at least 1.
    pub width: usize,
    /// Reward of each step, `[n]`.
    pub rewards: &'a [f32],
    /// What happened after each step, `[n]`. The last step should end its episode; if not, it is taken as truncated.
    pub ends: &'a [End],
}

/// Advantages of every step, standardised to mean 0 and deviation 1 over all `n` steps, into `advantages[n]`.
///
/// `scratch` needs [`baseline_scratch`]`(width)` values. Gives the number of steps `n`, the shortest of the slices;
/// values past it are left alone.
///
/// ```
/// use pliant_runtime::experience::{advantages, baseline_scratch, End, Estimator, Trajectories};
///
/// // Two episodes of two steps; the better first action is rewarded one step later.
/// let episodes = Trajectories {
///     observations: &[0.0, 1.0, 0.0, -1.0],
///     width: 1,
///     rewards: &[0.0, 1.0, 0.0, -1.0],
///     ends: &[End::Continue, End::Truncated, End::Continue, End::Truncated],
/// };
/// let estimator = Estimator { gamma: 0.99, lambda: 0.9, ridge: 1e-5 };
/// let mut advantage = [0.0; 4];
/// advantages(&episodes, &estimator, &mut [0.0; baseline_scratch(1)], &mut advantage);
/// assert!(advantage[0] > 0.9 && advantage[2] < -0.9);
/// ```
pub fn advantages(
    steps: &Trajectories<'_>,
    estimator: &Estimator,
    scratch: &mut [f32],
    advantages: &mut [f32],
) -> usize {
    let rows = || steps.observations.chunks_exact(steps.width.max(1));
    let count = rows()
        .len()
        .min(steps.rewards.len())
        .min(steps.ends.len())
        .min(advantages.len());
    let Some(mut baseline) = Baseline::new(steps.width, scratch) else {
        return 0;
    };
    let (Some(rewards), Some(ends), Some(advantages)) = (
        steps.rewards.get(..count),
        steps.ends.get(..count),
        advantages.get_mut(..count),
    ) else {
        return 0;
    };

    let mut sweep = ReturnSweep::new(estimator.gamma);
    for ((value, reward), end) in advantages.iter_mut().zip(rewards).zip(ends).rev() {
        *value = sweep.step(*reward, *end);
    }

    baseline.clear();
    let mut step = 0;
    for ((observation, target), end) in rows().zip(advantages.iter()).zip(ends) {
        baseline.add(observation, step, *target);
        step = if end.is_last() { 0 } else { step + 1 };
    }
    baseline.solve(estimator.ridge);

    // Forwards for the values, because only forwards is the time step known; backwards for the advantages.
    let mut step = 0;
    for ((observation, value), end) in rows().zip(advantages.iter_mut()).zip(ends) {
        *value = baseline.predict(observation, step);
        step = if end.is_last() { 0 } else { step + 1 };
    }
    let mut sweep = AdvantageSweep::new(estimator.gamma, estimator.lambda);
    for ((value, reward), end) in advantages.iter_mut().zip(rewards).zip(ends).rev() {
        *value = sweep.step(*reward, *value, *end);
    }
    standardise(advantages);
    count
}
