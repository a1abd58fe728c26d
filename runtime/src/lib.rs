//! The device runtime of Pliant.
#![no_std]

pub mod contract;
pub mod experience;
pub mod image;
pub mod noise;
