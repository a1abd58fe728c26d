//! `pliant verify`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::sign::read;
use super::{print_json, print_text};
use crate::bundle::image_path;
use crate::signing::{Kind, kind_of, public_key_from_pem, verify};

const AFTER_HELP: &str = "\
Exit code 0: signed by one of the keys, and whole. 2: not signed, signed with
another key, changed since, cut short, or of a retired release.

Example:
  pliant verify models/sinusoid --key fleet.key.pub --minimum-release 3";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct VerifyArgs {
    /// A device image, a bundle's folder, or a delta
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key that is accepted; may be given more than once
    #[arg(long = "key", value_name = "KEY.pub", required = true)]
    keys: Vec<PathBuf>,
    /// Lowest release that is accepted
    #[arg(long, value_name = "N", default_value_t = 0)]
    minimum_release: u32,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    kind: Kind,
    release: u32,
    key: PathBuf,
}

pub(super) fn run(args: &VerifyArgs) -> Result<(), CliError> {
    let path = image_path(&args.file);
    let bytes = read(&path)?;
    let mut keys = Vec::with_capacity(args.keys.len());
    for key in &args.keys {
        let text = String::from_utf8_lossy(&read(key)?).into_owned();
        keys.push(public_key_from_pem(&text).map_err(|source| CliError::Key {
            path: key.clone(),
            source,
        })?);
    }
    let signed = verify(&bytes, &keys, args.minimum_release).map_err(|source| CliError::Signing {
        path: path.clone(),
        source,
    })?;
    let report = Report {
        file: path,
        kind: kind_of(&bytes),
        release: signed.release,
        key: args.keys[signed.key].clone(),
    };
    if args.json {
        return print_json(&report);
    }
    print_text(&format!(
        "{}: release {}, signed with {}",
        report.file.display(),
        report.release,
        report.key.display()
    ))
}
