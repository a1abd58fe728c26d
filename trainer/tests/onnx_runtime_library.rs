//! A library that is no ONNX Runtime, or too old a one, is an error that says how to get the right one, and no panic. In a
//! process of its own: a process that has loaded one library cannot load another.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use pliant_compiler::graph::{DType, Graph};
use pliant_trainer::engine::{CompileOptions, EngineError, OrtEngine, Provider, select};

/// Compiles a shared library from Rust source.
fn library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (from, to) = (folder.join(format!("{name}.rs")), folder.join(format!("lib{name}.so")));
    fs::write(&from, source).unwrap();
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args(["--edition", "2021", "--crate-type", "cdylib", "-o"])
        .arg(&to)
        .arg(&from)
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to
}

/// What ONNX Runtime 1.9 would say of itself.
const OLD: &str = r#"
use std::ffi::{c_char, c_void};
#[repr(C)]
pub struct Base { api: extern "C" fn(u32) -> *const c_void, version: extern "C" fn() -> *const c_char }
extern "C" fn api(_: u32) -> *const c_void { std::ptr::null() }
extern "C" fn version() -> *const c_char { c"1.9.0".as_ptr() }
static BASE: Base = Base { api, version };
#[no_mangle]
pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
"#;

fn square() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[4]).unwrap();
    let y = graph.square(x).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn a_missing_foreign_or_old_library_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere.so");
    let text = folder.path().join("text.so");
    fs::write(&text, "no library").unwrap();
    let foreign = library(
        folder.path(),
        "foreign",
        "#[no_mangle] pub extern \"C\" fn nothing() {}",
    );
    let old = library(folder.path(), "old", OLD);

    let refused = |path: &Path| {
        let error = OrtEngine::new(Some(path), Provider::Cpu).unwrap_err();
        let said = error.to_string();
        assert!(error.is_missing(), "{said}");
        assert!(
            said.contains("cargo xtask onnxruntime") && said.contains("onnxruntime==1.31.1"),
            "{said}"
        );
        assert!(said.contains("--engine plan"), "{said}");
        error
    };
    assert!(matches!(refused(&missing), EngineError::LibraryMissing { .. }));
    assert!(matches!(refused(&text), EngineError::LibraryUnusable { .. }));
    assert!(matches!(refused(&foreign), EngineError::LibraryUnusable { .. }));
    assert!(matches!(refused(&old), EngineError::LibraryTooOld { found, .. } if found == "1.9.0"));

    // By name it is an error; `auto` takes what there is, and says why.
    let graph = square();
    let named = select("ort", Some(&missing), &graph, &CompileOptions::default());
    assert!(matches!(named, Err(EngineError::LibraryMissing { .. })));
    let auto = select("auto", Some(&old), &graph, &CompileOptions::default()).unwrap();
    assert_eq!(auto.engine.name(), "plan");
    assert!(auto.reason.contains("1.9.0"), "{}", auto.reason);
    let auto = select("auto", Some(&missing), &graph, &CompileOptions::default()).unwrap();
    assert!(auto.reason.contains("cargo xtask onnxruntime"), "{}", auto.reason);
    let unknown = select("tensorflow", None, &graph, &CompileOptions::default()).unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("auto, plan, plan-exact, ort, ort-cuda, tract"),
        "{unknown}"
    );
}
