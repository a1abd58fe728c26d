//! Analytic policy gradient: its gradient against finite differences, and what must not change a result.

use std::sync::Arc;

use pliant_compiler::policy::{Activation, Gru, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_trainer::algorithms::Algorithm;
use pliant_trainer::algorithms::analytic_policy_gradient::{
    AnalyticPolicyGradient, Problem, backward_graph, backward_options, step_graph,
};
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::envs::quadrotor::Variation;
use pliant_trainer::envs::{Quadrotor, Simulator};
use pliant_trainer::nn::initialise;
use pliant_trainer::random::stream;
use pliant_trainer::recipe::{self, Adam, Cycle, Initialiser};

fn problem(hidden: usize, changes: u32) -> Problem {
    let gru = Gru {
        observations: Quadrotor::OBSERVATION,
        encoder: hidden,
        activation: Activation::Relu,
        hidden,
        outputs: 4,
        changes,
    };
    Problem {
        policy: PolicyDescription::bounded(gru),
        simulator: Arc::new(Quadrotor::new(Variation::NONE)),
    }
}

/// Columns of drawn instances: state and parameters.
fn drawn(simulator: &dyn Simulator, batch: usize) -> (Vec<f32>, Vec<f32>) {
    let widths = simulator.widths();
    let (mut state, mut parameters) = (vec![0.0; widths.state * batch], vec![0.0; widths.parameters * batch]);
    for instance in 0..batch {
        let mut random = stream(7, "test", &[instance as u64]);
        let (mut own, mut start) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
        simulator.draw(&mut random, &mut own);
        simulator.start(&mut random, &mut own, &mut start);
        for (row, value) in own.into_iter().enumerate() {
            parameters[row * batch + instance] = value;
        }
        for (row, value) in start.into_iter().enumerate() {
            state[row * batch + instance] = value;
        }
    }
    (state, parameters)
}

/// Back-propagation through a window is the derivative of its cost: the vector-Jacobian product in a loop, in single
/// precision, against central differences of the same window in double precision.
#[test]
fn the_gradient_of_a_window_agrees_with_finite_differences() {
    window_gradient(0);
}

/// The same through what the policy remembers of the observation and of its output.
#[test]
fn the_gradient_through_changes_agrees_with_finite_differences() {
    window_gradient(10);
}

fn window_gradient(changes: u32) {
    const BATCH: usize = 3;
    const WINDOW: usize = 12;
    let problem = problem(5, changes);
    let widths = problem.simulator.widths();
    let (state, parameters) = drawn(problem.simulator.as_ref(), BATCH);
    let weights: Vec<Vec<f32>> = initialise(&problem.parameters(), Initialiser::FanIn, 3)
        .into_iter()
        .map(|tensor| tensor.values)
        .collect();

    // Forwards in double precision; the states are kept.
    let step = step_graph(&problem, BATCH).unwrap();
    let shapes = problem.parameters();
    let forward = |weights: &[Vec<f64>]| {
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (mut state, mut memory) = (wide(&state), vec![0.0; problem.memory() * BATCH]);
        let (mut cost, mut kept) = (0.0, Vec::new());
        for _ in 0..WINDOW {
            kept.push((state.clone(), memory.clone()));
            let mut given: Vec<(&str, Tensor64)> = shapes
                .iter()
                .zip(weights)
                .map(|(shape, values)| (shape.name.as_str(), Tensor64::new(&shape.shape, values.clone())))
                .collect();
            given.push(("state", Tensor64::new(&[widths.state, BATCH], state)));
            given.push(("memory", Tensor64::new(&[problem.memory(), BATCH], memory)));
            given.push(("drawn", Tensor64::new(&[widths.parameters, BATCH], wide(&parameters))));
            let mut outputs = evaluate(&step, &given).unwrap().into_iter();
            state = outputs.next().unwrap().data;
            memory = outputs.next().unwrap().data;
            cost += outputs.next().unwrap().data.iter().sum::<f64>();
        }
        (cost, kept)
    };
    let wide: Vec<Vec<f64>> = weights
        .iter()
        .map(|values| values.iter().map(|&v| f64::from(v)).collect())
        .collect();
    let (_, kept) = forward(&wide);

    // Backwards on the engine.
    let graph = backward_graph(&problem, BATCH, 1.0, 1e9).unwrap();
    let mut program = PlanEngine::exact()
        .compile(&graph, &backward_options(&problem))
        .unwrap();
    let input = |program: &dyn pliant_trainer::engine::Program, name: &str| {
        program.inputs().iter().position(|port| port.name == name).unwrap()
    };
    for (index, values) in weights.iter().enumerate() {
        program.set(index, values).unwrap();
    }
    let (at_state, at_memory) = (input(&*program, "state"), input(&*program, "memory"));
    let at_drawn = input(&*program, "drawn");
    program.set(at_drawn, &parameters).unwrap();
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    for (state, memory) in kept.iter().rev() {
        program.set(at_state, &narrow(state)).unwrap();
        program.set(at_memory, &narrow(memory)).unwrap();
        program.run().unwrap();
    }

    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    for (index, values) in weights.iter().enumerate() {
        let mut gradient = vec![0.0; values.len()];
        program.get(index, &mut gradient).unwrap();
        // A few elements of each tensor: differences are costly.
        for element in (0..values.len()).step_by(values.len().div_ceil(6)) {
            let moved = |by: f64| {
                let mut weights = wide.clone();
                weights[index][element] += by;
                forward(&weights).0
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            worst = worst.max((f64::from(gradient[element]) - difference).abs());
            largest = largest.max(difference.abs());
        }
    }
    assert!(largest > 0.1, "there is something to compare: {largest}");
    assert!(worst < 1e-3 * largest, "differs by {worst:e}, the largest is {largest}");
}

fn settings() -> recipe::AnalyticPolicyGradient {
    recipe::AnalyticPolicyGradient {
        window: 25,
        episode: 100,
        averaging: 0.9,
        environments: 48,
        shards: 3,
        state_decay: 0.97,
        clip_cotangent: 1e3,
        clip_shard: Some(0.001),
        retries: 2,
        whole: 0.0,
        replay: 0.25,
        extremes: 0.5,
        extremes_after: 30,
        skip_above: 10.0,
        go_back_above: 1.1,
        output_scale: 0.1,
        update_gate_bias: 1.0,
        warm_up: 5,
        cycles: vec![
            Cycle {
                updates: 40,
                rate: 1.0,
                final_rate: 0.5,
            },
            Cycle {
                updates: 40,
                rate: 1.0,
                final_rate: 0.1,
            },
        ],
        validate_every: 4,
        validation_episodes: 20,
        optimizer: Adam {
            beta2: 0.99,
            clip_norm: Some(0.001),
            orthogonal: Some(0.1),
            ..Adam::new(0.01)
        },
    }
}

fn learner(threads: usize) -> AnalyticPolicyGradient {
    AnalyticPolicyGradient::new(
        &settings(),
        3,
        &problem(8, 0),
        Initialiser::FanIn,
        &PlanEngine::fast(),
        threads,
    )
    .unwrap()
}

/// Bit for bit: on one thread, on three, and going on from a saved state.
#[test]
fn threads_and_resuming_change_nothing() {
    let mut whole = learner(1);
    let mut threaded = learner(3);
    let mut first = learner(2);
    for update in 0..10 {
        let (a, b) = (whole.step().unwrap(), threaded.step().unwrap());
        assert_eq!(a, b, "update {update}");
        if update < 5 {
            first.step().unwrap();
        }
    }
    let saved = first.state().unwrap();
    let mut second = learner(1);
    second.restore(&saved).unwrap();
    for _ in 5..10 {
        second.step().unwrap();
    }
    let expected = whole.state().unwrap();
    assert_eq!(threaded.state().unwrap(), expected);
    assert_eq!(second.state().unwrap(), expected);
    assert_eq!(expected.environment_steps, 10 * 48 * 25);

    let mut other = expected.clone();
    other.tensors.pop();
    assert!(
        learner(1).restore(&other).is_err(),
        "a state of another recipe is refused"
    );
}

/// Eighty small updates bring the cost down a long way.
#[test]
fn it_learns() {
    let mut learner = learner(2);
    let mut costs = Vec::new();
    while learner.completed() < learner.iterations() {
        costs.push(learner.step().unwrap().metrics[0].1);
    }
    let mean = |costs: &[f32]| costs.iter().sum::<f32>() / costs.len() as f32;
    let (early, late) = (mean(&costs[..10]), mean(&costs[70..]));
    assert!(late < 0.6 * early, "from {early} to {late}");
}
