//! What a robot can rely on, shown on the emulated board: damaged images, recorded learning.

use super::boards::Board;
use super::toolchain::Toolchain;
use super::{board_cargo_of, elf_of, run};
use crate::error::{AtPath, Error};
use crate::process::cargo;
use crate::workspace::Workspace;

/// The package of both programs.
pub(super) const PACKAGE: &str = "trust";

/// The bundle that the recorded program holds.
const BUNDLE: &str = "models/point-navigation";

/// Every truncation and every flipped bit of a small image, on the board: its exit status is the number of violations.
pub(super) fn corruption(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    build(workspace, board, toolchain)?;
    let report = run::on_the_board(board, &elf_of(workspace, board, toolchain, "corruption"))?;
    // Both passes tried something, and the second one reached images that are accepted.
    let tried = |line: &&str| line.starts_with("  tried: ") && !line.ends_with(": 0");
    let reached = |line: &str| line.starts_with("  in bounds: ") && !line.ends_with(": 0");
    let fine = report.lines().filter(tried).count() == 2 && report.lines().any(reached);
    match fine && report.matches("  violations: 0").count() == 2 {
        true => Ok(()),
        false => Err(Error::Check("the report does not say what it should".to_owned())),
    }
}

/// Runs the recorded program with its serial port going to a file, and replays that.
pub(super) fn replay(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    build(workspace, board, toolchain)?;
    let folder = workspace.target().join("firmware");
    std::fs::create_dir_all(&folder).at(&folder)?;
    let log = folder.join("telemetry.log");
    let report = run::on_the_board_with_serial(
        board,
        &elf_of(workspace, board, toolchain, "recorded"),
        &format!("file:{}", log.display()),
    )?;
    let replayed = cargo(workspace)
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "pliant-trainer",
            "--bin",
            "pliant",
            "--",
            "replay",
        ])
        .arg(&log)
        .args(["--bundle", BUNDLE])
        .output()?;
    print!("{replayed}");
    // What the board printed of its parameters is what the replay found.
    let mut checksums = report
        .lines()
        .filter_map(|line| line.split_once("CRC-32 ").map(|(_, crc)| crc))
        .peekable();
    if checksums.peek().is_none() {
        return Err(Error::Check("the board's report holds no checksums".to_owned()));
    }
    match checksums.find(|crc| !replayed.contains(&format!("{crc} here: the same bits"))) {
        None => Ok(()),
        Some(crc) => Err(Error::Check(format!(
            "the replay did not come to the parameters {crc} of the board"
        ))),
    }
}

fn build(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    board_cargo_of(workspace, board, toolchain, PACKAGE, "build").run()
}
