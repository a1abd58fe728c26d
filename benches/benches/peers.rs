//! The plan executor against the hand-written reference and ONNX Runtime, in one run: `cargo bench --bench peers`.
//!
//! ONNX Runtime takes part when its library is found (`cargo xtask onnxruntime`); otherwise its rows are missing, and a
//! line says so.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pliant_benches::hand_kernels::{self as hand, dispatched};
use pliant_benches::turns::{Contender, compare};
use pliant_benches::{mlp_64_tanh, sgd_step_graph};
use pliant_compiler::graph::{DType, Graph, Tensor};
use pliant_compiler::image::{AlignedBytes, ImageOptions, compile_policy};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, Status, act_workspace_len};
use pliant_trainer::engine::{CompileOptions, Engine, OrtEngine, PlanEngine, Program, Provider};

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// The engines that are compared with the reference.
fn engines() -> Vec<(&'static str, Box<dyn Engine>)> {
    let mut engines: Vec<(&'static str, Box<dyn Engine>)> = vec![
        ("plan, exact", Box::new(PlanEngine::exact())),
        ("plan, fast", Box::new(PlanEngine::fast())),
    ];
    match OrtEngine::new(None, Provider::Cpu) {
        Ok(engine) => engines.push(("ONNX Runtime", Box::new(engine))),
        Err(error) => eprintln!("ONNX Runtime does not take part: {error}"),
    }
    engines
}

/// Parameters of a hand-written network, one slice a parameter in the order of the graph.
fn parameters(mlp: &hand::Mlp<16, 64, 4>) -> [&[f32]; 6] {
    [
        mlp.w1.as_flattened(),
        &mlp.b1,
        mlp.w2.as_flattened(),
        &mlp.b2,
        mlp.w3.as_flattened(),
        &mlp.b3,
    ]
}

fn act(criterion: &mut Criterion) {
    let mlp = hand::Mlp::<16, 64, 4>::new(&mut hand::Rng(SEED));
    let mut contenders = vec![
        act_by_hand(hand::Mlp::new(&mut hand::Rng(SEED))),
        act_by_device_image(&mlp),
    ];
    let policy = mlp_64_tanh();
    let mut graph = Graph::new();
    let weights: Vec<_> = policy
        .parameters()
        .iter()
        .map(|p| graph.input(&p.name, DType::F32, &p.shape).expect("a new name"))
        .collect();
    let observation = graph.input("observation", DType::F32, &[1, 16]).expect("a new name");
    let action = policy
        .distribution(&mut graph, &weights, observation, None)
        .expect("the shapes fit")
        .mean;
    graph.output("action", action).expect("a new name");
    for (name, engine) in engines() {
        let mut program = engine.compile(&graph, &CompileOptions::default()).expect("it compiles");
        set_parameters(program.as_mut(), &mlp);
        let (mut x, mut y) = ([0.3f32; 16], [0.0f32; 4]);
        contenders.push(Contender::new(name, move || {
            program.set(6, &x).expect("sixteen values");
            program.run().expect("it runs");
            program.get(0, &mut y).expect("four values");
            x[0] = 0.3 + 1e-3 * y[0];
        }));
    }
    let title = "act 16-64-64-4 tanh";
    let mut group = criterion.benchmark_group(title);
    compare(&mut group, title, &mut contenders);
    group.finish();
}

fn act_by_hand(mlp: Box<hand::Mlp<16, 64, 4>>) -> Contender {
    let (mut x, mut y) = ([0.3f32; 16], [0.0f32; 4]);
    Contender::new("hand-written", move || {
        dispatched::mlp_64_tanh(&mlp, &x, &mut y);
        x[0] = 0.3 + 1e-3 * y[0];
        black_box(y);
    })
}

/// What firmware calls: raw observation in, physical action out, through contract, checks and the image's plan.
fn act_by_device_image(mlp: &hand::Mlp<16, 64, 4>) -> Contender {
    let policy = mlp_64_tanh();
    let tensors: Vec<Tensor> = policy
        .parameters()
        .iter()
        .zip(parameters(mlp))
        .map(|(p, values)| Tensor::f32(&p.shape, values).expect("as many values as the shape says"))
        .collect();
    let mut contract = Contract::new(1000.0);
    for index in 0..16 {
        let channel = Channel::observation(&format!("sensor{index}"), "rad");
        contract.observe(channel).expect("room for sixteen");
    }
    for index in 0..4 {
        let channel = Channel::action(&format!("motor{index}"), "N m");
        contract.actuate(channel).expect("room for four");
    }
    let bytes = compile_policy(&policy, &tensors, None, &contract, &ImageOptions::default()).expect("it compiles");
    // Leaked: a contender owns what it works with, and firmware's image and memory live as long as the program too.
    let bytes: &'static AlignedBytes = Box::leak(Box::new(AlignedBytes::new(&bytes)));
    let image: &'static Image = Box::leak(Box::new(Image::new_checked(bytes).expect("a fresh image")));
    let memory = vec![0.0; act_workspace_len(bytes)].leak();
    let loaded = Box::leak(Box::new(Policy::act_only(image, None, memory).expect("enough memory")));
    let (mut actor, _) = loaded.split();
    let (mut x, mut y) = ([0.3f32; 16], [0.0f32; 4]);
    assert_eq!(actor.act(&x, &mut y), Status::Acted, "not the safe action");
    Contender::new("device image", move || {
        let status = actor.act(&x, &mut y);
        debug_assert_eq!(status, Status::Acted);
        x[0] = 0.3 + 1e-3 * y[0];
    })
}

fn set_parameters(program: &mut dyn Program, mlp: &hand::Mlp<16, 64, 4>) {
    for (index, values) in parameters(mlp).into_iter().enumerate() {
        program.set(index, values).expect("as many values as parameters");
    }
}

fn sgd_step(criterion: &mut Criterion) {
    let mut random = hand::Rng(SEED);
    let mlp = hand::Mlp::<16, 64, 4>::new(&mut random);
    let x = hand::fill::<32, 16>(&mut random, 1.0);
    let target = hand::fill::<32, 4>(&mut random, 1.0);
    let by_hand = hand::Mlp::<16, 64, 4>::new(&mut hand::Rng(SEED));
    let mut contenders = vec![sgd_step_by_hand(by_hand, x, target)];
    let (graph, resident) = sgd_step_graph(1e-3);
    for (name, engine) in engines() {
        let options = CompileOptions {
            resident: resident.clone(),
            ..CompileOptions::default()
        };
        let mut program = engine.compile(&graph, &options).expect("it compiles");
        set_parameters(program.as_mut(), &mlp);
        program.set(6, x.as_flattened()).expect("x");
        program.set(7, target.as_flattened()).expect("y");
        contenders.push(Contender::new(name, move || program.run().expect("it runs")));
    }
    let title = "sgd step 16-64-64-4 tanh, batch 32";
    let mut group = criterion.benchmark_group(title);
    compare(&mut group, title, &mut contenders);
    group.finish();
}

fn sgd_step_by_hand(mut mlp: Box<hand::Mlp<16, 64, 4>>, x: [[f32; 16]; 32], target: [[f32; 4]; 32]) -> Contender {
    let mut scratch = Box::new(hand::Scratch::new());
    Contender::new("hand-written", move || {
        dispatched::sgd_step(&mut mlp, &mut scratch, &x, &target, 1e-3);
    })
}

criterion_group!(benches, act, sgd_step);
criterion_main!(benches);
