//! Bytes as an ONNX model: a graph or an error; a graph is exported and read again as the same.

use pliant_compiler::onnx::{ExportOptions, export, import, metadata};

/// What the fuzzer calls.
pub(crate) fn run(data: &[u8]) {
    let _ = metadata(data);
    let Ok(graph) = import(data) else { return };
    let Ok(bytes) = export(&graph, &ExportOptions::default()) else {
        return;
    };
    let again = import(&bytes).expect("what was exported is read");
    let bytes_again = export(&again, &ExportOptions::default()).expect("and exported again");
    assert_eq!(bytes, bytes_again);
}
