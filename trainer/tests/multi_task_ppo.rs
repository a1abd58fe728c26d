//! Proximal policy optimisation of unlike systems together: what is deployed, what is resumed, what is refused.

use std::sync::Arc;

use pliant_compiler::image::AlignedBytes;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{Algorithm, learner};
use pliant_trainer::bundle::export;
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::eval::{EvalOptions, evaluate, system_returns};
use pliant_trainer::recipe::{Family, Recipe, Source};
use pliant_trainer::tasks::Split;

/// Three tasks with 3, 5 and more observations, 1 and 2 actions, in a small network.
fn small(sets: &[&str]) -> Recipe {
    let mut source = Source::find("unlike-systems").unwrap();
    for task in ["arm-loaded", "car", "cart-pole-long", "cart-pole-short", "quadrotor"] {
        // The first line of the task's section to the next section.
        let from = source.text.find(&format!("[family.systems.tasks.{task}.")).unwrap();
        let to = from + source.text[from + 1..].find("\n[").unwrap() + 2;
        source.text.replace_range(from..to, "");
    }
    for set in [
        "policy.hidden=[8, 8]",
        "algorithm.multi-task-ppo.encoder=6",
        "algorithm.multi-task-ppo.ppo.environments=2",
        "algorithm.multi-task-ppo.ppo.iterations=4",
        "algorithm.multi-task-ppo.ppo.epochs=2",
        "algorithm.multi-task-ppo.ppo.minibatches=4",
        "evaluation.tasks=4",
    ]
    .iter()
    .chain(sets)
    {
        source.set(set).unwrap();
    }
    source.parse().unwrap()
}

fn learning(recipe: &Recipe, threads: usize) -> Box<dyn Algorithm> {
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    learner(recipe, &engine, threads).unwrap()
}

/// The image answers, with a task selected, as the network of that task does: normalised observations, its own first layer,
/// the shared ones, its own head; what lies behind a task's observations changes nothing.
#[test]
fn each_task_has_its_network_in_the_image() {
    let recipe = small(&[]);
    let mut training = learning(&recipe, 1);
    for _ in 0..2 {
        training.step().unwrap();
    }
    let learned = training.learned().unwrap();
    let exported = export(&recipe, &learned, 1).unwrap();
    let bytes = AlignedBytes::new(
        &exported
            .files
            .iter()
            .find(|(name, _)| *name == "policy.pliant")
            .unwrap()
            .1,
    );
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    assert_eq!(policy.tasks(), 3);
    let values = |name: &str| -> Vec<f64> {
        let found = learned.parameters.iter().find(|tensor| tensor.name == name).unwrap();
        found.values.iter().copied().map(f64::from).collect()
    };
    let layer = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
        let sum = |output: usize| {
            let products = x
                .iter()
                .enumerate()
                .map(|(row, x)| x * weight[row * bias.len() + output]);
            bias[output] + products.sum::<f64>()
        };
        (0..bias.len()).map(sum).collect()
    };
    let mut widths = Vec::new();
    for task in 0..3 {
        let mean = values(&format!("task{task}.observation.mean"));
        let deviation = values(&format!("task{task}.observation.deviation"));
        let actions = values(&format!("task{task}.log_std")).len();
        widths.push((mean.len(), actions));
        for row in 0..5 {
            let observation: Vec<f32> = (0..mean.len())
                .map(|at| (((7 * row + 3 * at) % 11) as f32 - 5.0) / 7.0)
                .collect();
            let mut x: Vec<f64> = (0..mean.len())
                .map(|at| (f64::from(observation[at]) - mean[at]) / deviation[at])
                .collect();
            let own = |layer: usize| format!("task{task}.layer{layer}");
            for name in [own(0), "layer1".to_owned(), "layer2".to_owned()] {
                x = layer(&x, &values(&format!("{name}.weight")), &values(&format!("{name}.bias")));
                x.iter_mut().for_each(|value| *value = value.tanh());
            }
            let expected = layer(
                &x,
                &values(&format!("{}.weight", own(3))),
                &values(&format!("{}.bias", own(3))),
            );
            policy.select(task as u32).unwrap();
            let (mut actor, _) = policy.split();
            let mut padded = observation.clone();
            let inputs = 10.max(widths.iter().map(|(seen, _)| *seen).max().unwrap());
            let channels = pliant_runtime::contract::ContractView::new_checked(image.contract_bytes()).unwrap();
            assert!(channels.observations().len() <= inputs);
            padded.resize(channels.observations().len(), 3.25);
            let mut answer = vec![f32::NAN; channels.actions().len()];
            assert!(!actor.act(&padded, &mut answer).is_safe_action());
            for (at, answer) in answer.iter().enumerate() {
                let expected = expected.get(at).copied().unwrap_or(0.0).clamp(-1.0, 1.0);
                assert!(
                    (f64::from(*answer) - expected).abs() < 1e-4,
                    "{task} {at}: {answer} {expected}"
                );
            }
        }
    }
    assert!(
        widths.iter().any(|width| width.1 == 2) && widths.iter().any(|width| width.0 == 3),
        "{widths:?}"
    );
    let options = EvalOptions {
        tasks: 4,
        seed: 0,
        threads: 1,
    };
    let evaluation = evaluate(&recipe, &bytes, options).unwrap();
    let names: Vec<&str> = evaluation.also.iter().map(|also| also.name.as_str()).collect();
    assert_eq!(names, ["arm-light", "pendulum-light", "swing-up"]);
    assert!(
        evaluation.also.iter().all(|also| also.adaptation[0].mean < 0.0),
        "{evaluation:?}"
    );
}

/// A task's draws are its own: they are the same whatever other tasks the image has, so that scores can be paired.
#[test]
fn a_task_meets_the_same_systems_alone_and_among_others() {
    let all = small(&["algorithm.multi-task-ppo.ppo.output_scale=0.0"]);
    let returns = |recipe: &Recipe, task: &str| {
        // Untrained, with heads of 0: every policy does nothing.
        let exported = export(recipe, &learning(recipe, 1).learned().unwrap(), 1).unwrap();
        let image = exported
            .files
            .iter()
            .find(|(name, _)| *name == "policy.pliant")
            .unwrap();
        let bytes = AlignedBytes::new(&image.1);
        let image = Image::new_checked(&bytes).unwrap();
        let Family::Systems(family) = &recipe.family else {
            panic!("the recipe has systems")
        };
        let options = EvalOptions {
            tasks: 6,
            seed: 0,
            threads: 1,
        };
        system_returns(&image, family, task, options, Split::Validation)
    };
    for task in ["arm-light", "swing-up"] {
        let mut one = all.clone();
        if let Family::Systems(family) = &mut one.family {
            family.tasks.retain(|name, _| name == task);
        }
        let alone = returns(&one, task).unwrap();
        assert_eq!(returns(&all, task).unwrap(), alone, "{task}");
        assert!(alone.windows(2).all(|pair| pair[0] != pair[1]), "{alone:?}");
        let refused = returns(&one, "pendulum-light").unwrap_err().to_string();
        assert!(refused.contains("no task `pendulum-light`"), "{refused}");
    }
}

/// Neither the number of threads nor a stop in between changes a bit, whatever the returns and the balancing.
#[test]
fn threads_and_resuming_change_nothing() {
    for sets in [
        &["algorithm.multi-task-ppo.returns=\"pop-art\""][..],
        &[
            "algorithm.multi-task-ppo.returns=\"raw\"",
            "algorithm.multi-task-ppo.balance.method=\"pcgrad\"",
        ],
    ] {
        let recipe = small(sets);
        let mut whole = learning(&recipe, 1);
        whole.step().unwrap();
        let saved = whole.state().unwrap();
        let metrics = whole.step().unwrap().metrics;
        assert!(
            metrics.iter().any(|(name, _)| *name == "return, swing-up"),
            "{metrics:?}"
        );
        let state = whole.state().unwrap();
        let mut resumed = learning(&recipe, 3);
        resumed.restore(&saved).unwrap();
        resumed.step().unwrap();
        assert_eq!(resumed.state().unwrap(), state, "{sets:?}");
        assert_ne!(saved.tensors, state.tensors);
        assert_eq!(whole.learned().unwrap(), resumed.learned().unwrap());
    }
}

/// A task of the three learns from a few windows, and the others are there all the while.
#[test]
fn tasks_learn_together() {
    let recipe = small(&[
        "policy.hidden=[32]",
        "algorithm.multi-task-ppo.encoder=32",
        "algorithm.multi-task-ppo.ppo.environments=16",
        "algorithm.multi-task-ppo.ppo.iterations=60",
        "algorithm.multi-task-ppo.ppo.epochs=4",
        "algorithm.multi-task-ppo.ppo.minibatches=8",
    ]);
    let mut training = learning(&recipe, 2);
    let returns = |metrics: &[(&'static str, f32)]| -> Vec<f32> {
        let own = metrics.iter().filter(|(name, _)| name.starts_with("return, "));
        own.map(|(_, value)| *value).collect()
    };
    let first = returns(&training.step().unwrap().metrics);
    let mut last = first.clone();
    while training.completed() < training.iterations() {
        last = returns(&training.step().unwrap().metrics);
    }
    println!("{first:?} {last:?}");
    for (first, last) in first.iter().zip(&last) {
        assert!(*last > 0.6 * first, "{first} {last}");
    }
}

#[test]
fn what_cannot_be_learned_together_is_refused() {
    for (set, says) in [
        (
            "algorithm.multi-task-ppo.ppo.shards=2",
            "the tasks are what threads share",
        ),
        ("policy.memory=8", "its policies have no memory"),
        ("policy.hidden=[]", "at least one layer, which the tasks share"),
        (
            "algorithm.multi-task-ppo.balance.method=\"famo\"",
            "the surrogate loss says nothing",
        ),
        (
            "family.systems.tasks.car.vehicle.grip=[9.0, 9.5]",
            "family.systems.tasks.car.vehicle.grip",
        ),
    ] {
        let mut source = Source::find("unlike-systems").unwrap();
        source.set(set).unwrap();
        let message = source.parse().unwrap_err().to_string();
        assert!(message.contains(says), "{set}: {message}");
    }
    let mut source = Source::find("unlike-systems").unwrap();
    source.set("algorithm.multi-task-ppo.ppo.steps=100").unwrap();
    let engine: Arc<dyn Engine> = Arc::new(PlanEngine::fast());
    let refused = learner(&source.parse().unwrap(), &engine, 1).err().unwrap().to_string();
    assert!(refused.contains("500"), "{refused}");
}
