//! A policy that learns in context, deployed: its memory lasts through the episodes of a trial, and it acts as in training.

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, ResetKind, act_workspace_len};
use pliant_trainer::algorithms::ppo::{Problem, act_graph, memory_options};
use pliant_trainer::algorithms::{Learned, ObservationScale};
use pliant_trainer::bundle;
use pliant_trainer::deployment;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::envs::{ActionSpace, VectorEnvironment};
use pliant_trainer::eval::{Choice, EvalOptions, TaskRange, evaluate, run_trials};
use pliant_trainer::nn;
use pliant_trainer::random::{stream, uniform};
use pliant_trainer::recipe::{Recipe, RecipeError, Source};
use pliant_trainer::report::baselines;
use pliant_trainer::tasks::{Split, vector_environment};

fn recipe(settings: &[&str]) -> Result<Recipe, RecipeError> {
    let mut source = Source::find("mdp").unwrap();
    for setting in settings {
        source.set(setting).unwrap();
    }
    source.parse()
}

/// Random parameters, and a normaliser that does something.
fn learned(recipe: &Recipe) -> Learned {
    let policy = deployment::policy(recipe);
    let channels = policy.network.observations();
    Learned {
        observations: Some(ObservationScale {
            mean: (0..channels).map(|channel| 0.01 * channel as f32).collect(),
            deviation: (0..channels).map(|channel| 0.5 + 0.1 * channel as f32).collect(),
            clip: 10.0,
        }),
        ..Learned::fixed(nn::initialise(&policy.parameters(), recipe.policy.initialiser, 4))
    }
}

fn image(recipe: &Recipe, learned: &Learned) -> AlignedBytes {
    let exported = bundle::export(recipe, learned, 1).unwrap();
    let file = exported
        .files
        .iter()
        .find(|(name, _)| *name == "policy.pliant")
        .unwrap();
    AlignedBytes::new(&file.1)
}

#[test]
fn memory_lasts_until_the_task_changes() {
    let recipe = recipe(&[]).unwrap();
    let bytes = image(&recipe, &learned(&recipe));
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    let observation = vec![0.5; 17];
    let mut act = |reset: Option<ResetKind>| {
        if let Some(kind) = reset {
            actor.reset(kind);
        }
        let mut logits = vec![0.0; 5];
        assert!(!actor.act(&observation, &mut logits).is_safe_action());
        logits
    };
    let first = act(Some(ResetKind::Task));
    let second = act(None);
    assert_ne!(first, second, "the memory matters");
    assert_eq!(act(Some(ResetKind::Task)), first);
    assert_eq!(
        act(Some(ResetKind::Episode)),
        second,
        "an episode of the same task keeps it"
    );
    assert_eq!(act(Some(ResetKind::Task)), first, "another task does not");
}

/// What the acting graph of training gives and what the image gives, over a sequence of observations.
#[test]
fn the_image_acts_as_in_training() {
    let recipe = recipe(&[]).unwrap();
    let learned = learned(&recipe);
    let bytes = image(&recipe, &learned);
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(&image, None, &mut memory).unwrap();
    let (mut actor, _) = policy.split();
    actor.reset(ResetKind::Task);

    let problem = Problem::new(deployment::policy(&recipe), ActionSpace::Discrete(5)).unwrap();
    let graph = act_graph(&problem, 1).unwrap();
    let mut program = PlanEngine::exact().compile(&graph, &memory_options(&problem)).unwrap();
    let names: Vec<String> = program.inputs().iter().map(|port| port.name.clone()).collect();
    let input = |name: &str| names.iter().position(|known| known == name).unwrap();
    for tensor in &learned.parameters {
        program.set(input(&tensor.name), &tensor.values).unwrap();
    }
    program.set(input("keep"), &[1.0]).unwrap();
    let mut random = stream(0, "test", &[]);
    for step in 0..20 {
        let observation: Vec<f32> = (0..17).map(|_| uniform(&mut random, -3.0, 3.0)).collect();
        let mut normalised = observation.clone();
        learned.observations.as_ref().unwrap().apply(&mut normalised, 1);
        program.set(input("observation"), &normalised).unwrap();
        program.run().unwrap();
        let mut probabilities = [0.0; 5];
        program.get(0, &mut probabilities).unwrap();
        let mut logits = [0.0; 5];
        assert!(!actor.act(&observation, &mut logits).is_safe_action());
        let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
        for (probability, logit) in probabilities.iter().zip(logits) {
            assert!((probability - logit.exp() / total).abs() < 1e-5, "step {step}");
        }
    }
}

#[test]
fn trials_of_the_image_do_not_depend_on_threads() {
    let recipe = recipe(&[]).unwrap();
    let bytes = image(&recipe, &learned(&recipe));
    let image = Image::new_checked(&bytes).unwrap();
    let environment = |batch| -> Box<dyn VectorEnvironment> { vector_environment(&recipe, batch).unwrap() };
    let range = TaskRange {
        split: Split::Test,
        seed: 0,
        tasks: 8,
    };
    let run = |threads, choice| run_trials(&image, &environment, 10, range, choice, threads).unwrap();
    let outcomes = run(1, Choice::Sampled);
    assert_eq!(outcomes, run(3, Choice::Sampled));
    assert_ne!(outcomes, run(1, Choice::Likeliest));
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.returns.len() == 10 && outcome.env_steps == 100)
    );
    let options = EvalOptions {
        tasks: 8,
        seed: 0,
        threads: 2,
    };
    let evaluation = evaluate(&recipe, &bytes, options).unwrap();
    assert_eq!(evaluation.adaptation.len(), 10);
    let whole = &evaluation.also[0];
    assert_eq!(whole.name, "return of the whole trial");
    let total: f64 = evaluation.adaptation.iter().map(|step| step.mean).sum();
    assert!((whole.adaptation[0].mean - total).abs() < 1e-9);
}

/// Networks without memory beside the policy that learns in context: what knows the one task only, or all of them and none.
#[test]
fn networks_without_memory_are_set_beside() {
    let recipe = recipe(&[
        "family.tabular.states=3",
        "family.tabular.actions=2",
        "family.tabular.horizon=5",
        "algorithm.rl2.episodes=2",
        "algorithm.rl2.ppo.iterations=8",
        "algorithm.rl2.ppo.environments=16",
        "algorithm.rl2.ppo.steps=10",
        "algorithm.rl2.ppo.minibatches=4",
    ])
    .unwrap();
    let policy = learned(&recipe);
    let options = EvalOptions {
        tasks: 12,
        seed: 0,
        threads: 1,
    };
    let evaluation = evaluate(&recipe, &image(&recipe, &policy), options).unwrap();
    let rows = baselines(&recipe, &evaluation, options).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let expected = [
        "no adaptation",
        "multi-task, no adaptation",
        "from scratch, 1 trial",
        "from scratch, 100 trials",
        "from scratch, 1000 trials",
        "random",
    ];
    assert_eq!(names[..6], expected);
    let of = |name: &str| rows.iter().find(|row| row.name == name).unwrap().adaptation[0].mean;
    assert_eq!(of(expected[0]), evaluation.adaptation[0].mean);
    // One episode of each task: what is learned in 1000 trials of it is more than what holds for all tasks, and less than all.
    let (scratch, all, oracle) = (of(expected[4]), of(expected[1]), of("oracle (is told the task)"));
    assert!(
        scratch > all + 1.0 && scratch < oracle + 1.0,
        "{all} {scratch} {oracle}"
    );
    assert!((of(expected[2]) - of("random")).abs() < 2.0, "a trial teaches nothing");
}

/// On a bandit there is nothing to observe: a network without memory has no input, and the players stand for it.
#[test]
fn a_bandit_is_compared_with_its_players_alone() {
    let recipe = Source::find("bandit").unwrap().parse().unwrap();
    let options = EvalOptions {
        tasks: 3,
        seed: 0,
        threads: 1,
    };
    let evaluation = evaluate(&recipe, &image(&recipe, &learned(&recipe)), options).unwrap();
    let rows = baselines(&recipe, &evaluation, options).unwrap();
    assert_eq!(
        (rows.len(), rows[0].name.as_str(), rows[1].name.as_str()),
        (4, "random", "Thompson sampling")
    );
}

#[test]
fn what_cannot_be_trained_is_refused_by_name() {
    let message = |settings: &[&str]| recipe(settings).unwrap_err().to_string();
    let uneven = message(&["algorithm.rl2.ppo.environments=1000", "algorithm.rl2.ppo.minibatches=3"]);
    assert!(
        uneven.contains("minibatches") && uneven.contains("a divisor of 500"),
        "{uneven}"
    );
    let mut blind = Source::find("half-circle").unwrap();
    blind.set("algorithm.rl2.ppo.regret_weight=1.0").unwrap();
    let blind = blind.parse().unwrap_err().to_string();
    assert!(blind.contains("does not know the best"), "{blind}");
    let mut source = Source::find("sinusoid").unwrap();
    let rl2 = Source::find("mdp").unwrap().text;
    let at = |text: &str, mark: &str| text.find(mark).unwrap();
    let (start, end) = (at(&source.text, "[algorithm"), at(&source.text, "[evaluation]"));
    let algorithm = &rl2[at(&rl2, "[algorithm")..at(&rl2, "[evaluation]")];
    source.text.replace_range(start..end, algorithm);
    let mismatch = source.parse().unwrap_err().to_string();
    assert!(
        mismatch.contains("`[family.sinusoid]` cannot be trained by `[algorithm.rl2]`; use `[algorithm.maml]`"),
        "{mismatch}"
    );
}
