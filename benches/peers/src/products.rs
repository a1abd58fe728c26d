//! Single matrix products on the plan engine and on the two crates that others use for them: `gemm` (candle) and
//! `matrixmultiply` (ndarray). Whether a training graph would gain by calling one where shapes are large.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use pliant_compiler::graph::{DType, Graph};
use pliant_trainer::engine::{CompileOptions, Engine as _, PlanEngine};

use crate::Outcome;
use crate::work::uniform;

/// `[m][k] x [k][n]`: the ten rows of a task forward and to a weight's gradient, rows of a batch through layers of growing
/// width, and square ones.
const SHAPES: [[usize; 3]; 12] = [
    [10, 512, 512],
    [512, 10, 512],
    [250, 40, 40],
    [2000, 64, 64],
    [250, 128, 128],
    [250, 256, 256],
    [250, 512, 512],
    [2000, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [256, 4096, 4096],
];

/// Rounds, each with a turn for every contender.
const ROUNDS: usize = 41;
const TURN: Duration = Duration::from_millis(10);

/// Prints the table: times as multiples of the plan engine's in the same round, and its rate.
pub fn run() -> Outcome<()> {
    println!(
        "| product | plan, fast: 10^9 multiply-accumulates a second | `gemm`, plan = 1 | `matrixmultiply`, plan = 1 |"
    );
    println!("|---|---:|---:|---:|");
    for [m, k, n] in SHAPES {
        let (a, w) = (uniform(m * k, 1.0, 1), uniform(k * n, 1.0, 2));
        let mut graph = Graph::new();
        let left = graph.input("a", DType::F32, &[m, k])?;
        let right = graph.input("w", DType::F32, &[k, n])?;
        let product = graph.matmul(left, right)?;
        graph.output("y", product)?;
        let mut plan = PlanEngine::fast().compile(&graph, &CompileOptions::default())?;
        plan.set(0, &a)?;
        plan.set(1, &w)?;
        let left = Tensor::from_slice(&a, (m, k), &Device::Cpu)?;
        let right = Tensor::from_slice(&w, (k, n), &Device::Cpu)?;
        let a = ArrayView2::from_shape((m, k), &a)?;
        let w = ArrayView2::from_shape((k, n), &w)?;
        let mut y = Array2::zeros((m, n));
        let mut contenders: [Box<dyn FnMut() -> Outcome<()>>; 3] = [
            Box::new(|| Ok(plan.run()?)),
            Box::new(|| {
                std::hint::black_box(left.matmul(&right)?);
                Ok(())
            }),
            Box::new(|| {
                general_mat_mul(1.0, &a, &w, 0.0, &mut y);
                Ok(())
            }),
        ];
        let mut seconds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (contender, seconds) in contenders.iter_mut().zip(&mut seconds) {
                contender()?;
                let (start, mut count) = (Instant::now(), 0);
                while count == 0 || start.elapsed() < TURN {
                    contender()?;
                    count += 1;
                }
                seconds.push(start.elapsed().as_secs_f64() / f64::from(count));
            }
        }
        drop(contenders);
        let ratio = |index: usize| median(seconds[index].iter().zip(&seconds[0]).map(|(own, plan)| own / plan));
        let rate = (m * k * n) as f64 / median(seconds[0].iter().copied()) / 1e9;
        println!("| {m}x{k} by {k}x{n} | {rate:.1} | {:.2} | {:.2} |", ratio(1), ratio(2));
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
