//! Random Markov decision processes with few states (Duan et al. 2016, section 3.2, after Osband et al. 2013).

use pliant_runtime::experience::End;
use rand_core::{Rng, SeedableRng};

use super::{ActionSpace, VectorEnvironment};
use crate::random::{Stream, fill_standard_normal, uniform};

/// Processes with mean rewards from N(1, 1) and transition probabilities from a flat Dirichlet distribution, one draw of
/// both for each state and action of a task. A reward is drawn from N(mean, 1). Every episode starts in state 0.
///
/// The observation is the state, one-hot.
#[derive(Clone, Debug)]
pub struct TabularProcesses {
    sizes: Sizes,
    /// `[batch][states][actions]`
    mean_rewards: Vec<f32>,
    /// `[batch][states][actions][states]`, each row adding up to 1.
    transitions: Vec<f32>,
    chance: Vec<Stream>,
    states: Vec<usize>,
    ages: Vec<usize>,
    /// V*(s) - Q*(s, a) at each step of an episode, `[batch][horizon][states][actions]`.
    losses: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    states: usize,
    actions: usize,
    horizon: usize,
}

impl Sizes {
    const fn pairs(self) -> usize {
        self.states * self.actions
    }
}

impl TabularProcesses {
    /// `batch` instances with so many states and actions, whose episodes have `horizon` steps.
    pub fn new(states: usize, actions: usize, horizon: usize, batch: usize) -> Self {
        let sizes = Sizes {
            states,
            actions,
            horizon,
        };
        Self {
            sizes,
            mean_rewards: vec![0.0; batch * sizes.pairs()],
            transitions: vec![0.0; batch * sizes.pairs() * states],
            chance: vec![Stream::seed_from_u64(0); batch],
            states: vec![0; batch],
            ages: vec![0; batch],
            losses: vec![0.0; batch * horizon * sizes.pairs()],
        }
    }

    /// Finds what each action loses at each step of an episode.
    fn solve(&mut self, instance: usize) {
        let Sizes {
            states,
            actions,
            horizon,
        } = self.sizes;
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (rewards, transitions) = (wide(self.mean_rewards(instance)), wide(self.transitions(instance)));
        let values = action_values(&rewards, &transitions, [states, actions], horizon);
        let losses = self.losses[instance * values.len()..][..values.len()].chunks_exact_mut(actions);
        for (losses, values) in losses.zip(values.chunks_exact(actions)) {
            let best = values.iter().fold(f64::NEG_INFINITY, |best, &other| best.max(other));
            for (loss, value) in losses.iter_mut().zip(values) {
                *loss = (best - value) as f32;
            }
        }
    }

    /// Mean rewards `[states][actions]` of an instance: what an oracle knows and a policy does not.
    pub fn mean_rewards(&self, instance: usize) -> &[f32] {
        let pairs = self.sizes.pairs();
        &self.mean_rewards[instance * pairs..(instance + 1) * pairs]
    }

    /// Transition probabilities `[states][actions][states]` of an instance.
    pub fn transitions(&self, instance: usize) -> &[f32] {
        let length = self.sizes.pairs() * self.sizes.states;
        &self.transitions[instance * length..(instance + 1) * length]
    }

    /// The state that an instance is in.
    pub fn state(&self, instance: usize) -> usize {
        self.states[instance]
    }
}

/// Values of actions `[horizon][states][actions]` of the policy that is optimal for mean rewards `[states][actions]` and
/// transition probabilities `[states][actions][states]`, by dynamic programming (Bellman 1957).
pub(crate) fn action_values(
    rewards: &[f64],
    transitions: &[f64],
    [states, actions]: [usize; 2],
    horizon: usize,
) -> Vec<f64> {
    let pairs = states * actions;
    let mut all = vec![0.0; horizon * pairs];
    let mut next = vec![0.0; states];
    for step in (0..horizon).rev() {
        let own = &mut all[step * pairs..(step + 1) * pairs];
        for ((value, reward), row) in own.iter_mut().zip(rewards).zip(transitions.chunks_exact(states)) {
            let future: f64 = row
                .iter()
                .zip(&next)
                .map(|(probability, value)| probability * value)
                .sum();
            *value = reward + future;
        }
        for (next, own) in next.iter_mut().zip(own.chunks_exact(actions)) {
            *next = own.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        }
    }
    all
}

impl VectorEnvironment for TabularProcesses {
    fn name(&self) -> &str {
        "tabular"
    }

    fn batch(&self) -> usize {
        self.ages.len()
    }

    fn observation_width(&self) -> usize {
        self.sizes.states
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Discrete(self.sizes.actions)
    }

    fn horizon(&self) -> usize {
        self.sizes.horizon
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        let Sizes { states, .. } = self.sizes;
        let pairs = self.sizes.pairs();
        let means = &mut self.mean_rewards[instance * pairs..][..pairs];
        fill_standard_normal(random, means);
        means.iter_mut().for_each(|mean| *mean += 1.0);
        for row in self.transitions[instance * pairs * states..][..pairs * states].chunks_exact_mut(states) {
            // Exponential numbers over their sum have the flat Dirichlet distribution.
            row.fill_with(|| -(1.0 - uniform(random, 0.0, 1.0)).ln());
            let sum: f32 = row.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        self.solve(instance);
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        self.chance[instance] = Stream::seed_from_u64(random.next_u64());
        self.states[instance] = 0;
        self.ages[instance] = 0;
    }

    fn observe(&self, observations: &mut [f32]) {
        observations.fill(0.0);
        let batch = self.batch();
        for (instance, &state) in self.states.iter().enumerate() {
            observations[state * batch + instance] = 1.0;
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        let Sizes {
            states,
            actions: choices,
            horizon,
        } = self.sizes;
        for (instance, chance) in self.chance.iter_mut().enumerate() {
            let action = (actions[instance] as usize).min(choices - 1);
            let pair = (instance * states + self.states[instance]) * choices + action;
            let mut noise = [0.0];
            fill_standard_normal(chance, &mut noise);
            rewards[instance] = self.mean_rewards[pair] + noise[0];
            let mut left = uniform(chance, 0.0, 1.0);
            let row = &self.transitions[pair * states..(pair + 1) * states];
            let next = row.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            self.states[instance] = next.unwrap_or(states - 1);
            self.ages[instance] += 1;
            ends[instance] = if self.ages[instance] >= horizon {
                End::Terminated
            } else {
                End::Continue
            };
        }
    }

    fn regrets(&self, regrets: &mut [f32]) -> bool {
        let Sizes {
            states,
            actions,
            horizon,
        } = self.sizes;
        let batch = self.batch();
        for instance in 0..batch {
            let age = self.ages[instance].min(horizon - 1);
            let at = ((instance * horizon + age) * states + self.states[instance]) * actions;
            for (action, loss) in self.losses[at..at + actions].iter().enumerate() {
                regrets[action * batch + instance] = *loss;
            }
        }
        true
    }
}
