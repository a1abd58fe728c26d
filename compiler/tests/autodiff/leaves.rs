//! What a leaf may be, and what must not be lost.

use crate::differences::{Inputs, assert_gradient, numbers, value};
use pliant_compiler::autodiff::{gradients, vector_jacobian};
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::reference::Tensor64;

/// Adapted parameters are results of nodes (`theta - alpha * gradient`), shaped and expanded on their way in. Rewrites
/// that looked through them once dropped the gradient of the bias: 4 % wrong, while the loss still fell.
#[test]
fn a_bias_that_is_reshaped_and_expanded_keeps_its_gradient() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[5, 3]).unwrap();
    let w = graph.input("w", DType::F32, &[3, 2]).unwrap();
    let bias = graph.input("bias", DType::F32, &[2]).unwrap();
    // The leaf is the expanded bias, itself a reshape of a reshape.
    let column = graph.reshape(bias, &[2, 1]).unwrap();
    let row = graph.reshape(column, &[1, 2]).unwrap();
    let rows = graph.expand(row, &[5, 2]).unwrap();
    let product = graph.matmul(x, w).unwrap();
    let sum = graph.add(product, rows).unwrap();
    let y = graph.tanh(sum).unwrap();
    let loss = graph.sum_all(y).unwrap();
    let leaves = [bias, column, row, rows];
    let built: Vec<ValueId> = leaves
        .iter()
        .map(|leaf| gradients(&mut graph, loss, &[*leaf]).unwrap()[0])
        .collect();
    let inputs: Inputs = vec![
        ("x", numbers(&[5, 3], 1)),
        ("w", numbers(&[3, 2], 2)),
        ("bias", numbers(&[2], 3)),
    ];
    assert_gradient(&graph, &inputs, loss, "bias", built[0]);
    let by_bias = value(&graph, &inputs, built[0]).data;
    assert_eq!(value(&graph, &inputs, built[1]).data, by_bias);
    assert_eq!(value(&graph, &inputs, built[2]).data, by_bias);
    let by_rows = value(&graph, &inputs, built[3]).data;
    for n in 0..2 {
        assert!((by_bias[n] - by_rows.chunks(2).map(|row| row[n]).sum::<f64>()).abs() < 1e-12);
    }
}

#[test]
fn a_leaf_in_the_middle_is_a_cut() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[]).unwrap();
    let h = graph.sin(x).unwrap();
    let product = graph.mul(x, h).unwrap();
    let built = gradients(&mut graph, product, &[x, h]).unwrap();
    let inputs: Inputs = vec![("x", Tensor64::new(&[], vec![0.7]))];
    assert_eq!(value(&graph, &inputs, built[0]).data, [0.7f64.sin()], "h is held fixed");
    assert_eq!(value(&graph, &inputs, built[1]).data, [0.7]);
    let alone = gradients(&mut graph, product, &[x]).unwrap()[0];
    assert_eq!(value(&graph, &inputs, alone).data, [0.7 * 0.7f64.cos() + 0.7f64.sin()]);
}

#[test]
fn a_leaf_that_is_undone_right_after_keeps_its_gradient() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2, 3]).unwrap();
    let inputs: Inputs = vec![("x", numbers(&[2, 3], 1))];
    type ThereAndBack = fn(&mut Graph, ValueId) -> (ValueId, ValueId);
    let pairs: [ThereAndBack; 4] = [
        |g, x| {
            let there = g.transpose(x, &[1, 0]).unwrap();
            (there, g.transpose(there, &[1, 0]).unwrap())
        },
        |g, x| {
            let there = g.reshape(x, &[6]).unwrap();
            (there, g.reshape(there, &[2, 3]).unwrap())
        },
        |g, x| {
            let there = g.neg(x).unwrap();
            (there, g.neg(there).unwrap())
        },
        |g, x| {
            let there = g.unsqueeze(x, &[0]).unwrap();
            (there, g.squeeze(there, &[0]).unwrap())
        },
    ];
    for make in pairs {
        let (leaf, back) = make(&mut graph, x);
        let square = graph.square(back).unwrap();
        let loss = graph.sum_all(square).unwrap();
        let gradient = gradients(&mut graph, loss, &[leaf]).unwrap()[0];
        let norm: f64 = value(&graph, &inputs, gradient).data.iter().map(|v| v * v).sum();
        let expected: f64 = inputs[0].1.data.iter().map(|v| 4.0 * v * v).sum();
        assert!((norm - expected).abs() < 1e-12);
    }
}

#[test]
fn the_output_and_an_input_of_itself_are_leaves_too() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[]).unwrap();
    let y = graph.exp(x).unwrap();
    let built = gradients(&mut graph, y, &[y, x]).unwrap();
    let inputs: Inputs = vec![("x", Tensor64::new(&[], vec![0.5]))];
    assert_eq!(value(&graph, &inputs, built[0]).data, [1.0]);
    assert_eq!(
        value(&graph, &inputs, built[1]).data,
        [0.0],
        "y is a leaf, and x is behind it"
    );
}

#[test]
fn unconnected_leaves_have_zeros_of_their_shape() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2]).unwrap();
    let apart = graph.input("apart", DType::F32, &[3, 100]).unwrap();
    let stopped = graph.stop_gradient(apart).unwrap();
    let sum = graph.sum_all(stopped).unwrap();
    let scaled = graph.mul(x, sum).unwrap();
    let loss = graph.sum_all(scaled).unwrap();
    let zero = gradients(&mut graph, loss, &[apart]).unwrap()[0];
    assert_eq!(graph.shape(zero), [3, 100]);
    let inputs: Inputs = vec![("x", numbers(&[2], 1)), ("apart", numbers(&[3, 100], 2))];
    assert!(value(&graph, &inputs, zero).data.iter().all(|v| *v == 0.0));
}

#[test]
fn several_outputs_with_their_cotangents() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let a = graph.sin(x).unwrap();
    let b = graph.square(a).unwrap();
    let ca = graph.input("ca", DType::F32, &[3]).unwrap();
    let cb = graph.input("cb", DType::F32, &[3]).unwrap();
    let back = vector_jacobian(&mut graph, &[a, b], &[ca, cb], &[x]).unwrap()[0];
    // The same by hand: a scalar with the cotangents inside.
    let weighted_a = graph.mul(a, ca).unwrap();
    let weighted_b = graph.mul(b, cb).unwrap();
    let sum = graph.add(weighted_a, weighted_b).unwrap();
    let scalar = graph.sum_all(sum).unwrap();
    let inputs: Inputs = vec![
        ("x", numbers(&[3], 1)),
        ("ca", numbers(&[3], 2)),
        ("cb", numbers(&[3], 3)),
    ];
    assert_gradient(&graph, &inputs, scalar, "x", back);
}

#[test]
fn slices_of_one_vector_are_put_together_without_addition() {
    let mut graph = Graph::new();
    let theta = graph.input("theta", DType::F32, &[10]).unwrap();
    let mut total = graph.scalar(0.0);
    for (start, end) in [(4, 10), (0, 1), (1, 4)] {
        let part = graph.slice(theta, 0, start, end).unwrap();
        let sine = graph.sin(part).unwrap();
        let sum = graph.sum_all(sine).unwrap();
        total = graph.add(total, sum).unwrap();
    }
    let gradient = gradients(&mut graph, total, &[theta]).unwrap()[0];
    let inputs: Inputs = vec![("theta", numbers(&[10], 1))];
    assert_gradient(&graph, &inputs, total, "theta", gradient);
    let node = graph.node(gradient);
    assert!(
        matches!(node.op, pliant_compiler::ops::Op::Concat(_)) && node.inputs.len() == 3,
        "{node:?}"
    );
}

#[test]
fn gradients_of_thirty_thousand_nodes_are_built_fast() {
    let start = std::time::Instant::now();
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[8]).unwrap();
    let mut y = x;
    for _ in 0..5_000 {
        let sine = graph.sin(y).unwrap();
        y = graph.mul(sine, x).unwrap();
    }
    let loss = graph.sum_all(y).unwrap();
    gradients(&mut graph, loss, &[x]).unwrap();
    assert!(graph.len() >= 25_000, "{}", graph.len());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
