//! `pliant keygen`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text};
use crate::bundle::BundleError;
use crate::checkpoint::write_atomically;
use crate::signing::{PrivateKey, SigningError, public_key_to_pem, write_private_key};

const AFTER_HELP: &str = "\
Writes the private key to KEY, readable by its owner only, and the public key to
KEY.pub. Firmware holds the public key, which is printed as Rust. Files that exist
are never replaced.

Example:
  pliant keygen fleet.key";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct KeygenArgs {
    /// File for the private key
    #[arg(value_name = "KEY")]
    key: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    private_key: PathBuf,
    public_key: PathBuf,
    public_key_hex: String,
}

pub(super) fn run(args: &KeygenArgs) -> Result<(), CliError> {
    let mut public_path = args.key.clone().into_os_string();
    public_path.push(".pub");
    let public_path = PathBuf::from(public_path);
    let failed = |source| CliError::Signing {
        path: args.key.clone(),
        source,
    };
    // The public file is checked first, so that a refusal leaves nothing behind.
    if public_path.exists() {
        return Err(failed(SigningError::WriteKey {
            path: public_path,
            source: std::io::ErrorKind::AlreadyExists.into(),
        }));
    }
    let key = PrivateKey::generate().map_err(failed)?;
    let public = key.public();
    write_private_key(&args.key, &key).map_err(failed)?;
    write_atomically(&public_path, public_key_to_pem(&public).as_bytes()).map_err(|source| BundleError::Write {
        path: public_path.clone(),
        source,
    })?;
    let report = Report {
        private_key: args.key.clone(),
        public_key: public_path,
        public_key_hex: public.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    };
    if args.json {
        return print_json(&report);
    }
    let mut text = format!(
        "private key {} (keep it to yourself)\npublic key  {}\n\nconst KEYS: Keys<'static> = Keys::new(&[[\n",
        report.private_key.display(),
        report.public_key.display()
    );
    for row in public.chunks(16) {
        let bytes: Vec<String> = row.iter().map(|byte| format!("0x{byte:02x}")).collect();
        let _ = writeln!(text, "    {}, //", bytes.join(", "));
    }
    text.push_str("]]);");
    print_text(&text)
}
