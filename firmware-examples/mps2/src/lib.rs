//! Board support for the emulated MPS2 with the AN386 image (Cortex-M4F), shared by the programs that run on it.
//!
//! | module | what it gives |
//! |---|---|
//! | [`semihosting`] | text out and the exit status, through the debugger |
//! | `counter` (a feature, on by default) | instructions since the start |
//! | [`uart`] | a serial port |
//! | [`memory`] | RAM and flash that the program takes |
//! | `program` (with `counter`) | the start, the report and the end of a program that runs once |
//! | `panic` | a handler that makes a reachable panic fail to link |
#![no_std]

#[cfg(feature = "counter")]
pub mod counter;
pub mod memory;
mod panic;
#[cfg(feature = "counter")]
pub mod program;
pub mod uart;

pub use semihosting_console as semihosting;
