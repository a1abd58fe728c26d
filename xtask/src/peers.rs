//! `cargo xtask peers`: the same work on Pliant's engines and on its peers, one thread each, in one run.
//!
//! Every pair of a work and a peer is a process of its own, so that its memory is its own. `benches/peers/` has both
//! sides: `peers.py` (PyTorch, JAX) and a Rust program (Pliant's engines, ONNX Runtime, tract). The table is of ratios: times
//! of another machine mean little. It goes between the markers of `docs/engines.md`.

use std::path::PathBuf;

use serde_json::Value;

use crate::docs::between;
use crate::error::{AtPath, Error, Missing};
use crate::process::{Process, cargo};
use crate::provide::{has_program, onnxruntime, python};
use crate::workspace::Workspace;

/// A work and who does it: Pliant's first, then the others.
struct Work {
    name: &'static str,
    title: &'static str,
    pliant: &'static [&'static str],
    others: &'static [&'static str],
}

const WORKS: [Work; 6] = [
    Work {
        name: "maml",
        title: "Second-order MAML step, 25 sinusoids, 1-40-40-1",
        pliant: &["plan", "ort"],
        others: &["tract", "jax", "torch", "torch.compile"],
    },
    Work {
        name: "gru",
        title: "GRU-64, 64 steps, batch 256, back-propagation through time",
        pliant: &["plan", "ort"],
        others: &["jax", "torch", "torch.compile"],
    },
    Work {
        name: "policy",
        title: "Policy-gradient MAML step, 64x64 tanh, 40 tasks of 2,000 rows",
        pliant: &["plan", "ort"],
        others: &["jax", "torch", "torch.compile"],
    },
    Work {
        name: "act-mlp",
        title: "One action, 16-64-64-4 tanh",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract"],
    },
    Work {
        name: "act-gru",
        title: "One action, GRU 22-16-16-4",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract"],
    },
    Work {
        name: "adapt",
        title: "One adaptation step of `models/sinusoid`, ten rows",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract"],
    },
];

/// Peers of `peers.py`.
const PYTHON: [&str; 3] = ["jax", "torch", "torch.compile"];

/// A compiler that takes longer than this is stopped, and the table says so.
const LIMIT_SECONDS: u64 = 400;

/// The part of `docs/engines.md` that is written.
const MARKERS: [&str; 2] = ["<!-- peers -->\n", "<!-- /peers -->"];

/// Measures these works (all when none is named), prints the table and writes it into the page.
pub(crate) fn run(workspace: &Workspace, works: &[String], install: bool) -> Result<(), Error> {
    if let Some(unknown) = works
        .iter()
        .find(|name| !WORKS.iter().any(|work| work.name == name.as_str()))
    {
        return Err(Error::Usage(format!("peers does not know `{unknown}`")));
    }
    let tools = Tools::provide(workspace, install)?;
    let mut table = String::from(
        "| work | who | time, Pliant's best = 1 | compiling, s | peak memory, MiB |\n|---|---|---:|---:|---:|\n",
    );
    for work in WORKS
        .iter()
        .filter(|work| works.is_empty() || works.iter().any(|name| name == work.name))
    {
        let mut lines = Vec::new();
        for peer in work.pliant.iter().chain(work.others) {
            println!("{} on {peer}", work.name);
            lines.push((*peer, tools.measure(work.name, peer)));
        }
        let seconds = |(_, result): &(&str, Result<Value, Error>)| result.as_ref().ok()?["seconds"].as_f64();
        let best = lines[..work.pliant.len()]
            .iter()
            .filter_map(seconds)
            .fold(f64::INFINITY, f64::min);
        for (index, (peer, result)) in lines.iter().enumerate() {
            let title = if index == 0 { work.title } else { "" };
            let who = if index < work.pliant.len() {
                format!("Pliant, {peer}")
            } else {
                (*peer).to_owned()
            };
            table += &match result {
                Ok(line) => {
                    let number = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
                    let setup = number("setup");
                    let setup = if setup > 0.0 {
                        format!("{setup:.2}")
                    } else {
                        String::new()
                    };
                    println!(
                        "   {:.3e} s; {}",
                        number("seconds"),
                        line["note"].as_str().unwrap_or("")
                    );
                    format!(
                        "| {title} | {who} | {:.2} | {setup} | {:.0} |\n",
                        number("seconds") / best,
                        number("peak_mib")
                    )
                }
                Err(error) => {
                    println!("   {error}");
                    format!(
                        "| {title} | {who} | no result: {} | | |\n",
                        first_line(&error.to_string())
                    )
                }
            };
        }
    }
    println!("\n{table}");
    if works.is_empty() {
        let page = workspace.root().join("docs").join("engines.md");
        let text = std::fs::read_to_string(&page).at(&page)?;
        std::fs::write(&page, between(&text, MARKERS, &table)?).at(&page)?;
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What runs the works.
struct Tools {
    python: PathBuf,
    script: PathBuf,
    program: PathBuf,
    library: PathBuf,
}

impl Tools {
    fn provide(workspace: &Workspace, install: bool) -> Result<Self, Error> {
        let folder = workspace.root().join("benches").join("peers");
        let library = onnxruntime::provide(workspace, install)?;
        let python = environment(workspace, &folder.join("requirements.txt"), install)?;
        cargo(workspace)
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", workspace.target())
            .run()?;
        Ok(Self {
            python,
            script: folder.join("peers.py"),
            program: workspace.target().join("release").join("pliant-peers"),
            library,
        })
    }

    /// One work on one peer: the line it prints.
    fn measure(&self, work: &str, peer: &str) -> Result<Value, Error> {
        let mut words = Vec::new();
        if has_program("taskset") {
            // One thread, whatever a peer believes.
            words.extend(["taskset", "-c", "0"].map(PathBuf::from));
        }
        if PYTHON.contains(&peer) {
            words.extend([self.python.clone(), self.script.clone()]);
        } else {
            words.push(self.program.clone());
        }
        let text = Process::new(&words[0])
            .args(&words[1..])
            .args([work, peer])
            .env("ORT_DYLIB_PATH", &self.library)
            .limit(LIMIT_SECONDS)
            .output()?;
        let last = text
            .lines()
            .rev()
            .find(|line| line.starts_with('{'))
            .unwrap_or_default();
        serde_json::from_str(last).map_err(|error| Error::Check(format!("{work} on {peer} printed no line: {error}")))
    }
}

/// A Python with the pinned wheels, below the target folder.
fn environment(workspace: &Workspace, requirements: &std::path::Path, install: bool) -> Result<PathBuf, Error> {
    let folder = workspace.target().join("peers").join("venv");
    let interpreter = folder.join("bin").join("python");
    let works = || {
        let imports = Process::new(&interpreter).args(["-c", "import jax, torch"]).silent();
        imports.is_ok_and(|done| done.status.success())
    };
    if works() {
        return Ok(interpreter);
    }
    let commands = [
        format!("{} -m venv {}", python::PYTHON, folder.display()),
        format!("{} -m pip install -r {}", interpreter.display(), requirements.display()),
    ];
    let missing = |why: &str| Missing {
        what: "PyTorch and JAX".to_owned(),
        why: why.to_owned(),
        commands: commands.to_vec(),
    };
    if !install {
        return Err(missing("not allowed to download").into());
    }
    println!("fetching PyTorch and JAX (3 GB)");
    let made = Process::new(python::PYTHON)
        .args(["-m", "venv"])
        .arg(&folder)
        .silent()?;
    if !made.status.success() {
        return Err(missing("no virtual environment can be made").into());
    }
    let installed = Process::new(&interpreter)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary=:all:",
            "--requirement",
        ])
        .arg(requirements)
        .limit(1800)
        .silent()?;
    match works() {
        true => Ok(interpreter),
        false => Err(missing(installed.errors.lines().last().unwrap_or("pip failed")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_the_markers() {
        let page = "before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n";
        let new = between(page, MARKERS, "new\n").unwrap();
        assert_eq!(new, "before\n<!-- peers -->\nnew\n<!-- /peers -->\nafter\n");
        assert!(between("nothing", MARKERS, "new\n").is_err());
    }
}
