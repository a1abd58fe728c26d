//! A gradient through gradient steps: the meta-gradient of second-order MAML, with learned step sizes and a task axis.

use crate::differences::{Inputs, assert_gradient, numbers};
use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::passes::simplify;
use pliant_compiler::reference::evaluate;

const TASKS: usize = 3;
const ROWS: usize = 4;

/// Mean over rows of the squared error of a two-layer tanh network, summed over tasks. Parameters may have a task axis.
fn loss(graph: &mut Graph, params: &[ValueId], x: ValueId, y: ValueId) -> Result<ValueId, GraphError> {
    let product = graph.matmul(x, params[0])?;
    let sum = graph.add(product, params[1])?;
    let hidden = graph.tanh(sum)?;
    let product = graph.matmul(hidden, params[2])?;
    let output = graph.add(product, params[3])?;
    let error = graph.sub(output, y)?;
    let square = graph.square(error)?;
    let mean = graph.reduce_mean(square, &[1, 2], false)?;
    graph.sum_all(mean)
}

fn build(steps: usize) -> (Graph, Vec<ValueId>, ValueId) {
    let mut graph = Graph::new();
    let shapes: [(&str, &[usize]); 5] = [
        ("w1", &[1, 5]),
        ("b1", &[5]),
        ("w2", &[5, 2]),
        ("b2", &[2]),
        ("alpha", &[4]),
    ];
    let leaves: Vec<ValueId> = shapes
        .iter()
        .map(|(name, shape)| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    let mut field = |name, width| graph.input(name, DType::F32, &[TASKS, ROWS, width]).unwrap();
    let (x, y, query_x, query_y) = (field("x", 1), field("y", 2), field("query_x", 1), field("query_y", 2));
    let mut params = Vec::new();
    for &leaf in &leaves[..4] {
        // One copy a task: a matrix a task, and a bias a task that broadcasts over rows.
        let shape = graph.shape(leaf).to_vec();
        let rows = [vec![1; 3 - shape.len()], shape.clone()].concat();
        let reshaped = graph.reshape(leaf, &rows).unwrap();
        params.push(graph.expand(reshaped, &[&[TASKS], &rows[1..]].concat()).unwrap());
    }
    for _ in 0..steps {
        let inner = loss(&mut graph, &params, x, y).unwrap();
        let steps = gradients(&mut graph, inner, &params).unwrap();
        for (i, step) in steps.into_iter().enumerate() {
            let alpha = graph.slice(leaves[4], 0, i, i + 1).unwrap();
            let scaled = graph.mul(step, alpha).unwrap();
            params[i] = graph.sub(params[i], scaled).unwrap();
        }
    }
    let outer = loss(&mut graph, &params, query_x, query_y).unwrap();
    (graph, leaves, outer)
}

fn inputs() -> Inputs {
    let mut inputs: Inputs = vec![
        ("w1", numbers(&[1, 5], 1)),
        ("b1", numbers(&[5], 2)),
        ("w2", numbers(&[5, 2], 3)),
        ("b2", numbers(&[2], 4)),
        ("alpha", numbers(&[4], 5)),
    ];
    inputs.push(("x", numbers(&[TASKS, ROWS, 1], 6)));
    inputs.push(("y", numbers(&[TASKS, ROWS, 2], 7)));
    inputs.push(("query_x", numbers(&[TASKS, ROWS, 1], 8)));
    inputs.push(("query_y", numbers(&[TASKS, ROWS, 2], 9)));
    inputs
}

#[test]
fn meta_gradient_through_one_to_three_steps() {
    for steps in 1..=3 {
        let (mut graph, leaves, outer) = build(steps);
        let meta = gradients(&mut graph, outer, &leaves).unwrap();
        for (name, gradient) in ["w1", "b1", "w2", "b2", "alpha"].into_iter().zip(meta) {
            assert_gradient(&graph, &inputs(), outer, name, gradient);
        }
    }
}

#[test]
fn first_order_stops_the_inner_gradients() {
    let (mut graph, leaves, outer) = build(1);
    let second = gradients(&mut graph, outer, &leaves[..1]).unwrap()[0];
    // The same graph with the inner gradient stopped: the outer gradient at the adapted parameters, passed straight on.
    let mut stopped = Graph::new();
    let w = stopped.input("w", DType::F32, &[]).unwrap();
    let inner = stopped.square(w).unwrap();
    let step = gradients(&mut stopped, inner, &[w]).unwrap()[0];
    let step = stopped.stop_gradient(step).unwrap();
    let adapted = stopped.sub(w, step).unwrap();
    let outer = stopped.square(adapted).unwrap();
    let first = gradients(&mut stopped, outer, &[w]).unwrap()[0];
    let value = crate::differences::value(&stopped, &vec![("w", numbers(&[], 1))], first);
    let w = numbers(&[], 1).data[0];
    assert!((value.data[0] - 2.0 * (w - 2.0 * w)).abs() < 1e-12);
    assert!(graph.shape(second) == [1, 5]);
}

#[test]
fn simplified_it_is_smaller_and_the_same() {
    let (mut graph, leaves, outer) = build(2);
    let meta = gradients(&mut graph, outer, &leaves).unwrap();
    graph.output("loss", outer).unwrap();
    meta.iter()
        .enumerate()
        .for_each(|(i, value)| graph.output(&format!("gradient{i}"), *value).unwrap());
    let pruned = graph.prune();
    let simple = simplify(&graph);
    assert!(simple.len() < pruned.len(), "{} -> {}", pruned.len(), simple.len());
    let before = evaluate(&pruned, &inputs()).unwrap();
    let after = evaluate(&simple, &inputs()).unwrap();
    for (a, b) in before.iter().zip(&after) {
        assert_eq!(a.shape, b.shape);
        assert!(
            a.data
                .iter()
                .zip(&b.data)
                .all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs().max(1.0))
        );
    }
}
