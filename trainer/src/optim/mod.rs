//! Optimisers as graphs: parameters, gradients and moments in, new parameters and moments out, so that they run on any
//! engine and stay on the device between steps.

mod adam;
mod clip;
mod muon;
mod schedule;
mod sgd;
#[cfg(test)]
mod tests;

pub use adam::{AdamStep, adam, adam_step_size};
pub use clip::{clip_elements, clip_norm};
pub use muon::muon_direction;
pub use schedule::rate;
pub use sgd::sgd;
