//! `pliant repack` from outside, the wrong ways included.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pliant_compiler::image::AlignedBytes;
use pliant_compiler::onnx::initializers;
use pliant_runtime::image::Image;
use serde_json::Value;

/// A copy of a committed bundle, to write in.
fn copy_of(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
    for file in ["policy.pliant", "policy.onnx", "recipe.toml", "card.md"] {
        fs::copy(models.join(name).join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn repack(bundle: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pliant"));
    command.arg("repack").arg(bundle).args(more);
    command.output().expect("the program starts")
}

#[track_caller]
fn succeeds(output: &Output) -> Value {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[track_caller]
fn fails(output: &Output, saying: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains(saying), "`{saying}` not in:\n{message}");
    assert!(!message.contains("panicked") && output.stdout.is_empty(), "{message}");
}

/// What the files of a folder hold, in the order of their names.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_same_policy_is_written_anew_and_once_more_changes_nothing() {
    let bundle = copy_of("quadrotor-small");
    let old = fs::read(bundle.path().join("policy.pliant")).unwrap();
    // Beside the bundle first, which stays as it was.
    let before = contents(bundle.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("new.pliant");
    let report = succeeds(&repack(bundle.path(), &["--json", "--out", out.to_str().unwrap()]));
    assert_eq!(contents(bundle.path()), before);
    assert_eq!(report["changed"], Value::Bool(fs::read(&out).unwrap() != old));

    // By its image's name as well as by its folder's: the same image, in its place.
    let image = bundle.path().join("policy.pliant");
    let report = succeeds(&repack(&image, &["--json"]));
    let new = fs::read(&image).unwrap();
    assert_eq!(
        (report["file"].as_str(), &new),
        (image.to_str(), &fs::read(&out).unwrap())
    );
    assert_eq!(report["bytes"][1], new.len());
    let aligned = AlignedBytes::new(&new);
    let checked = Image::new_checked(&aligned).unwrap();
    assert_eq!(report["hash"][1], format!("{:016x}", checked.hash()));
    let calls = report["kernel_calls"].as_array().unwrap();
    assert!(calls[1].as_u64() <= calls[0].as_u64(), "{calls:?}");
    let card = fs::read_to_string(bundle.path().join("card.md")).unwrap();
    assert!(
        card.contains(&new.len().to_string()),
        "the card states its cost: {card}"
    );

    let whole = contents(bundle.path());
    let again = succeeds(&repack(bundle.path(), &["--json"]));
    assert_eq!(again["changed"], Value::Bool(false));
    assert_eq!(contents(bundle.path()), whole);
}

#[test]
fn what_would_act_otherwise_is_refused_and_nothing_is_written() {
    let bundle = copy_of("quadrotor-small");
    let model = bundle.path().join("policy.onnx");
    let whole = fs::read(&model).unwrap();
    // Another weight: the largest parameter's first value, its exponent one less.
    let stored = initializers(&whole).unwrap();
    let (_, largest) = stored
        .iter()
        .max_by_key(|(_, tensor)| tensor.shape().iter().product::<usize>())
        .unwrap();
    let bytes: Vec<u8> = largest
        .as_f32()
        .unwrap()
        .iter()
        .take(4)
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let at = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
    let mut other = whole.clone();
    other[at + 2] ^= 0x80;
    fs::write(&model, &other).unwrap();
    let before = contents(bundle.path());
    fails(&repack(bundle.path(), &[]), "does not act as policy.pliant does");
    assert_eq!(contents(bundle.path()), before);

    // A model that is cut off, another policy's, none.
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    fails(&repack(bundle.path(), &[]), "policy.onnx");
    fs::copy(copy_of("cart-pole").path().join("policy.onnx"), &model).unwrap();
    fails(&repack(bundle.path(), &[]), "do not belong together");
    fs::remove_file(&model).unwrap();
    fails(&repack(bundle.path(), &[]), "which holds the parameters");

    // What adapts on the device has more in its plans than its model tells; what is no bundle has nothing.
    fails(&repack(copy_of("sinusoid").path(), &[]), "adapts on the device");
    fails(&repack(&bundle.path().join("nothing"), &[]), "cannot read");
}
