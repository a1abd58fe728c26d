//! What is controlled, apart from its dynamics: its numbers, how its tasks are drawn, what its channels are called.

use pliant_runtime::contract::Channel;

use crate::random::Stream;

/// What a wrapper of a [`Plant`] hands on as it is.
macro_rules! forward_plant {
    ($system:ident) => {
        fn horizon(&self) -> usize {
            self.$system.horizon()
        }

        fn rate_hz(&self) -> f32 {
            self.$system.rate_hz()
        }

        fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
            self.$system.start(random, parameters, state);
        }

        fn evolves(&self) -> bool {
            self.$system.evolves()
        }

        fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool {
            self.$system.evolve(age, parameters)
        }

        fn lost_cost(&self) -> f32 {
            self.$system.lost_cost()
        }

        fn error_name(&self) -> &'static str {
            self.$system.error_name()
        }

        fn error(&self, state: &[f32], parameters: &[f32]) -> f64 {
            self.$system.error(state, parameters)
        }
    };
}
pub(crate) use forward_plant;

/// How many numbers an instance of a system has of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Numbers of the state.
    pub state: usize,
    /// The first so many of them are physical; those after them remember actions.
    pub physical: usize,
    /// Numbers drawn for a task or an episode.
    pub parameters: usize,
    /// Numbers of an action, each in -1..1.
    pub action: usize,
    /// Numbers of an observation.
    pub observation: usize,
    /// Standard normal numbers that an observation takes; 0 without sensor noise.
    pub noise: usize,
}

/// What a policy sees and does, channel by channel. Actions are unit-less shares in -1..1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// In the order of an observation. The network sees them through their normalisers.
    pub observations: Vec<Channel>,
    /// In the order of an action.
    pub actions: Vec<Channel>,
}

/// A family of control tasks, apart from its dynamics: a task is a set of drawn parameters, which the policy does not see.
///
/// Slices have the lengths of [`widths`](Self::widths).
pub trait Plant: Send + Sync {
    /// How many numbers there are of each kind.
    fn widths(&self) -> Widths;

    /// Steps of an episode that is not terminated.
    fn horizon(&self) -> usize;

    /// Control periods a second.
    fn rate_hz(&self) -> f32;

    /// What the policy sees and does.
    fn channels(&self) -> Channels;

    /// What the first rows of the parameters are called, 1 to 24 bytes each; rows without name are told to nobody.
    ///
    /// Only oracles and teachers see them ([`Told`](super::Told)).
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Draws what belongs to a task: the vehicle.
    fn draw(&self, random: &mut Stream, parameters: &mut [f32]);

    /// Draws what belongs to an episode: the start, and parameters such as a target or a constant disturbance.
    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]);

    /// Whether [`evolve`](Self::evolve) does anything.
    fn evolves(&self) -> bool {
        false
    }

    /// Changes parameters in the course of an episode, before its step number `age` (from 0): a payload that drops.
    /// Whether anything changed.
    fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool {
        let _ = (age, parameters);
        false
    }

    /// What each step costs that an episode loses by being terminated; above what a bad step costs that is not lost.
    fn lost_cost(&self) -> f32 {
        1.0
    }

    /// What [`error`](Self::error) measures, with its unit.
    fn error_name(&self) -> &'static str;

    /// How far a state is from where it should be, for reports.
    fn error(&self, state: &[f32], parameters: &[f32]) -> f64;
}
