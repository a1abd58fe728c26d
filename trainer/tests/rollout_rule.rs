//! The analytic gradient as inner and outer gradient of MAML, Meta-SGD and CAVIA: against finite differences, and whether
//! it helps on systems never seen.

use std::sync::Arc;

use pliant_compiler::adaptation::Subset;
use pliant_compiler::adaptation::gradient::{Order, StepSizes};
use pliant_compiler::policy::{Activation, CONTEXT, Gru, Mlp, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_trainer::algorithms::analytic_policy_gradient::{self as flown, RolloutFamily, rollout_rule};
use pliant_trainer::algorithms::{Algorithm, Inner, Maml, MetaSettings, Problem, gradient_graph};
use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine, Program};
use pliant_trainer::envs::Pendulum;
use pliant_trainer::error::TrainError;
use pliant_trainer::nn::initialise;
use pliant_trainer::recipe::{Adam, Initialiser, Schedule};
use pliant_trainer::tasks::{Rows, Split, SupervisedFamily, training_task};

const TASKS: usize = 2;
const EPISODES: usize = 3;

fn problem(network: Mlp) -> flown::Problem {
    flown::Problem {
        policy: PolicyDescription::bounded(network),
        simulator: Arc::new(Pendulum::default()),
    }
}

fn settings(iterations: u64, tasks: usize, learn_rate: bool) -> MetaSettings {
    MetaSettings {
        iterations,
        tasks,
        chunks: 1,
        optimizer: Adam {
            rate: 0.01,
            schedule: Schedule::Constant,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_elements: None,
            clip_norm: Some(1.0),
            orthogonal: None,
        },
        inner: Inner::Gradient {
            steps: 1,
            rate: 0.3,
            learn_rate,
            order: Order::Second,
        },
    }
}

/// Largest difference between the meta-gradient and central differences of the loss after adapting, in double precision, and
/// the largest element compared.
fn differ(network: Mlp, subset: Subset, learn_rate: bool) -> (f64, f64) {
    let flown = problem(network);
    let family = RolloutFamily::new(flown.simulator.clone(), EPISODES, EPISODES);
    let rule = rollout_rule(&flown, 6, subset).unwrap();
    let (parameters, adapts) = (rule.parameters.clone(), rule.adapts.clone());
    let initial = initialise(&parameters, Initialiser::FanIn, 1);
    let problem = Problem::new(rule, &family);
    let graph = gradient_graph(&problem, settings(1, TASKS, learn_rate), TASKS, TASKS).unwrap();

    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let mut meta: Vec<(String, Tensor64)> = initial
        .iter()
        .map(|tensor| (tensor.name.clone(), Tensor64::new(&tensor.shape, wide(&tensor.values))))
        .collect();
    if learn_rate {
        for (parameter, _) in parameters.iter().zip(&adapts).filter(|(_, adapts)| **adapts) {
            let sizes = vec![0.3; parameter.elements()];
            meta.push((
                format!("rate/{}", parameter.name),
                Tensor64::new(&parameter.shape, sizes),
            ));
        }
    }
    let mut data = [const { Vec::new() }; 4];
    for task in 0..TASKS {
        for (all, own) in data.iter_mut().zip(training_task(&family, 4, task as u64)) {
            all.extend(wide(&own));
        }
    }
    let names = ["support inputs", "support targets", "query inputs", "query targets"];
    let rows: Vec<(&str, Tensor64)> = names
        .into_iter()
        .zip(data)
        .map(|(name, values)| {
            let width = values.len() / (TASKS * EPISODES);
            (name, Tensor64::new(&[TASKS, EPISODES, width], values))
        })
        .collect();
    let run = |meta: &[(String, Tensor64)]| {
        let mut given: Vec<(&str, Tensor64)> = meta.iter().map(|(name, value)| (&**name, value.clone())).collect();
        given.extend(rows.iter().cloned());
        evaluate(&graph, &given).unwrap()
    };
    let outputs = run(&meta);
    let after = outputs.len() - 1;
    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    // A context starts from zero, and no gradient reaches where it starts.
    for index in (0..meta.len()).filter(|&index| meta[index].0 != CONTEXT) {
        let count = meta[index].1.data.len();
        for element in (0..count).step_by(count.div_ceil(5)) {
            let moved = |by: f64| {
                let mut meta = meta.clone();
                meta[index].1.data[element] += by;
                run(&meta)[after].data[0]
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            worst = worst.max((outputs[index].data[element] - difference).abs());
            largest = largest.max(difference.abs());
        }
    }
    (worst, largest)
}

#[test]
fn the_meta_gradient_agrees_with_finite_differences() {
    let network = || Mlp::new(&[5, 6, 1], Activation::Tanh);
    for (name, network, subset, learn_rate) in [
        ("MAML", network(), Subset::All, false),
        ("Meta-SGD", network(), Subset::All, true),
        ("ANIL", network(), Subset::Head, false),
        ("CAVIA", network().with_context(2), Subset::Context, false),
    ] {
        let (worst, largest) = differ(network, subset, learn_rate);
        assert!(largest > 1e-3, "{name}: there is something to compare: {largest}");
        assert!(
            worst < 1e-5 * largest.max(0.1),
            "{name}: differs by {worst:e}, the largest is {largest}"
        );
    }
}

/// Mean cost of a step on held-out systems: before, and after one step learned by Meta-SGD on a few episodes.
#[test]
fn one_step_through_the_simulator_helps_on_systems_never_seen() {
    const STEPS: usize = 12;
    let flown = problem(Mlp::new(&[5, 12, 1], Activation::Tanh));
    let family = RolloutFamily::new(flown.simulator.clone(), EPISODES, EPISODES);
    let rule = rollout_rule(&flown, STEPS, Subset::All).unwrap();
    let initial = initialise(&rule.parameters, Initialiser::FanIn, 0);
    let engine = PlanEngine::fast();
    let boxed = Box::new(RolloutFamily::new(flown.simulator.clone(), EPISODES, EPISODES));
    let mut maml = Maml::new(settings(150, 8, true), 0, boxed, rule, &initial, &engine, 1).unwrap();
    for _ in 0..150 {
        maml.step().unwrap();
    }
    let learned = maml.learned().unwrap();
    let rule = rollout_rule(&flown, STEPS, Subset::All).unwrap();
    let sizes: Vec<f32> = learned
        .step_sizes
        .iter()
        .flat_map(|tensor| tensor.values.clone())
        .collect();
    let compile = |graph| engine.compile(&graph, &CompileOptions::default()).unwrap();
    let mut adapt = compile(rule.adapt(EPISODES, &StepSizes::PerElement(sizes)).unwrap());
    let mut score = compile(rule.score_rows(EPISODES).unwrap());
    let (mut before, mut after) = (0.0, 0.0);
    for task in 0..40 {
        let widths = [family.input_width(), family.target_width()];
        let mut data = [0, 1, 0, 1].map(|of| vec![0.0; EPISODES * widths[of]]);
        let [x, y, query_x, query_y] = &mut data;
        let support = Rows { inputs: x, targets: y };
        let query = Rows {
            inputs: query_x,
            targets: query_y,
        };
        family.sample(0, Split::Validation, task, support, query);
        let weights = vec![1.0; EPISODES];
        let start: Vec<Vec<f32>> = learned.parameters.iter().map(|tensor| tensor.values.clone()).collect();
        let give = |program: &mut dyn Program, parameters: &[Vec<f32>], rows: &[&[f32]]| {
            for (input, values) in parameters
                .iter()
                .map(Vec::as_slice)
                .chain(rows.iter().copied())
                .enumerate()
            {
                program.set(input, values).unwrap();
            }
            program.run().unwrap();
        };
        give(&mut *adapt, &start, &[&data[0], &data[1], &weights, &[1.0]]);
        let mut adapted = start.clone();
        for (output, values) in adapted.iter_mut().enumerate() {
            adapt.get(output, values).unwrap();
        }
        for (parameters, sum) in [(&start, &mut before), (&adapted, &mut after)] {
            give(&mut *score, parameters, &[&data[2], &data[3], &weights]);
            let mut cost = [0.0];
            score.get(0, &mut cost).unwrap();
            *sum += cost[0] / 40.0;
        }
    }
    println!("cost of a step on held-out pendulums: {before} before, {after} after one step");
    assert!(after < before, "{before} before, {after} after");
}

#[test]
fn a_policy_that_remembers_is_refused() {
    let gru = Gru {
        observations: 5,
        encoder: 4,
        activation: Activation::Relu,
        hidden: 4,
        outputs: 1,
        changes: 0,
    };
    let problem = flown::Problem {
        policy: PolicyDescription::bounded(gru),
        simulator: Arc::new(Pendulum::default()),
    };
    let error = rollout_rule(&problem, 5, Subset::All).err().unwrap();
    assert!(matches!(error, TrainError::NeedsNoMemory), "{error}");
}
