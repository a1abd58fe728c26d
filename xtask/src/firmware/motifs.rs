//! The motif program: an emulated core adapts to an unseen motif and must compute what the workstation computes.

use super::boards::Board;
use super::measure::figure;
use super::toolchain::Toolchain;
use super::{board_cargo_of, elf_of, run};
use crate::error::Error;
use crate::process::cargo;
use crate::workspace::Workspace;

/// The package of the program.
pub(super) const PACKAGE: &str = "motifs";

/// Lines that the workstation prints too.
const SHARED: [&str; 5] = [
    "memory bytes",
    "golden steps",
    "right of the others, before",
    "checksum of what adapted",
    "right of the others, after",
];

/// Builds it, runs it, and compares; adapting must help.
pub(super) fn adapt(workspace: &Workspace, board: &Board, toolchain: &Toolchain) -> Result<(), Error> {
    board_cargo_of(workspace, board, toolchain, PACKAGE, "build").run()?;
    let report = run::on_the_board(board, &elf_of(workspace, board, toolchain, PACKAGE))?;
    let host = cargo(workspace)
        .args(["run", "--quiet", "--locked", "--package", "pliant-trainer"])
        .args(["--example", "motif_task", "--", "run"])
        .output()?;
    for name in SHARED {
        let (found, wanted) = (figure(&report, name)?, figure(&host, name)?);
        if found != wanted {
            return Err(Error::Check(format!(
                "{name}: {found} on the board, {wanted} on this machine"
            )));
        }
    }
    let [before, after] = [SHARED[2], SHARED[4]].map(|name| figure(&report, name));
    match before? < after? {
        true => Ok(()),
        false => Err(Error::Check("adapting did not help".to_owned())),
    }
}
