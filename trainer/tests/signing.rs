//! `pliant keygen`, `sign` and `verify` from outside, the wrong ways included.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_runtime::store::DeltaHeader;
use serde_json::Value;

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/sinusoid/policy.pliant");

fn pliant(args: &[&str], paths: &[&Path]) -> Output {
    // A `@` stands for the next path.
    let mut paths = paths.iter();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pliant"));
    for argument in args {
        match *argument {
            "@" => command.arg(paths.next().expect("a path for each @")),
            argument => command.arg(argument),
        };
    }
    command.output().expect("the program starts")
}

#[track_caller]
fn succeeds(output: Output) -> Value {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[track_caller]
fn fails(output: Output, code: i32, saying: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(saying), "`{saying}` not in:\n{message}");
    assert!(!message.contains("panicked") && output.stdout.is_empty(), "{message}");
}

/// A folder with two pairs of keys, an image and a delta.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for key in ["fleet.key", "other.key"] {
            let report = succeeds(pliant(&["keygen", "@", "--json"], &[&desk.path(key)]));
            assert_eq!(report["public_key_hex"].as_str().unwrap().len(), 64);
        }
        fs::copy(IMAGE, desk.path("policy.pliant")).unwrap();
        let parameters = [1.0f32, -2.5, 3.25];
        let header = DeltaHeader::new(0x1234, 2, &parameters);
        let delta = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&parameters)].concat();
        fs::write(desk.path("learned.delta"), delta).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, name: &str, key: &str, release: &str) -> Output {
        let args = ["sign", "@", "--key", "@", "--release", release, "--json"];
        pliant(&args, &[&self.path(name), &self.path(key)])
    }

    fn verify(&self, name: &str, key: &str, minimum: &str) -> Output {
        let args = ["verify", "@", "--key", "@", "--minimum-release", minimum, "--json"];
        pliant(&args, &[&self.path(name), &self.path(key)])
    }
}

#[test]
fn what_is_signed_is_verified() {
    let desk = Desk::new();
    for (name, kind) in [("policy.pliant", "image"), ("learned.delta", "delta")] {
        let report = succeeds(desk.sign(name, "fleet.key", "3"));
        assert_eq!((&report["kind"], &report["release"]), (&kind.into(), &3.into()));
        let report = succeeds(desk.verify(name, "fleet.key.pub", "3"));
        assert_eq!((&report["kind"], &report["release"]), (&kind.into(), &3.into()));
        // Signed again, by another.
        succeeds(desk.sign(name, "other.key", "4"));
        let length = fs::metadata(desk.path(name)).unwrap().len();
        let both = ["verify", "@", "--key", "@", "--key", "@", "--json"];
        let keys = [
            &*desk.path(name),
            &*desk.path("fleet.key.pub"),
            &*desk.path("other.key.pub"),
        ];
        let report = succeeds(pliant(&both, &keys));
        assert!(report["key"].as_str().unwrap().ends_with("other.key.pub"));
        succeeds(desk.sign(name, "fleet.key", "5"));
        assert_eq!(fs::metadata(desk.path(name)).unwrap().len(), length, "nothing piles up");
    }
    // The same policy as before: what devices have learned still fits, and it still works.
    let [before, after] =
        [PathBuf::from(IMAGE), desk.path("policy.pliant")].map(|path| AlignedBytes::new(&fs::read(path).unwrap()));
    let [before, after] = [&before, &after].map(|bytes| Image::new_checked(bytes).unwrap());
    assert_eq!(before.hash(), after.hash());
    assert_eq!(before.card(), after.card());
    assert_eq!(before.golden_steps().count(), after.golden_steps().count());
}

#[test]
fn what_is_not_right_is_refused() {
    let desk = Desk::new();
    for name in ["policy.pliant", "learned.delta"] {
        fails(desk.verify(name, "fleet.key.pub", "0"), 2, "not signed");
        succeeds(desk.sign(name, "fleet.key", "3"));
        fails(desk.verify(name, "other.key.pub", "0"), 2, "another key");
        fails(desk.verify(name, "fleet.key.pub", "4"), 2, "release 3 is retired");

        let whole = fs::read(desk.path(name)).unwrap();
        for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
            fs::write(desk.path(name), &whole[..length]).unwrap();
            fails(desk.verify(name, "fleet.key.pub", "0"), 2, "not a usable");
            fails(desk.sign(name, "fleet.key", "3"), 2, "not a usable");
        }
        // Changed by somebody who knows the format, but not the key: the checksum is right again.
        let last = whole.len() - 1;
        let tampered = match name {
            // A byte of the adapted parameters, and the release.
            "learned.delta" => [last, 36],
            _ => {
                let aligned = AlignedBytes::new(&whole);
                let (signature, _) = Image::new_checked(&aligned).unwrap().signature().unwrap();
                let constants = pliant_runtime::image::SectionKind::AdaptedInitial as u16;
                let image = Image::new_checked(&aligned).unwrap();
                let section = image.sections().iter().find(|entry| entry.kind == constants).unwrap();
                [section.offset as usize, signature as usize + 4]
            }
        };
        for at in tampered {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let crc = pliant_runtime::image::crc32(&bytes[20..]).to_le_bytes();
            bytes[16..20].copy_from_slice(&crc);
            fs::write(desk.path(name), &bytes).unwrap();
            fails(desk.verify(name, "fleet.key.pub", "0"), 2, "does not fit the bytes");
        }
    }
}

#[test]
fn keys_are_kept_apart_and_never_replaced() {
    let desk = Desk::new();
    fails(desk.verify("policy.pliant", "fleet.key", "0"), 2, "private key");
    fails(desk.sign("policy.pliant", "fleet.key.pub", "1"), 2, "public key");
    fails(desk.sign("policy.pliant", "policy.pliant", "1"), 2, "no Ed25519 key");
    fails(desk.sign("policy.pliant", "absent.key", "1"), 2, "absent.key");
    let before = fs::read(desk.path("fleet.key")).unwrap();
    let again = || pliant(&["keygen", "@"], &[&desk.path("fleet.key")]);
    fails(again(), 1, "never replaced");
    fs::remove_file(desk.path("fleet.key.pub")).unwrap();
    fails(again(), 1, "never replaced");
    assert_eq!(fs::read(desk.path("fleet.key")).unwrap(), before);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(desk.path("fleet.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // For people: what the firmware is to hold.
    let output = pliant(&["keygen", "@"], &[&desk.path("third.key")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Keys::new(&[[") && text.matches("0x").count() == 32,
        "{text}"
    );
}
