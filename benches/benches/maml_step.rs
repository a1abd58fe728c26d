//! One training step of second-order MAML on sinusoids, Adam in the graph, on each engine present: 25 tasks, 1-40-40-1, ten
//! support and ten query rows, one inner step; one thread. Parameters and moments stay on the engine.
//!
//! `cargo bench -p pliant-benches --bench maml_step` prints node counts and session creation first. ONNX Runtime is measured
//! where its library is found (`cargo xtask onnxruntime`).

#[path = "../../compiler/tests/cases/mod.rs"]
mod cases;
// A benchmark uses one of the graphs.
#[allow(dead_code)]
#[path = "../../trainer/tests/conformance/maml.rs"]
mod maml;

use criterion::{Criterion, criterion_group, criterion_main};
use pliant_benches::turns::{Contender, compare};
use pliant_trainer::engine::{CompileOptions, Engine, OrtEngine, PlanEngine, Program, Provider};

/// The step, compiled, with inputs set.
fn program(engine: &dyn Engine) -> Box<dyn Program> {
    let graph = maml::training_step(
        &maml::Size {
            tasks: 25,
            shots: 10,
            hidden: 40,
        },
        1,
    );
    let options = CompileOptions::resident(maml::resident(&graph));
    let mut program = engine.compile(&graph, &options).expect("the step compiles");
    for (index, (_, value)) in maml::inputs(&graph, 1).iter().enumerate() {
        let values: Vec<f32> = value.data.iter().map(|&value| value as f32).collect();
        program.set(index, &values).expect("the inputs fit");
    }
    let statistics = program.statistics();
    println!(
        "{}: {} operators after rewrites, {} kernel calls, created in {:.1} ms",
        engine.name(),
        statistics.graph_nodes,
        statistics.kernels,
        statistics.creation.as_secs_f64() * 1e3
    );
    program
}

fn maml_step(criterion: &mut Criterion) {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(PlanEngine::fast()), Box::new(PlanEngine::exact())];
    for provider in [Provider::Cpu, Provider::Cuda { device: 0 }] {
        match OrtEngine::new(None, provider) {
            Ok(engine) => engines.push(Box::new(engine)),
            Err(error) => println!("skipped {provider:?}: {error}"),
        }
    }
    let mut contenders = Vec::new();
    for engine in engines {
        let mut program = program(&*engine);
        let batches: Vec<usize> = (0..program.inputs().len())
            .filter(|&i| program.inputs()[i].shape.len() == 3)
            .collect();
        let rows: Vec<f32> = (0..250).map(|i| (i as f32 * 0.37).sin()).collect();
        contenders.push(Contender::new(engine.name(), move || {
            // As in training: a new meta-batch each step.
            for &input in &batches {
                program.set(input, &rows).expect("the rows fit");
            }
            program.run().expect("the step runs");
        }));
    }
    let title = "second-order MAML step";
    let mut group = criterion.benchmark_group(title);
    compare(&mut group, title, &mut contenders);
    group.finish();
}

criterion_group!(benches, maml_step);
criterion_main!(benches);
