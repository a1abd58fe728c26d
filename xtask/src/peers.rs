//! `cargo xtask peers`: the same work on Pliant's engines and on its peers, one thread each, in one run.
//!
//! Every pair of a work and a peer is a process of its own, so that its memory is its own. `benches/peers/` has the sides:
//! `peers.py` (PyTorch, JAX), `rl_tools.cpp`, and a Rust program (Pliant's engines, ONNX Runtime, tract, candle). All contenders
//! of a work are set up, and then take turns of a fraction of a second, round after round: what counts is the median over
//! rounds of the ratio *within* a round, which a machine whose clock drifts cannot bend. The table is of ratios: times of
//! another machine mean little. It goes between the markers of `docs/engines.md`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

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
        others: &["tract", "candle", "jax", "torch", "torch.compile"],
    },
    Work {
        name: "gru",
        title: "GRU-64, 64 steps, batch 256, back-propagation through time",
        pliant: &["plan", "ort"],
        others: &["candle", "rl-tools", "jax", "torch", "torch.compile"],
    },
    Work {
        name: "policy",
        title: "Policy-gradient MAML step, 64x64 tanh, 40 tasks of 2,000 rows",
        pliant: &["plan", "ort"],
        others: &["tract", "candle", "jax", "torch", "torch.compile"],
    },
    Work {
        name: "act-mlp",
        title: "One action, 16-64-64-4 tanh",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract", "candle", "rl-tools"],
    },
    Work {
        name: "act-gru",
        title: "One action, GRU 22-16-16-4",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract", "candle", "rl-tools"],
    },
    Work {
        name: "adapt",
        title: "One adaptation step of `models/sinusoid`, ten rows",
        pliant: &["device", "plan-exact"],
        others: &["ort", "tract", "candle", "rl-tools"],
    },
];

/// Peers of `peers.py`.
const PYTHON: [&str; 3] = ["jax", "torch", "torch.compile"];

/// A peer that is not ready, or does not end a turn, in this time is stopped, and the table says so.
const LIMIT: Duration = Duration::from_secs(400);

/// Rounds, and how long a turn is: more than a scheduler's tick and the time to find the caches cold, less than the clock's
/// drift.
const ROUNDS: usize = 25;
const TURN_SECONDS: f64 = 0.1;

/// Works whose steps are long have fewer rounds: those that this time has room for, and these at least.
const TURNS_TAKE: Duration = Duration::from_secs(60);
const LEAST_ROUNDS: usize = 7;

/// How far the answers of the first step may be apart, as a share.
const TOLERANCE: f64 = 1e-3;

/// The part of `docs/engines.md` that is written.
const MARKERS: [&str; 2] = ["<!-- peers -->\n", "<!-- /peers -->"];

const HEAD: &str = "| work | who | time, Pliant's best = 1 (quartiles) | compiling, s | peak memory, MiB |\n|---|---|---:|---:|---:|\n";

/// Measures these works (all when none is named), prints their rows and writes them into the page, whose other rows stay.
pub(crate) fn run(workspace: &Workspace, works: &[String], install: bool) -> Result<(), Error> {
    if let Some(unknown) = works
        .iter()
        .find(|name| !WORKS.iter().any(|work| work.name == name.as_str()))
    {
        return Err(Error::Usage(format!("peers does not know `{unknown}`")));
    }
    let tools = Tools::provide(workspace, install)?;
    let chosen = |work: &&Work| works.is_empty() || works.iter().any(|name| name == work.name);
    for work in WORKS.iter().filter(chosen) {
        let rows = tools.rows(work);
        println!("\n{HEAD}{rows}");
        // Written work by work: a machine that is taken away keeps what was measured.
        let page = workspace.root().join("docs").join("engines.md");
        let text = std::fs::read_to_string(&page).at(&page)?;
        let table = replaced(&text, work.title, &rows);
        std::fs::write(&page, between(&text, MARKERS, &table)?).at(&page)?;
    }
    Ok(())
}

/// The table of a page with the rows of one work replaced, in the order of the works.
fn replaced(page: &str, title: &str, rows: &str) -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    let table = page.split_once(MARKERS[0]).map_or("", |(_, rest)| rest);
    let table = table.split_once(MARKERS[1]).map_or("", |(table, _)| table);
    for line in table.lines().skip(2) {
        let first = line
            .trim_start_matches('|')
            .split('|')
            .next()
            .unwrap_or_default()
            .trim();
        if let Some(work) = WORKS.iter().find(|work| work.title == first) {
            groups.push((work.title, String::new()));
        }
        if let Some((_, group)) = groups.last_mut() {
            *group += line;
            group.push('\n');
        }
    }
    groups.retain(|(old, _)| *old != title);
    groups.push((title, rows.to_owned()));
    let place = |title: &str| WORKS.iter().position(|work| work.title == title);
    groups.sort_by_key(|(title, _)| place(title));
    groups
        .into_iter()
        .fold(HEAD.to_owned(), |table, (_, group)| table + &group)
}

/// Markers of the tables of [`growth`] in `docs/engines.md`, and what prints each.
const GROWTH: [([&str; 2], &str); 2] = [
    (["<!-- growth -->\n", "<!-- /growth -->"], "growth"),
    (["<!-- products -->\n", "<!-- /products -->"], "products"),
];

/// How a meta-step's time grows with tasks, inner steps and width, and how fast single products are: the figure
/// `docs/growth.svg` and two tables of `docs/engines.md`.
pub(crate) fn growth(workspace: &Workspace) -> Result<(), Error> {
    let library = onnxruntime::provide(workspace, true)?;
    let program = build(workspace)?;
    let docs = workspace.root().join("docs");
    for (markers, what) in GROWTH {
        let mut process = Process::new(&program)
            .arg(what)
            .env("ORT_DYLIB_PATH", &library)
            .env("RAYON_NUM_THREADS", "1");
        if what == "growth" {
            process = process.arg(docs.join("growth.svg"));
        }
        let table = process.output()?;
        println!("{table}");
        let page = docs.join("engines.md");
        let text = std::fs::read_to_string(&page).at(&page)?;
        std::fs::write(&page, between(&text, markers, &table)?).at(&page)?;
    }
    Ok(())
}

/// Products on every instruction set, with and without the matrix-product crate: a table of `docs/engines.md`.
pub(crate) fn products(workspace: &Workspace) -> Result<(), Error> {
    let mut table = String::from("```text\n");
    for feature in ["std", "gemm"] {
        let printed = cargo(workspace)
            .args(["run", "--release", "--locked", "--package", "pliant-runtime"])
            .args(["--features", feature, "--example", "products"])
            .env("CARGO_TARGET_DIR", workspace.target())
            .output()?;
        println!("{printed}");
        table += printed.trim_end();
        table += "\n";
    }
    table += "```";
    let page = workspace.root().join("docs").join("engines.md");
    let text = std::fs::read_to_string(&page).at(&page)?;
    let markers = ["<!-- instruction-sets -->\n", "<!-- /instruction-sets -->"];
    std::fs::write(&page, between(&text, markers, &table)?).at(&page)
}

/// The program of `benches/peers`.
fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    let manifest = workspace.root().join("benches").join("peers").join("Cargo.toml");
    cargo(workspace)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", workspace.target())
        .run()?;
    Ok(workspace.target().join("release").join("pliant-peers"))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A contender of a work: a process that waits for its turns.
struct Contender {
    process: Child,
    turns: Option<ChildStdin>,
    lines: Receiver<String>,
    setup: f64,
    loss: Option<f64>,
    /// Seconds of a step, round by round.
    seconds: Vec<f64>,
    peak_mib: f64,
}

impl Contender {
    /// Starts it and waits until it is ready.
    fn start(mut command: Command) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| Error::Start {
            program: program.clone(),
            source,
            hint: None,
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (sender, lines) = channel();
        let output = process.stdout.take().map(BufReader::new);
        // Its own thread: a pipe has no time limit.
        std::thread::spawn(move || {
            for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut contender = Self {
            turns: process.stdin.take(),
            process,
            lines,
            setup: 0.0,
            loss: None,
            seconds: Vec::new(),
            peak_mib: f64::NAN,
        };
        let ready = contender.json()?;
        contender.setup = ready["setup"].as_f64().unwrap_or(0.0);
        contender.loss = ready["loss"].as_f64();
        if let Some(note) = ready["note"].as_str().filter(|note| !note.is_empty()) {
            println!("   {note}");
        }
        Ok(contender)
    }

    fn line(&mut self) -> Result<String, Error> {
        self.lines.recv_timeout(LIMIT).map_err(|error| {
            let status = match error {
                RecvTimeoutError::Timeout => None,
                RecvTimeoutError::Disconnected => self.process.wait().ok(),
            };
            Error::Check(status.map_or_else(
                || format!("not ready in {} s", LIMIT.as_secs()),
                |status| format!("it ended with {status}"),
            ))
        })
    }

    /// The next line that is an object; what libraries print before is passed over.
    fn json(&mut self) -> Result<Value, Error> {
        loop {
            let line = self.line()?;
            if line.starts_with('{') {
                return serde_json::from_str(&line)
                    .map_err(|error| Error::Check(format!("its line cannot be read: {error}")));
            }
        }
    }

    fn turn(&mut self) -> Result<(), Error> {
        let turns = self
            .turns
            .as_mut()
            .ok_or_else(|| Error::Check("it takes no turns".into()))?;
        writeln!(turns, "{TURN_SECONDS}").map_err(|error| Error::Check(format!("it takes no turn: {error}")))?;
        let line = self.line()?;
        let seconds: f64 = line
            .trim()
            .parse()
            .map_err(|_| Error::Check(format!("`{line}` is no time")))?;
        self.seconds.push(seconds);
        Ok(())
    }

    /// No more turns: what it took of memory.
    fn finish(&mut self) -> Result<(), Error> {
        self.turns = None;
        self.peak_mib = self.json()?["peak_mib"].as_f64().unwrap_or(f64::NAN);
        Ok(())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Where it ended by itself there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lower quartile, median and upper quartile.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        values
            .get(values.len().saturating_sub(1) * quarter / 4)
            .copied()
            .unwrap_or(f64::NAN)
    })
}

/// The rows of a work: `contenders` are Pliant's `own` first; those that failed say why.
fn table(work: &Work, contenders: &[(&str, Result<Contender, Error>)]) -> String {
    let own = &contenders[..work.pliant.len()];
    let median = |contender: &Contender| quartiles(contender.seconds.iter().copied())[1];
    let best = own
        .iter()
        .filter_map(|(_, contender)| contender.as_ref().ok())
        .min_by(|a, b| median(a).total_cmp(&median(b)));
    let mut rows = String::new();
    for (index, (peer, contender)) in contenders.iter().enumerate() {
        let title = if index == 0 { work.title } else { "" };
        let who = if index < own.len() {
            format!("Pliant, {peer}")
        } else {
            (*peer).to_owned()
        };
        let wrong = |contender: &Contender| match (contender.loss, best.and_then(|best| best.loss)) {
            (Some(own), Some(best)) => (own - best).abs() > TOLERANCE * best.abs(),
            _ => false,
        };
        let cells = match (contender, best) {
            (Ok(contender), _) if wrong(contender) => {
                format!("no result: another answer, {} | | ", contender.loss.unwrap_or(f64::NAN))
            }
            (Ok(contender), Some(best)) => {
                println!("   {peer}: {:.3e} s", median(contender));
                let ratios = contender
                    .seconds
                    .iter()
                    .zip(&best.seconds)
                    .map(|(own, best)| own / best);
                let [low, middle, high] = quartiles(ratios);
                let setup = match contender.setup {
                    setup if setup > 0.0 => format!("{setup:.2}"),
                    _ => String::new(),
                };
                format!(
                    "{middle:.2} ({low:.2} to {high:.2}) | {setup} | {:.0}",
                    contender.peak_mib
                )
            }
            (Ok(_), None) => "no result of Pliant's to compare with | | ".to_owned(),
            (Err(error), _) => format!("no result: {} | | ", first_line(&error.to_string())),
        };
        rows += &format!("| {title} | {who} | {cells} |\n");
    }
    rows
}

/// What runs the works.
struct Tools {
    python: PathBuf,
    script: PathBuf,
    program: PathBuf,
    rl_tools: Result<PathBuf, Error>,
    library: PathBuf,
}

impl Tools {
    fn provide(workspace: &Workspace, install: bool) -> Result<Self, Error> {
        let folder = workspace.root().join("benches").join("peers");
        let library = onnxruntime::provide(workspace, install)?;
        let python = environment(workspace, &folder.join("requirements.txt"), install)?;
        Ok(Self {
            program: build(workspace)?,
            rl_tools: rl_tools(workspace, &python, &folder),
            python,
            script: folder.join("peers.py"),
            library,
        })
    }

    /// Sets all contenders of a work up, lets them take turns, and says what came of it.
    fn rows(&self, work: &Work) -> String {
        let mut contenders: Vec<(&str, Result<Contender, Error>)> = Vec::new();
        for peer in work.pliant.iter().chain(work.others) {
            println!("{} on {peer}", work.name);
            contenders.push((*peer, self.command(work.name, peer).and_then(Contender::start)));
        }
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round >= LEAST_ROUNDS && start.elapsed() > TURNS_TAKE {
                break;
            }
            let mut order: Vec<usize> = (0..contenders.len()).collect();
            // There and back, so that nobody always follows the same neighbour.
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let (_, contender) = &mut contenders[index];
                if let Ok(running) = contender
                    && let Err(error) = running.turn()
                {
                    *contender = Err(error);
                }
            }
        }
        for (_, contender) in &mut contenders {
            if let Ok(running) = contender
                && let Err(error) = running.finish()
            {
                *contender = Err(error);
            }
        }
        table(work, &contenders)
    }

    /// One work on one peer.
    fn command(&self, work: &str, peer: &str) -> Result<Command, Error> {
        let mut words = Vec::new();
        if has_program("taskset") {
            // One thread, whatever a peer believes.
            words.extend(["taskset", "-c", "0"].map(PathBuf::from));
        }
        match peer {
            peer if PYTHON.contains(&peer) => words.extend([self.python.clone(), self.script.clone()]),
            "rl-tools" => match &self.rl_tools {
                Ok(program) => words.push(program.clone()),
                Err(error) => return Err(Error::Check(error.to_string())),
            },
            _ => words.push(self.program.clone()),
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(work);
        if peer != "rl-tools" {
            command.arg(peer);
        }
        command.env("ORT_DYLIB_PATH", &self.library);
        for threads in [
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "RAYON_NUM_THREADS",
        ] {
            command.env(threads, "1");
        }
        // Without it candle cuts the history of gradients, and has no second order.
        command.env("CANDLE_GRAD_DO_NOT_DETACH", "1");
        // Compiled as at first sight: what an earlier run left would hide the time.
        command.env("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1");
        // Some machines pin OpenBLAS to an old core's kernels: not what a user of the peer would run.
        command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
        Ok(command)
    }
}

/// Compiles the works of rl-tools with the headers of its Python package.
fn rl_tools(workspace: &Workspace, python: &Path, folder: &Path) -> Result<PathBuf, Error> {
    const PLACES: &str = "import importlib.util as u; \
        print(*(u.find_spec(name).submodule_search_locations[0] for name in ('rltools', 'scipy_openblas32')), sep='\\n')";
    let places = Process::new(python).args(["-c", PLACES]).output()?;
    let mut places = places.lines().map(PathBuf::from);
    let (Some(headers), Some(blas)) = (places.next(), places.next()) else {
        return Err(Error::Check(
            "the Python packages rltools and scipy-openblas32 are not installed".into(),
        ));
    };
    let library = blas.join("lib");
    let program = workspace.target().join("peers").join("rl-tools");
    Process::new("g++")
        .args(["-std=c++17", "-O3", "-march=native", "-ffast-math"])
        // The wheel's functions have a prefix.
        .args(["-Dcblas_sgemm=scipy_cblas_sgemm", "-Dcblas_dgemm=scipy_cblas_dgemm"])
        .arg("-I")
        .arg(headers.join("external").join("rl_tools").join("include"))
        .arg("-I")
        .arg(blas.join("include"))
        .arg(folder.join("rl_tools.cpp"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(&library)
        .args(["-lscipy_openblas", &format!("-Wl,-rpath,{}", library.display())])
        .hint("rl-tools is compiled with g++ (`apt-get install g++`)")
        .output()?;
    Ok(program)
}

/// A Python with the pinned wheels, below the target folder.
fn environment(workspace: &Workspace, requirements: &Path, install: bool) -> Result<PathBuf, Error> {
    let folder = workspace.target().join("peers").join("venv");
    let interpreter = folder.join("bin").join("python");
    let works = || {
        let imports = Process::new(&interpreter)
            .args(["-c", "import jax, torch, scipy_openblas32"])
            .silent();
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
    fn rows_of_other_works_stay_and_the_order_is_that_of_the_works() {
        let page = |table: &str| format!("a\n{}{HEAD}{table}{}\nb", MARKERS[0], MARKERS[1]);
        let adapt = format!("| {} | Pliant, device | 1.00 |\n|  | ort | 3.00 |\n", WORKS[5].title);
        let gru = format!("| {} | Pliant, plan | 1.00 |\n|  | jax | 2.00 |\n", WORKS[1].title);
        let table = replaced(&page(&adapt), WORKS[1].title, &gru);
        assert_eq!(table, format!("{HEAD}{gru}{adapt}"));
        let newer = gru.replace("2.00", "4.00");
        assert_eq!(
            replaced(&page(&table[HEAD.len()..]), WORKS[1].title, &newer),
            format!("{HEAD}{newer}{adapt}")
        );
    }

    #[test]
    fn contenders_take_turns_and_a_wrong_answer_is_no_result() {
        let work = Work {
            name: "w",
            title: "t",
            pliant: &["plan"],
            others: &["twice", "wrong", "gone"],
        };
        let script = |seconds: &str, loss: &str| {
            let mut command = Command::new("sh");
            let script = format!(
                r#"echo noise; echo '{{"setup": 0.5, "loss": {loss}}}'; while read span; do echo {seconds}; done; echo '{{"peak_mib": 7}}'"#
            );
            command.args(["-c", &script]);
            Contender::start(command)
        };
        let mut gone = Command::new("sh");
        gone.args(["-c", "exit 3"]);
        let mut contenders = vec![
            ("plan", script("1e-3", "2.0")),
            ("twice", script("2e-3", "2.0001")),
            ("wrong", script("1e-4", "2.1")),
            ("gone", Contender::start(gone)),
        ];
        for (_, contender) in &mut contenders {
            if let Ok(contender) = contender {
                contender.turn().unwrap();
                contender.finish().unwrap();
            }
        }
        let rows = table(&work, &contenders);
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows[0], "| t | Pliant, plan | 1.00 (1.00 to 1.00) | 0.50 | 7 |");
        assert_eq!(rows[1], "|  | twice | 2.00 (2.00 to 2.00) | 0.50 | 7 |");
        assert!(rows[2].contains("another answer, 2.1"), "{}", rows[2]);
        assert!(rows[3].contains("no result: it ended"), "{}", rows[3]);
    }

    #[test]
    fn the_table_goes_between_the_markers() {
        let page = "before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n";
        let new = between(page, MARKERS, "new\n").unwrap();
        assert_eq!(new, "before\n<!-- peers -->\nnew\n<!-- /peers -->\nafter\n");
        assert!(between("nothing", MARKERS, "new\n").is_err());
    }
}
