//! The trainer of Pliant: meta-trains policies on the workstation and exports them as bundles for the device.
//!
//! Layers, from the bottom; each uses only those above it in this list:
//!
//! - [`random`]: one seed, named streams of random numbers.
//! - [`recipe`]: everything that decides a training run, in one checked TOML file.
//! - [`envs`], [`tasks`], [`rollout`]: what there is to learn from.
//! - [`engine`], [`nn`], [`optim`]: graphs and what runs them.
//! - [`deployment`]: what a recipe deploys: policy, adaptation rule, contract.
//! - [`algorithms`]: meta-learning algorithms behind one trait, stepped by the caller.
//! - [`eval`]: scores of the deployed artefact on held-out tasks.
//! - [`flight`]: quadrotors flown by a device image, here or on a board, and shifts they were not trained for.
//! - [`player`]: episodes as animations in a page.
//! - [`bundle`]: a trained policy as files: ONNX, device image, card.
//! - [`checkpoint`], [`run`]: what is kept of a run, and the loop that survives.
//! - [`report`]: what is shown of it.
//! - [`sweep`]: which settings of a recipe train best.
//! - [`telemetry`]: a device's log read, watched and replayed.
//! - [`signing`]: keys, and signatures of images and deltas.
//! - [`cli`]: the `pliant` command line.

pub mod algorithms;
pub mod balancing;
pub mod bundle;
pub mod checkpoint;
pub mod cli;
pub mod deployment;
pub mod engine;
pub mod envs;
pub mod error;
pub mod eval;
pub mod flight;
pub mod nn;
pub mod optim;
pub mod player;
pub mod random;
pub mod recipe;
pub mod report;
pub mod rollout;
pub mod run;
pub mod signing;
pub mod sweep;
pub mod tasks;
pub mod telemetry;
