//! Brings what the tests need and this machine lacks, by the system's own means.
//!
//! Every function returns [`Missing`](crate::error::Missing) with the exact commands where it may not, or cannot, install.

pub(crate) mod apt;
pub(crate) mod browser;
pub(crate) mod onnxruntime;
pub(crate) mod python;

/// Whether a program of this name can be started.
pub(crate) fn has_program(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}
