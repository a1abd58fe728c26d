//! `pliant gap`: how much of the gap between a policy that cannot adapt and an oracle is closed by adapting.

use std::process::Command;

use serde_json::Value;

fn gap(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
        .arg("gap")
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A short training on a few systems: the figures belong together, and the same command gives them again.
#[test]
fn the_figures_belong_together() {
    let arguments = [
        "pendulum",
        "--seeds",
        "3",
        "--set",
        "algorithm.analytic-policy-gradient.cycles=[{ updates = 150, rate = 1.0, final_rate = 0.1 }]",
        "--set",
        "algorithm.analytic-policy-gradient.environments=32",
        "--set",
        "algorithm.analytic-policy-gradient.window=40",
        "--set",
        "algorithm.analytic-policy-gradient.validation_episodes=32",
        "--set",
        "evaluation.tasks=20",
        "--set",
        "evaluation.episodes=2",
    ];
    let found = gap(&arguments);
    let overall = &found["overall"];
    let mean = |way: &str| number(&overall[way]["mean"]);
    let (without, with, told) = (mean("non_adaptive"), mean("adaptive"), mean("oracle"));
    // Falling and swinging costs about 1 in each of 500 steps.
    assert!(with > -150.0 && told > -200.0, "it has learned something: {found}");
    let closed = 100.0 * (with - without) / (told - without);
    assert!(
        (mean("closed") - closed).abs() < 1e-6 * closed.abs().max(1.0),
        "{found}"
    );
    assert_eq!(found["seeds"][0]["gap"], *overall, "one seed is its own mean");
    assert_eq!(found["episodes"], 2);
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().to_str().unwrap();
    let kept = |more: &[&'static str]| [&arguments[..], &["--keep", keep], more].concat();
    let again = gap(&kept(&[]));
    assert_eq!(again["overall"], found["overall"]);
    assert_eq!(
        gap(&kept(&[])),
        again,
        "what is kept is not trained again: not even the seconds differ"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
        .arg("gap")
        .args(kept(&["--set", "evaluation.seed=5"]))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("it is of another recipe"), "{message}");
}

/// Trained from scratch on the very systems that are scored: many steps of them come close to the policy that adapts, a few do not.
#[test]
fn what_is_learned_from_scratch_is_set_beside() {
    let found = gap(&[
        "pendulum",
        "--seeds",
        "3",
        "--scratch",
        "2",
        "--set",
        "algorithm.analytic-policy-gradient.cycles=[{ updates = 400, rate = 1.0, final_rate = 0.01 }]",
        "--set",
        "algorithm.analytic-policy-gradient.environments=16",
        "--set",
        "evaluation.tasks=5",
        "--set",
        "evaluation.episodes=2",
    ]);
    let rows = found["from_scratch"]["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names[..3], ["non-adaptive", "adaptive", "oracle"]);
    assert!(names[3..].iter().all(|&name| name == "from scratch"), "{names:?}");
    let steps: Vec<u64> = rows[3..].iter().filter_map(|row| row["steps"].as_u64()).collect();
    assert_eq!(steps, [1600, 16_000, 160_000, 1_600_000]);
    let mean = |row: usize| number(&rows[row]["all"]["mean"]);
    let (adaptive, few, many) = (mean(1), mean(3), mean(6));
    assert!(few < 5.0 * adaptive && many > 2.0 * adaptive, "{found}");
    assert_eq!(
        rows[1]["by_seed"][0], rows[1]["all"]["mean"],
        "one seed is its own mean"
    );
}

/// A family that tells no parameters is refused in words.
#[test]
fn families_without_an_oracle_are_refused() {
    for (recipe, what) in [("quadrotor", "tells no parameters"), ("sinusoid", "policy.privileged")] {
        let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
            .args(["train", recipe, "--set", "policy.privileged=true"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(what), "{message}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
        .args(["gap", "sinusoid", "--seeds", "0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("no simulated system"), "{message}");
}

/// The bar of the issue, on three seeds: about two minutes a recipe on two cores.
///
/// `cargo test --release -p pliant-trainer --test gap -- --ignored`
#[test]
#[ignore = "slow: trains 36 policies"]
fn adaptation_closes_the_gap() {
    for recipe in ["pendulum", "cart-pole", "arm", "vehicle"] {
        let taught: &[&str] = match recipe {
            "cart-pole" => &["cart-pole", "--adaptive", "cart-pole-student"],
            other => &[other],
        };
        let found = gap(taught);
        let (closed, width) = (&found["overall"]["closed"], &found["overall"]["width"]);
        assert!(
            number(&width["mean"]) >= 10.0,
            "{recipe} hardly needs adaptation: {found}"
        );
        assert!(number(&closed["mean"]) >= 89.0, "{recipe}: {found}");
    }
}

#[test]
fn another_recipe_must_have_the_same_systems() {
    let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
        .args(["gap", "cart-pole", "--adaptive", "arm"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("`arm` cannot take the adaptive policy's place beside `cart-pole`"),
        "{said}"
    );
}

/// Refused before anything is trained.
#[test]
fn a_student_is_not_trained_from_scratch() {
    let output = Command::new(env!("CARGO_BIN_EXE_pliant"))
        .args(["gap", "cart-pole", "--adaptive", "cart-pole-student", "--scratch", "2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("`cart-pole-student` has `[algorithm.teacher-student]`; leave --scratch out"),
        "{said}"
    );
    assert!(!said.contains("trained in"), "{said}");
}

/// The student of a teacher in the adaptive policy's place; what is set of the family holds for both.
#[test]
fn another_recipe_takes_the_adaptive_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.toml");
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/cart-pole-student/recipe.toml"
    ));
    let mut short = String::new();
    for line in text.unwrap().lines() {
        let line = match line.split_once(" = ") {
            Some(("updates", _)) => "updates = 4",
            Some(("environments", _)) => "environments = 8",
            Some(("validation_episodes", _)) => "validation_episodes = 8",
            _ => line,
        };
        short += line;
        short.push('\n');
    }
    std::fs::write(&path, short).unwrap();
    let found = gap(&[
        "cart-pole",
        "--adaptive",
        path.to_str().unwrap(),
        "--seeds",
        "0",
        "--set",
        "algorithm.analytic-policy-gradient.cycles=[{ updates = 4, rate = 1.0, final_rate = 0.1 }]",
        "--set",
        "algorithm.analytic-policy-gradient.environments=8",
        "--set",
        "algorithm.analytic-policy-gradient.validation_episodes=8",
        "--set",
        "family.cart-pole.push=[0.0, 0.0]",
        "--set",
        "evaluation.tasks=5",
    ]);
    assert_eq!(found["adaptive"], "cart-pole-student");
    assert!(number(&found["overall"]["adaptive"]["mean"]).is_finite(), "{found}");
}
