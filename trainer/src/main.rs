//! The `pliant` command line.

fn main() {}
