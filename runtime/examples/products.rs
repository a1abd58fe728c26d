//! How fast the plan executor multiplies matrices in training, on every instruction set of this machine: 10^9
//! multiply-accumulates a second, one thread.
//!
//! ```text
//! cargo run --release -p pliant-runtime --features std --example products
//! cargo run --release -p pliant-runtime --features gemm --example products
//! ```

use std::time::Instant;

use pliant_runtime::image::record::{Opcode, Operand, Record, Space};
use pliant_runtime::kernels::Level;
use pliant_runtime::plan::{Plan, SpaceSizes, Spaces};

/// `[m][k]` by `[k][n]`.
const SHAPES: [[usize; 3]; 10] = [
    [10, 40, 40],
    [25, 64, 64],
    [64, 64, 64],
    [250, 40, 40],
    [250, 128, 128],
    [2000, 64, 64],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
];

/// Rounds, in each of which every instruction set has a turn: the best counts.
const ROUNDS: usize = 7;
/// Multiply-accumulates of a turn, at least one product.
const TURN: usize = 100_000_000;

fn product([m, k, n]: [usize; 3]) -> (Record, SpaceSizes) {
    let operand = |space, offset: usize| Operand::new(space, offset as u32).expect("a small offset").0;
    let mut record = Record { words: [0; 16] };
    record.words[0] = Opcode::MatMul as u32;
    record.words[1] = operand(Space::Output, 0);
    record.words[2] = operand(Space::Input, 0);
    record.words[3] = operand(Space::Input, m * k);
    record.words[4] = Operand::NONE.0;
    record.words[5] = Operand::NONE.0;
    for (word, value) in [(6, 1), (7, m), (8, k), (9, n), (13, k)] {
        record.words[word] = value as u32;
    }
    let sizes = SpaceSizes::default()
        .with(Space::Input, (m * k + k * n) as u32)
        .with(Space::Output, (m * n) as u32);
    (record, sizes)
}

fn main() {
    let levels = [
        ("AVX-512", Level::avx512()),
        ("AVX2", Level::avx2()),
        ("baseline", Some(Level::BASELINE)),
    ];
    let levels: Vec<(&str, Level)> = levels
        .into_iter()
        .filter_map(|(name, level)| Some((name, level?)))
        .collect();
    let with = if cfg!(feature = "gemm") { "with" } else { "without" };
    println!("{with} the matrix-product crate");
    print!("{:>24}", "product");
    levels.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!();
    for shape in SHAPES {
        let [m, k, n] = shape;
        let (record, sizes) = product(shape);
        let records = [record];
        let plan = Plan::new_checked(&records, sizes).expect("a valid product");
        let input: Vec<f32> = (0..m * k + k * n)
            .map(|i| (i * 7919 % 1000) as f32 / 1000.0 - 0.5)
            .collect();
        let mut output = vec![0.0; m * n];
        let count = (TURN / (m * k * n)).max(1);
        let mut best = vec![f64::INFINITY; levels.len()];
        for _ in 0..ROUNDS {
            for ((_, level), best) in levels.iter().zip(&mut best) {
                let start = Instant::now();
                for _ in 0..count {
                    let mut spaces = Spaces {
                        input: &input,
                        output: &mut output,
                        ..Spaces::default()
                    };
                    plan.run_on(*level, true, &mut spaces).expect("spaces of that size");
                }
                *best = best.min(start.elapsed().as_secs_f64() / count as f64);
            }
        }
        print!("{:>24}", format!("{m}x{k} by {k}x{n}"));
        best.iter()
            .for_each(|seconds| print!("{:>10.1}", (m * k * n) as f64 / seconds / 1e9));
        println!();
    }
}
