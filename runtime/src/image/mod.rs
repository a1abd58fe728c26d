//! The device image: header, sections, a view checked once and panic-free after.

pub mod record;
