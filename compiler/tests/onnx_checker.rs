//! ONNX's own checker accepts what Pliant writes: every operator, its gradient and its second-order gradient, and a model
//! with symbolic rows. Needs Python's `onnx`; where that is missing the test is counted as skipped.

mod cases;

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
};

use cases::cases;
use pliant_compiler::{
    graph::{DType, Graph},
    onnx::{ExportOptions, OnnxError, export, export_symbolic},
};

fn python() -> Command {
    Command::new(env::var_os("PLIANT_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Says so, and adds a line to the file that `cargo xtask test` counts.
fn skip(reason: &str) {
    println!("skipped: {reason}");
    assert!(env::var("CI").map_or(true, |value| value != "true"), "{reason}");
    if let Some(path) = env::var_os("PLIANT_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{reason}"))
            .expect("the list of skipped tests can be written");
    }
}

fn weighted_mean(rows: usize) -> Result<Graph, OnnxError> {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[rows, 3])?;
    let weight = graph.input("weight", DType::F32, &[rows])?;
    let column = graph.reshape(weight, &[rows, 1])?;
    let product = graph.mul(x, column)?;
    let sum = graph.reduce_sum(product, &[0], false)?;
    let total = graph.sum_all(weight)?;
    let mean = graph.div(sum, total)?;
    graph.output("mean", mean)?;
    graph.output("product", product)?;
    Ok(graph)
}

#[test]
fn the_onnx_checker_accepts_every_model() {
    if !python()
        .args(["-c", "import onnx"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skip("onnx.checker: Python's onnx is not installed (`pip install onnx`, or `cargo xtask test`)");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for case in cases() {
        for graph in [Some(case.graph.clone()), case.gradient(), case.second_order()]
            .into_iter()
            .flatten()
        {
            let bytes = export(&graph, &ExportOptions::default()).unwrap();
            let name = case.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            fs::write(folder.path().join(format!("{count:04}_{name}.onnx")), bytes).unwrap();
            count += 1;
        }
    }
    let symbolic = export_symbolic("rows", &ExportOptions::default(), weighted_mean).unwrap();
    fs::write(folder.path().join("symbolic.onnx"), symbolic).unwrap();
    count += 1;
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join("onnx_checker.py");
    let output = python().arg(script).arg(folder.path()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with(&format!("{count} of {count} models")), "{said}");
}
