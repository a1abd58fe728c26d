//! What the linked ELF holds.

use std::path::Path;

use object::{Object, ObjectSymbol};

use crate::error::{AtPath, Error};

/// Parts of the names of functions that only an allocator or a reachable panic brings in.
const FORBIDDEN: [&str; 12] = [
    "__rust_alloc",
    "__rust_dealloc",
    "__rust_realloc",
    "__rg_alloc",
    "__rdl_alloc",
    "rust_begin_unwind",
    "rust_panic",
    "panic_fmt",
    "panicking",
    "panic_bounds_check",
    "unwrap_failed",
    "expect_failed",
];

/// Fails, naming the symbols, when the ELF holds an allocator or panic machinery.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(path).at(path)?;
    let broken = |error: object::Error| Error::Check(format!("{}: {error}", path.display()));
    let file = object::File::parse(bytes.as_slice()).map_err(broken)?;
    let names: Vec<&str> = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| !name.is_empty())
        .collect();
    // Without a symbol table the check would find nothing, and mean nothing.
    if !names.contains(&"main") {
        return Err(Error::Check(format!("{} has no symbol table", path.display())));
    }
    let found = forbidden(&names);
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::Check(format!("it holds {}", found.join(", ")))),
    }
}

/// The names that only an allocator or a panic brings in.
fn forbidden<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let allocators = ["malloc", "calloc", "realloc", "free"];
    let is_forbidden = |name: &str| allocators.contains(&name) || FORBIDDEN.iter().any(|part| name.contains(part));
    names.iter().copied().filter(|name| is_forbidden(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_allocators_and_panics_by_their_mangled_names() {
        let names = [
            "main",
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_RNvNtCs_4core9panicking18panic_bounds_check",
            "_RNvCs_7___rustc12___rust_alloc",
            "malloc",
            "free_running_counter",
            "_ZN14pliant_runtime4plan4Plan3run17h0123456789abcdefE",
        ];
        assert_eq!(forbidden(&names), &names[1..5]);
    }
}
