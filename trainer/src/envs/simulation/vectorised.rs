//! Instances of a simulated system, each with a task of its own, for reinforcement learning.

use std::sync::Arc;

use pliant_runtime::experience::End;

use super::{Instances, Simulator};
use crate::envs::{ActionSpace, VectorEnvironment};
use crate::random::{Stream, fill_standard_normal, stream};

/// A simulated system as an environment to learn from by reinforcement: what the analytic policy gradient differentiates,
/// seen from outside.
///
/// The reward is minus the cost; where an episode is terminated, the steps it loses are paid at once, each at
/// [`lost_cost`](super::Plant::lost_cost) and discounted as the learner discounts
/// ([`discount_at`](VectorEnvironment::discount_at)), so that no policy gains by ending one. Actions are clipped to -1..1.
///
/// ```
/// use std::sync::Arc;
/// use pliant_runtime::experience::End;
/// use pliant_trainer::envs::{CartPole, Simulated, VectorEnvironment};
/// use pliant_trainer::random::stream;
///
/// let mut carts = Simulated::new("cart-pole", Arc::new(CartPole::default()), 2);
/// let mut random = stream(0, "example", &[]);
/// for instance in 0..2 {
///     carts.new_task(instance, &mut random);
///     carts.new_episode(instance, &mut random);
/// }
/// let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
/// carts.step(&[0.5, -0.5], &mut rewards, &mut ends);
/// assert!(rewards.iter().all(|&reward| reward <= 0.0));
/// ```
#[derive(Clone)]
pub struct Simulated {
    name: &'static str,
    instances: Instances,
    /// Of the current observation, `[noise, batch]`, and where it comes from.
    noise: Vec<f32>,
    random: Stream,
    action: Vec<f32>,
    alive: Vec<f32>,
    /// What later rewards count for, from step to step.
    discount: f32,
}

impl Simulated {
    /// `batch` instances of a system that errors call `name`.
    pub fn new(name: &'static str, simulator: Arc<dyn Simulator>, batch: usize) -> Self {
        let widths = simulator.widths();
        Self {
            name,
            noise: vec![0.0; widths.noise * batch],
            random: stream(0, "sensor noise", &[]),
            action: vec![0.0; widths.action * batch],
            alive: vec![0.0; batch],
            discount: 1.0,
            instances: Instances::new(simulator, batch),
        }
    }
}

impl VectorEnvironment for Simulated {
    fn name(&self) -> &str {
        self.name
    }

    fn batch(&self) -> usize {
        self.instances.batch
    }

    fn observation_width(&self) -> usize {
        self.instances.simulator.widths().observation
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Continuous(self.instances.simulator.widths().action)
    }

    fn horizon(&self) -> usize {
        self.instances.simulator.horizon()
    }

    fn discount_at(&mut self, rate: f32) {
        self.discount = rate;
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        self.instances.draw(instance, random);
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        self.instances.restart(instance, random);
        if !self.noise.is_empty() {
            // One stream for all instances: it begins with the episode that began last.
            self.random = random.clone();
            fill_standard_normal(&mut self.random, &mut self.noise);
        }
    }

    fn observe(&self, observations: &mut [f32]) {
        let Instances {
            simulator,
            batch,
            state,
            drawn,
            ..
        } = &self.instances;
        simulator.observe_columns(*batch, state, drawn, &self.noise, observations);
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.instances.evolve();
        for (action, given) in self.action.iter_mut().zip(actions) {
            *action = given.clamp(-1.0, 1.0);
        }
        let Instances {
            simulator,
            batch,
            state,
            drawn,
            ages,
            ..
        } = &mut self.instances;
        let (horizon, lost, discount) = (simulator.horizon(), simulator.lost_cost(), self.discount);
        simulator.step_columns(state, drawn, &self.action, rewards, &mut self.alive);
        for instance in 0..*batch {
            ages[instance] += 1;
            rewards[instance] = -rewards[instance];
            ends[instance] = if self.alive[instance] < 0.5 {
                rewards[instance] -= lost * annuity(horizon.saturating_sub(ages[instance]), discount);
                End::Terminated
            } else if ages[instance] >= horizon {
                End::Truncated
            } else {
                End::Continue
            };
        }
        fill_standard_normal(&mut self.random, &mut self.noise);
    }
}

/// What 1 a step is worth, for so many steps from the next one on, to one who discounts at this rate.
fn annuity(steps: usize, rate: f32) -> f32 {
    if rate == 1.0 {
        return steps as f32;
    }
    let rate = f64::from(rate);
    let steps = i32::try_from(steps).unwrap_or(i32::MAX);
    (rate * (1.0 - rate.powi(steps)) / (1.0 - rate)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envs::CartPole;

    #[test]
    fn what_is_lost_is_paid_as_if_it_came_step_by_step() {
        let fall = |rate: Option<f32>| {
            let mut cart = Simulated::new("cart-pole", Arc::new(CartPole::default()), 1);
            if let Some(rate) = rate {
                cart.discount_at(rate);
            }
            let mut random = stream(0, "test", &[]);
            cart.new_task(0, &mut random);
            cart.new_episode(0, &mut random);
            let (mut reward, mut end) = ([0.0], [End::Continue]);
            let mut steps = 0;
            while end[0] == End::Continue {
                cart.step(&[1.0], &mut reward, &mut end);
                steps += 1;
            }
            assert_eq!(end[0], End::Terminated);
            (500 - steps, reward[0])
        };
        let (left, plain) = fall(None);
        let (_, discounted) = fall(Some(0.98));
        let sum = |rate: f32| (1..=left).map(|step| f64::from(rate).powi(step)).sum::<f64>() as f32;
        assert!((plain - discounted - -10.0 * (left as f32 - sum(0.98))).abs() < 0.01 * left as f32);
        assert!(discounted < -100.0 && plain < 5.0 * discounted, "{plain} {discounted}");
    }
}
