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
    assert_eq!(graph.len(), again.len());
    let names =
        |ports: &[pliant_compiler::graph::Port]| ports.iter().map(|port| port.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(graph.inputs()), names(again.inputs()));
    assert_eq!(names(graph.outputs()), names(again.outputs()));
}
