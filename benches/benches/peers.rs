//! The plan executor against the hand-written reference and ONNX Runtime, in one run: `cargo bench --bench peers`.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pliant_benches::hand_kernels::{self as hand, dispatched};

fn act(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("act 16-64-64-4 tanh");
    let mut random = hand::Rng(0x9E37_79B9_7F4A_7C15);
    let mlp = hand::Mlp::<16, 64, 4>::new(&mut random);
    let (mut x, mut y) = ([0.3f32; 16], [0.0f32; 4]);
    group.bench_function("hand-written", |bencher| {
        bencher.iter(|| {
            dispatched::mlp_64_tanh(&mlp, &x, &mut y);
            x[0] = 0.3 + 1e-3 * y[0];
        });
    });
    black_box(y);
    group.finish();
}

fn sgd_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sgd step 16-64-64-4 tanh, batch 32");
    let mut random = hand::Rng(0x9E37_79B9_7F4A_7C15);
    let mut mlp = hand::Mlp::<16, 64, 4>::new(&mut random);
    let mut scratch = hand::Scratch::new();
    let x = hand::fill::<32, 16>(&mut random, 1.0);
    let target = hand::fill::<32, 4>(&mut random, 1.0);
    group.bench_function("hand-written", |bencher| {
        bencher.iter(|| dispatched::sgd_step(&mut mlp, &mut scratch, &x, &target, 1e-3));
    });
    group.finish();
}

criterion_group!(benches, act, sgd_step);
criterion_main!(benches);
