//! A sweep ranks by validation, goes on after it was stopped with the same scores, and says what is wrong before it trains.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::recipe::Source;
use pliant_trainer::sweep::{Seen, Sweep, Trial, Vary, configurations, run, rungs};

/// A small sinusoid: nine step sizes of the outer optimiser over six orders of magnitude.
fn small() -> (Source, Sweep) {
    let mut source = Source::find("sinusoid").unwrap();
    for set in [
        "policy.hidden=[16]",
        "algorithm.maml.iterations=90",
        "evaluation.tasks=20",
    ] {
        source.set(set).unwrap();
    }
    let vary = Vary::parse("algorithm.maml.optimizer.rate=1e-7,1e-6,1e-5,1e-4,3e-4,1e-3,3e-3,1e-2,3e-2").unwrap();
    let trials: Vec<Trial> = configurations(&[vary], None, 0)
        .unwrap()
        .into_iter()
        .map(Trial::new)
        .collect();
    let sweep = Sweep {
        recipe: "sinusoid".to_owned(),
        text: source.text.clone(),
        keep: 3,
        tasks: 20,
        rungs: rungs(trials.len(), 3, 90),
        trials,
        ..Sweep::default()
    };
    (source, sweep)
}

/// The scores alone: times differ.
fn scores(sweep: &Sweep) -> Vec<Vec<(u64, f64)>> {
    let of = |trial: &Trial| {
        trial
            .scores
            .iter()
            .map(|score| (score.iterations, score.mean))
            .collect()
    };
    sweep.trials.iter().map(of).collect()
}

fn race(sweep: &mut Sweep, source: &Source, folder: &Path, jobs: usize, most: usize) -> bool {
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    let scored = AtomicUsize::new(0);
    let seen = |seen: Seen<'_>| {
        if let Seen::Scored(_) = seen {
            scored.fetch_add(1, Ordering::Relaxed);
        }
    };
    let stop = || scored.load(Ordering::Relaxed) >= most;
    run(sweep, source, folder, &engine, jobs, &stop, &seen).unwrap()
}

#[test]
fn a_stopped_sweep_goes_on_to_the_same_scores() {
    let (source, mut whole) = small();
    assert_eq!(whole.rungs, [10, 30, 90]);
    let folder = tempfile::tempdir().unwrap();
    assert!(race(&mut whole, &source, folder.path(), 2, usize::MAX));
    let counts: Vec<usize> = (1..=3)
        .map(|rungs| whole.trials.iter().filter(|trial| trial.scores.len() >= rungs).count())
        .collect();
    assert_eq!(counts, [9, 3, 1]);
    // Step sizes that move nothing are worse than the best by far, and out after the first rung.
    let best = &whole.trials[whole.ranking()[0]];
    assert!(whole.trials[0].scores.len() == 1 && best.scores.len() == 3);
    assert!(
        best.scores[2].mean < 0.9 * whole.trials[0].scores[0].mean,
        "{:?}",
        scores(&whole)
    );
    assert_eq!(Sweep::read(folder.path()).unwrap(), Some(whole.clone()));

    // Stopped after 4 scores, and again after 6 more.
    let (source, mut stopped) = small();
    let folder = tempfile::tempdir().unwrap();
    assert!(!race(&mut stopped, &source, folder.path(), 1, 4));
    let (_, fresh) = small();
    let mut resumed = Sweep::read(folder.path()).unwrap().unwrap();
    assert!(resumed.is_same(&fresh));
    assert!(!race(&mut resumed, &source, folder.path(), 1, 6));
    assert!(race(&mut resumed, &source, folder.path(), 1, usize::MAX));
    assert_eq!(scores(&resumed), scores(&whole));
}

#[test]
fn a_value_that_the_recipe_refuses_is_said_before_anything_trains() {
    let (source, mut sweep) = small();
    sweep
        .trials
        .push(Trial::new(vec!["algorithm.maml.inner_steps=0".to_owned()]));
    let folder = tempfile::tempdir().unwrap();
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    let error = run(&mut sweep, &source, folder.path(), &engine, 1, &|| false, &|_| {}).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("inner_steps=0") && message.contains("inner_steps"),
        "{message}"
    );
    assert!(!folder.path().join("trial-000").exists());
}

fn pliant(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pliant"))
        .arg("sweep")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn the_command_prints_a_table_or_json_and_keeps_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = [
        "sinusoid",
        "--set",
        "policy.hidden=[16]",
        "--set",
        "algorithm.maml.iterations=9",
        "--engine",
        "plan",
    ];
    let vary = [
        "--vary",
        "algorithm.maml.optimizer.rate=1e-6,1e-3,1e-2",
        "--tasks",
        "5",
        "--jobs",
        "1",
    ];
    let all = |more: &[&'static str]| [&base[..], &vary[..], more].concat();
    let done = pliant(folder, &all(&[]));
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("lower is better") && text.lines().count() == 5, "{text}");
    let kept = folder.join("runs").join("sweep-sinusoid");
    assert!(kept.join("sweep.svg").is_file() && kept.join("trial-002").join("recipe.toml").is_file());

    // Nothing is left to do: the same again at once, as JSON.
    let again = pliant(folder, &all(&["--resume", "--json"]));
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["ranking"].as_array().unwrap().len(), 3);
    assert_eq!(json["rungs"], serde_json::json!([3, 9]));
    assert!(
        json["best"]
            .as_str()
            .unwrap()
            .starts_with("pliant train sinusoid --set")
    );

    let other = pliant(folder, &all(&["--resume", "--keep", "2"]));
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("other settings"));
    let range = pliant(
        folder,
        &[&base[..], &["--vary", "algorithm.maml.inner_rate=log:1e-3..1"]].concat(),
    );
    assert_eq!(range.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&range.stderr).contains("--trials"));
    let unknown = pliant(folder, &[&base[..], &["--vary", "algorithm.maml.rat=1,2"]].concat());
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("rat"));
}
