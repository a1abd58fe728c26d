//! Flying and learning to fly: one control step of quadrotors with their recurrent policy, forward, and forward and backward
//! as back-propagation through time runs them; one thread, `cargo bench --bench simulator`.
//!
//! Throughput is in environment steps. ONNX Runtime takes part when its library is found (`cargo xtask onnxruntime`).
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pliant_benches::simulator::{BATCH, Step, values};
use pliant_compiler::graph::Graph;
use pliant_trainer::engine::{CompileOptions, Engine, OrtEngine, PlanEngine, Program, Provider};
use pliant_trainer::envs::{Plant, Quadrotor, Simulator as _, quadrotor::Variation};

fn engines() -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(PlanEngine::fast()), Box::new(PlanEngine::exact())];
    match OrtEngine::new(None, Provider::Cpu) {
        Ok(engine) => engines.push(Box::new(engine)),
        Err(error) => println!("ONNX Runtime does not take part: {error}"),
    }
    engines
}

/// A program with its inputs set.
fn program(engine: &dyn Engine, graph: &Graph, resident: Vec<(String, String)>, batch: usize) -> Box<dyn Program> {
    let mut program = engine
        .compile(graph, &CompileOptions::resident(resident))
        .expect("it compiles");
    let statistics = program.statistics();
    println!(
        "{}: {} operators, {} kernel calls, created in {:.0} ms",
        engine.name(),
        statistics.graph_nodes,
        statistics.kernels,
        statistics.creation.as_secs_f64() * 1e3
    );
    for (index, port) in program.inputs().to_vec().into_iter().enumerate() {
        program
            .set(index, &values(&port.name, port.len(), batch))
            .expect("as many values");
    }
    program
}

/// The index of a port.
fn at(ports: &[pliant_trainer::engine::Port], name: &str) -> usize {
    ports
        .iter()
        .position(|port| port.name == name)
        .expect("a port of the step")
}

/// What a training loop exchanges in a step: columns in, columns out.
struct Exchange {
    inputs: Vec<(usize, Vec<f32>)>,
    outputs: Vec<(usize, Vec<f32>)>,
}

impl Exchange {
    fn new(program: &dyn Program, inputs: &[&str], outputs: &[&str], batch: usize) -> Self {
        let input = |name: &&str| {
            let index = at(program.inputs(), name);
            (index, values(name, program.inputs()[index].len(), batch))
        };
        let output = |name: &&str| {
            let index = at(program.outputs(), name);
            (index, vec![0.0; program.outputs()[index].len()])
        };
        Self {
            inputs: inputs.iter().map(input).collect(),
            outputs: outputs.iter().map(output).collect(),
        }
    }

    fn run(&mut self, program: &mut dyn Program) {
        for (index, values) in &self.inputs {
            program.set(*index, values).expect("as many values");
        }
        program.run().expect("it runs");
        for (index, values) in &mut self.outputs {
            program.get(*index, values).expect("as many values");
        }
    }
}

fn simulator(criterion: &mut Criterion) {
    for batch in [BATCH, 4 * BATCH] {
        let mut group = criterion.benchmark_group(format!("quadrotors with GRU, {batch} instances"));
        group.throughput(Throughput::Elements(batch as u64));
        for engine in engines() {
            let (graph, resident) = Step::new(batch).backward();
            let mut backward = program(&*engine, &graph, resident, batch);
            let mut forward = program(&*engine, &Step::new(batch).forward(), Vec::new(), batch);
            let steps = ["state", "hidden"];
            let mut there = Exchange::new(&*forward, &steps, &["next.state", "next.hidden", "cost"], batch);
            let mut back = Exchange::new(
                &*backward,
                &["state", "hidden", "cotangent.state", "cotangent.hidden"],
                &["back.state", "back.hidden"],
                batch,
            );
            group.bench_function(format!("{}, forward", engine.name()), |bencher| {
                bencher.iter(|| there.run(forward.as_mut()));
            });
            group.bench_function(format!("{}, forward and backward", engine.name()), |bencher| {
                bencher.iter(|| {
                    there.run(forward.as_mut());
                    back.run(backward.as_mut());
                });
            });
        }
    }
}

/// The step alone, plain Rust, without a policy.
fn plain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quadrotors, plain");
    group.throughput(Throughput::Elements(BATCH as u64));
    let quadrotor = Quadrotor::new(Variation::NONE);
    let widths = Plant::widths(&quadrotor);
    let mut state = values("state", widths.state * BATCH, BATCH);
    let drawn = values("drawn", widths.parameters * BATCH, BATCH);
    let action = values("action", widths.action * BATCH, BATCH);
    let (mut cost, mut alive) = ([0.0; BATCH], [0.0; BATCH]);
    group.bench_function("step", |bencher| {
        bencher.iter(|| quadrotor.step_columns(black_box(&mut state), &drawn, &action, &mut cost, &mut alive));
    });
}

criterion_group!(benches, plain, simulator);
criterion_main!(benches);
