//! The quadrotor: its dynamics against recorded trajectories of the published simulator, its graph against its plain step.

use pliant_compiler::graph::{DType, Graph};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine};
use pliant_trainer::envs::quadrotor::{Variation, Vehicle};
use pliant_trainer::envs::{Quadrotor, Reference, Simulator, System};
use pliant_trainer::random::{fill_standard_normal, stream, uniform};
use serde_json::Value;

const GOLDEN: &str = include_str!("data/quadrotor_golden.json");

/// Every trait of the plain distribution, with all that a varied one adds.
const VARIED: Variation = Variation {
    latency: [0.0, 0.03],
    position_noise: [0.0, 0.005],
    velocity_noise: [0.0, 0.02],
    spin_noise: [0.0, 0.02],
    wear: [0.6, 1.0],
    sag: [0.0, 0.1],
    payload: [0.0, 0.3],
};

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn state_of(value: &Value) -> Vec<f64> {
    [
        "position",
        "orientation",
        "linear_velocity",
        "angular_velocity",
        "rotor_speed",
    ]
    .iter()
    .flat_map(|part| numbers(&value[part]))
    .collect()
}

/// Five vehicles, 60 steps each, recorded from the published simulator in single precision.
#[test]
fn dynamics_follow_the_published_simulator() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let quadrotor = Quadrotor::new(Variation::NONE);
    let widths = System::widths(&quadrotor);
    let (mut worst, mut steps) = (0.0f64, 0);
    for trajectory in golden["trajectories"].as_array().unwrap() {
        let given = &trajectory["parameters"];
        let single = |value: &Value| number(value) as f32;
        let vehicle = Vehicle {
            mass: single(&given["mass"]),
            arm: single(&given["rotor_positions"][0][0]).abs(),
            thrust: [0, 1, 2].map(|i| single(&given["thrust"][i])),
            inertia: [0, 1, 2].map(|i| 1.0 / single(&given["J_inv"][i])),
            torque_constant: single(&given["torque_constant"]),
            rising: single(&given["tau_rising"]),
            falling: single(&given["tau_falling"]),
            disturbance: 0.0,
        };
        let mut parameters = vec![0.0; widths.parameters];
        Quadrotor::describe(&vehicle, &mut parameters);
        // The simulator rounds the inertia of its gyroscopic torque to six decimals, and not its inverse.
        let mut rounded = parameters.clone();
        let inertia = [0, 1, 2].map(|i| single(&given["J"][i]));
        Quadrotor::describe(&Vehicle { inertia, ..vehicle }, &mut rounded);
        for row in 0..3 {
            parameters[6 + row] = rounded[6 + row] * (parameters[3 + row] / rounded[3 + row]);
        }
        let parameters: Vec<Reference> = parameters.into_iter().map(|p| Reference(p.into())).collect();
        let states = trajectory["states"].as_array().unwrap();
        let mut state: Vec<Reference> = state_of(&states[0]).into_iter().map(Reference).collect();
        state.resize(widths.state, Reference(0.0));
        for (action, expected) in trajectory["actions"].as_array().unwrap().iter().zip(&states[1..]) {
            let action: Vec<Reference> = numbers(action).into_iter().map(Reference).collect();
            System::step(&quadrotor, &mut state, &parameters, &action);
            for (found, expected) in state.iter().zip(state_of(expected)) {
                worst = worst.max((found.0 - expected).abs() / expected.abs().max(1.0));
            }
            steps += 1;
        }
    }
    assert_eq!(steps, 300);
    assert!(worst < 1e-4, "differs by {worst:e}");
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
    for variation in [Variation::NONE, VARIED] {
        let quadrotor = Quadrotor::new(variation);
        let (simulator, widths): (&dyn Simulator, _) = (&quadrotor, System::widths(&quadrotor));
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
        let (mut cost, mut alive) = (vec![0.0; batch], vec![0.0; batch]);
        simulator.step_columns(&mut state, &parameters, &action, &mut cost, &mut alive);
        for (name, found, expected) in [
            ("state", &outputs[0], &state),
            ("cost", &outputs[1], &cost),
            ("alive", &outputs[2], &alive),
        ] {
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 2e-6, "{name}: {found} in the graph, {expected} in lanes");
            }
        }
        for instance in 0..batch {
            let own = |values: &[f32]| column(values, batch, instance);
            let (mut one, parameters) = (own(&before), own(&parameters));
            let mut observation = vec![0.0; widths.observation];
            simulator.observe_one(&one, &parameters, &own(&noise), &mut observation);
            for (found, expected) in own(&outputs[3]).iter().zip(&observation) {
                assert!((found - expected).abs() < 2e-6, "observation");
            }
            let outcome = simulator.step_one(&mut one, &parameters, &own(&action));
            assert_eq!(
                (own(&state), cost[instance]),
                (one, outcome.cost),
                "lanes are bit for bit single"
            );
        }
    }
}

/// The f64 evaluation of the graph is the f64 step.
#[test]
fn the_graph_is_the_reference_in_double_precision() {
    let quadrotor = Quadrotor::new(VARIED);
    let widths = System::widths(&quadrotor);
    let drawn = drawn(&quadrotor, 3);
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let tensor = |values: &[f32], width: usize| Tensor64::new(&[width, drawn.batch], wide(values));
    let outputs = evaluate(
        &step_graph(&quadrotor, drawn.batch),
        &[
            ("state", tensor(&drawn.state, widths.state)),
            ("parameters", tensor(&drawn.parameters, widths.parameters)),
            ("action", tensor(&drawn.action, widths.action)),
            ("noise", tensor(&drawn.noise, widths.noise)),
        ],
    )
    .unwrap();
    for instance in 0..drawn.batch {
        let own = |values: &[f32]| -> Vec<Reference> {
            let column = column(values, drawn.batch, instance);
            column.into_iter().map(|v| Reference(v.into())).collect()
        };
        let mut state = own(&drawn.state);
        let outcome = System::step(&quadrotor, &mut state, &own(&drawn.parameters), &own(&drawn.action));
        for (row, expected) in state.iter().enumerate() {
            let found = outputs[0].data[row * drawn.batch + instance];
            assert!((found - expected.0).abs() < 1e-6, "{found} {expected:?}");
        }
        assert!((outputs[1].data[instance] - outcome.cost.0).abs() < 1e-6);
    }
}

/// Moments of what is drawn, from the page of the distribution.
#[test]
fn the_distribution_is_the_published_one() {
    let mut random = stream(3, "test", &[]);
    let vehicles: Vec<Vehicle> = (0..20_000).map(|_| Vehicle::draw(&mut random)).collect();
    let mean = |of: fn(&Vehicle) -> f32| vehicles.iter().map(|v| f64::from(of(v))).sum::<f64>() / vehicles.len() as f64;
    let near = |name: &str, found: f64, expected: f64, tolerance: f64| {
        assert!(
            (found - expected).abs() < tolerance,
            "{name}: {found}, expected {expected}"
        );
    };
    near(
        "thrust to weight",
        mean(|v| 4.0 * v.thrust.iter().sum::<f32>() / (v.mass * 9.81)),
        3.25,
        0.03,
    );
    near("torque to inertia", mean(Vehicle::torque_to_inertia), 620.0, 8.0);
    near(
        "size",
        mean(|v| v.mass.cbrt()),
        0.5 * (0.02f64.cbrt() + 5f64.cbrt()),
        0.01,
    );
    near("rising", mean(|v| v.rising), 0.065, 0.001);
    near("falling", mean(|v| v.falling), 0.165, 0.002);
    near("torque constant", mean(|v| v.torque_constant), 0.0275, 0.0005);
    assert!(vehicles.iter().all(|v| (39.9..1200.1).contains(&v.torque_to_inertia())));
    let mut parameters = vec![0.0; System::widths(&Quadrotor::new(Variation::NONE)).parameters];
    Quadrotor::describe(&vehicles[0], &mut parameters);
    near(
        "torque to inertia from the rows",
        Quadrotor::torque_to_inertia(&parameters).into(),
        vehicles[0].torque_to_inertia().into(),
        1e-2,
    );
}

/// Wear, sag and payload leave no trace in the next episode.
#[test]
fn an_episode_starts_from_the_vehicle_as_drawn() {
    let quadrotor = Quadrotor::new(VARIED);
    let widths = System::widths(&quadrotor);
    let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
    System::draw(&quadrotor, &mut stream(4, "test", &[]), &mut parameters);
    let drawn = parameters.clone();
    for episode in 0..3 {
        System::start(
            &quadrotor,
            &mut stream(5, "test", &[episode]),
            &mut parameters,
            &mut state,
        );
        let loaded: Vec<f32> = parameters.clone();
        let mut changes = 0;
        for age in 0..500 {
            changes += u32::from(System::evolve(&quadrotor, age, &mut parameters));
        }
        assert!(changes > 400, "the battery empties all the time");
        // Thrust over mass is that of the bare vehicle once the payload has dropped.
        assert!((parameters[0] - drawn[0]).abs() < 1e-4 * drawn[0]);
        assert!(loaded[0] <= parameters[0]);
    }
}
