//! Environments: one file each, stepped as a batch (structure of arrays), deterministic for a given random stream.

mod bandits;
mod cart_pole;
mod half_circle;
mod navigation;
mod one_task;
mod pendulum;
pub mod quadrotor;
mod regret;
mod simulation;
mod swing_up;
mod tabular;
mod trials;
mod two_link_arm;
mod vector;
mod vehicle;

pub use bandits::Bandits;
pub use cart_pole::CartPole;
pub use half_circle::HalfCircle;
pub use navigation::{MAX_STEP, Navigation};
pub use one_task::OneTask;
pub use pendulum::Pendulum;
pub use quadrotor::Quadrotor;
pub use regret::Regret;
pub(crate) use simulation::forward_plant;
pub use simulation::{
    Channels, Expression, Expressions, GraphStep, Instances, Lanes, MOST_PERIODS, Number, Only, Outcome, Plant,
    Reference, Simulated, Simulation, Simulator, System, Told, Widths, delay_weights, delayed, runge_kutta,
    smooth_distance,
};
pub use two_link_arm::TwoLinkArm;
pub use vehicle::{Car, Vehicle};

pub use swing_up::{SwingUp, TORQUE as SWING_UP_TORQUE};
pub use tabular::TabularProcesses;
pub(crate) use tabular::action_values;
pub use trials::Trials;
pub use vector::{ActionSpace, VectorEnvironment};

use pliant_runtime::experience::End;

use crate::random::Stream;

/// A batch of independent instances of one environment, stepped together.
///
/// Arrays are row-major with the instance first: observations `[batch, observation_width]`, actions
/// `[batch, action_width]`. Observations and actions are in the units of the environment's contract, actions before the
/// environment's own clipping. An instance that has ended stays where it is, with reward 0, until
/// [`reset`](Self::reset).
///
/// ```
/// use pliant_runtime::experience::End;
/// use pliant_trainer::{envs::{Environment, Navigation}, random::stream};
/// let mut batch = Navigation::new(&[[0.3, 0.4], [0.0, 0.0]]);
/// batch.reset(&mut stream(0, "start", &[]));
/// let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
/// batch.step(&[0.0; 4], &mut rewards, &mut ends);
/// assert_eq!((rewards, ends), ([-0.5, 0.0], [End::Continue, End::Terminated]));
/// ```
pub trait Environment: Send {
    /// Number of instances.
    fn batch(&self) -> usize;

    /// Numbers in one observation.
    fn observation_width(&self) -> usize;

    /// Numbers in one action.
    fn action_width(&self) -> usize;

    /// Steps after which an episode ends at the latest.
    fn horizon(&self) -> usize;

    /// Starts a new episode in every instance; whatever is random about its start comes from `random`.
    fn reset(&mut self, random: &mut Stream);

    /// Writes the current observations, `[batch, observation_width]`.
    fn observe(&self, observations: &mut [f32]);

    /// Moves every instance by one step: reads `actions` `[batch, action_width]`, writes `rewards` `[batch]` and `ends`
    /// `[batch]`: whether and how the episode has ended, in this step or before.
    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]);

    /// The system that this is a batch of, where its step is also a graph that can be differentiated.
    fn simulator(&self) -> Option<&dyn Simulator> {
        None
    }
}
