//! Shared pieces of the benchmarks: the hand-written reference, and the same work as graphs.

pub mod hand_kernels;
pub mod simulator;
pub mod turns;

use pliant_compiler::adaptation::gradient::{GradientRule, Order};
use pliant_compiler::graph::{DType, Graph};
use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
use pliant_runtime::image::Objective;

/// The policy of the comparison: 16-64-64-4, tanh, 5,444 parameters, 5,376 multiply-accumulates.
pub fn mlp_64_tanh() -> PolicyDescription {
    PolicyDescription::deterministic(Mlp::new(&[16, 64, 64, 4], Activation::Tanh))
}

/// One step of gradient descent on the mean squared error over 32 rows of [`mlp_64_tanh`]: parameters and rows in,
/// parameters out. The pairs of names are one variable each.
///
/// # Panics
/// Never: the shapes are fixed.
pub fn sgd_step_graph(rate: f32) -> (Graph, Vec<(String, String)>) {
    let policy = mlp_64_tanh();
    let rule = GradientRule::for_policy(&policy, Objective::Supervised);
    let mut graph = Graph::new();
    let parameters: Vec<_> = rule
        .parameters
        .iter()
        .map(|p| graph.input(&p.name, DType::F32, &p.shape).expect("a new name"))
        .collect();
    let x = graph.input("x", DType::F32, &[32, 16]).expect("a new name");
    let y = graph.input("y", DType::F32, &[32, 4]).expect("a new name");
    let weights = graph.full(&[32], 1.0).expect("a small constant");
    let rate = graph.scalar(rate);
    let scale = graph.full(&[1], 1.0).expect("a small constant");
    let sizes = vec![rate; parameters.len()];
    let next = rule
        .inner_step(&mut graph, &parameters, &sizes, &[x, y], weights, scale, Order::Second)
        .expect("the shapes fit");
    let mut resident = Vec::new();
    for (parameter, value) in rule.parameters.iter().zip(next) {
        let name = format!("next.{}", parameter.name);
        graph.output(&name, value).expect("a new name");
        resident.push((parameter.name.clone(), name));
    }
    (graph, resident)
}
