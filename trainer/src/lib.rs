//! The trainer of Pliant.

pub mod envs;
pub mod random;
pub mod rollout;
pub mod tasks;
