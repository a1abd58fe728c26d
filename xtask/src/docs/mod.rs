//! Checks that keep the documents true.

pub(crate) mod figures;
pub(crate) mod map;
pub(crate) mod measure;
