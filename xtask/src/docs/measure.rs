//! Measures what the README states, and writes it to `docs/figures.json`.
//!
//! Each part is one object of that file and can be measured by itself, so that a long training need not be repeated for a
//! new benchmark. A part holds numbers as measured; only rounding happens here. Task conflict, diagnosis, together, lane keeping and growth
//! write pages of their own.

use serde_json::{Map, Value, json};

use super::between;
use crate::error::{AtPath, Error};
use crate::firmware;
use crate::firmware::toolchain::Choice;
use crate::peers;
use crate::process::cargo;
use crate::provide;
use crate::workspace::Workspace;

/// What can be measured, in order.
pub(crate) const PARTS: [&str; 16] = [
    "sinusoid",
    "navigation",
    "quadrotor",
    "quadrotor-robust",
    "quadrotor-small",
    "ppo",
    "speed",
    "firmware",
    "task-conflict",
    "multi-task-ppo",
    "diagnosis",
    "motifs",
    "together",
    "lane-keeping",
    "growth",
    "products",
];

/// Seeds of every stochastic figure.
const SEEDS: [u32; 3] = [0, 1, 2];

/// Measures these parts (all when none is named) and writes them beside the others.
pub(crate) fn run(workspace: &Workspace, parts: &[String]) -> Result<(), Error> {
    let path = workspace.root().join("docs").join("figures.json");
    let mut figures: Map<String, Value> = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|error| Error::Check(format!("{} is not JSON: {error}", path.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error).at(&path),
    };
    for part in PARTS {
        if !parts.is_empty() && !parts.iter().any(|name| name == part) {
            continue;
        }
        println!("== measuring {part}");
        if part == "task-conflict" {
            task_conflict(workspace)?;
            continue;
        }
        if part == "multi-task-ppo" {
            multi_task_ppo(workspace)?;
            continue;
        }
        if part == "diagnosis" {
            diagnosis(workspace)?;
            continue;
        }
        if let "together" | "lane-keeping" = part {
            page(workspace, part)?;
            continue;
        }
        if part == "growth" {
            peers::growth(workspace)?;
            continue;
        }
        if part == "products" {
            peers::products(workspace)?;
            continue;
        }
        let measured = match part {
            "sinusoid" => sinusoid(workspace)?,
            "navigation" => navigation(workspace)?,
            // Policies that fly: each scored through its device image on the same vehicles.
            "quadrotor" | "quadrotor-robust" | "quadrotor-small" => trained(workspace, part, part, &[])?,
            "ppo" => ppo(workspace)?,
            "motifs" => trained(workspace, "motifs", "motifs", &[])?,
            "speed" => speed(workspace)?,
            _ => board(workspace)?,
        };
        figures.insert(part.to_owned(), measured);
        // After each part: the next may take minutes, and may fail.
        let text = serde_json::to_string_pretty(&figures).expect("maps of numbers and strings");
        std::fs::write(&path, text + "\n").at(&path)?;
    }
    Ok(())
}

/// Both shot counts, each trained with three seeds and scored through its device image.
fn sinusoid(workspace: &Workspace) -> Result<Value, Error> {
    let mut shots = Map::new();
    for count in [5, 10] {
        let set = format!("family.sinusoid.shots={count}");
        let name = format!("sinusoid-{count}");
        shots.insert(
            format!("shots{count}"),
            trained(workspace, "sinusoid", &name, &["--set", &set])?,
        );
    }
    Ok(Value::Object(shots))
}

fn navigation(workspace: &Workspace) -> Result<Value, Error> {
    trained(workspace, "point-navigation", "point-navigation", &[])
}

/// The race on Gym's pendulum, and how many steps a second recurrent training takes.
fn ppo(workspace: &Workspace) -> Result<Value, Error> {
    Ok(json!({
        "swing_up": trained(workspace, "swing-up", "swing-up", &[])?,
        "cart_pole": trained(workspace, "cart-pole-ppo", "cart-pole-ppo", &[])?,
    }))
}

/// Trains a recipe with each seed: the score after each step (mean of the seeds, and each), and what it took.
///
/// What a run printed is kept beside its bundle, `target/measure/NAME-SEED.json`, and not repeated while it is there.
fn trained(workspace: &Workspace, recipe: &str, name: &str, more: &[&str]) -> Result<Value, Error> {
    let mut outcomes = Vec::new();
    for seed in SEEDS {
        let folder = workspace.target().join("measure");
        std::fs::create_dir_all(&folder).at(&folder)?;
        let kept = folder.join(format!("{name}-{seed}.json"));
        if !kept.exists() {
            let output = cargo(workspace)
                .args(["run", "--release", "--quiet", "--package", "pliant-trainer", "--"])
                .args(["train", recipe, "--seed", &seed.to_string(), "--json", "--out"])
                .arg(folder.join(format!("{name}-{seed}")))
                .args(more)
                .output()?;
            std::fs::write(&kept, output).at(&kept)?;
        }
        let text = std::fs::read_to_string(&kept).at(&kept)?;
        let outcome: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Check(format!("{} is not JSON: {error}; delete it", kept.display())))?;
        println!(
            "   seed {seed}: {}",
            scores(&outcome["evaluation"]["adaptation"]).join("  ")
        );
        outcomes.push(outcome);
    }
    let steps = outcomes[0]["evaluation"]["adaptation"].as_array().map_or(0, Vec::len);
    let mut result = Map::new();
    for index in 0..steps {
        let means: Vec<f64> = numbers(&outcomes, |outcome| &outcome["evaluation"]["adaptation"][index]["mean"]);
        let step = &outcomes[0]["evaluation"]["adaptation"][index]["step"];
        let each: Vec<String> = means.iter().map(|mean| rounded(*mean)).collect();
        result.insert(
            format!("step{step}"),
            json!({ "mean": rounded(means.iter().sum::<f64>() / means.len() as f64), "each": each.join(", ") }),
        );
    }
    // What was scored besides, by its name.
    let also = outcomes[0]["evaluation"]["also"].as_array().map_or(0, Vec::len);
    for index in 0..also {
        let name = outcomes[0]["evaluation"]["also"][index]["name"].as_str().unwrap_or("");
        let means: Vec<f64> = numbers(&outcomes, |outcome| {
            &outcome["evaluation"]["also"][index]["adaptation"][0]["mean"]
        });
        let each: Vec<String> = means.iter().map(|mean| rounded(*mean)).collect();
        result.insert(name.to_owned(), each.join(", ").into());
    }
    // What it is compared with, at its last step.
    let baselines = outcomes[0]["baselines"].as_array().map_or(0, Vec::len);
    for index in 0..baselines {
        let name = outcomes[0]["baselines"][index]["name"].as_str().unwrap_or("");
        let means = numbers(&outcomes, |outcome| {
            let steps = outcome["baselines"][index]["adaptation"].as_array();
            steps
                .and_then(|steps| steps.last())
                .map_or(&Value::Null, |step| &step["mean"])
        });
        let each: Vec<String> = means.iter().map(|mean| rounded(*mean)).collect();
        let mean = rounded(means.iter().sum::<f64>() / means.len().max(1) as f64);
        result.insert(
            format!("baseline {name}"),
            json!({ "mean": mean, "each": each.join(", ") }),
        );
    }
    let seconds = numbers(&outcomes, |outcome| &outcome["seconds"]);
    let environment_steps = numbers(&outcomes, |outcome| &outcome["train_env_steps"]);
    let decimals = if largest(&seconds) < 10.0 { 2 } else { 0 };
    result.insert("seconds".into(), format!("{:.decimals$}", largest(&seconds)).into());
    result.insert(
        "millions".into(),
        format!("{:.1}", largest(&environment_steps) / 1e6).into(),
    );
    let rates = environment_steps
        .iter()
        .zip(&seconds)
        .map(|(steps, seconds)| steps / seconds);
    result.insert(
        "steps_per_second".into(),
        format!("{:.0}", rates.fold(f64::INFINITY, f64::min)).into(),
    );
    result.insert("engine".into(), outcomes[0]["engine"].clone());
    result.insert("tasks".into(), outcomes[0]["evaluation"]["tasks"].clone());
    Ok(Value::Object(result))
}

fn scores(adaptation: &Value) -> Vec<String> {
    let steps = adaptation.as_array().map_or(&[][..], Vec::as_slice);
    steps
        .iter()
        .filter_map(|step| step["mean"].as_f64())
        .map(rounded)
        .collect()
}

fn numbers(outcomes: &[Value], field: impl Fn(&Value) -> &Value) -> Vec<f64> {
    outcomes.iter().filter_map(|outcome| field(outcome).as_f64()).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Three significant digits.
fn rounded(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let whole = value.abs().log10().floor() as i32;
    format!("{value:.*}", usize::try_from(2 - whole).unwrap_or(0))
}

/// The benchmarks against peers: medians of contenders measured by turns in one run, whose ratios a drifting clock cannot
/// bend (criterion's own figures, one contender after the other, are printed beside them).
fn speed(workspace: &Workspace) -> Result<Value, Error> {
    let library = provide::onnxruntime::provide(workspace, true)?;
    let mut turns = Turns::default();
    for bench in ["peers", "maml_step"] {
        let finished = cargo(workspace)
            .args(["bench", "--package", "pliant-benches", "--bench", bench])
            .env("ORT_DYLIB_PATH", &library)
            .shown()?;
        if !finished.status.success() {
            return Err(Error::Check(format!("the benchmark {bench} failed: see above")));
        }
        turns.read(&finished.output)?;
    }
    let act = |contender| turns.of("act 16-64-64-4 tanh", contender);
    let sgd = |contender| turns.of("sgd step 16-64-64-4 tanh, batch 32", contender);
    let maml = |contender| turns.of("second-order MAML step", contender);
    let microseconds = |turn: &Turn| format!("{:.1}", turn.nanoseconds / 1e3);
    let per_second = |turn: &Turn| format!("{:.0}", 1e9 / turn.nanoseconds);
    Ok(json!({
        "act": {
            "hand_ns": format!("{:.0}", act("hand-written")?.nanoseconds),
            "device_ns": format!("{:.0}", act("device image")?.nanoseconds),
            "device_ratio": act("device image")?.ratio,
            "ort_ns": format!("{:.0}", act("ONNX Runtime")?.nanoseconds),
            "ort_ratio": format!("{:.1}", act("ONNX Runtime")?.nanoseconds / act("device image")?.nanoseconds),
        },
        "sgd": {
            "hand_us": microseconds(sgd("hand-written")?),
            "exact_us": microseconds(sgd("plan, exact")?),
            "exact_ratio": sgd("plan, exact")?.ratio,
            "fast_us": microseconds(sgd("plan, fast")?),
            "fast_ratio": sgd("plan, fast")?.ratio,
            "ort_us": microseconds(sgd("ONNX Runtime")?),
        },
        "maml": {
            "plan_steps": per_second(maml("plan")?),
            "ort_steps": per_second(maml("ort")?),
            "ort_ratio": maml("ort")?.ratio,
        },
    }))
}

/// What the benchmarks print of contenders by turns.
#[derive(Default)]
struct Turns(Vec<Turn>);

struct Turn {
    group: String,
    contender: String,
    /// Median over the rounds.
    nanoseconds: f64,
    /// Median over the rounds of the multiple of the group's first contender.
    ratio: String,
}

impl Turns {
    /// Lines `by turns: group<TAB>contender<TAB>nanoseconds<TAB>ratio<TAB>...`; others are passed over.
    fn read(&mut self, output: &str) -> Result<(), Error> {
        for line in output.lines().filter_map(|line| line.strip_prefix("by turns: ")) {
            let unreadable = || Error::Check(format!("not a line of a comparison by turns: {line:?}"));
            let mut fields = line.split('\t');
            let mut field = || fields.next().ok_or_else(unreadable);
            let (group, contender, nanoseconds, ratio) = (field()?, field()?, field()?, field()?);
            self.0.push(Turn {
                group: group.to_owned(),
                contender: contender.to_owned(),
                nanoseconds: nanoseconds.parse().map_err(|_| unreadable())?,
                ratio: format!("{:.2}", ratio.parse::<f64>().map_err(|_| unreadable())?),
            });
        }
        Ok(())
    }

    fn of(&self, group: &str, contender: &str) -> Result<&Turn, Error> {
        self.0
            .iter()
            .find(|turn| turn.group == group && turn.contender == contender)
            .ok_or_else(|| Error::Check(format!("the benchmarks printed nothing of {contender:?} in {group:?}")))
    }
}

/// The tables of `docs/algorithms/multi-task.md`, into that page. Trainings are kept in `target/measure/task-conflict.jsonl`
/// and not repeated while they are there.
fn task_conflict(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.target().join("measure");
    std::fs::create_dir_all(&folder).at(&folder)?;
    let page = workspace.root().join("docs").join("algorithms").join("multi-task.md");
    let kept = folder.join("task-conflict.jsonl");
    for (part, markers) in [
        ("costs", ["<!-- costs -->\n", "<!-- /costs -->"]),
        ("scores", ["<!-- scores -->\n", "<!-- /scores -->"]),
        ("conditioning", ["<!-- conditioning -->\n", "<!-- /conditioning -->"]),
        ("experts", ["<!-- experts -->\n", "<!-- /experts -->"]),
        ("sampling", ["<!-- sampling -->\n", "<!-- /sampling -->"]),
    ] {
        let table = cargo(workspace)
            .args(["run", "--release", "--quiet", "--package", "pliant-trainer"])
            .args(["--example", "task_conflict", "--", part])
            .arg(&kept)
            .output()?;
        println!("{table}");
        let text = std::fs::read_to_string(&page).at(&page)?;
        std::fs::write(&page, between(&text, markers, &table)?).at(&page)?;
    }
    Ok(())
}

/// The table of `docs/algorithms/multi-task-ppo.md`, into that page. Trainings are kept in
/// `target/measure/multi-task-ppo.jsonl` and not repeated while they are there.
fn multi_task_ppo(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.target().join("measure");
    std::fs::create_dir_all(&folder).at(&folder)?;
    let table = cargo(workspace)
        .args(["run", "--release", "--quiet", "--package", "pliant-trainer"])
        .args(["--example", "multi_task_ppo", "--"])
        .arg(folder.join("multi-task-ppo.jsonl"))
        .output()?;
    println!("{table}");
    let page = workspace
        .root()
        .join("docs")
        .join("algorithms")
        .join("multi-task-ppo.md");
    let text = std::fs::read_to_string(&page).at(&page)?;
    let markers = ["<!-- scores -->\n", "<!-- /scores -->"];
    std::fs::write(&page, between(&text, markers, &table)?).at(&page)
}

/// The table of `docs/diagnosis.md`, into that page, and the bundle of seed 0, into its folder.
fn diagnosis(workspace: &Workspace) -> Result<(), Error> {
    let data = provide::python::diagnosis_data(workspace, true)?;
    bundle(workspace, "diagnosis")?;
    let table = cargo(workspace)
        .args(["run", "--release", "--quiet", "--package", "pliant-trainer"])
        .args(["--example", "diagnosis", "--"])
        .arg(&data)
        .output()?;
    println!("{table}");
    let page = workspace.root().join("docs").join("diagnosis.md");
    let text = std::fs::read_to_string(&page).at(&page)?;
    std::fs::write(
        &page,
        between(&text, ["<!-- scores -->\n", "<!-- /scores -->"], &table)?,
    )
    .at(&page)
}

/// The table that the example of this part prints, into the page of its name.
fn page(workspace: &Workspace, part: &str) -> Result<(), Error> {
    let table = cargo(workspace)
        .args(["run", "--release", "--quiet", "--package", "pliant-trainer"])
        .args(["--example", &part.replace('-', "_")])
        .output()?;
    println!("{table}");
    let page = workspace.root().join("docs").join(format!("{part}.md"));
    let text = std::fs::read_to_string(&page).at(&page)?;
    let markers = ["<!-- scores -->\n", "<!-- /scores -->"];
    std::fs::write(&page, between(&text, markers, &table)?).at(&page)
}

/// Trains the recipe in `models/NAME` as it stands and replaces the other files there by what that wrote.
fn bundle(workspace: &Workspace, name: &str) -> Result<(), Error> {
    let (trained, models) = (
        workspace.target().join("measure").join(name),
        workspace.root().join("models").join(name),
    );
    cargo(workspace)
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "pliant-trainer",
            "--",
            "train",
        ])
        .arg(models.join("recipe.toml"))
        .arg("--out")
        .arg(&trained)
        .run()?;
    for entry in std::fs::read_dir(&models).at(&models)? {
        let file = entry.at(&models)?.file_name();
        if file != "recipe.toml" {
            std::fs::copy(trained.join(&file), models.join(&file)).at(trained.join(&file))?;
        }
    }
    Ok(())
}

/// The firmware's own report: each `name: number ...` line under its name.
fn board(workspace: &Workspace) -> Result<Value, Error> {
    let report = firmware::report(workspace, Choice::Auto, true)?;
    let mut result = Map::new();
    for (name, value) in report.lines().filter_map(|line| line.split_once(": ")) {
        let key: String = name
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .collect();
        let number: String = value
            .chars()
            .take_while(|c| c.is_ascii_digit() || "+-.".contains(*c))
            .collect();
        result.insert(key, if number.is_empty() { value.into() } else { number.into() });
    }
    Ok(Value::Object(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        assert_eq!(rounded(0.32654), "0.327");
        assert_eq!(rounded(-11.084), "-11.1");
        assert_eq!(rounded(-3.3349), "-3.33");
        assert_eq!(rounded(12345.6), "12346");
        assert_eq!(rounded(0.0), "0");
    }

    #[test]
    fn lines_of_a_comparison_are_read() {
        let mut turns = Turns::default();
        turns
            .read("act: 3 ns\nby turns: act\tdevice image\t398.1\t1.287\t1.244\t1.337\n")
            .expect("a whole line");
        let turn = turns.of("act", "device image").expect("it is there");
        assert_eq!((turn.nanoseconds, turn.ratio.as_str()), (398.1, "1.29"));
        assert!(turns.of("act", "ONNX Runtime").is_err());
        assert!(turns.read("by turns: act\tdevice image\t398.1\n").is_err());
    }
}
