//! Teacher and student: what the student is judged by, what must not change a result, and what is refused.

use std::sync::Arc;

use pliant_trainer::algorithms::{Algorithm, TrainingState, learner};
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::recipe::{Recipe, RecipeError, Source};

fn recipe(settings: &[&str]) -> Result<Recipe, RecipeError> {
    let mut source = Source::find("cart-pole-student").unwrap();
    for setting in settings {
        source.set(setting).unwrap();
    }
    source.parse()
}

/// Stages of so many updates each, small otherwise.
fn small([teacher, student, finish]: [u64; 3]) -> Recipe {
    let mut settings = vec!["policy.memory=8".to_owned(), "policy.hidden=[8]".to_owned()];
    for (stage, updates) in [("teacher", teacher), ("student", student), ("finish", finish)] {
        let section = format!("algorithm.teacher-student.{stage}");
        settings.push(format!(
            "{section}.cycles=[{{ updates = {updates}, rate = 1.0, final_rate = 0.1 }}]"
        ));
        settings.push(format!("{section}.environments=16"));
        settings.push(format!("{section}.window=20"));
        settings.push(format!("{section}.validation_episodes=16"));
        settings.push(format!("{section}.validate_every=50"));
    }
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    recipe(&settings).unwrap()
}

fn start(recipe: &Recipe, threads: usize) -> Box<dyn Algorithm> {
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::exact());
    learner(recipe, &engine, threads).unwrap()
}

fn run(learner: &mut dyn Algorithm, until: u64) -> f32 {
    let mut cost = f32::NAN;
    while learner.completed() < until {
        cost = learner.step().unwrap().metrics[0].1;
    }
    cost
}

/// Where the student has learned what the teacher does, it costs less than where it starts.
#[test]
fn the_student_comes_nearer_to_its_teacher() {
    let recipe = small([40, 120, 1]);
    let mut learner = start(&recipe, 1);
    let first = run(learner.as_mut(), 41);
    let last = run(learner.as_mut(), 160);
    assert!(last < 0.5 * first, "difference from the teacher: {first}, then {last}");
}

/// Stopped in each stage and at each stage's end, and on another number of threads.
#[test]
fn a_run_that_was_stopped_ends_with_the_same_bits() {
    let recipe = small([3, 3, 3]);
    let mut whole = start(&recipe, 1);
    run(whole.as_mut(), 9);
    let expected = whole.state().unwrap();
    assert_eq!(expected.completed, 9);
    assert_eq!(expected.environment_steps, 9 * 16 * 20);
    for stopped in [1, 3, 4, 6, 7] {
        let mut first = start(&recipe, 1);
        run(first.as_mut(), stopped);
        let state = first.state().unwrap();
        let mut second = start(&recipe, 2);
        second.restore(&state).unwrap();
        assert_eq!(second.completed(), stopped);
        run(second.as_mut(), 9);
        assert_eq!(second.state().unwrap(), expected, "stopped after {stopped}");
        assert_eq!(second.learned().unwrap(), whole.learned().unwrap());
    }
}

#[test]
fn states_of_other_recipes_are_refused() {
    let mut learner = start(&small([2, 2, 2]), 1);
    run(learner.as_mut(), 3);
    let state = learner.state().unwrap();
    let without_teacher = TrainingState {
        tensors: state
            .tensors
            .iter()
            .filter(|tensor| !tensor.name.starts_with("teacher/"))
            .cloned()
            .collect(),
        ..state
    };
    let error = start(&small([2, 2, 2]), 1).restore(&without_teacher).unwrap_err();
    assert!(error.to_string().contains("the teacher of this recipe"), "{error}");
    let error = start(&small([2, 2, 2]), 1)
        .restore(&TrainingState::default())
        .unwrap_err();
    assert!(error.to_string().contains("it lacks"), "{error}");
}

#[test]
fn what_cannot_be_taught_is_refused_by_name() {
    let message = |settings: &[&str]| recipe(settings).unwrap_err().to_string();
    let told = message(&["policy.privileged=true"]);
    assert!(
        told.contains("policy.privileged") && told.contains("the student does not"),
        "{told}"
    );
    let through = message(&["algorithm.teacher-student.student.state_decay=0.9"]);
    assert!(through.contains("student.state_decay"), "{through}");
}
