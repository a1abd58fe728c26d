//! Environments for reinforcement learning on many tasks at once.

use pliant_runtime::experience::End;

use crate::random::Stream;

/// What an agent chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionSpace {
    /// One of so many.
    Discrete(usize),
    /// So many real numbers.
    Continuous(usize),
}

impl ActionSpace {
    /// Outputs of a policy: one logit a choice, or one mean a number.
    pub const fn width(self) -> usize {
        match self {
            Self::Discrete(width) | Self::Continuous(width) => width,
        }
    }
}

/// A batch of instances of environments of one family, stepped together, each with a task and an episode of its own that
/// begin anew one by one.
///
/// Numbers lie in columns: number `n` of instance `i` stands at `n * batch + i`. An instance has no task before
/// [`new_task`](Self::new_task), and no episode before [`new_episode`](Self::new_episode); one whose episode has ended is
/// given a new one before the next step.
///
/// A task and an episode depend on nothing but the stream that they are drawn from, so a training run, a test on the device
/// and a baseline can meet the very same ones.
///
/// ```
/// use pliant_runtime::experience::End;
/// use pliant_trainer::envs::{ActionSpace, Bandits, VectorEnvironment};
/// use pliant_trainer::random::stream;
///
/// let mut bandits = Bandits::new(3, 100, 2);
/// assert_eq!(bandits.actions(), ActionSpace::Discrete(3));
/// let mut random = stream(0, "example", &[]);
/// for instance in 0..2 {
///     bandits.new_task(instance, &mut random);
///     bandits.new_episode(instance, &mut random);
/// }
/// let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
/// bandits.step(&[0.0, 2.0], &mut rewards, &mut ends);
/// assert!(rewards.iter().all(|&reward| reward == 0.0 || reward == 1.0));
/// ```
pub trait VectorEnvironment: Send {
    /// What errors call it.
    fn name(&self) -> &str;

    /// Number of instances.
    fn batch(&self) -> usize;

    /// Numbers in one observation; may be 0.
    fn observation_width(&self) -> usize;

    /// What an agent chooses from.
    fn actions(&self) -> ActionSpace;

    /// What a policy's outputs are multiplied by to be continuous actions, and the greatest magnitude of those: scale and
    /// range of the contract's action channels.
    fn action_scale(&self) -> f32 {
        1.0
    }

    /// Steps after which an episode ends at the latest.
    fn horizon(&self) -> usize;

    /// Says at what rate a learner discounts later rewards, 0 to 1: an environment that pays at once in place of rewards
    /// that would come later discounts them alike. Before it is called the rate is 1. By default nothing is paid so.
    fn discount_at(&mut self, rate: f32) {
        let _ = rate;
    }

    /// Draws a new task for an instance. Ends its episode.
    fn new_task(&mut self, instance: usize, random: &mut Stream);

    /// Starts an episode of an instance's task. Everything random in it, chance in the course of it included, is drawn from
    /// `random` or from streams that `random` seeds.
    fn new_episode(&mut self, instance: usize, random: &mut Stream);

    /// Writes the current observations, `[observation_width, batch]`.
    fn observe(&self, observations: &mut [f32]);

    /// Moves every instance by one step: reads `actions`, `[width, batch]` in physical units where they are continuous,
    /// otherwise `[batch]`, the number of the choice; writes `rewards` `[batch]` and `ends` `[batch]`.
    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]);

    /// Writes what each choice would lose in each instance against the best one, played on in the best way: V*(s) - Q*(s, a),
    /// at least 0, `[choices, batch]`. False, and nothing is written, where the environment does not know the best.
    fn regrets(&self, regrets: &mut [f32]) -> bool {
        let _ = regrets;
        false
    }
}

/// Hands on methods of a wrapper of a [`VectorEnvironment`] as they are: `forward_environment!(inner: name batch)`.
macro_rules! forward_environment {
    (@name $inner:ident) => {
        fn name(&self) -> &str {
            self.$inner.name()
        }
    };
    (@batch $inner:ident) => {
        fn batch(&self) -> usize {
            self.$inner.batch()
        }
    };
    (@observation_width $inner:ident) => {
        fn observation_width(&self) -> usize {
            self.$inner.observation_width()
        }
    };
    (@actions $inner:ident) => {
        fn actions(&self) -> ActionSpace {
            self.$inner.actions()
        }
    };
    (@action_scale $inner:ident) => {
        fn action_scale(&self) -> f32 {
            self.$inner.action_scale()
        }
    };
    (@horizon $inner:ident) => {
        fn horizon(&self) -> usize {
            self.$inner.horizon()
        }
    };
    (@discount_at $inner:ident) => {
        fn discount_at(&mut self, rate: f32) {
            self.$inner.discount_at(rate);
        }
    };
    (@new_task $inner:ident) => {
        fn new_task(&mut self, instance: usize, random: &mut Stream) {
            self.$inner.new_task(instance, random);
        }
    };
    (@new_episode $inner:ident) => {
        fn new_episode(&mut self, instance: usize, random: &mut Stream) {
            self.$inner.new_episode(instance, random);
        }
    };
    (@observe $inner:ident) => {
        fn observe(&self, observations: &mut [f32]) {
            self.$inner.observe(observations);
        }
    };
    (@step $inner:ident) => {
        fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
            self.$inner.step(actions, rewards, ends);
        }
    };
    (@regrets $inner:ident) => {
        fn regrets(&self, regrets: &mut [f32]) -> bool {
            self.$inner.regrets(regrets)
        }
    };
    ($inner:ident: $($method:tt)+) => {
        $(forward_environment!(@$method $inner);)+
    };
}
pub(crate) use forward_environment;

impl<E: VectorEnvironment + ?Sized> VectorEnvironment for Box<E> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn batch(&self) -> usize {
        (**self).batch()
    }

    fn observation_width(&self) -> usize {
        (**self).observation_width()
    }

    fn actions(&self) -> ActionSpace {
        (**self).actions()
    }

    fn action_scale(&self) -> f32 {
        (**self).action_scale()
    }

    fn horizon(&self) -> usize {
        (**self).horizon()
    }

    fn discount_at(&mut self, rate: f32) {
        (**self).discount_at(rate);
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        (**self).new_task(instance, random);
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        (**self).new_episode(instance, random);
    }

    fn observe(&self, observations: &mut [f32]) {
        (**self).observe(observations);
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        (**self).step(actions, rewards, ends);
    }

    fn regrets(&self, regrets: &mut [f32]) -> bool {
        (**self).regrets(regrets)
    }
}
