//! Device images: lowering graphs to plans, and writing plans, weights and contract as one image.
//!
//! [`lower`] turns any graph into the records of a plan. [`ImageBuilder`] puts plans, weights and contract together;
//! [`compile_policy`] does all of it for a trained policy, [`compile_banked`] for one with a head a task, [`inspect`] tells what an image holds and costs. The format
//! itself is `pliant_runtime::image`, specified in `docs/device-image.md`.

mod aligned;
mod assemble;
mod banked;
mod choices;
mod constants;
mod golden;
mod inspect;
pub(crate) mod lower;
mod policy;
mod writer;

pub use aligned::AlignedBytes;
pub use assemble::with_signature;
pub use banked::{banked_rule, compile_banked};
pub use choices::with_choices;
pub use constants::ConstantPool;
pub use inspect::{AdaptationReport, ImageReport, InspectError, PlanReport, inspect};
pub use lower::{Bindings, LowerError, LowerOptions, LoweredPlan, Place, PlanStatistics, Slot, lower, lower_with};
pub use policy::{AdaptationDescription, ImageOptions, compile_policy};
pub use writer::{ImageBuildError, ImageBuilder};
