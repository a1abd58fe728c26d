//! The graph as a data structure: sharing, folding, errors, dead code, splicing.

use pliant_compiler::graph::{DType, Graph, GraphError, Tensor, TypeError, ValueId, ValueType};
use pliant_compiler::ops::Op;
use pliant_compiler::reference::{Tensor64, evaluate};

fn with_inputs(shapes: &[&[usize]]) -> (Graph, Vec<ValueId>) {
    let mut graph = Graph::new();
    let inputs = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| graph.input(&format!("x{i}"), DType::F32, shape).unwrap());
    let inputs = inputs.collect();
    (graph, inputs)
}

#[test]
fn equal_nodes_are_shared() {
    let (mut graph, x) = with_inputs(&[&[3, 4], &[4]]);
    let first = graph.add(x[0], x[1]).unwrap();
    let other = graph.add(x[1], x[0]).unwrap();
    assert_ne!(first, other, "operands in another order are another node");
    let count = graph.len();
    assert_eq!(graph.add(x[0], x[1]).unwrap(), first);
    assert_eq!(
        graph.reduce_sum(first, &[0, 1], false),
        graph.reduce_sum(first, &[1, 0], false)
    );
    assert_ne!(graph.clip(first, -1.0, 1.0), graph.clip(first, -1.0, 2.0));
    assert_eq!(graph.clip(first, -1.0, 1.0), graph.clip(first, -1.0, 1.0));
    assert_eq!(graph.len(), count + 3);
}

#[test]
fn constants_are_shared_by_their_bits() {
    let mut graph = Graph::new();
    assert_eq!(graph.scalar(f32::NAN), graph.scalar(f32::NAN));
    assert_ne!(graph.scalar(0.0), graph.scalar(-0.0));
    assert_eq!(graph.len(), 3);
    let column = graph.constant(Tensor::f32(&[2, 1], vec![1.0, 2.0]).unwrap());
    let row = graph.constant(Tensor::f32(&[1, 2], vec![1.0, 2.0]).unwrap());
    assert_ne!(column, row, "the shape counts");
}

#[test]
fn small_constants_fold() {
    let mut graph = Graph::new();
    let a = graph.constant(Tensor::f32(&[2, 1], vec![1.0, 2.0]).unwrap());
    let b = graph.constant(Tensor::f32(&[2], vec![10.0, 0.1]).unwrap());
    let product = graph.mul(a, b).unwrap();
    assert_eq!(
        graph.as_constant(product).and_then(Tensor::as_f32),
        Some(&[10.0, 0.1, 20.0, 0.2][..])
    );
    let large = graph.full(&[100, 100], 1.0).unwrap();
    assert!(graph.as_constant(large).is_none(), "an expanded scalar stays one");
}

#[test]
fn operands_returned_unchanged_are_not_wrapped() {
    let (mut graph, x) = with_inputs(&[&[3, 4]]);
    let x = x[0];
    let (zero, one) = (graph.scalar(0.0), graph.scalar(1.0));
    let count = graph.len();
    assert_eq!(graph.add(x, zero).unwrap(), x);
    assert_eq!(graph.add(zero, x).unwrap(), x);
    assert_eq!(graph.sub(x, zero).unwrap(), x);
    assert_eq!(graph.mul(one, x).unwrap(), x);
    assert_eq!(graph.div(x, one).unwrap(), x);
    assert_eq!(graph.pow(x, one).unwrap(), x);
    assert_eq!(graph.reshape(x, &[3, 4]).unwrap(), x);
    assert_eq!(graph.transpose(x, &[0, 1]).unwrap(), x);
    assert_eq!(graph.expand(x, &[3, 4]).unwrap(), x);
    assert_eq!(graph.slice(x, 1, 0, 4).unwrap(), x);
    assert_eq!(graph.concat(&[x], 0).unwrap(), x);
    assert_eq!(graph.cast(x, DType::F32).unwrap(), x);
    assert_eq!(graph.reduce_sum(x, &[], true).unwrap(), x);
    assert_eq!(graph.len(), count);
    // A zero that broadcasts the other operand does something.
    let zeros = graph.constant(Tensor::f32(&[2, 1, 1], vec![0.0, 0.0]).unwrap());
    let wide = graph.add(x, zeros).unwrap();
    assert_eq!(graph.shape(wide), [2, 3, 4]);
}

#[test]
fn nothing_looks_through_an_operand() {
    let (mut graph, x) = with_inputs(&[&[3, 4]]);
    let transposed = graph.transpose(x[0], &[1, 0]).unwrap();
    let back = graph.transpose(transposed, &[1, 0]).unwrap();
    assert_ne!(back, x[0], "a gradient may be asked for with respect to `transposed`");
}

fn refused(result: Result<ValueId, GraphError>) -> (&'static str, TypeError) {
    match result.unwrap_err() {
        GraphError::Operator { operator, reason, .. } => (operator, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn wrong_types_are_refused_by_name() {
    let (mut graph, x) = with_inputs(&[&[3, 4], &[3], &[]]);
    let index = graph.input("index", DType::I64, &[2]).unwrap();
    let mask = graph.input("mask", DType::Bool, &[3, 4]).unwrap();
    assert_eq!(refused(graph.add(x[0], x[1])), ("Add", TypeError::Broadcast));
    assert_eq!(refused(graph.mul(x[2], index)), ("Mul", TypeError::MixedDTypes));
    assert_eq!(refused(graph.exp(index)).0, "Exp");
    assert_eq!(
        refused(graph.exp(mask)).1,
        TypeError::DType {
            input: 0,
            expected: "f32",
            found: DType::Bool
        }
    );
    assert_eq!(
        refused(graph.matmul(x[0], x[1])),
        (
            "MatMul",
            TypeError::Rank {
                input: 1,
                expected: "2 or more"
            }
        )
    );
    assert_eq!(
        refused(graph.transpose(x[0], &[1, 1])),
        ("Transpose", TypeError::Axes { axes: vec![1, 1] })
    );
    assert_eq!(refused(graph.transpose_matrix(x[1])).0, "Transpose");
    assert_eq!(
        refused(graph.reshape(x[0], &[5])),
        ("Reshape", TypeError::Shape { shape: vec![5] })
    );
    assert_eq!(
        refused(graph.expand(x[0], &[4])),
        ("Expand", TypeError::Shape { shape: vec![4] })
    );
    assert_eq!(
        refused(graph.slice(x[0], 1, 2, 5)),
        (
            "Slice",
            TypeError::Range {
                start: 2,
                end: 5,
                length: 4
            }
        )
    );
    assert_eq!(refused(graph.slice(x[0], 1, 2, 2)).0, "Slice");
    assert_eq!(
        refused(graph.slice(x[0], 2, 0, 1)),
        ("Slice", TypeError::Axis { axis: 2, rank: 2 })
    );
    assert_eq!(refused(graph.squeeze(x[0], &[1])).0, "Squeeze");
    assert_eq!(
        refused(graph.unsqueeze(x[0], &[3])),
        ("Unsqueeze", TypeError::Axis { axis: 3, rank: 3 })
    );
    assert_eq!(refused(graph.concat(&[], 0)).0, "Concat");
    assert_eq!(refused(graph.concat(&[x[0], x[1]], 0)).0, "Concat");
    assert_eq!(refused(graph.gather(x[0], x[1], 0)).0, "Gather");
    assert_eq!(
        refused(graph.scatter_add(x[0], index, x[0], 0)).1,
        TypeError::Shape { shape: vec![2, 4] }
    );
    assert_eq!(refused(graph.where_(x[0], x[0], x[0])).0, "Where");
    assert_eq!(refused(graph.clip(x[0], 1.0, -1.0)), ("Clip", TypeError::Bounds));
    assert_eq!(refused(graph.clip(x[0], f32::NAN, 1.0)), ("Clip", TypeError::Bounds));
    assert_eq!(
        refused(graph.reduce_sum(x[0], &[2], false)),
        ("ReduceSum", TypeError::Axis { axis: 2, rank: 2 })
    );
    assert_eq!(
        refused(graph.reduce_max(x[0], &[1, 1], false)),
        ("ReduceMax", TypeError::Axes { axes: vec![1, 1] })
    );
    assert_eq!(
        refused(graph.softmax(x[1], 1)),
        ("Softmax", TypeError::Axis { axis: 1, rank: 1 })
    );
    assert_eq!(
        refused(graph.push(Op::Add(pliant_compiler::ops::Add), &[x[0]])).1,
        TypeError::Arity { expected: 2, found: 1 }
    );
    assert_eq!(
        refused(graph.input("empty", DType::F32, &[0])),
        ("Input", TypeError::EmptyAxis)
    );
    assert_eq!(
        graph.input("x0", DType::F32, &[1]),
        Err(GraphError::DuplicateInput("x0".into()))
    );
}

#[test]
fn values_of_other_graphs_are_refused() {
    let (mut large, x) = with_inputs(&[&[1usize][..]; 9]);
    let mut small = Graph::new();
    assert_eq!(small.neg(x[8]), Err(GraphError::UnknownValue(x[8])));
    assert_eq!(small.output("y", x[8]), Err(GraphError::UnknownValue(x[8])));
    large.output("y", x[0]).unwrap();
    assert_eq!(large.output("y", x[1]), Err(GraphError::DuplicateOutput("y".into())));
}

#[test]
fn prune_keeps_inputs_and_what_outputs_need() {
    let (mut graph, x) = with_inputs(&[&[2], &[2]]);
    let dead = graph.exp(x[0]).unwrap();
    graph.log(dead).unwrap();
    let live = graph.sin(x[1]).unwrap();
    graph.output("live", live).unwrap();
    let pruned = graph.prune();
    assert_eq!(pruned.len(), 3);
    assert_eq!(
        pruned.inputs().iter().map(|port| &*port.name).collect::<Vec<_>>(),
        ["x0", "x1"]
    );
    for (value, node) in pruned.iter() {
        assert!(node.inputs.iter().all(|input| *input < value), "topological order");
    }
    let mut again = pruned.clone();
    let x1 = again.find_input("x1").unwrap();
    assert_eq!(
        again.sin(x1).unwrap(),
        again.find_output("live").unwrap(),
        "still shares"
    );
}

#[test]
fn inline_computes_the_same() {
    let (mut inner, a) = with_inputs(&[&[2, 3], &[3]]);
    let sum = inner.add(a[0], a[1]).unwrap();
    let tanh = inner.tanh(sum).unwrap();
    inner.output("sum", sum).unwrap();
    inner.output("tanh", tanh).unwrap();
    inner.output("given", a[1]).unwrap();

    let (mut outer, b) = with_inputs(&[&[2, 3], &[3]]);
    let square = outer.square(b[0]).unwrap();
    let spliced = outer.inline(&inner, &[square, b[1]]).unwrap();
    assert_eq!(spliced.len(), 3);
    assert_eq!(spliced[2], b[1]);
    outer.output("y", spliced[1]).unwrap();
    let x0 = Tensor64::new(&[2, 3], vec![0.1, -0.2, 0.3, -0.4, 0.5, -0.6]);
    let x1 = Tensor64::new(&[3], vec![1.0, -1.0, 0.0]);
    let y = evaluate(&outer, &[("x0", x0.clone()), ("x1", x1.clone())])
        .unwrap()
        .remove(0);
    for (i, y) in y.data.iter().enumerate() {
        assert_eq!(*y, (x0.data[i] * x0.data[i] + x1.data[i % 3]).tanh());
    }

    assert_eq!(
        outer.inline(&inner, &[square]),
        Err(GraphError::InlineCount { expected: 2, found: 1 })
    );
    let wrong = GraphError::InlineType {
        name: "x1".into(),
        expected: ValueType::new(DType::F32, &[3]),
        found: ValueType::new(DType::F32, &[2, 3]),
    };
    assert_eq!(outer.inline(&inner, &[square, square]), Err(wrong));
}

#[test]
fn thirty_thousand_nodes_build_fast() {
    let start = std::time::Instant::now();
    let (mut graph, x) = with_inputs(&[&[32, 64]]);
    let mut y = x[0];
    for i in 0..15_000 {
        let shifted = graph.scale(y, 2.0 + i as f32 * 1e-6).unwrap();
        y = graph.tanh(shifted).unwrap();
    }
    graph.output("y", y).unwrap();
    assert!(graph.len() > 30_000);
    assert_eq!(graph.prune().len(), graph.len());
    // A bound that only an accidental quadratic exceeds, even on a loaded machine: it takes some 30 ms.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn a_missing_or_misshapen_reference_input_is_named() {
    let (mut graph, x) = with_inputs(&[&[2]]);
    graph.output("y", x[0]).unwrap();
    assert_eq!(
        evaluate(&graph, &[]).unwrap_err().to_string(),
        "no value for input \"x0\""
    );
    let wrong = evaluate(&graph, &[("x0", Tensor64::new(&[3], vec![0.0; 3]))]).unwrap_err();
    assert_eq!(wrong.to_string(), "input \"x0\" is f32[2], got f32[3]");
}

#[test]
fn an_index_out_of_range_is_refused() {
    let (mut graph, x) = with_inputs(&[&[2]]);
    let index = graph.input("index", DType::I64, &[1]).unwrap();
    let y = graph.gather(x[0], index, 0).unwrap();
    graph.output("y", y).unwrap();
    for bad in [2.0, -1.0] {
        let index = Tensor64 {
            dtype: DType::I64,
            ..Tensor64::new(&[1], vec![bad])
        };
        assert!(evaluate(&graph, &[("x0", Tensor64::new(&[2], vec![0.0; 2])), ("index", index)]).is_err());
    }
}
