//! ONNX in and out, without the ONNX tools: messages as `prost` derives ([`proto`]), opset 18, IR version 8.
//!
//! | function | does |
//! |---|---|
//! | [`export`](export()) | a graph to a model |
//! | [`export_symbolic`] | a graph, built at two sizes, to a model with a symbolic dimension |
//! | [`import`](import()), [`import_with`] | a model to a graph, sizes given for symbolic dimensions |
//! | [`initializers`] | the values stored in a model, by name |
//! | [`metadata`] | the key and value pairs of a model |
//!
//! Every operator says in its own file how it is written ([`Operator::onnx`](crate::ops::Operator::onnx)). What is exported
//! and imported again is the same graph. Opset 18 because at later ones ONNX Runtime's CUDA kernels for some operators are
//! not matched, and they fall to the CPU.

mod error;
mod export;
mod import;
mod node;
pub mod proto;
mod read;
mod symbolic;
mod tensor;

pub use error::OnnxError;
pub use export::{ExportOptions, export};
pub use import::{import, import_with, initializers, metadata};
pub use symbolic::export_symbolic;

/// Version of the standard operator set that Pliant writes and reads.
pub const OPSET: i64 = 18;
/// Version of the intermediate representation that Pliant writes.
pub const IR_VERSION: i64 = 8;
