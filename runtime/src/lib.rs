//! The device runtime of Pliant: acts and adapts with a device image, on anything from a Cortex-M0+ to a workstation.
//!
//! No heap, no panics, no unbounded loops: one block of memory comes from the caller, an image is checked once, and
//! after that every call takes a time known from the image. All numbers come out with the same bits on every core.
//!
//! # Layers
//!
//! From the top down. Each uses those below it; you can stop at any.
//!
//! | layer | module | who uses it |
//! |---|---|---|
//! | policy | [`policy`] | firmware: load an image, split it into the control loop's actor and the background's learner |
//! | adaptation | [`adapt`] | through the learner: the transaction, and what its reports mean |
//! | health | [`health`] | the learner: whether what was adapted is worth keeping, and when to go back |
//! | experience | [`experience`], [`noise`] | the learner, and the trainer's rollouts, which agree with it bit for bit |
//! | contract | [`contract`] | firmware states what it is wired to; trainer and compiler write the contract |
//! | telemetry | [`telemetry`] | firmware: what happened, framed, for `pliant monitor` and `pliant replay` |
//! | link | [`link`] | firmware and host: a policy on a board that a simulation flies, record by record |
//! | image | [`image`] | firmware: check the bytes, self-test; the compiler writes with the same types |
//! | plan | [`plan`] | the workstation's embedded engine; tools that look inside |
//!
//! # What it needs
//!
//! - `workspace_len(image)` values of memory, a constant expression: see [`policy::workspace_len`].
//! - Atomic 32-bit loads and stores, which every Cortex-M, RISC-V and larger core has; no compare-and-swap.
//! - From the caller: the clock (a deadline is missed when the caller [says so](policy::Actor::note_deadline)), the seed,
//!   and any queue between actor and learner.
//!
//! # Features
//!
//! `kernels` (default) has every kernel; take single `kernel-*` features to save flash, and an image that needs another
//! is refused by name. `policy-gradient` (default) learns from rewards, `choices` (default) heeds an image's tree that chooses
//! how to adapt: firmware that learns from examples alone saves flash without them. `store` keeps adapted parameters and images in flash, `signatures` verifies who made them. `std`
//! looks for wider vector instructions on x86-64: same bits, faster. `onnx` (with `std`, and an allocator) loads the ONNX
//! models of a bundle in place of its image, for Linux boards: `edge`. `wide` has room for contracts of 64 observation
//! channels in place of 32.
//!
//! # Example
//!
//! A robot that finds a goal it is not told, adapting to the rewards of twenty episodes: the example of [`policy`].
#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod adapt;
pub mod contract;
#[cfg(feature = "onnx")]
pub mod edge;
pub mod experience;
pub mod health;
pub mod image;
#[doc(hidden)]
pub mod kernels;
pub mod link;
pub mod noise;
pub mod plan;
pub mod policy;
mod publish;
#[cfg(feature = "signatures")]
pub mod signature;
#[cfg(feature = "store")]
pub mod store;
pub mod telemetry;

/// The examples of `docs/telemetry.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/telemetry.md")]
pub struct TelemetryPage;

/// The examples of `docs/safety.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/safety.md")]
pub struct SafetyPage;
