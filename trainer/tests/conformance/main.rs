//! The conformance suite: every operator, its gradient and its second-order gradient, and whole adaptations, on every
//! engine against the f64 reference.
//!
//! | what | bar |
//! |---|---|
//! | one operator, its gradient, its second-order gradient | max abs(a - b) <= 1e-5 max(1, max abs(b)) |
//! | a whole adaptation: an inner step, a second-order meta-gradient, a training step | the same with 1e-4 |
//! | truth values and integers | equal |
//!
//! An engine that is not installed is counted as skipped, and under `CI=true` is a failure (but CUDA, which needs a GPU).

#[path = "../../../compiler/tests/cases/mod.rs"]
mod cases;
mod compare;
mod engines;
mod maml;

use std::collections::HashMap;

use cases::{Case, Random, cases, uncovered};
use compare::{ADAPTATION, OPERATOR, check, values};
use engines::with_engine;
use pliant_compiler::{
    autodiff::gradients,
    graph::{DType, Graph},
    reference::{Tensor64, evaluate},
};
use pliant_trainer::engine::{CompileOptions, Engine, EngineError, PlanEngine};

/// Runs a graph once on an engine: the outputs in order.
fn run(
    engine: &dyn Engine,
    graph: &Graph,
    inputs: &[(String, Tensor64)],
    options: &CompileOptions,
) -> Result<Vec<Vec<f32>>, EngineError> {
    let mut program = engine.compile(graph, options)?;
    let by_name: HashMap<&str, &Tensor64> = inputs.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let names: Vec<String> = program.inputs().iter().map(|port| port.name.clone()).collect();
    for (index, name) in names.iter().enumerate() {
        program.set(index, &values(by_name[name.as_str()]))?;
    }
    program.run()?;
    let lengths: Vec<usize> = program.outputs().iter().map(|port| port.len()).collect();
    let mut outputs = Vec::new();
    for (index, length) in lengths.into_iter().enumerate() {
        let mut output = vec![f32::NAN; length];
        program.get(index, &mut output)?;
        outputs.push(output);
    }
    Ok(outputs)
}

/// Runs a graph on an engine and compares with the reference; what is wrong, if anything is.
fn conforms(engine: &dyn Engine, graph: &Graph, inputs: &[(String, Tensor64)], bar: f64) -> Result<(), String> {
    let named: Vec<(&str, Tensor64)> = inputs
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let expected = evaluate(graph, &named).map_err(|e| format!("the reference: {e}"))?;
    // As it is: the operator itself. Simplified: what training runs.
    for as_given in [true, false] {
        let options = CompileOptions {
            as_given,
            ..CompileOptions::default()
        };
        let found = run(engine, graph, inputs, &options).map_err(|e| compare::chain(&e))?;
        for (port, (found, expected)) in graph.outputs().iter().zip(found.iter().zip(&expected)) {
            check(found, expected, bar).map_err(|e| format!("output {}, as given {as_given}: {e}", port.name))?;
        }
    }
    Ok(())
}

/// Every case in three orders; all that is wrong at once.
fn operators_conform(engine: &dyn Engine) {
    let mut wrong = Vec::new();
    let mut graphs = 0;
    let all = cases();
    for case in &all {
        let Case {
            name, graph, inputs, ..
        } = case;
        let orders = [Some(graph.clone()), case.gradient(), case.second_order()];
        for (what, graph) in ["value", "gradient", "second-order gradient"].iter().zip(orders) {
            let Some(graph) = graph else { continue };
            graphs += 1;
            if let Err(error) = conforms(engine, &graph, inputs, OPERATOR) {
                wrong.push(format!("{name}, {what}: {error}"));
            }
        }
    }
    println!(
        "{}: {graphs} graphs of {} cases, {} wrong",
        engine.name(),
        all.len(),
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {graphs} wrong on {}:\n{}",
        wrong.len(),
        engine.name(),
        wrong.join("\n")
    );
}

fn adaptations_conform(engine: &dyn Engine) {
    for (name, graph) in [
        ("inner step", maml::inner_step(10)),
        (
            "second-order meta-gradient",
            maml::meta_gradient(&maml::Size {
                tasks: 5,
                shots: 10,
                hidden: 40,
            }),
        ),
        (
            "training step",
            maml::training_step(
                &maml::Size {
                    tasks: 5,
                    shots: 10,
                    hidden: 40,
                },
                1,
            ),
        ),
        (
            "training step, two inner steps",
            maml::training_step(
                &maml::Size {
                    tasks: 3,
                    shots: 5,
                    hidden: 16,
                },
                2,
            ),
        ),
    ] {
        let inputs = maml::inputs(&graph, 3);
        conforms(engine, &graph, &inputs, ADAPTATION).unwrap_or_else(|e| panic!("{name} on {}: {e}", engine.name()));
    }
}

/// Values that stay on the engine take the same way as values that go through the host each step.
fn resident_training_equals_training_through_the_host(engine: &dyn Engine) {
    let graph = maml::training_step(
        &maml::Size {
            tasks: 4,
            shots: 5,
            hidden: 16,
        },
        1,
    );
    let resident = maml::resident(&graph);
    let mut kept = engine
        .compile(&graph, &CompileOptions::resident(resident.clone()))
        .unwrap();
    let mut moved = engine.compile(&graph, &CompileOptions::default()).unwrap();
    for (index, (_, value)) in maml::inputs(&graph, 5).iter().enumerate() {
        kept.set(index, &values(value)).unwrap();
        moved.set(index, &values(value)).unwrap();
    }
    let at =
        |ports: &[pliant_trainer::engine::Port], name: &str| ports.iter().position(|port| port.name == name).unwrap();
    let pairs: Vec<(usize, usize)> = resident
        .iter()
        .map(|(input, output)| (at(kept.inputs(), input), at(kept.outputs(), output)))
        .collect();
    // An odd and an even number of steps: both of a pair's buffers hold the current value once.
    for step in 0..7 {
        kept.run().unwrap();
        moved.run().unwrap();
        for &(input, output) in &pairs {
            let mut a = vec![f32::NAN; kept.outputs()[output].len()];
            let mut b = a.clone();
            kept.get(output, &mut a).unwrap();
            moved.get(output, &mut b).unwrap();
            assert_eq!(
                a,
                b,
                "{} after step {step} on {}",
                kept.outputs()[output].name,
                engine.name()
            );
            moved.set(input, &b).unwrap();
        }
    }
    // A resident value can be replaced, and reads back as it was set.
    let (input, output) = pairs[0];
    let fresh: Vec<f32> = (0..kept.inputs()[input].len()).map(|i| i as f32 / 64.0).collect();
    kept.set(input, &fresh).unwrap();
    let mut back = vec![0.0; fresh.len()];
    kept.get(output, &mut back).unwrap();
    assert_eq!(back, fresh);
    moved.set(input, &fresh).unwrap();
    kept.run().unwrap();
    moved.run().unwrap();
    let mut other = back.clone();
    kept.get(output, &mut back).unwrap();
    moved.get(output, &mut other).unwrap();
    assert_eq!(back, other);
}

macro_rules! on_every_engine {
    ($($engine:ident $name:literal;)+) => {
        $(mod $engine {
            use super::*;

            #[test]
            fn every_operator_its_gradient_and_its_second_order_gradient() {
                with_engine($name, operators_conform);
            }

            #[test]
            fn whole_adaptations() {
                with_engine($name, adaptations_conform);
            }

            #[test]
            fn resident_training() {
                with_engine($name, resident_training_equals_training_through_the_host);
            }
        })+
    };
}

on_every_engine! {
    plan_fast "plan";
    plan_exact "plan-exact";
    ort_cpu "ort";
    ort_cuda "ort-cuda";
    tract "tract";
}

#[test]
fn every_operator_has_a_case() {
    assert_eq!(uncovered(&cases()), [""; 0]);
}

/// The bar is no formality: an error of one part in ten thousand is seen.
#[test]
fn a_wrong_gradient_is_seen() {
    let build = |factor: f32| {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[8]).unwrap();
        let y = graph.tanh(x).unwrap();
        let y = graph.scale(y, factor).unwrap();
        let sum = graph.sum_all(y).unwrap();
        let gradient = gradients(&mut graph, sum, &[x]).unwrap()[0];
        graph.output("gradient", gradient).unwrap();
        graph
    };
    let inputs = vec![("x".to_owned(), Tensor64::new(&[8], Random(1).many(8, -1.0, 1.0)))];
    let found = run(
        &PlanEngine::exact(),
        &build(1.0001),
        &inputs,
        &CompileOptions::default(),
    )
    .unwrap();
    let expected = evaluate(&build(1.0), &[("x", inputs[0].1.clone())]).unwrap();
    assert!(check(&found[0], &expected[0], OPERATOR).is_err());
}
