//! Device images: lowering graphs to plans, and writing plans, weights and contract as one image.

mod constants;
pub(crate) mod lower;

pub use constants::ConstantPool;
pub use lower::{Bindings, LowerError, LowerOptions, LoweredPlan, Place, PlanStatistics, Slot, lower, lower_with};
