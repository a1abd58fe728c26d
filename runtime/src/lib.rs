//! The device runtime of Pliant.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod adapt;
pub mod contract;
pub mod experience;
pub mod image;
#[doc(hidden)]
pub mod kernels;
pub mod noise;
pub mod plan;
pub mod policy;
mod publish;
