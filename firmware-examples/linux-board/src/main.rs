//! The navigation example on a Linux board: `linux-board plan` runs the device image, `linux-board tract FOLDER` the ONNX
//! models of a bundle.
//!
//! ```sh
//! cargo xtask board      # brings compiler and emulator, builds for aarch64, runs both, compares with the host
//! ```

use std::path::Path;
use std::process::ExitCode;

use navigation_example::board::Board;
use navigation_example::program::{self, WIRED};
use navigation_example::{IMAGE, run};
use pliant_runtime::edge::Models;
use pliant_runtime::policy::{Policy, workspace_len};

/// A board with standard output, and nothing that counts.
struct Linux;

impl Board for Linux {
    fn print(&mut self, text: &str) {
        print!("{text}");
    }

    fn instructions(&mut self) -> Option<u64> {
        None
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let failed = match words[..] {
        ["plan"] => {
            let mut memory = vec![0.0; workspace_len(IMAGE)];
            run(IMAGE, &mut memory, &mut Linux)
                .err()
                .map(|failure| failure.sentence().to_owned())
        }
        ["tract", folder] => tract(Path::new(folder)).err(),
        _ => Some("usage: linux-board plan | linux-board tract FOLDER".to_owned()),
    };
    match failed {
        None => ExitCode::SUCCESS,
        Some(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// The same episodes with the models of the bundle in `folder`.
fn tract(folder: &Path) -> Result<(), String> {
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let mut models = Models::new(&read("policy.onnx")?, &read("adapt.onnx")?, &read("score.onnx")?)
        .map_err(|error| error.to_string())?;
    let spec = *models.adaptation().ok_or("the models do not adapt")?;
    let mut memory = vec![0.0; models.workspace_len()];
    let mut policy = Policy::from_models(&mut models, Some(&WIRED), &mut memory).map_err(|error| error.to_string())?;
    program::learn(&mut policy, &spec, &mut Linux).map_err(|failure| failure.sentence().to_owned())
}
