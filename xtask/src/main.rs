//! The chores of the Pliant workspace: `cargo xtask --help`.

fn main() {}
