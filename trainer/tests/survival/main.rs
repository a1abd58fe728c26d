//! Runs that survive: a real `pliant train` is killed (SIGKILL) at random moments twenty times, and what it has learned in
//! the end has the bits of a run that nobody disturbed.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pliant_trainer::algorithms::NamedTensor;
use pliant_trainer::checkpoint::Checkpoint;
use pliant_trainer::random::{stream, uniform};
use pliant_trainer::run::{MetricsLine, RunDirectory, read_metrics};
use serde_json::Value;

const PLIANT: &str = env!("CARGO_BIN_EXE_pliant");
const KILLS: u32 = 20;

const SINUSOID: &str = r#"
name = "sinusoid"
description = "small"
[family.sinusoid]
shots = 5
queries = 5
amplitude = [0.1, 5.0]
phase = [0.0, 3.1415927]
input = [-5.0, 5.0]
[policy]
hidden = [12]
activation = "tanh"
[algorithm.maml]
iterations = 1200
tasks = 8
inner_steps = 1
inner_rate = 0.01
order = "second"
learn_inner_rate = true
chunks = 2
[algorithm.maml.optimizer]
rate = 1e-3
schedule = "cosine"
[checkpoint]
every_seconds = 0.05
[evaluation]
tasks = 4
"#;

const NAVIGATION: &str = r#"
name = "navigation"
description = "small"
[family.navigation]
goal_range = 0.5
trajectories = 2
evaluation_trajectories = 2
[policy]
hidden = [8]
activation = "relu"
[algorithm.maml-policy-gradient]
inner_rate = 0.1
inner_rate_log_std = 0.1
step_scales = [1.0, 0.5]
log_std = -0.7
log_std_floor = -3.0
discount = 0.99
gae_lambda = 0.9
baseline_ridge = 1e-5
clip = 0.3
epochs = 2
[algorithm.maml-policy-gradient.optimizer]
rate = 1e-3
[[algorithm.maml-policy-gradient.phases]]
iterations = 40
tasks = 2
loss_weights = [1.0]
rate = 1.0
[[algorithm.maml-policy-gradient.phases]]
iterations = 40
tasks = 2
loss_weights = [0.5, 1.0]
rate = 1.0
scale_log_std_step = 4.0
[checkpoint]
every_seconds = 0.05
[evaluation]
tasks = 2
"#;

struct Trainer {
    recipe: PathBuf,
    out: PathBuf,
}

impl Trainer {
    fn command(&self) -> Command {
        let mut command = Command::new(PLIANT);
        command.arg("train").arg(&self.recipe).arg("--out").arg(&self.out);
        command.args(["--engine", "plan", "--threads", "2"]);
        // A run is taken up where there is one: killed before that, it begins.
        if self.out.join("run.json").is_file() {
            command.arg("--resume");
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Trains to the end.
    fn finish(&self) -> Duration {
        let start = Instant::now();
        let output = self.command().output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        start.elapsed()
    }

    /// Trains and is killed after `delay`; whether that was before the end.
    fn kill_after(&self, delay: Duration) -> bool {
        let mut child = self.command().spawn().expect("the program starts");
        std::thread::sleep(delay);
        child.kill().expect("it is ours to kill");
        let output = child.wait_with_output().expect("it has ended");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || output.status.code().is_none(),
            "not killed but failed: {said}"
        );
        !output.status.success()
    }

    fn status(&self) -> String {
        let folder = self.out.parent().expect("it lies in a folder");
        let output = Command::new(PLIANT)
            .arg("runs")
            .arg(folder)
            .arg("--json")
            .output()
            .unwrap();
        let listing: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let runs = listing["runs"].as_array().expect("a list");
        let ours = runs
            .iter()
            .find(|run| run["path"].as_str().is_some_and(|path| Path::new(path) == self.out));
        ours.map_or("none".to_owned(), |run| {
            run["status"].as_str().unwrap_or("unreadable").to_owned()
        })
    }

    /// Everything that must have the same bits: tensors of the last checkpoint, image, lines of metrics but their times.
    fn result(&self) -> (Vec<NamedTensor>, Vec<u8>, Vec<MetricsLine>) {
        let (checkpoint, damaged) = RunDirectory::newest(&self.out).unwrap().expect("a checkpoint");
        assert!(damaged.is_empty());
        let mut lines = read_metrics(&self.out.join("metrics.jsonl")).unwrap();
        lines.iter_mut().for_each(|line| line.seconds = 0.0);
        let Checkpoint { state, .. } = checkpoint;
        (state.tensors, fs::read(self.out.join("policy.pliant")).unwrap(), lines)
    }
}

fn survives(recipe: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recipe.toml");
    fs::write(&file, recipe).unwrap();
    let trainer = |name: &str| Trainer {
        recipe: file.clone(),
        out: folder.path().join(name),
    };
    let undisturbed = trainer("undisturbed");
    let whole = undisturbed.finish();
    let expected = undisturbed.result();
    assert_eq!(undisturbed.status(), "finished");

    let (mut kills, mut runs, mut random) = (0, 0, stream(0, "kills", &[]));
    while kills < KILLS {
        let victim = trainer(&format!("victim-{runs}"));
        runs += 1;
        while kills < KILLS {
            let delay = whole.mul_f32(uniform(&mut random, 0.0, 0.5));
            if !victim.kill_after(delay) {
                break;
            }
            kills += 1;
            // Killed before its record was written, on the way, or between the last record and the end of the process.
            assert!(["none", "interrupted", "finished"].contains(&victim.status().as_str()));
        }
        victim.finish();
        assert!(
            victim.result() == expected,
            "killed {kills} times, run {runs} has other bits"
        );
        assert_eq!(victim.status(), "finished");
    }
    println!("{kills} kills over {runs} runs of {whole:?}: the same bits");
}

#[test]
fn a_killed_sinusoid_run_ends_with_the_same_bits() {
    survives(SINUSOID);
}

#[test]
fn a_killed_navigation_run_ends_with_the_same_bits() {
    survives(NAVIGATION);
}
