//! The device runtime of Pliant.
#![no_std]

pub mod image;
