//! What a policy costs on the emulated Cortex-M4F: instructions of a call, bytes of code.
//!
//! The program in `firmware-examples/measure` is linked with an image and with the kernels that this image needs. Its size is
//! compared with that of the same program without a policy, so that start-up and report do not count, and the image is
//! taken off.

use std::fmt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, SectionKind};

use super::boards::{BOARDS, Board};
use super::run;
use super::toolchain::{self, Choice, Toolchain};
use crate::error::{AtPath, Error};
use crate::process::cargo;
use crate::workspace::Workspace;

/// The package of the measuring program.
pub(super) const PROGRAM: &str = "measure";

/// The board it runs on.
const BOARD: &Board = &BOARDS[0];

/// Policies that are measured when no image is named: a plain network, and the quadrotor's recurrent one.
const POLICIES: [&str; 2] = ["16-64-64-4", "22-16-gru16-4"];

/// Optimisation levels at which code is measured: for speed, as the firmware examples, and for size.
const LEVELS: [&str; 2] = ["3", "s"];

/// Most bytes of code, by what it can do, compiled for size.
const MOST_BYTES: [(&str, u64); 2] = [("plan", 12 * 1024), ("adaptation", 24 * 1024)];

/// Prints the instructions of `act` of each image, whole and record by record.
pub(crate) fn count(workspace: &Workspace, images: &[PathBuf], choice: Choice, install: bool) -> Result<(), Error> {
    let toolchain = toolchain::provide(BOARD.target, choice, install)?;
    BOARD.provide_emulator(install)?;
    let images = match images {
        [] => POLICIES
            .iter()
            .map(|policy| untrained(workspace, policy, policy, &[]))
            .collect::<Result<Vec<_>, _>>()?,
        named => named
            .iter()
            .map(|path| std::fs::canonicalize(path).at(path))
            .collect::<Result<Vec<_>, _>>()?,
    };
    for image in images {
        println!("== {}", image.display());
        let elf = link(workspace, &toolchain, &image, "records", "3")?;
        let report = run::on_the_board(BOARD, &elf)?;
        println!(
            "instructions a multiply-accumulate: {:.2}",
            instructions_a_mac(&report)?
        );
    }
    Ok(())
}

/// Instructions of `act`, all included, by multiply-accumulates.
fn instructions_a_mac(report: &str) -> Result<f64, Error> {
    let instructions = figure(report, "instructions of act")?;
    let macs = figure(report, "multiply-accumulates of act")?;
    Ok(instructions / macs)
}

/// The number in the line `name: number`.
pub(super) fn figure(report: &str, name: &str) -> Result<f64, Error> {
    report
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(found, number)| (found == name).then(|| number.parse().ok())?)
        .ok_or_else(|| Error::Check(format!("the report states no `{name}`")))
}

/// Prints the bytes of code that a firmware needs, by what it can do, and compares them with [`MOST_BYTES`].
pub(crate) fn size(workspace: &Workspace, choice: Choice, install: bool) -> Result<(), Error> {
    let toolchain = toolchain::provide(BOARD.target, choice, install)?;
    let recurrent = untrained(workspace, POLICIES[1], POLICIES[1], &[])?;
    let variants = [
        ("plan", recurrent.clone()),
        ("inference", recurrent),
        (
            "adaptation",
            untrained(workspace, "16-64-64-4-adapts", POLICIES[0], &["--adapts"])?,
        ),
    ];
    let mut exceeded = Vec::new();
    println!("bytes of code in flash, without the image and without the measuring program:");
    for level in LEVELS {
        let image = &variants[0].1;
        let without = Sizes::of(&link(workspace, &toolchain, image, "quiet", level)?)?;
        for (features, image) in &variants {
            let elf = link(workspace, &toolchain, image, &format!("quiet,{features}"), level)?;
            let image = std::fs::metadata(image).at(image)?.len();
            let code = Sizes::of(&elf)?.less(&without, image);
            println!("opt-level {level}, {features}: {code}");
            let most = MOST_BYTES.iter().find(|(name, _)| name == features && level == "s");
            if let Some((_, most)) = most.filter(|(_, most)| code.total() > *most) {
                exceeded.push(format!("{features}: {} bytes of {most} at most", code.total()));
            }
            if level == LEVELS[0] {
                largest_functions(&elf)?;
            }
        }
    }
    match exceeded.is_empty() {
        true => Ok(()),
        false => Err(Error::Check(exceeded.join("; "))),
    }
}

/// Bytes that an ELF puts into flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    code: u64,
    read_only: u64,
    initial_values: u64,
}

impl Sizes {
    fn of(elf: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(elf).at(elf)?;
        let file = object::File::parse(bytes.as_slice())
            .map_err(|error| Error::Check(format!("{}: {error}", elf.display())))?;
        let total = |wanted: SectionKind| {
            let sections = file.sections().filter(|section| section.kind() == wanted);
            sections.map(|section| section.size()).sum::<u64>()
        };
        Ok(Self {
            code: total(SectionKind::Text),
            // A linker that merges strings marks the whole section so.
            read_only: total(SectionKind::ReadOnlyData) + total(SectionKind::ReadOnlyString),
            initial_values: total(SectionKind::Data),
        })
    }

    /// What is left without another program, and without an image.
    fn less(&self, other: &Self, image: u64) -> Self {
        Self {
            code: self.code.saturating_sub(other.code),
            read_only: self.read_only.saturating_sub(other.read_only + image),
            initial_values: self.initial_values.saturating_sub(other.initial_values),
        }
    }

    fn total(&self) -> u64 {
        self.code + self.read_only + self.initial_values
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            read_only,
            initial_values,
        } = self;
        write!(
            f,
            "{} bytes ({code} instructions, {read_only} constants, {initial_values} initial values)",
            self.total()
        )
    }
}

/// Prints the functions that take the most.
fn largest_functions(elf: &Path) -> Result<(), Error> {
    use object::{ObjectSymbol, SymbolKind};
    let bytes = std::fs::read(elf).at(elf)?;
    let file =
        object::File::parse(bytes.as_slice()).map_err(|error| Error::Check(format!("{}: {error}", elf.display())))?;
    let mut functions: Vec<(u64, &str)> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter_map(|symbol| Some((symbol.size(), symbol.name().ok()?)))
        .collect();
    functions.sort_by_key(|&(size, _)| std::cmp::Reverse(size));
    functions.dedup();
    for (size, name) in functions.iter().take(24) {
        println!("    {size:>6}  {name}");
    }
    Ok(())
}

/// Writes the image of an untrained policy under this name and gives its path.
pub(super) fn untrained(workspace: &Workspace, name: &str, sizes: &str, options: &[&str]) -> Result<PathBuf, Error> {
    let folder = workspace.target().join("measure");
    std::fs::create_dir_all(&folder).at(&folder)?;
    let path = folder.join(format!("{name}.pliant"));
    cargo(workspace)
        .args(["run", "--quiet", "--locked", "--package", "pliant-compiler"])
        .args(["--example", "untrained_policy", "--", sizes])
        .arg(&path)
        .args(options)
        .run()?;
    Ok(path)
}

/// Links the measuring program with an image and returns the ELF.
fn link(
    workspace: &Workspace,
    toolchain: &Toolchain,
    image: &Path,
    features: &str,
    level: &str,
) -> Result<PathBuf, Error> {
    super::board_cargo_of(workspace, BOARD, toolchain, PROGRAM, "build")
        .args(["--quiet", "--features", features])
        .env("PLIANT_IMAGE", image)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level)
        .run()?;
    Ok(super::elf_of(workspace, BOARD, toolchain, PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_act_not_of_a_record() {
        let report = "kernel-matmul multiply-accumulates: 8\n    instructions: 50\ninstructions of act: 120\n\
                      multiply-accumulates of act: 40\n";
        assert_eq!(instructions_a_mac(report).unwrap(), 3.0);
        assert!(instructions_a_mac("instructions of act: 120\n").is_err());
    }
}
