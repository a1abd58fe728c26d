//! One table per operator: literal values, first and higher gradients against central differences in f64.

mod arithmetic;
mod conditions;
mod conventions;
mod functions;
mod harness;
mod layout;
mod matmul;
mod reductions;
