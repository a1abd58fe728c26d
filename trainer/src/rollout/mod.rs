//! Rollouts: a stochastic policy drives a batch of environments, and the transitions come back packed row by row.

mod collector;

pub use collector::{BatchPolicy, Collector, Experience};
