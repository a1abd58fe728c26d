//! Measured figures in the README and the pages under `docs/`.
//!
//! A figure stands between markers that a reader does not see, `<!-- figure:act.plan_ns -->198<!-- /figure -->`;
//! its value is the string or number at `act` / `plan_ns` in `docs/figures.json`. So a figure is stated once, where the
//! command that measured it wrote it, and a check compares the rest.

use serde_json::Value;

use crate::error::{AtPath, Error};
use crate::workspace::Workspace;

const OPEN: &str = "<!-- figure:";
const OPEN_END: &str = " -->";
const CLOSE: &str = "<!-- /figure -->";

/// Writes the figures into the README and the pages under `docs/`, or only compares.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<(), Error> {
    let docs = workspace.root().join("docs");
    let source = docs.join("figures.json");
    let figures = std::fs::read_to_string(&source).at(&source)?;
    let figures: Value = serde_json::from_str(&figures)
        .map_err(|error| Error::Check(format!("{} is not JSON: {error}", source.display())))?;
    let mut pages = vec![workspace.root().join("README.md")];
    for folder in [docs.clone(), docs.join("algorithms")] {
        for entry in std::fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    let mut stale = Vec::new();
    for page in pages {
        let before = std::fs::read_to_string(&page).at(&page)?;
        let after = filled(&before, &figures).map_err(|error| Error::Check(format!("{}: {error}", page.display())))?;
        if before == after {
            continue;
        }
        if !check {
            std::fs::write(&page, after).at(&page)?;
            continue;
        }
        let name = page.strip_prefix(workspace.root()).unwrap_or(&page).display();
        let lines = changed_lines(&before, &after);
        stale.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(Error::Check(format!(
        "other figures than docs/figures.json has; write them with `cargo xtask docs`:\n    {}",
        stale.join("\n    ")
    )))
}

/// The text with every figure's value put between its markers.
fn filled(text: &str, figures: &Value) -> Result<String, Error> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once(OPEN) {
        let broken = || {
            Error::Check(format!(
                "a figure is not closed: {OPEN}{}",
                opened.lines().next().unwrap_or_default()
            ))
        };
        let (name, inside) = opened.split_once(OPEN_END).ok_or_else(broken)?;
        let (old, after) = inside.split_once(CLOSE).ok_or_else(broken)?;
        if old.contains(OPEN) {
            return Err(broken());
        }
        let value = match name.split('.').fold(figures, |value, key| &value[key]) {
            Value::String(value) => value.clone(),
            Value::Number(value) => value.to_string(),
            _ => return Err(Error::Check(format!("docs/figures.json has no figure `{name}`"))),
        };
        result.extend([before, OPEN, name, OPEN_END, &value, CLOSE]);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let pairs = before.lines().zip(after.lines()).filter(|(old, new)| old != new);
    pairs.map(|(_, new)| new.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Value {
        serde_json::json!({ "act": { "plan_ns": 198, "note": "1.1 times" } })
    }

    #[test]
    fn fills_in_and_is_then_stable() {
        let text =
            "act takes <!-- figure:act.plan_ns -->1<!-- /figure --> ns, <!-- figure:act.note --><!-- /figure -->.\n";
        let once = filled(text, &figures()).unwrap();
        assert_eq!(
            once,
            "act takes <!-- figure:act.plan_ns -->198<!-- /figure --> ns, <!-- figure:act.note -->1.1 times<!-- /figure -->.\n"
        );
        assert_eq!(filled(&once, &figures()).unwrap(), once);
    }

    #[test]
    fn refuses_an_unknown_figure_and_an_open_one() {
        let unknown = filled("<!-- figure:act.gone -->1<!-- /figure -->", &figures())
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("act.gone"), "{unknown}");
        let open = filled(
            "<!-- figure:act.plan_ns -->1 <!-- figure:act.note -->2<!-- /figure -->",
            &figures(),
        );
        assert!(open.unwrap_err().to_string().contains("not closed"));
    }
}
