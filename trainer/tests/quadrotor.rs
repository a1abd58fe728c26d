//! The quadrotor: its dynamics against recorded trajectories of the published simulator, and what is drawn. `systems.rs` has
//! what holds for every system.

use pliant_trainer::envs::quadrotor::{Variation, Vehicle, Vehicles};
use pliant_trainer::envs::{Plant, Quadrotor, Reference, Simulator, System};
use pliant_trainer::random::stream;
use pliant_trainer::recipe::Source;
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
    sluggish: 0.0,
    flyable: true,
    latest: 0.2,
    actions_seen: 3,
    vehicles: Vehicles::PLAIN,
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
    let widths = quadrotor.widths();
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

/// Vehicles of narrow ranges lie in them; a recipe names what is outside of what can be simulated.
#[test]
fn one_vehicle_that_is_known_has_narrow_ranges() {
    let small = Vehicles {
        thrust_to_weight: [2.0, 2.2],
        mass: [0.030, 0.033],
        torque_to_inertia: [700.0, 800.0],
        rising: [0.05, 0.06],
        disturbance: [0.0; 2],
        ..Vehicles::PLAIN
    };
    let mut random = stream(4, "test", &[]);
    for _ in 0..1000 {
        let vehicle = small.draw(&mut random);
        let ratio = 4.0 * vehicle.thrust.iter().sum::<f32>() / (vehicle.mass * 9.81);
        assert!(ratio > 1.999 && ratio < 2.201, "{ratio}");
        assert!(vehicle.mass > 0.0299 && vehicle.mass < 0.0331, "{}", vehicle.mass);
        let agility = vehicle.torque_to_inertia();
        assert!(agility > 699.0 && agility < 801.0, "{agility}");
        assert!((0.05..=0.06).contains(&vehicle.rising));
        assert_eq!(vehicle.disturbance, 0.0);
    }
    let mut source = Source::find("quadrotor").unwrap();
    source.set("family.quadrotor.vehicles.mass=[0.03, 60.0]").unwrap();
    let refused = source.parse().unwrap_err().to_string();
    assert!(refused.contains("family.quadrotor.vehicles.mass"), "{refused}");
}

/// Moments of what is drawn, from the page of the distribution.
#[test]
fn the_distribution_is_the_published_one() {
    let mut random = stream(3, "test", &[]);
    let vehicles: Vec<Vehicle> = (0..20_000).map(|_| Vehicles::PLAIN.draw(&mut random)).collect();
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
    let mut parameters = vec![0.0; Quadrotor::new(Variation::NONE).widths().parameters];
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
    let widths = quadrotor.widths();
    let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
    quadrotor.draw(&mut stream(4, "test", &[]), &mut parameters);
    let drawn = parameters.clone();
    for episode in 0..3 {
        quadrotor.start(&mut stream(5, "test", &[episode]), &mut parameters, &mut state);
        let loaded: Vec<f32> = parameters.clone();
        let mut changes = 0;
        for age in 0..500 {
            changes += u32::from(quadrotor.evolve(age, &mut parameters));
        }
        assert!(changes > 400, "the battery empties all the time");
        // Thrust over mass is that of the bare vehicle once the payload has dropped.
        assert!((parameters[0] - drawn[0]).abs() < 1e-4 * drawn[0]);
        assert!(loaded[0] <= parameters[0]);
    }
}

/// With three actions seen, the ones still on their way to late motors stand in the observation, the newest first.
#[test]
fn actions_under_way_are_seen() {
    let quadrotor = Quadrotor::new(Variation {
        actions_seen: 3,
        ..Variation::NONE
    });
    let widths = quadrotor.widths();
    let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
    quadrotor.draw(&mut stream(6, "test", &[]), &mut parameters);
    quadrotor.start(&mut stream(7, "test", &[]), &mut parameters, &mut state);
    for action in [0.1, 0.2, 0.3] {
        quadrotor.step_one(&mut state, &parameters, &[action; 4]);
    }
    let mut observation = vec![0.0; widths.observation];
    quadrotor.observe_one(&state, &parameters, &vec![0.0; widths.noise], &mut observation);
    assert_eq!(observation[18..22], [0.3; 4]);
    assert_eq!(observation[22..26], [0.2; 4]);
    assert_eq!(observation[26..], [0.1; 4]);
    let channels = quadrotor.channels().observations;
    assert_eq!(channels.len(), widths.observation);
    assert_eq!(channels[29].name, "front left, 3 ago");
    assert_eq!(Quadrotor::actions_seen(widths.observation), Some(3));
    assert_eq!(Quadrotor::actions_seen(23), None);
}
