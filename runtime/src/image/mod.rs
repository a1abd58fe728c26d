//! The device image: header, sections, a view checked once and panic-free after.

pub mod adaptation_spec;
pub mod record;
