//! The emulator that the firmware example runs under.

use super::{apt, has_program};
use crate::error::Missing;

/// The emulator's program name.
pub(crate) const PROGRAM: &str = "qemu-system-arm";

/// Makes sure that the emulator can be started.
pub(crate) fn provide(install: bool) -> Result<(), Missing> {
    match has_program(PROGRAM) {
        true => Ok(()),
        false => apt::provide("the emulator for Cortex-M", &[PROGRAM], install),
    }
}
