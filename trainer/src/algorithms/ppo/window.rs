//! A window of steps of a group of instances, as it is gathered and as it is learned from.

use pliant_runtime::experience::{AdvantageSweep, End};

use super::graph::Problem;
use super::normaliser::{Moments, Normaliser};
use super::program::Compiled;
use crate::algorithms::ObservationScale;
use crate::envs::{ActionSpace, VectorEnvironment};
use crate::error::TrainError;
use crate::random::{Stream, fill_standard_normal, uniform};
use crate::recipe::Ppo;

/// Steps of a group, each array `[steps][width][batch]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) batch: usize,
    /// Normalised.
    pub(super) observations: Vec<f32>,
    /// As the policy gave them: one-hot, or without unit.
    pub(super) actions: Vec<f32>,
    pub(super) log_probabilities: Vec<f32>,
    pub(super) values: Vec<f32>,
    /// Scaled; at a truncated step with the discounted value of what would have come.
    pub(super) rewards: Vec<f32>,
    pub(super) ends: Vec<End>,
    /// 0 where the memory begins anew before the step.
    pub(super) keep: Vec<f32>,
    /// Before each step, and after the last.
    pub(super) memories: Vec<f32>,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
    /// What each choice would lose, where training learns from that; otherwise empty.
    pub(super) regrets: Vec<f32>,
}

/// What a window came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Summed unscaled rewards of the episodes that ended.
    pub(super) returns: f64,
    /// How many ended.
    pub(super) episodes: u64,
    /// Of the raw observations.
    pub(super) moments: Moments,
}

/// Where the chance of a window comes from.
pub(super) struct Chance<'s> {
    /// For the choice of actions.
    pub(super) exploration: Stream,
    /// Opens the stream of draw number so and so of a task.
    pub(super) tasks: &'s dyn Fn(u64) -> Stream,
    /// Numbers the instances of all groups.
    pub(super) first_instance: usize,
    /// For messages.
    pub(super) iteration: u64,
}

/// What gathering works with, kept from window to window.
#[derive(Debug, Default)]
struct Scratch {
    raw: Vec<f32>,
    output: Vec<f32>,
    log_std: Vec<f32>,
    noise: Vec<f32>,
    physical: Vec<f32>,
    rewards: Vec<f32>,
    values: Vec<f32>,
}

/// Instances that are stepped together.
pub(super) struct Group {
    environment: Box<dyn VectorEnvironment>,
    pub(super) window: Window,
    scratch: Scratch,
    running: Vec<f64>,
}

impl Group {
    pub(super) fn new(environment: Box<dyn VectorEnvironment>, problem: &Problem, steps: usize, regrets: bool) -> Self {
        let batch = environment.batch();
        let (observations, actions) = (problem.observations(), problem.actions.width());
        let zeros = |width: usize| vec![0.0; steps * width * batch];
        let window = Window {
            batch,
            observations: zeros(observations),
            actions: zeros(actions),
            log_probabilities: zeros(1),
            values: zeros(1),
            rewards: zeros(1),
            ends: vec![End::Continue; steps * batch],
            keep: vec![1.0; steps * batch],
            memories: vec![0.0; (steps + 1) * problem.memory() * batch],
            advantages: zeros(1),
            returns: zeros(1),
            regrets: if regrets { zeros(actions) } else { Vec::new() },
        };
        let row = |width: usize| vec![0.0; width * batch];
        let scratch = Scratch {
            raw: row(observations),
            output: row(actions),
            log_std: vec![0.0; actions],
            noise: row(actions),
            physical: match problem.actions {
                ActionSpace::Discrete(_) => row(1),
                ActionSpace::Continuous(width) => row(width),
            },
            rewards: row(1),
            values: row(1),
        };
        Self {
            environment,
            window,
            scratch,
            running: vec![0.0; batch],
        }
    }

    /// Gathers a window, which begins with a new task in every instance and an empty memory.
    pub(super) fn collect(
        &mut self,
        act: &mut Compiled,
        settings: &Ppo,
        normaliser: Option<&Normaliser>,
        chance: &mut Chance<'_>,
    ) -> Result<Tally, TrainError> {
        let batch = self.window.batch;
        let width = self.scratch.raw.len() / batch;
        let memory = self.window.memories.len() / (settings.steps + 1);
        let scale = normaliser.map(Normaliser::scale);
        let mut tally = Tally {
            moments: Moments::new(width),
            ..Tally::default()
        };
        let mut draws = 0;
        let mut renew = |environment: &mut dyn VectorEnvironment, instance: usize| {
            let mut random = (chance.tasks)(draws);
            draws += 1;
            environment.new_task(instance, &mut random);
            environment.new_episode(instance, &mut random);
        };
        for instance in 0..batch {
            renew(self.environment.as_mut(), instance);
        }
        self.running.fill(0.0);
        self.window.keep.fill(1.0);
        self.window.memories[..memory].fill(0.0);
        act.set(act.memory, &self.window.memories[..memory])?;
        for step in 0..settings.steps {
            let row = step * batch..(step + 1) * batch;
            let moments = normaliser.map(|normaliser| (normaliser, &mut tally.moments));
            self.observe(act, step, Some(step), scale.as_ref(), moments, chance)?;
            act.set(act.keep, &self.window.keep[row.clone()])?;
            act.program.run()?;
            act.program.get(act.value, &mut self.window.values[row.clone()])?;
            if memory > 0 {
                let after = (step + 1) * memory;
                act.program
                    .get(act.next_memory, &mut self.window.memories[after..after + memory])?;
            }
            self.choose(act, step, &mut chance.exploration)?;
            let choices = self.window.regrets.len() / settings.steps;
            if choices > 0 {
                self.environment
                    .regrets(&mut self.window.regrets[step * choices..(step + 1) * choices]);
            }

            let ends = &mut self.window.ends[row.clone()];
            self.environment
                .step(&self.scratch.physical, &mut self.scratch.rewards, ends);
            if let Some(instance) = self.scratch.rewards.iter().position(|reward| !reward.is_finite()) {
                return Err(self.not_finite(instance, step, "the reward".to_owned(), chance));
            }
            let rewards = &mut self.window.rewards[row.clone()];
            for (scaled, reward) in rewards.iter_mut().zip(&self.scratch.rewards) {
                *scaled = settings.reward_scale * reward;
            }
            let last = step + 1 == settings.steps;
            let ends = &mut self.window.ends[row.clone()];
            for (instance, end) in ends.iter_mut().enumerate() {
                self.running[instance] += f64::from(self.scratch.rewards[instance]);
                if end.is_last() {
                    tally.returns += self.running[instance];
                    tally.episodes += 1;
                    self.running[instance] = 0.0;
                } else if last {
                    *end = End::Truncated;
                }
            }
            if self.window.ends[row.clone()].contains(&End::Truncated) {
                self.expect(act, step, scale.as_ref(), settings, chance)?;
            }
            if last {
                break;
            }
            for instance in 0..batch {
                if self.window.ends[row.start + instance].is_last() {
                    renew(self.environment.as_mut(), instance);
                    self.window.keep[row.end + instance] = 0.0;
                }
            }
        }
        tally.moments.count = (settings.steps * batch) as f64;
        self.estimate(settings);
        Ok(tally)
    }

    /// Observes into a row of the window, and hands it to the program.
    fn observe(
        &mut self,
        act: &mut Compiled,
        step: usize,
        row: Option<usize>,
        scale: Option<&ObservationScale>,
        moments: Option<(&Normaliser, &mut Moments)>,
        chance: &Chance<'_>,
    ) -> Result<(), TrainError> {
        let (batch, length) = (self.window.batch, self.scratch.raw.len());
        self.environment.observe(&mut self.scratch.raw);
        if let Some(at) = self.scratch.raw.iter().position(|value| !value.is_finite()) {
            let what = format!("number {} of the observation", at / batch);
            return Err(self.not_finite(at % batch, step, what, chance));
        }
        if let Some((normaliser, moments)) = moments {
            for (channel, values) in self.scratch.raw.chunks_exact(batch).enumerate() {
                moments.add(channel, normaliser.mean[channel], values);
            }
        }
        if let Some(scale) = scale {
            scale.apply(&mut self.scratch.raw, batch);
        }
        // What stands after the last step of an episode belongs to no row.
        if let Some(row) = row {
            self.window.observations[row * length..(row + 1) * length].copy_from_slice(&self.scratch.raw);
        }
        Ok(act.set(act.observation, &self.scratch.raw)?)
    }

    /// Samples the actions of a step.
    fn choose(&mut self, act: &mut Compiled, step: usize, random: &mut Stream) -> Result<(), TrainError> {
        let batch = self.window.batch;
        let length = self.scratch.output.len();
        let width = length / batch;
        let Scratch {
            output,
            log_std,
            noise,
            physical,
            ..
        } = &mut self.scratch;
        act.program.get(0, output)?;
        let actions = &mut self.window.actions[step * length..(step + 1) * length];
        let log_probabilities = &mut self.window.log_probabilities[step * batch..(step + 1) * batch];
        match self.environment.actions() {
            ActionSpace::Discrete(choices) => {
                actions.fill(0.0);
                for instance in 0..batch {
                    let mut left = uniform(random, 0.0, 1.0);
                    let mut choice = choices - 1;
                    for (index, probability) in output.iter().skip(instance).step_by(batch).enumerate() {
                        left -= probability;
                        if left < 0.0 {
                            choice = index;
                            break;
                        }
                    }
                    physical[instance] = choice as f32;
                    actions[choice * batch + instance] = 1.0;
                    log_probabilities[instance] = output[choice * batch + instance].max(f32::MIN_POSITIVE).ln();
                }
            }
            ActionSpace::Continuous(_) => {
                act.program.get(1, log_std)?;
                fill_standard_normal(random, noise);
                log_probabilities.fill(0.0);
                let scale = self.environment.action_scale();
                for number in 0..width {
                    let deviation = log_std[number].exp();
                    for instance in 0..batch {
                        let at = number * batch + instance;
                        let action = output[at] + deviation * noise[at];
                        actions[at] = action;
                        // As the contract clamps it on the device.
                        physical[at] = scale * action.clamp(-1.0, 1.0);
                        log_probabilities[instance] -= 0.5 * noise[at] * noise[at] + log_std[number] + HALF_LOG_TAU;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds to the rewards of truncated instances what the value function expects after the step.
    fn expect(
        &mut self,
        act: &mut Compiled,
        step: usize,
        scale: Option<&ObservationScale>,
        settings: &Ppo,
        chance: &Chance<'_>,
    ) -> Result<(), TrainError> {
        let batch = self.window.batch;
        let memory = self.window.memories.len() / (settings.steps + 1);
        self.observe(act, step, None, scale, None, chance)?;
        act.set(act.keep, &vec![1.0; batch])?;
        act.program.run()?;
        act.program.get(act.value, &mut self.scratch.values)?;
        // What was computed for the value must not be remembered.
        act.set(act.memory, &self.window.memories[(step + 1) * memory..][..memory])?;
        for instance in 0..batch {
            let at = step * batch + instance;
            if self.window.ends[at] == End::Truncated {
                self.window.rewards[at] += settings.discount * self.scratch.values[instance];
            }
        }
        Ok(())
    }

    /// Advantages, and the returns that the value function is fitted to.
    fn estimate(&mut self, settings: &Ppo) {
        let window = &mut self.window;
        for instance in 0..window.batch {
            let mut sweep = AdvantageSweep::new(settings.discount, settings.gae_lambda);
            for step in (0..settings.steps).rev() {
                let at = step * window.batch + instance;
                let advantage = sweep.step(window.rewards[at], window.values[at], window.ends[at]);
                window.advantages[at] = advantage;
            }
        }
        if settings.advantage_limit > 0.0 {
            limit(&mut window.advantages, settings.advantage_limit);
        }
        let estimates = window.advantages.iter().zip(&window.values);
        for (target, (advantage, value)) in window.returns.iter_mut().zip(estimates) {
            *target = advantage + value;
        }
    }

    fn not_finite(&self, instance: usize, step: usize, what: String, chance: &Chance<'_>) -> TrainError {
        TrainError::NotFinite {
            environment: self.environment.name().to_owned(),
            instance: chance.first_instance + instance,
            step,
            iteration: chance.iteration + 1,
            what,
        }
    }
}

/// What lies between the 5th and the 95th percentile of a normal distribution, in deviations.
const NINETY_PERCENT: f32 = 3.29;

/// Clips to so many times the deviation that the middle 90 % would have, were they normal: the plain one is ruled by what is clipped.
/// (Percentiles as a scale that rare returns leave alone: Hafner et al. 2023, "Mastering diverse domains through world models".)
fn limit(advantages: &mut [f32], times: f32) {
    let mut sorted = advantages.to_vec();
    let mut percentile = |percent: usize| {
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.select_nth_unstable_by(at, f32::total_cmp).1.to_owned()
    };
    let spread = percentile(95) - percentile(5);
    let most = times * spread / NINETY_PERCENT;
    if most > 0.0 {
        advantages
            .iter_mut()
            .for_each(|advantage| *advantage = advantage.clamp(-most, most));
    }
}

/// Half the logarithm of 2 pi.
const HALF_LOG_TAU: f32 = 0.918_938_5;

#[cfg(test)]
mod tests {
    use super::limit;
    use crate::random::{fill_standard_normal, stream};

    /// Of normal advantages hardly any is clipped; rare outliers are, to where they would have been without outliers.
    #[test]
    fn what_is_rare_is_clipped_and_does_not_move_the_limit() {
        let mut normal = vec![0.0; 10_000];
        fill_standard_normal(&mut stream(0, "test", &[]), &mut normal);
        let mut clipped = normal.clone();
        limit(&mut clipped, 4.0);
        assert!(normal.iter().zip(&clipped).filter(|(a, b)| a != b).count() <= 3);
        for at in (0..10_000).step_by(200) {
            clipped[at] = -500.0;
        }
        limit(&mut clipped, 4.0);
        let least = clipped.iter().copied().fold(0.0, f32::min);
        assert!((least + 4.0).abs() < 0.15, "{least}");
        let mut equal = [1.0; 8];
        limit(&mut equal, 4.0);
        assert_eq!(equal, [1.0; 8], "nothing to compare with");
    }
}
