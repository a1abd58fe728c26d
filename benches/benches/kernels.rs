//! Single kernels of the plan executor, exact and fast, over the shapes that training and acting use.
//!
//! `cargo bench -p pliant-benches --bench kernels`. Throughput is in multiply-accumulates or elements.
#![allow(missing_docs)] // `criterion_group!` makes a public function.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pliant_runtime::image::record::{Binary, Opcode, Operand, Record, Reduce, Space, Unary, flags};
use pliant_runtime::plan::{Arithmetic, Exact, Fast, Plan, SpaceSizes, Spaces};

/// Elements of every space.
const ELEMENTS: usize = 1 << 19;

fn record(opcode: Opcode, function: u8, flags: u32, rest: &[usize]) -> Record {
    let at = |space| Operand::new(space, 0).map_or(0, |operand| operand.0);
    let mut words = [0; 16];
    words[0] = opcode as u32 | u32::from(function) << 8 | flags;
    words[1] = at(Space::Output);
    words[2] = at(Space::Input);
    // The constants are space 0: word 3 of a product or a binary function is zero as it is.
    let first = if matches!(opcode, Opcode::MatMul | Opcode::Binary) {
        4
    } else {
        3
    };
    for (to, &from) in words[first..].iter_mut().zip(rest) {
        *to = from as u32;
    }
    Record { words }
}

/// `[m][k] x [k][n]`; with `transposed` the first is stored `[k][m]`.
fn product([m, k, n]: [usize; 3], transposed: bool) -> Record {
    let none = Operand::NONE.0 as usize;
    let row = if transposed { m } else { k };
    let bits = if transposed { flags::TRANSPOSE_A } else { 0 };
    record(Opcode::MatMul, 0, bits, &[none, none, 1, m, k, n, 0, 0, 0, row])
}

fn time<A: Arithmetic>(criterion: &mut Criterion, name: &str, mode: &str, record: Record) {
    let values: Vec<f32> = (0..ELEMENTS).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.01).collect();
    let mut output = vec![0.0; ELEMENTS];
    let records = [record];
    let sizes = SpaceSizes([ELEMENTS as u32; Space::COUNT])
        .with(Space::Adapted, 0)
        .with(Space::Arena, 0)
        .with(Space::State, 0)
        .with(Space::Accumulator, 0)
        .with(Space::Bank, 0);
    let plan = Plan::new_checked(&records, sizes).expect("a valid record");
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(plan.macs()));
    group.bench_function(mode, |bencher| {
        bencher.iter(|| {
            let mut spaces = Spaces {
                constants: &values,
                input: &values,
                output: &mut output,
                ..Spaces::default()
            };
            plan.run::<A>(&mut spaces)
        });
    });
    group.finish();
}

fn both(criterion: &mut Criterion, name: &str, record: Record) {
    time::<Exact>(criterion, name, "exact", record);
    time::<Fast>(criterion, name, "fast", record);
}

fn matrix_products(criterion: &mut Criterion) {
    for shape in [
        [1, 64, 64],
        [32, 64, 64],
        [1000, 64, 64],
        [2000, 100, 100],
        [2000, 2, 100],
        [2000, 100, 2],
    ] {
        both(criterion, &format!("product {shape:?}"), product(shape, false));
    }
    for shape in [[64, 32, 64], [64, 1000, 64], [100, 2000, 100], [100, 2000, 2]] {
        both(
            criterion,
            &format!("product {shape:?} of a transpose"),
            product(shape, true),
        );
    }
}

fn elementwise(criterion: &mut Criterion) {
    for function in [
        Unary::Relu,
        Unary::Exp,
        Unary::Log,
        Unary::Sin,
        Unary::Tanh,
        Unary::Softplus,
    ] {
        time::<Exact>(
            criterion,
            "unary 4096",
            &format!("{function:?}"),
            record(Opcode::Unary, function as u8, 0, &[4096]),
        );
    }
    let shapes = [
        ("same shape 4096", [1, 1, 4096, 0, 0, 1, 0, 0, 1]),
        ("row broadcast 2000 x 100", [1, 2000, 100, 0, 100, 1, 0, 0, 1]),
        ("column broadcast 2000 x 100", [1, 2000, 100, 0, 100, 1, 0, 1, 0]),
        ("row broadcast 2000 x 4", [1, 2000, 4, 0, 4, 1, 0, 0, 1]),
    ];
    for (name, words) in shapes {
        time::<Exact>(
            criterion,
            "add",
            name,
            record(Opcode::Binary, Binary::Add as u8, 0, &words),
        );
    }
}

fn movement(criterion: &mut Criterion) {
    let transpose = record(Opcode::Copy, 0, 0, &[1, 1, 100, 2000, 0, 0, 2000, 1, 0, 0, 1, 100]);
    time::<Exact>(criterion, "copy", "transpose 2000 x 100", transpose);
    let sum = |shape: [usize; 3]| {
        let [outer, reduced, inner] = shape;
        record(
            Opcode::Reduce,
            Reduce::Sum as u8,
            0,
            &[outer, reduced, inner, 1f32.to_bits() as usize],
        )
    };
    both(criterion, "sum of 2000 rows of 100", sum([1, 2000, 100]));
    both(criterion, "sum of each of 2000 rows of 100", sum([2000, 100, 1]));
}

criterion_group!(kernels, matrix_products, elementwise, movement);
criterion_main!(kernels);
