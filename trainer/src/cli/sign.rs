//! `pliant sign`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::{BundleError, image_path};
use crate::checkpoint::write_atomically;
use crate::signing::{Kind, PrivateKey, kind_of, sign};

const AFTER_HELP: &str = "\
The release is a number that you raise from one release to the next. A device can
retire old releases; what is below its lowest is refused, however well signed.
Weights and plans stay as they are: what devices have learned still fits.

Examples:
  pliant sign models/sinusoid --key fleet.key --release 3
  pliant sign learned.delta --key fleet.key --release 3 --out signed.delta";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SignArgs {
    /// A device image, a bundle's folder, or a delta
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The private key, as `pliant keygen` writes it
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Number of the release
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    release: u32,
    /// Where to write it [default: FILE itself]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    kind: Kind,
    bytes: usize,
    release: u32,
}

pub(super) fn run(args: &SignArgs) -> Result<(), CliError> {
    let path = image_path(&args.file);
    let bytes = read(&path)?;
    let text = String::from_utf8_lossy(&read(&args.key)?).into_owned();
    let key = PrivateKey::from_pem(&text).map_err(|source| CliError::Key {
        path: args.key.clone(),
        source,
    })?;
    let signed = sign(&bytes, &key, args.release).map_err(|source| CliError::Signing {
        path: path.clone(),
        source,
    })?;
    let out = args.out.clone().unwrap_or(path);
    write_atomically(&out, &signed).map_err(|source| BundleError::Write {
        path: out.clone(),
        source,
    })?;
    let report = Report {
        file: out,
        kind: kind_of(&signed),
        bytes: signed.len(),
        release: args.release,
    };
    if args.json {
        return print_json(&report);
    }
    print_text(&format!(
        "signed {} as release {}",
        report.file.display(),
        report.release
    ))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::Source {
        path: path.to_owned(),
        source,
    })
}
