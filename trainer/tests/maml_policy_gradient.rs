//! Policy-gradient MAML: the outer gradient against finite differences, threads, resuming, learning.

use std::sync::Arc;

use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_trainer::algorithms::maml_policy_gradient::{MamlPolicyGradient, Problem, outer_graph};
use pliant_trainer::algorithms::{Learned, MetaLearner, NamedTensor};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::random::{fill_standard_normal, stream};
use pliant_trainer::recipe::{self, Algorithm, Family, Initialiser, Source};
use pliant_trainer::tasks::NavigationFamily;

fn policy(hidden: usize, activation: Activation) -> PolicyDescription {
    PolicyDescription::stochastic(Mlp::new(&[2, hidden, 2], activation), Gaussian { floor: -3.0 })
}

/// Every element of the outer gradient against central differences of the loss, both by the f64 reference.
#[test]
fn outer_gradient_agrees_with_finite_differences() {
    let problem = Problem {
        policy: policy(3, Activation::Tanh),
        rows: 6,
        trajectories: 2,
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
            .map(|(loss, weight)| f64::from(weight as f32) * loss.data[0])
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

/// A learner of a small version of the recipe: its phases are one, then two adaptation steps.
fn learner(threads: usize, seed: u64) -> MamlPolicyGradient {
    let recipe = Source::find("point-navigation").unwrap().parse().unwrap();
    let (Algorithm::MamlPolicyGradient(mut settings), Family::Navigation(family)) = (recipe.algorithm, recipe.family)
    else {
        panic!("the recipe of point-navigation is of policy-gradient MAML");
    };
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
    let policy = policy(16, Activation::Relu);
    MamlPolicyGradient::new(
        &settings,
        seed,
        Box::new(NavigationFamily::new(&family)),
        3,
        &policy,
        Initialiser::Glorot,
        Arc::new(PlanEngine::fast()),
        threads,
    )
    .unwrap()
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
    let state = first.state().unwrap();
    let mut second = learner(2, 99);
    second.restore(&state).unwrap();
    // The seed of a resumed run comes from its recipe; here the first run's.
    let mut second = {
        let mut again = learner(2, 1);
        again.restore(&second.state().unwrap()).unwrap();
        again
    };
    for _ in 0..2 {
        assert_eq!(whole.step().unwrap(), second.step().unwrap());
    }
    assert_eq!(bits(&whole.learned().unwrap()), bits(&second.learned().unwrap()));
    assert_eq!(whole.state().unwrap(), second.state().unwrap());
}
