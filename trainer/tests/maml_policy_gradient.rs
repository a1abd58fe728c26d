//! Policy-gradient MAML: the outer gradient against finite differences, threads, resuming, learning.

use std::sync::Arc;

use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::experience::Estimator;
use pliant_trainer::algorithms::maml_policy_gradient::{
    Adapter, Batch, MamlPolicyGradient, Problem, Share, outer_gradient, outer_graph,
};
use pliant_trainer::algorithms::{Algorithm, Learned, NamedTensor};
use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine};
use pliant_trainer::nn::initialise;
use pliant_trainer::random::{fill_standard_normal, stream};
use pliant_trainer::recipe::{self, Family, Initialiser, Source};
use pliant_trainer::tasks::{ControlFamily, NavigationFamily, Split};

fn policy(hidden: usize, activation: Activation) -> PolicyDescription {
    PolicyDescription::stochastic(Mlp::new(&[2, hidden, 2], activation), Gaussian { floor: -3.0 })
}

/// Every element of the outer gradient against central differences of the loss, both by the f64 reference; without a clip
/// of the inner gradient, and with one that takes effect.
#[test]
fn outer_gradient_agrees_with_finite_differences() {
    outer_gradient_of(None);
    outer_gradient_of(Some(0.3));
}

fn outer_gradient_of(gradient_clip: Option<f32>) {
    let problem = Problem {
        policy: policy(3, Activation::Tanh),
        rows: 6,
        trajectories: 2,
        gradient_clip,
    };
    let (tasks, weights) = (2, [0.7, 1.0]);
    let graph = outer_graph(&problem, tasks, &[1.0, 0.5], &weights, 0.3).unwrap();

    let mut random = stream(3, "instance", &[]);
    let mut inputs: Vec<(String, Tensor64)> = graph
        .inputs()
        .iter()
        .map(|port| {
            let shape = graph.shape(port.value);
            let mut values = vec![0.0; shape.iter().product()];
            fill_standard_normal(&mut random, &mut values);
            // Rates are positive; the last rows are unused; densities are near those of the policy, so that neither every
            // ratio nor none is clipped.
            for (i, value) in values.iter_mut().enumerate() {
                *value = match &*port.name {
                    name if name.starts_with("rate/") => 0.2 + 0.1 * value.abs(),
                    name if name.starts_with("row_weight/") => f32::from(u8::from(i % 6 < 5)),
                    name if name.starts_with("log_probability/") => -3.0 + *value,
                    "log_std" => -0.3 + 0.1 * *value,
                    _ => *value,
                };
            }
            (
                port.name.to_string(),
                Tensor64::new(shape, values.iter().map(|&v| f64::from(v)).collect()),
            )
        })
        .collect();
    let run = |inputs: &[(String, Tensor64)]| {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
            .collect();
        evaluate(&graph, &inputs).unwrap()
    };
    let count = problem.meta_parameters().len();
    let gradients = run(&inputs);
    let loss = |inputs: &[(String, Tensor64)]| {
        let outputs = run(inputs);
        outputs[count..]
            .iter()
            .zip(weights)
            .map(|(loss, weight)| f64::from(weight) * loss.data[0])
            .sum::<f64>()
    };
    let step = 1e-5;
    let mut largest: f64 = 0.0;
    for (parameter, gradient) in gradients[..count].iter().enumerate() {
        for element in 0..inputs[parameter].1.data.len() {
            let value = inputs[parameter].1.data[element];
            inputs[parameter].1.data[element] = value + step;
            let above = loss(&inputs);
            inputs[parameter].1.data[element] = value - step;
            let below = loss(&inputs);
            inputs[parameter].1.data[element] = value;
            let difference = (above - below) / (2.0 * step);
            let error = (gradient.data[element] - difference).abs() / difference.abs().max(1.0);
            assert!(
                error < 1e-6,
                "{}[{element}]: {} is {difference}",
                inputs[parameter].0,
                gradient.data[element]
            );
            largest = largest.max(difference.abs());
        }
    }
    assert!(largest > 0.1, "the instance has a gradient: {largest}");
}

/// The algorithm of the recipe.
fn settings() -> recipe::MamlPolicyGradient {
    match Source::find("point-navigation").unwrap().parse().unwrap().algorithm {
        recipe::Algorithm::MamlPolicyGradient(settings) => settings,
        other => panic!("trained by {}", other.name()),
    }
}

/// The family of the recipe.
fn family() -> recipe::Navigation {
    match Source::find("point-navigation").unwrap().parse().unwrap().family {
        Family::Navigation(family) => family,
        other => panic!("trained on {}", other.name()),
    }
}

/// A learner with a small network.
fn build(settings: &recipe::MamlPolicyGradient, trajectories: usize, threads: usize, seed: u64) -> MamlPolicyGradient {
    MamlPolicyGradient::new(
        settings,
        seed,
        Box::new(NavigationFamily::new(&family())),
        trajectories,
        &policy(16, Activation::Relu),
        Initialiser::Glorot,
        Arc::new(PlanEngine::fast()),
        threads,
    )
    .unwrap()
}

/// A learner of a small version of the recipe: one, then two adaptation steps.
fn learner(threads: usize, seed: u64) -> MamlPolicyGradient {
    let mut settings = settings();
    settings.phases.truncate(2);
    settings.phases[0] = recipe::Phase {
        iterations: 3,
        tasks: 5,
        ..settings.phases[0].clone()
    };
    settings.phases[1] = recipe::Phase {
        iterations: 2,
        tasks: 4,
        ..settings.phases[1].clone()
    };
    settings.epochs = 2;
    build(&settings, 3, threads, seed)
}

fn bits(learned: &Learned) -> Vec<u32> {
    let tensors = learned.parameters.iter().chain(&learned.step_sizes);
    tensors
        .flat_map(|NamedTensor { values, .. }| values.iter().map(|value| value.to_bits()))
        .collect()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads| {
        let mut learner = learner(threads, 0);
        let metrics: Vec<_> = (0..5).map(|_| learner.step().unwrap()).collect();
        (metrics, bits(&learner.learned().unwrap()), learner.environment_steps())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn a_restored_run_goes_on_as_if_it_had_never_stopped() {
    let mut whole = learner(2, 1);
    let mut first = learner(2, 1);
    // Stops where the second phase is about to begin.
    for _ in 0..3 {
        whole.step().unwrap();
        first.step().unwrap();
    }
    let mut second = learner(1, 1);
    second.restore(&first.state().unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(whole.step().unwrap(), second.step().unwrap());
    }
    assert_eq!(bits(&whole.learned().unwrap()), bits(&second.learned().unwrap()));
    assert_eq!(whole.state().unwrap(), second.state().unwrap());
}

#[test]
fn a_state_of_another_network_is_refused() {
    let mut state = learner(1, 0).state().unwrap();
    state.tensors[0].shape = vec![2, 17];
    let message = learner(1, 0).restore(&state).unwrap_err().to_string();
    assert!(
        message.contains("layer0.weight") && message.contains("[2, 17]"),
        "{message}"
    );
}

/// From random weights the recipe's step sizes overshoot the goal by far; a few iterations cure that.
#[test]
fn a_short_training_improves_the_return_after_adapting() {
    let mut settings = settings();
    settings.phases.truncate(1);
    settings.phases[0].iterations = 12;
    settings.phases[0].tasks = 6;
    let mut learner = build(&settings, 5, 2, 0);
    let returns: Vec<f32> = (0..12).map(|_| learner.step().unwrap().metrics[0].1).collect();
    let mean = |returns: &[f32]| returns.iter().sum::<f32>() / returns.len() as f32;
    let (first, last) = (mean(&returns[..2]), mean(&returns[9..]));
    assert!(last > first + 20.0, "{returns:?}");
}

/// What trains is what was checked: the engine's outer gradient against the f64 reference, on rows of real rollouts.
#[test]
fn the_plan_engine_takes_the_outer_gradient_of_the_reference() {
    let settings = settings();
    let family = NavigationFamily::new(&family());
    let problem = Problem::new(policy(32, Activation::Relu), &family, 2);
    let engine = PlanEngine::fast();
    let estimator = Estimator {
        gamma: 0.99,
        lambda: 0.9,
        ridge: 1e-5,
    };
    let mut adapter = Adapter::new(&problem, &engine, &family.action_scale(), estimator).unwrap();
    let initial = initialise(&problem.policy.parameters(), Initialiser::Glorot, 0);
    let parameters: Vec<Vec<f32>> = initial.iter().map(|tensor| tensor.values.clone()).collect();
    let rates: Vec<Vec<f32>> = parameters.iter().map(|values| vec![0.1; values.len()]).collect();
    let tasks: Vec<Vec<Batch>> = (0..2)
        .map(|task| {
            let mut environment = family.environment(0, Split::Train, task, 2);
            let mut adapted = parameters.clone();
            let mut gather = |step| {
                let mut batch = Batch::default();
                let mut random = stream(0, "exploration, test", &[task, step]);
                adapter
                    .gather(&adapted, environment.as_mut(), &mut random, &mut batch)
                    .unwrap();
                adapter
                    .adapt(&mut adapted, &rates, settings.step_scales[step as usize], &batch)
                    .unwrap();
                batch
            };
            vec![gather(0), gather(1), gather(2)]
        })
        .collect();

    // Away from where the rows were gathered, so that ratios differ from one.
    let shift = |(i, value): (usize, &f32)| value + 0.01 * (i as f32).sin();
    let meta: Vec<Vec<f32>> = parameters
        .iter()
        .chain(&rates)
        .map(|values| values.iter().enumerate().map(shift).collect())
        .collect();
    let graph = outer_graph(&problem, tasks.len(), &settings.step_scales, &[0.7, 1.0], settings.clip).unwrap();
    let mut program = engine.compile(&graph, &CompileOptions::default()).unwrap();
    let mut share = Share::default();
    outer_gradient(program.as_mut(), &meta, &tasks, &mut share).unwrap();

    let mut values = meta.clone();
    for step in 0..3 {
        for field in 0..5 {
            values.push(
                tasks
                    .iter()
                    .flat_map(|task| task[step].fields()[field])
                    .copied()
                    .collect(),
            );
        }
    }
    let inputs: Vec<(&str, Tensor64)> = graph
        .inputs()
        .iter()
        .zip(values)
        .map(|(port, values)| {
            let values = values.into_iter().map(f64::from).collect();
            (&*port.name, Tensor64::new(graph.shape(port.value), values))
        })
        .collect();
    let expected = evaluate(&graph, &inputs).unwrap();
    for ((port, gradient), expected) in graph.outputs().iter().zip(&share.gradients).zip(&expected) {
        let largest = expected
            .data
            .iter()
            .fold(0.0f64, |largest, value| largest.max(value.abs()));
        assert!(largest > 1e-6, "{} is not idle", port.name);
        for (value, expected) in gradient.iter().zip(&expected.data) {
            let error = (f64::from(*value) - expected).abs();
            assert!(error <= 1e-4 * largest.max(1.0), "{}: {value} is {expected}", port.name);
        }
    }
}
