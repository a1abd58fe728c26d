//! Every simulated system: dynamics against trajectories computed another way, the graph against the plain step, and what is
//! drawn. Quadrotors have recorded trajectories of their own, in `quadrotor.rs`.

use std::sync::Arc;

use pliant_compiler::graph::{DType, Graph};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::experience::End;
use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine};
use pliant_trainer::envs::quadrotor::{Variation, Vehicles};
use pliant_trainer::envs::{
    Car, CartPole, Environment, Pendulum, Quadrotor, Reference, Simulation, Simulator, System, Told, TwoLinkArm,
    Vehicle,
};
use pliant_trainer::random::{fill_standard_normal, stream, uniform};
use serde_json::Value;

const GOLDEN: &str = include_str!("data/systems_golden.json");

/// Every trait of the plain distribution of quadrotors, with all that a varied one adds.
const VARIED: Variation = Variation {
    latency: [0.0, 0.03],
    position_noise: [0.0, 0.005],
    velocity_noise: [0.0, 0.02],
    spin_noise: [0.0, 0.02],
    wear: [0.6, 1.0],
    sag: [0.0, 0.1],
    payload: [0.0, 0.3],
    sluggish: 0.0,
    flyable: true,
    latest: 0.2,
    actions_seen: 3,
    vehicles: Vehicles::PLAIN,
};

/// Calls `check` with every system.
fn with_every_system(mut check: impl FnMut(&str, &dyn Simulator)) {
    check("pendulum", &Pendulum::default());
    check("cart-pole", &CartPole::default());
    check("two-link arm", &TwoLinkArm::default());
    check("vehicle", &Vehicle::default());
    check("pendulum, told", &Told::new(Pendulum::default()));
    check("vehicle, told", &Told::new(Vehicle::default()));
    check("quadrotor", &Quadrotor::new(Variation::NONE));
    check("varied quadrotor", &Quadrotor::new(VARIED));
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// Follows the recorded trajectories of one system: greatest distance from them, relative to 1 or to the value.
fn distance<S: System>(system: &S, name: &str, describe: impl Fn(&[f32], &mut [f32])) -> f64 {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let widths = system.widths();
    let (mut worst, mut steps) = (0.0f64, 0);
    for trajectory in golden[name].as_array().unwrap() {
        let task: Vec<f32> = numbers(&trajectory["task"])
            .into_iter()
            .map(|value| value as f32)
            .collect();
        let mut parameters = vec![0.0; widths.parameters];
        describe(&task, &mut parameters);
        let parameters: Vec<Reference> = parameters.into_iter().map(|value| Reference(value.into())).collect();
        let states = trajectory["states"].as_array().unwrap();
        let mut state: Vec<Reference> = numbers(&states[0]).into_iter().map(Reference).collect();
        state.resize(widths.state, Reference(0.0));
        for (action, expected) in trajectory["actions"].as_array().unwrap().iter().zip(&states[1..]) {
            let action: Vec<Reference> = numbers(action).into_iter().map(Reference).collect();
            system.step(&mut state, &parameters, &action);
            for (found, expected) in state.iter().zip(numbers(expected)) {
                worst = worst.max((found.0 - expected).abs() / expected.abs().max(1.0));
            }
            steps += 1;
        }
    }
    assert!(steps >= 120, "{name}: {steps} steps");
    worst
}

/// `data/systems_golden.py` integrates with hundreds of small steps what it derives in another way: the arm from its
/// kinetic and potential energy by numerical differentiation, the cart-pole from its mass matrix.
#[test]
fn dynamics_follow_trajectories_computed_another_way() {
    let four = |task: &[f32]| [task[0], task[1], task[2], task[3]];
    let pendulum = distance(&Pendulum::default(), "pendulum", |task, parameters| {
        Pendulum::describe([task[0], task[1], task[2]], parameters);
    });
    let cart_pole = distance(&CartPole::default(), "cart-pole", |task, parameters| {
        CartPole::describe(four(task), parameters);
        CartPole::push(task[4], parameters);
    });
    let arm = distance(&TwoLinkArm::default(), "two-link-arm", |task, parameters| {
        parameters[..3].copy_from_slice(task);
    });
    let vehicle = distance(&Vehicle::default(), "vehicle", |task, parameters| {
        let car = Car {
            speed: task[0],
            mass: task[1],
            stiffness: [task[2], task[3]],
            grip: task[4],
            delay: task[5],
            offset: task[6],
            camber: task[7],
            centre: task[8],
        };
        Vehicle::describe(&car, parameters);
        Vehicle::curve(task[9], parameters);
    });
    for (name, worst) in [
        ("pendulum", pendulum),
        ("cart-pole", cart_pole),
        ("two-link arm", arm),
        ("vehicle", vehicle),
    ] {
        assert!(worst < 1e-3, "{name} differs by {worst:e}");
    }
}

/// Drawn instances in columns: parameters, states, actions, noise.
struct Drawn {
    batch: usize,
    parameters: Vec<f32>,
    state: Vec<f32>,
    action: Vec<f32>,
    noise: Vec<f32>,
}

fn drawn(simulator: &dyn Simulator, batch: usize) -> Drawn {
    let widths = simulator.widths();
    let mut drawn = Drawn {
        batch,
        parameters: vec![0.0; batch * widths.parameters],
        state: vec![0.0; batch * widths.state],
        action: vec![0.0; batch * widths.action],
        noise: vec![0.0; batch * widths.noise],
    };
    for instance in 0..batch {
        let mut random = stream(1, "test", &[instance as u64]);
        let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
        simulator.draw(&mut random, &mut parameters);
        simulator.start(&mut random, &mut parameters, &mut state);
        let mut action = vec![0.0; widths.action];
        action.fill_with(|| uniform(&mut random, -1.0, 1.0));
        for value in state.iter_mut().skip(widths.physical) {
            *value = uniform(&mut random, -1.0, 1.0);
        }
        let scatter = |from: &[f32], to: &mut [f32]| {
            for (row, value) in from.iter().enumerate() {
                to[row * batch + instance] = *value;
            }
        };
        scatter(&parameters, &mut drawn.parameters);
        scatter(&state, &mut drawn.state);
        scatter(&action, &mut drawn.action);
    }
    fill_standard_normal(&mut stream(2, "test", &[]), &mut drawn.noise);
    drawn
}

fn column(values: &[f32], batch: usize, instance: usize) -> Vec<f32> {
    values.iter().skip(instance).step_by(batch).copied().collect()
}

/// One step and one observation as a graph: inputs state, parameters, action, noise.
fn step_graph(simulator: &dyn Simulator, batch: usize) -> Graph {
    let widths = simulator.widths();
    let mut graph = Graph::new();
    let mut input = |name: &str, width: usize| graph.input(name, DType::F32, &[width, batch]).unwrap();
    let (state, parameters, action) = (
        input("state", widths.state),
        input("parameters", widths.parameters),
        input("action", widths.action),
    );
    let noise = (widths.noise > 0).then(|| input("noise", widths.noise));
    let step = simulator.step_graph(&mut graph, state, parameters, action).unwrap();
    let observation = simulator.observe_graph(&mut graph, state, parameters, noise).unwrap();
    for (name, value) in [
        ("next", step.state),
        ("cost", step.cost),
        ("alive", step.alive),
        ("observation", observation),
    ] {
        graph.output(name, value).unwrap();
    }
    graph
}

#[test]
fn the_graph_the_lanes_and_the_single_step_agree() {
    with_every_system(|system, simulator| {
        let widths = simulator.widths();
        let Drawn {
            batch,
            parameters,
            mut state,
            action,
            noise,
        } = drawn(simulator, 21);
        let graph = step_graph(simulator, batch);
        let mut program = PlanEngine::exact().compile(&graph, &CompileOptions::default()).unwrap();
        for (index, values) in [&state, &parameters, &action, &noise].into_iter().enumerate() {
            if !values.is_empty() {
                program.set(index, values).unwrap();
            }
        }
        program.run().unwrap();
        let mut outputs: Vec<Vec<f32>> = program.outputs().iter().map(|port| vec![0.0; port.len()]).collect();
        for (index, values) in outputs.iter_mut().enumerate() {
            program.get(index, values).unwrap();
        }

        let before = state.clone();
        let mut observations = vec![0.0; widths.observation * batch];
        simulator.observe_columns(batch, &before, &parameters, &noise, &mut observations);
        let (mut cost, mut alive) = (vec![0.0; batch], vec![0.0; batch]);
        simulator.step_columns(&mut state, &parameters, &action, &mut cost, &mut alive);
        for (name, found, expected) in [
            ("state", &outputs[0], &state),
            ("cost", &outputs[1], &cost),
            ("alive", &outputs[2], &alive),
            ("observation", &outputs[3], &observations),
        ] {
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(
                    error < 4e-6,
                    "{system}: {name}: {found} in the graph, {expected} in lanes"
                );
            }
        }
        for instance in 0..batch {
            let own = |values: &[f32]| column(values, batch, instance);
            let (mut one, parameters) = (own(&before), own(&parameters));
            let mut observation = vec![0.0; widths.observation];
            simulator.observe_one(&one, &parameters, &own(&noise), &mut observation);
            let outcome = simulator.step_one(&mut one, &parameters, &own(&action));
            assert_eq!(
                (own(&observations), own(&state), cost[instance]),
                (observation, one, outcome.cost),
                "{system}: lanes are bit for bit single"
            );
        }
    });
}

/// The f64 evaluation of the graph is the f64 step.
#[test]
fn the_graph_is_the_reference_in_double_precision() {
    fn check<S: System>(system: &S) {
        let widths = system.widths();
        let drawn = drawn(system, 3);
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let tensor = |values: &[f32], width: usize| Tensor64::new(&[width, drawn.batch], wide(values));
        let mut given = vec![
            ("state", tensor(&drawn.state, widths.state)),
            ("parameters", tensor(&drawn.parameters, widths.parameters)),
            ("action", tensor(&drawn.action, widths.action)),
        ];
        if widths.noise > 0 {
            given.push(("noise", tensor(&drawn.noise, widths.noise)));
        }
        let outputs = evaluate(&step_graph(system, drawn.batch), &given).unwrap();
        for instance in 0..drawn.batch {
            let own = |values: &[f32]| -> Vec<Reference> {
                let column = column(values, drawn.batch, instance);
                column.into_iter().map(|v| Reference(v.into())).collect()
            };
            let mut state = own(&drawn.state);
            let outcome = system.step(&mut state, &own(&drawn.parameters), &own(&drawn.action));
            for (row, expected) in state.iter().enumerate() {
                let found = outputs[0].data[row * drawn.batch + instance];
                assert!((found - expected.0).abs() < 1e-6, "{found} {expected:?}");
            }
            assert!((outputs[1].data[instance] - outcome.cost.0).abs() < 1e-6);
        }
    }
    check(&Pendulum::default());
    check(&CartPole::default());
    check(&TwoLinkArm::default());
    check(&Vehicle::default());
    check(&Quadrotor::new(VARIED));
}

/// Channels are as many as numbers, names fit the format, and an observation shows no parameter that is told to oracles.
#[test]
fn channels_fit_the_widths_and_tell_nothing() {
    with_every_system(|system, simulator| {
        let (widths, channels) = (simulator.widths(), simulator.channels());
        assert_eq!(channels.observations.len(), widths.observation, "{system}");
        assert_eq!(channels.actions.len(), widths.action, "{system}");
        assert!(simulator.parameter_names().len() <= widths.parameters, "{system}");
        assert!(
            simulator
                .parameter_names()
                .iter()
                .all(|name| (1..=24).contains(&name.len())),
            "{system}"
        );
        // Two tasks in the same state, with the same parameters after the told ones, look the same.
        let Drawn {
            parameters,
            state,
            noise,
            ..
        } = drawn(simulator, 2);
        let state = column(&state, 2, 0);
        let [mut one, other] = [0, 1].map(|instance| column(&parameters, 2, instance));
        let look = |parameters: &[f32]| {
            let mut observation = vec![0.0; widths.observation];
            simulator.observe_one(&state, parameters, &column(&noise, 2, 0), &mut observation);
            observation
        };
        let before = look(&one);
        let told = simulator.parameter_names().len();
        one[..told].copy_from_slice(&other[..told]);
        assert_eq!(look(&one), before, "{system}");
    });
}

/// The normalisers of what an oracle is told leave it with mean 0 and deviation 1.
#[test]
fn told_parameters_are_normalised() {
    let told = Told::new(CartPole::default());
    let (simulator, plain): (&dyn Simulator, &dyn Simulator) = (&told, &CartPole::default());
    let widths = simulator.widths();
    assert_eq!(widths.observation, plain.widths().observation + 5);
    let channels = simulator.channels().observations;
    let drawn = drawn(simulator, 2000);
    let mut observations = vec![0.0; widths.observation * drawn.batch];
    simulator.observe_columns(
        drawn.batch,
        &drawn.state,
        &drawn.parameters,
        &drawn.noise,
        &mut observations,
    );
    for (row, channel) in channels.iter().enumerate().skip(4) {
        let own = &observations[row * drawn.batch..(row + 1) * drawn.batch];
        let normal: Vec<f32> = own.iter().map(|value| (value - channel.mean) / channel.scale).collect();
        let mean = normal.iter().sum::<f32>() / 2000.0;
        let deviation = (normal.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 2000.0).sqrt();
        assert!(
            mean.abs() < 0.15 && (deviation - 1.0).abs() < 0.1,
            "{}: {mean} {deviation}",
            channel.name
        );
    }
}

/// Whole episodes with random actions: finite, the same for the same seed, and what is lost is paid for.
#[test]
fn episodes_are_repeatable_and_pay_for_what_they_lose() {
    let run = |seed: u64| {
        let mut random = stream(seed, "test", &[]);
        let system = CartPole::default();
        let mut batch = Simulation::across(Arc::new(system), 9);
        (0..9).for_each(|instance| batch.renew(instance, &mut random));
        let (mut rewards, mut ends) = ([0.0; 9], [End::Continue; 9]);
        let (mut totals, mut actions) = ([0.0; 9], [0.0; 9]);
        let mut seen = Vec::new();
        for _ in 0..batch.horizon() {
            actions.fill_with(|| uniform(&mut random, -1.0, 1.0));
            batch.step(&actions, &mut rewards, &mut ends);
            for (total, reward) in totals.iter_mut().zip(rewards) {
                *total += reward;
            }
            let mut observations = [0.0; 36];
            batch.observe(&mut observations);
            seen.extend(observations);
        }
        assert!(ends.iter().all(|end| end.is_last()));
        assert_eq!(ends, [End::Terminated; 9], "random actions balance nothing");
        assert!(seen.iter().all(|value| value.is_finite()));
        assert!(
            totals.iter().all(|total| *total < -1000.0),
            "most of 500 steps at 10 are lost: {totals:?}"
        );
        (seen, totals)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Splits draw from streams of their own.
#[test]
fn no_split_draws_the_tasks_of_another() {
    use pliant_trainer::tasks::{Split, task_streams};
    let draw = |split, index| {
        let [mut random, _] = task_streams(0, split, index, 0);
        let system = Vehicle::default();
        let mut parameters = vec![0.0; 16];
        pliant_trainer::envs::Plant::draw(&system, &mut random, &mut parameters);
        parameters
    };
    let all: Vec<Vec<f32>> = [Split::Train, Split::Validation, Split::Test]
        .into_iter()
        .flat_map(|split| (0..50).map(move |index| (split, index)))
        .map(|(split, index)| draw(split, index))
        .collect();
    for (index, one) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| other != one));
    }
}
