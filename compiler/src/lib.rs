//! The compiler of Pliant: graphs in, ONNX and device images out.
//!
//! | layer | what it does | who uses it |
//! |---|---|---|
//! | [`graph`] | the intermediate representation and its builder | everyone below |
//! | [`ops`] | the operators: types, gradients, f64 reference, ONNX form | `graph`, [`autodiff`], export and lowering |
//! | [`autodiff`] | gradients as graphs, to any order | adaptation rules, the trainer |
//! | [`passes`] | rewrites after differentiation | export and lowering |
//! | [`image`] | lowering to plans, device images | adaptation, the trainer's plan engine, `pliant inspect` |
//! | [`onnx`] | graphs to ONNX and back | policies and adaptation on Linux, the ONNX Runtime engine |
//! | [`adaptation`] | adaptation rules as graphs | the trainer, device images |
//! | [`policy`] | networks and action distributions as graphs | adaptation, the trainer |
//! | [`reference`](mod@reference) | the f64 interpreter every engine is compared with | tests, the conformance suite |

pub mod adaptation;
pub mod autodiff;
pub mod graph;
pub mod image;
pub mod onnx;
pub mod ops;
pub mod passes;
pub mod policy;
pub mod reference;
