//! A gated recurrent unit, unrolled: gates sliced from one product, the state handed on.

use crate::differences::{Inputs, assert_gradient, numbers};
use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};

const HIDDEN: usize = 3;

/// One step of the unit of Cho et al. 2014, in the form with the reset gate after the product (as cuDNN has it).
fn cell(graph: &mut Graph, x: ValueId, h: ValueId, w: ValueId, u: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
    let input = graph.matmul(x, w)?;
    let input = graph.add(input, b)?;
    let recurrent = graph.matmul(h, u)?;
    let gates = |graph: &mut Graph, n: usize| -> Result<_, GraphError> {
        Ok((
            graph.slice(input, 1, n * HIDDEN, (n + 1) * HIDDEN)?,
            graph.slice(recurrent, 1, n * HIDDEN, (n + 1) * HIDDEN)?,
        ))
    };
    let (a, c) = gates(graph, 0)?;
    let sum = graph.add(a, c)?;
    let reset = graph.sigmoid(sum)?;
    let (a, c) = gates(graph, 1)?;
    let sum = graph.add(a, c)?;
    let update = graph.sigmoid(sum)?;
    let (a, c) = gates(graph, 2)?;
    let gated = graph.mul(reset, c)?;
    let sum = graph.add(a, gated)?;
    let candidate = graph.tanh(sum)?;
    let difference = graph.sub(h, candidate)?;
    let kept = graph.mul(update, difference)?;
    graph.add(candidate, kept)
}

#[test]
fn through_time() {
    let mut graph = Graph::new();
    let w = graph.input("w", DType::F32, &[2, 3 * HIDDEN]).unwrap();
    let u = graph.input("u", DType::F32, &[HIDDEN, 3 * HIDDEN]).unwrap();
    let b = graph.input("b", DType::F32, &[3 * HIDDEN]).unwrap();
    let x = graph.input("x", DType::F32, &[4, 5, 2]).unwrap();
    let mut h = graph.input("h", DType::F32, &[5, HIDDEN]).unwrap();
    let start = h;
    for t in 0..4 {
        let row = graph.slice(x, 0, t, t + 1).unwrap();
        let row = graph.squeeze(row, &[0]).unwrap();
        h = cell(&mut graph, row, h, w, u, b).unwrap();
    }
    let square = graph.square(h).unwrap();
    let loss = graph.sum_all(square).unwrap();
    let leaves = [("w", w), ("u", u), ("b", b), ("x", x), ("h", start)];
    let first = gradients(&mut graph, loss, &leaves.map(|leaf| leaf.1)).unwrap();
    let inputs: Inputs = vec![
        ("w", numbers(&[2, 9], 1)),
        ("u", numbers(&[3, 9], 2)),
        ("b", numbers(&[9], 3)),
        ("x", numbers(&[4, 5, 2], 4)),
        ("h", numbers(&[5, 3], 5)),
    ];
    for ((name, _), &gradient) in leaves.iter().zip(&first) {
        assert_gradient(&graph, &inputs, loss, name, gradient);
    }
    // Second order: the gradient of the squared norm of the gradient.
    let square = graph.square(first[1]).unwrap();
    let norm = graph.sum_all(square).unwrap();
    let second = gradients(&mut graph, norm, &leaves.map(|leaf| leaf.1)).unwrap();
    for ((name, _), &gradient) in leaves.iter().zip(&second) {
        assert_gradient(&graph, &inputs, norm, name, gradient);
    }
}
