//! A robot that finds a goal it was not told: the application, the same on every board.
//!
//! A point moves in the plane; its policy sees only where it is. Meta-trained over many goals, it explores a new one for some
//! episodes, takes the gradient steps that its device image holds, and then goes there. [`run`] does all of it: checks the
//! image's golden steps, explores, adapts in slices, and prints returns and checksums.
//!
//! | module | what |
//! |---|---|
//! | [`environment`] | the task: dynamics, reward, the goal |
//! | [`program`] | the application |
//! | [`recorded`] | the same, recorded |
//! | [`board`] | what a board gives: a way to print, a counter of instructions |
//! | [`checksum`] | CRC-32 over bits, to compare a board with the workstation |
//!
//! The board in `../cortex-m4-qemu` and the workstation in `../host` run this very code, and must print the same numbers.
#![cfg_attr(not(test), no_std)]

pub mod board;
pub mod checksum;
pub mod environment;
pub mod program;
pub mod recorded;

pub use program::run;

/// The device image of the model `point-navigation`.
pub const IMAGE: &[u8] = pliant_runtime::include_image!("../../../models/point-navigation/policy.pliant");
