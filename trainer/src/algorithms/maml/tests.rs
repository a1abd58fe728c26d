//! MAML on a problem small enough to solve by hand, run by the f64 reference.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pliant_compiler::adaptation::Subset;
use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::adaptation::loss::RowField;
use pliant_compiler::adaptation::ridge::RidgeRule;
use pliant_compiler::reference::{Tensor64, evaluate};

use super::learner::Chunk;
use super::*;
use crate::engine::{EngineError, Port, Program, Statistics};
use crate::nn;
use crate::recipe::{self, Adam, Order, Schedule};
use pliant_compiler::graph::{GraphError, ValueId};
use pliant_compiler::policy::{Activation, Mlp, Parameter, PolicyDescription};
use pliant_runtime::image::{FieldKind, Objective};

/// Runs graphs by the f64 reference.
#[derive(Default)]
struct ReferenceEngine {
    compiled: AtomicUsize,
}

struct ReferenceProgram {
    graph: Graph,
    resident: Vec<(usize, usize)>,
    inputs: Vec<Tensor64>,
    outputs: Vec<Tensor64>,
}

impl Engine for ReferenceEngine {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn compile(&self, graph: &Graph, options: &CompileOptions) -> Result<Box<dyn Program>, EngineError> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let zeros = |shape: &[usize]| Tensor64::new(shape, vec![0.0; shape.iter().product()]);
        let find = |ports: &[pliant_compiler::graph::Port], name: &String| {
            ports
                .iter()
                .position(|port| *port.name == **name)
                .expect("a name of the graph")
        };
        Ok(Box::new(ReferenceProgram {
            resident: options
                .resident
                .iter()
                .map(|(input, output)| (find(graph.inputs(), input), find(graph.outputs(), output)))
                .collect(),
            inputs: graph
                .inputs()
                .iter()
                .map(|port| zeros(graph.shape(port.value)))
                .collect(),
            outputs: graph
                .outputs()
                .iter()
                .map(|port| zeros(graph.shape(port.value)))
                .collect(),
            graph: graph.clone(),
        }))
    }
}

impl Program for ReferenceProgram {
    fn inputs(&self) -> &[Port] {
        unreachable!("not asked for by MAML")
    }

    fn outputs(&self) -> &[Port] {
        unreachable!("not asked for by MAML")
    }

    fn set(&mut self, input: usize, values: &[f32]) -> Result<(), EngineError> {
        let shape = self.inputs[input].shape.to_vec();
        self.inputs[input] = Tensor64::new(&shape, values.iter().map(|&value| f64::from(value)).collect());
        for &(of, output) in &self.resident {
            if of == input {
                self.outputs[output] = self.inputs[input].clone();
            }
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let names: Vec<String> = self.graph.inputs().iter().map(|port| port.name.to_string()).collect();
        let inputs: Vec<(&str, Tensor64)> = names
            .iter()
            .map(String::as_str)
            .zip(self.inputs.iter().cloned())
            .collect();
        self.outputs = evaluate(&self.graph, &inputs).expect("a graph that evaluates");
        // Variables are f32 on every engine.
        for &(input, output) in &self.resident {
            self.outputs[output]
                .data
                .iter_mut()
                .for_each(|value| *value = f64::from(*value as f32));
            self.inputs[input] = self.outputs[output].clone();
        }
        Ok(())
    }

    fn get(&mut self, output: usize, into: &mut [f32]) -> Result<(), EngineError> {
        into.iter_mut()
            .zip(&self.outputs[output].data)
            .for_each(|(into, &value)| *into = value as f32);
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            graph_nodes: self.graph.len(),
            kernels: self.graph.len(),
            creation: Duration::ZERO,
        }
    }
}

/// Tasks `y = a x` with slope `a` and one input a row, both simple functions of the index.
struct Lines;

impl SupervisedFamily for Lines {
    fn input_width(&self) -> usize {
        1
    }

    fn target_width(&self) -> usize {
        1
    }

    fn support_rows(&self) -> usize {
        2
    }

    fn query_rows(&self) -> usize {
        3
    }

    fn evaluation_rows(&self) -> usize {
        3
    }

    fn sample(&self, _seed: u64, _split: Split, index: u64, support: Rows<'_>, query: Rows<'_>) {
        let slope = 0.5 + 0.25 * (index % 7) as f32;
        for (rows, start) in [(support, 0.3f32), (query, -0.7)] {
            for (row, (input, target)) in rows.inputs.iter_mut().zip(rows.targets).enumerate() {
                *input = start + 0.4 * row as f32;
                *target = slope * *input;
            }
        }
    }

    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, scored: Rows<'_>) {
        self.sample(seed, split, index, support, scored);
    }
}

/// `(w x - y)^2` for a parameter `w` of shape `[1, 1]`.
fn squared_error(graph: &mut Graph, parameters: &[ValueId], fields: &[ValueId]) -> Result<ValueId, GraphError> {
    let prediction = graph.matmul(fields[0], parameters[0])?;
    let error = graph.sub(prediction, fields[1])?;
    graph.square(error)
}

fn rule() -> GradientRule<'static> {
    let field = |name: &str, kind| RowField {
        name: name.into(),
        kind,
        width: 1,
    };
    GradientRule {
        parameters: vec![Parameter::new("w", &[1, 1])],
        adapts: vec![true],
        banked: 0,
        fields: vec![field("x", FieldKind::Input), field("y", FieldKind::Target)],
        loss: Box::new(squared_error),
        score: Box::new(squared_error),
        gradient_clip: None,
        standardises: None,
    }
}

fn settings() -> recipe::Maml {
    recipe::Maml {
        iterations: 50,
        tasks: 5,
        inner_steps: 1,
        inner_rate: 0.2,
        order: Order::Second,
        adapts: recipe::Adapts::All,
        gradient_clip: None,
        learn_inner_rate: false,
        chunks: 1,
        optimizer: Adam {
            schedule: Schedule::Cosine,
            clip_elements: Some(10.0),
            ..Adam::new(0.05)
        },
    }
}

fn maml(settings: &recipe::Maml, threads: usize) -> Maml {
    let start = NamedTensor {
        name: "w".into(),
        shape: vec![1, 1],
        values: vec![0.1],
    };
    let engine = ReferenceEngine::default();
    Maml::new(settings, 0, Box::new(Lines), rule(), &[start], &engine, threads).unwrap()
}

/// The gradient by hand: with `c = mean x^2` over the support, `w' = w - 2 rate c (w - a)`, the query loss is
/// `q (w' - a)^2`, and its derivative `2 q (w' - a)` times 1 (first order) or `1 - 2 rate c` (second).
#[test]
fn the_meta_gradient_is_the_one_by_hand() {
    let w = 0.1f64;
    for order in [Order::First, Order::Second] {
        let settings = recipe::Maml { order, ..settings() };
        let problem = maml(&settings, 1).learner.problem;
        let graph = gradient_graph(&problem, &settings, 5, 5).unwrap();
        let mut chunk = Chunk::new(
            0,
            5,
            ReferenceEngine::default()
                .compile(&graph, &CompileOptions::default())
                .unwrap(),
            &problem,
            &graph::meta_parameters(&problem, &(&settings).into()),
        );
        chunk.program.set(0, &[w as f32]).unwrap();
        chunk.load(&|tasks, data| draw(&Lines, 0, 0, tasks, data), 1).unwrap();
        chunk.program.run().unwrap();
        let mut gradient = [0.0];
        chunk.program.get(0, &mut gradient).unwrap();
        chunk.read_losses(1).unwrap();

        let mean_square = |start: f64, rows: i32| {
            (0..rows).map(|row| (start + 0.4 * f64::from(row)).powi(2)).sum::<f64>() / f64::from(rows)
        };
        let (c, q) = (mean_square(0.3, 2), mean_square(-0.7, 3));
        let (mut expected, mut before, mut after) = (0.0, 0.0, 0.0);
        for index in 0..5 {
            let a = 0.5 + 0.25 * f64::from(index);
            let adapted = w - 2.0 * 0.2 * c * (w - a);
            let through = if order == Order::Second {
                1.0 - 2.0 * 0.2 * c
            } else {
                1.0
            };
            expected += 2.0 * q * (adapted - a) * through / 5.0;
            before += c * (w - a).powi(2) / 5.0;
            after += q * (adapted - a).powi(2) / 5.0;
        }
        assert!(
            (f64::from(gradient[0]) - expected).abs() < 1e-6,
            "{order:?}: {} and {expected}",
            gradient[0]
        );
        assert!((f64::from(chunk.losses[0]) - before).abs() < 1e-6);
        assert!((f64::from(chunk.losses[1]) - after).abs() < 1e-6);
    }
}

/// Three inner steps with a learned rate: the gradient of both is that of finite differences.
#[test]
fn the_gradient_of_learned_rates_agrees_with_finite_differences() {
    let settings = recipe::Maml {
        inner_steps: 3,
        learn_inner_rate: true,
        ..settings()
    };
    let problem = maml(&settings, 1).learner.problem;
    let graph = gradient_graph(&problem, &settings, 5, 5).unwrap();
    let mut data = Chunk::new(
        0,
        5,
        ReferenceEngine::default()
            .compile(&graph, &CompileOptions::default())
            .unwrap(),
        &problem,
        &[],
    );
    data.load(&|tasks, data| draw(&Lines, 0, 0, tasks, data), 2).unwrap();
    let run = |w: f64, rate: f64| {
        let mut inputs = vec![
            ("w", Tensor64::new(&[1, 1], vec![w])),
            ("rate/w", Tensor64::new(&[1, 1], vec![rate])),
        ];
        let rows = [[5, 2, 1], [5, 2, 1], [5, 3, 1], [5, 3, 1]];
        let names = ["support inputs", "support targets", "query inputs", "query targets"];
        for ((name, shape), values) in names.into_iter().zip(rows).zip(&data.data) {
            inputs.push((
                name,
                Tensor64::new(&shape, values.iter().map(|&v| f64::from(v)).collect()),
            ));
        }
        let outputs = evaluate(&graph, &inputs).unwrap();
        [outputs[0].data[0], outputs[1].data[0], outputs[3].data[0]]
    };
    let (w, rate, h) = (0.1, 0.15, 1e-5);
    let [by_w, by_rate, _] = run(w, rate);
    let difference_w = (run(w + h, rate)[2] - run(w - h, rate)[2]) / (2.0 * h);
    let difference_rate = (run(w, rate + h)[2] - run(w, rate - h)[2]) / (2.0 * h);
    assert!((by_w - difference_w).abs() < 1e-7, "{by_w} and {difference_w}");
    assert!(
        (by_rate - difference_rate).abs() < 1e-7,
        "{by_rate} and {difference_rate}"
    );
}

#[test]
fn training_finds_the_best_start_and_rate() {
    let settings = recipe::Maml {
        learn_inner_rate: true,
        iterations: 300,
        ..settings()
    };
    let mut maml = maml(&settings, 1);
    let mut last = f32::NAN;
    for _ in 0..300 {
        last = maml.step().unwrap().metrics[0].1;
    }
    // One step of the right size solves every line: rate = 1 / (2 c).
    assert!(last < 1e-3, "{last}");
    let learned = maml.learned().unwrap();
    assert_eq!(learned.step_sizes[0].shape, [1, 1]);
    assert_eq!(learned.step_scales, [1.0]);
}

#[test]
fn neither_threads_nor_fusing_change_what_is_learned() {
    let run = |chunks: usize, threads: usize| {
        let mut maml = maml(&recipe::Maml { chunks, ..settings() }, threads);
        (0..20).for_each(|_| drop(maml.step().unwrap()));
        maml.learned().unwrap().parameters[0].values[0]
    };
    assert_eq!(run(3, 1).to_bits(), run(3, 2).to_bits());
    assert_eq!(run(5, 1).to_bits(), run(5, 3).to_bits());
    // Another number of chunks only rounds differently.
    assert!((run(1, 1) - run(3, 1)).abs() < 1e-5);
}

#[test]
fn a_restored_run_goes_on_exactly() {
    for chunks in [1, 2] {
        let settings = recipe::Maml { chunks, ..settings() };
        let mut through = maml(&settings, 1);
        (0..10).for_each(|_| drop(through.step().unwrap()));
        let saved = through.state().unwrap();
        (0..10).for_each(|_| drop(through.step().unwrap()));
        let mut resumed = maml(&settings, 1);
        resumed.restore(&saved).unwrap();
        assert_eq!(resumed.completed(), 10);
        (0..10).for_each(|_| drop(resumed.step().unwrap()));
        assert_eq!(resumed.state().unwrap(), through.state().unwrap());

        let mut wrong = saved.clone();
        wrong.tensors[0].shape = vec![1, 2];
        assert!(matches!(resumed.restore(&wrong), Err(TrainError::StateMismatch(_))));
        wrong.tensors.pop();
        assert!(matches!(resumed.restore(&wrong), Err(TrainError::StateMismatch(_))));
    }
}

#[test]
fn divergence_is_an_error_that_says_where() {
    let mut diverging = maml(&settings(), 1);
    diverging.learner.set_parameters(&[vec![f32::INFINITY]]).unwrap();
    assert!(matches!(
        diverging.step(),
        Err(TrainError::Diverged { iteration: 1, .. })
    ));
}

/// Reptile by hand: a step on the support set, a step on the queries, and the way from the start over the step size.
#[test]
fn the_displacement_of_reptile_is_the_one_by_hand() {
    let recipe = recipe::Reptile {
        iterations: 1,
        tasks: 5,
        inner_steps: 2,
        inner_rate: 0.2,
        chunks: 1,
        optimizer: Adam::new(0.1),
    };
    let settings = MetaSettings::from(&recipe);
    let problem = Problem::new(rule(), &Lines);
    let graph = gradient_graph(&problem, &settings, 5, 5).unwrap();
    let engine = ReferenceEngine::default();
    let program = engine.compile(&graph, &CompileOptions::default()).unwrap();
    let mut chunk = Chunk::new(0, 5, program, &problem, &graph::meta_parameters(&problem, &settings));
    chunk.program.set(0, &[0.1]).unwrap();
    chunk.load(&|tasks, data| draw(&Lines, 0, 0, tasks, data), 1).unwrap();
    chunk.program.run().unwrap();
    let mut gradient = [0.0];
    chunk.program.get(0, &mut gradient).unwrap();

    let mean_square = |start: f64, rows: i32| {
        (0..rows).map(|row| (start + 0.4 * f64::from(row)).powi(2)).sum::<f64>() / f64::from(rows)
    };
    let (support, query) = (mean_square(0.3, 2), mean_square(-0.7, 3));
    let mut expected = 0.0;
    for index in 0..5 {
        let slope = 0.5 + 0.25 * f64::from(index);
        let end = [support, query]
            .iter()
            .fold(0.1, |w, mean| w - 2.0 * 0.2 * mean * (w - slope));
        expected += (0.1 - end) / 0.2 / 5.0;
    }
    assert!(
        (f64::from(gradient[0]) - expected).abs() < 1e-6,
        "{} and {expected}",
        gradient[0]
    );
}

/// Only the rates of what adapts are learned, and a context starts every task from zero.
#[test]
fn a_context_is_never_trained_and_only_it_has_a_rate() {
    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 4, 1], Activation::Tanh).with_context(2));
    let mut rule = GradientRule::for_policy(&policy, Objective::Supervised);
    rule.adapts = Subset::Context.of(&policy);
    let initial = nn::initialise(&rule.parameters, recipe::Initialiser::FanIn, 0);
    let settings = recipe::Maml {
        learn_inner_rate: true,
        ..settings()
    };
    let engine = ReferenceEngine::default();
    let mut maml = Maml::new(&settings, 0, Box::new(Lines), rule, &initial, &engine, 1).unwrap();
    let first = maml.step().unwrap().metrics[0].1;
    let last = (0..60).map(|_| maml.step().unwrap().metrics[0].1).last().unwrap();
    assert!(last < 0.5 * first, "{first} then {last}");
    let learned = maml.learned().unwrap();
    let names: Vec<&str> = learned.step_sizes.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["rate/context"]);
    assert_eq!(learned.parameters.last().unwrap().values, [0.0; 2]);
}

/// The features, the head and the ridge all learn through the closed-form solution.
#[test]
fn a_ridge_head_learns_lines() {
    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 3, 1], Activation::Tanh));
    let rule = RidgeRule::for_policy(&policy).unwrap();
    let initial = nn::initialise(&rule.rows().parameters, recipe::Initialiser::FanIn, 0);
    let recipe = recipe::Ridge {
        iterations: 300,
        tasks: 5,
        ridge: 0.5,
        forgetting: None,
        chunks: 1,
        optimizer: Adam::new(0.02),
    };
    let engine = ReferenceEngine::default();
    let mut learner = Maml::new(&recipe, 0, Box::new(Lines), rule, &initial, &engine, 1).unwrap();
    let first = learner.step().unwrap().metrics[0].1;
    let last = (0..150).map(|_| learner.step().unwrap().metrics[0].1).last().unwrap();
    assert!(last < 0.1 * first, "{first} then {last}");
    let learned = learner.learned().unwrap();
    assert!(learned.ridge().unwrap() < 0.5, "less ridge fits noiseless lines better");
    assert_eq!(learned.step_scales, [1.0]);
}
