//! The browser that opens reports in tests.

use super::{apt, has_program};
use crate::error::Missing;

/// The browser's program name.
pub(crate) const PROGRAM: &str = "chromium";

/// Makes sure that the browser can be started.
pub(crate) fn provide(install: bool) -> Result<(), Missing> {
    match has_program(PROGRAM) {
        true => Ok(()),
        false => apt::provide(
            "the browser that opens reports",
            &[PROGRAM, "fonts-dejavu-core"],
            install,
        ),
    }
}
