//! What goes beyond tests: fuzzing, branch coverage, Miri over the `unsafe` code.

pub(crate) mod coverage;
pub(crate) mod fuzz;
pub(crate) mod miri;
