//! The compiler of Pliant: graphs in, ONNX and device images out.
//!
//! | layer | what it does | who uses it |
//! |---|---|---|
//! | [`graph`] | the intermediate representation and its builder | everyone below |
//! | [`reference`](mod@reference) | the f64 interpreter every engine is compared with | tests, the conformance suite |

pub mod graph;
pub mod ops;
pub mod reference;
