//! `ARCHITECTURE.md` against the tree.
//!
//! Paths are read from two places: inline code that holds a `/`, and fenced blocks marked `text` or unmarked in which every
//! line is an indented path followed by a description:
//!
//! ```text
//! runtime/            the device side
//!   src/kernels/      one kernel a file
//! ```
//!
//! Words with a placeholder (`models/<name>`) or a wildcard are no paths.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{AtPath, Error};
use crate::process::Process;
use crate::workspace::Workspace;

/// Compares the map with what git tracks; the error lists every difference.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let file = workspace.root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&file).at(&file)?;
    let tracked = Process::new("git")
        .args(["ls-files"])
        .current_dir(workspace.root())
        .output()?;
    let differences = differences(&text, tracked.lines(), |path| workspace.root().join(path).exists());
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::Check(format!(
            "differs from the tree:\n    {}",
            differences.join("\n    ")
        ))),
    }
}

/// Every sentence about a path that is named and missing, or there and not named.
fn differences<'t>(map: &str, tracked: impl Iterator<Item = &'t str>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named = named_paths(map);
    let gone = named
        .iter()
        .filter(|path| !exists(path))
        .map(|path| format!("{path} is named and does not exist"));
    let mut expected = BTreeSet::new();
    for path in tracked.filter(|path| !path.starts_with('.')) {
        if let Some((top, _)) = path.split_once('/') {
            expected.insert(top.to_owned());
        }
        let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or_default();
        if path.ends_with(".rs") && folder.split('/').any(|part| part == "src") {
            expected.insert(folder.to_owned());
        }
    }
    let silent = expected.into_iter().filter(|folder| !named.contains(folder));
    gone.chain(silent.map(|folder| format!("{folder} is there and is not named")))
        .collect()
}

/// The paths that the document names, without trailing slashes.
fn named_paths(map: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut fence: Option<bool> = None;
    // Indentation and path of the lines above, outermost first.
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in map.lines() {
        if let Some(label) = line.trim_start().strip_prefix("```") {
            fence = match fence {
                None => Some(label.is_empty() || label == "text"),
                Some(_) => None,
            };
            above.clear();
            continue;
        }
        match fence {
            Some(true) => {
                let indentation = line.len() - line.trim_start().len();
                let Some(word) = line
                    .split_whitespace()
                    .next()
                    .filter(|word| is_path(word, !above.is_empty()))
                else {
                    continue;
                };
                above.retain(|(column, _)| *column < indentation);
                let parent = above.last().map_or(String::new(), |(_, parent)| format!("{parent}/"));
                let path = format!("{parent}{}", word.trim_end_matches('/'));
                named.insert(path.clone());
                above.push((indentation, path));
            }
            Some(false) => {}
            None => {
                let code = line.split('`').skip(1).step_by(2);
                named.extend(
                    code.filter(|word| is_path(word, false) && word.contains('/'))
                        .map(|word| word.trim_end_matches('/').to_owned()),
                );
            }
        }
    }
    // Naming a file or folder names the folders on the way to it.
    let parents: Vec<String> = named
        .iter()
        .flat_map(|path| Path::new(path).ancestors().skip(1))
        .filter_map(|parent| parent.to_str().filter(|parent| !parent.is_empty()).map(str::to_owned))
        .collect();
    named.extend(parents);
    named
}

fn is_path(word: &str, inside: bool) -> bool {
    let plain = word
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    let looks_like_one = word.contains('/') || (word.contains('.') && !word.ends_with('.')) || inside;
    plain && looks_like_one && !word.starts_with('/') && !word.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "The runtime lies in `runtime/src/` and knows no `std::vec`.\n\
        ```text\n\
        Cargo.toml     versions\n\
        compiler/      graphs in\n\
        \x20 src/ops/    one file per operator\n\
        models/<name>/ bundles\n\
        ```\n\
        ```rust\n\
        let not = a/path;\n\
        ```\n";

    #[test]
    fn reads_inline_paths_and_trees() {
        let named: Vec<String> = named_paths(MAP).into_iter().collect();
        assert_eq!(
            named,
            [
                "Cargo.toml",
                "compiler",
                "compiler/src",
                "compiler/src/ops",
                "runtime",
                "runtime/src"
            ]
        );
    }

    #[test]
    fn says_what_is_gone_and_what_is_not_named() {
        let tracked = [
            "Cargo.toml",
            ".ci/run",
            "compiler/src/ops/add.rs",
            "runtime/src/lib.rs",
            "trainer/src/nn/linear.rs",
        ];
        let found = differences(MAP, tracked.into_iter(), |path| path != "compiler/src/ops");
        assert_eq!(
            found,
            [
                "compiler/src/ops is named and does not exist",
                "trainer is there and is not named",
                "trainer/src/nn is there and is not named"
            ]
        );
    }
}
