//! RL2 (Duan, Schulman, Chen, Bartlett, Sutskever and Abbeel 2016, "RL2: Fast Reinforcement Learning via Slow Reinforcement
//! Learning"; Wang et al. 2016, "Learning to reinforcement learn"): reinforcement learning in the memory of a policy.
//!
//! A trial is some episodes of one task in a row. The policy sees its previous action, the reward it had and whether an
//! episode begins beside the observation, and its memory lasts through the trial. Trained on the return of whole trials, by
//! [proximal policy optimisation](super::Ppo) with back-propagation through the whole trial, it learns to explore at first
//! and to use what it found after. Deployed, it adapts by acting: nothing is differentiated on the device.
//!
//! So RL2 is an environment, [`Trials`], under a recurrent policy gradient. `docs/algorithms/rl2.md` has deviations and
//! figures.

use super::Ppo;
use super::ppo::Problem;
use crate::engine::Engine;
use crate::envs::{Regret, Trials, VectorEnvironment};
use crate::error::TrainError;
use crate::recipe;

/// RL2 on an environment, of which `environment` makes a batch of so many instances.
///
/// # Errors
/// [`TrainError::NoMemory`] for a feed-forward policy; otherwise as [`Ppo::new`].
pub fn rl2(
    settings: &recipe::Rl2,
    seed: u64,
    problem: Problem,
    initialiser: recipe::Initialiser,
    environment: &dyn Fn(usize) -> Box<dyn VectorEnvironment>,
    engine: &dyn Engine,
    threads: usize,
) -> Result<Ppo, TrainError> {
    if problem.memory() == 0 {
        return Err(TrainError::NoMemory);
    }
    let trials = |batch| -> Box<dyn VectorEnvironment> {
        let trials = Trials::new(environment(batch), settings.episodes);
        if settings.ppo.regret_weight > 0.0 {
            Box::new(Regret::new(trials))
        } else {
            Box::new(trials)
        }
    };
    Ppo::new(&settings.ppo, seed, problem, initialiser, &trials, engine, threads)
}
