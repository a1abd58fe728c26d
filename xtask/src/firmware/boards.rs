//! The emulated boards.

use super::measure;
use crate::error::Missing;
use crate::provide::{apt, has_program};

/// A board of `firmware-examples/`: what it is built for and what emulates it.
#[derive(Debug)]
pub(crate) struct Board {
    /// Its package, folder and ELF.
    pub(crate) package: &'static str,
    /// The programs that run on it, each with the features it is linted with.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// The Rust target.
    pub(crate) target: &'static str,
    /// The emulator's program.
    pub(crate) emulator: &'static str,
    /// The Debian package of the emulator.
    emulator_package: &'static str,
    /// What the emulator emulates.
    pub(crate) machine: &'static [&'static str],
}

/// Every board; the first is the one whose figures the README states.
pub(crate) const BOARDS: [Board; 2] = [
    Board {
        package: "cortex-m4-qemu",
        programs: &[
            ("cortex-m4-qemu", ""),
            (measure::PROGRAM, "records"),
            (measure::PROGRAM, "adaptation"),
            (super::REAL_TIME, ""),
            (super::trust::PACKAGE, ""),
            (super::motifs::PACKAGE, ""),
            (super::flight::PACKAGE, ""),
        ],
        // Cortex-M4F and M7F, hard-float calls.
        target: "thumbv7em-none-eabihf",
        emulator: "qemu-system-arm",
        emulator_package: "qemu-system-arm",
        machine: &["-machine", "mps2-an386"],
    },
    Board {
        package: "riscv-qemu",
        programs: &[("riscv-qemu", "")],
        target: "riscv32imafc-unknown-none-elf",
        emulator: "qemu-system-riscv32",
        emulator_package: "qemu-system-misc",
        machine: &["-machine", "virt", "-bios", "none"],
    },
];

impl Board {
    /// Whether a program of `firmware-examples/` is for this board.
    pub(crate) fn runs(&self, program: &str) -> bool {
        self.programs.iter().any(|(name, _)| *name == program)
    }

    /// Makes sure that the emulator can be started.
    pub(crate) fn provide_emulator(&self, install: bool) -> Result<(), Missing> {
        match has_program(self.emulator) {
            true => Ok(()),
            false => apt::provide(
                &format!("the emulator of {}", self.package),
                &[self.emulator_package],
                install,
            ),
        }
    }
}
