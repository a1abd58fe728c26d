//! Rewrites after differentiation: what each removes, and that values stay.

use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::passes::simplify;
use pliant_compiler::reference::{Tensor64, evaluate};

/// Builds over inputs of these shapes, simplifies, and asserts equal values; gives the operators that are left.
fn left(shapes: &[&[usize]], build: impl FnOnce(&mut Graph, &[ValueId]) -> Result<ValueId, GraphError>) -> Vec<String> {
    let mut graph = Graph::new();
    let names = ["a", "b", "c"];
    let inputs: Vec<ValueId> = shapes
        .iter()
        .zip(names)
        .map(|(shape, name)| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    let value = build(&mut graph, &inputs).unwrap();
    graph.output("value", value).unwrap();
    let simple = simplify(&graph);
    let numbers = |shape: &[usize]| {
        let count = shape.iter().product();
        Tensor64::new(shape, (0..count).map(|i| ((i * 31 + 7) as f64).sin()).collect())
    };
    let bound: Vec<_> = names
        .into_iter()
        .zip(shapes.iter().map(|shape| numbers(shape)))
        .collect();
    let (before, after) = (evaluate(&graph, &bound).unwrap(), evaluate(&simple, &bound).unwrap());
    assert_eq!(before[0].shape, after[0].shape);
    for (a, b) in before[0].data.iter().zip(&after[0].data) {
        assert!(
            (a - b).abs() <= 1e-12 * a.abs().max(1.0),
            "{a} became {b}\n{graph}\n{simple}"
        );
    }
    let operators = simple.iter().skip(simple.inputs().len());
    operators.map(|(_, node)| format!("{:?}", node.op)).collect()
}

#[test]
fn marks_vanish() {
    let operators = left(&[&[3]], |g, x| {
        let same = g.identity(x[0])?;
        let stopped = g.stop_gradient(same)?;
        g.sin(stopped)
    });
    assert_eq!(operators, ["Sin"]);
}

#[test]
fn expand_into_broadcasting_operators() {
    let operators = left(&[&[4, 3], &[3]], |g, x| {
        let wide = g.expand(x[1], &[4, 3])?;
        g.mul(wide, x[0])
    });
    assert_eq!(operators, ["Mul"]);
    let operators = left(&[&[4, 3], &[3], &[1, 3]], |g, x| {
        let (b, c) = (g.expand(x[1], &[4, 3])?, g.expand(x[2], &[4, 3])?);
        let sum = g.add(b, c)?;
        let sine = g.sin(sum)?;
        g.sub(x[0], sine)
    });
    assert_eq!(
        operators,
        ["Add", "Sin", "Sub"],
        "computed narrow, broadcast at the end"
    );
    let operators = left(&[&[3], &[1, 3]], |g, x| {
        let (a, b) = (g.expand(x[0], &[4, 3])?, g.expand(x[1], &[4, 3])?);
        g.add(a, b)
    });
    assert_eq!(
        operators,
        ["Add", "Expand { shape: [4, 3] }"],
        "an output keeps its shape"
    );
}

#[test]
fn expand_into_matrix_products() {
    let operators = left(&[&[5, 4, 3], &[3, 2]], |g, x| {
        let wide = g.expand(x[1], &[5, 3, 2])?;
        g.matmul(x[0], wide)
    });
    assert_eq!(operators, ["MatMul"]);
    let operators = left(&[&[4, 3], &[1, 2]], |g, x| {
        let wide = g.expand(x[1], &[3, 2])?;
        g.matmul(x[0], wide)
    });
    assert_eq!(
        operators,
        ["Expand { shape: [3, 2] }", "MatMul"],
        "a stretched matrix is needed"
    );
}

#[test]
fn large_uniform_constants_broadcast() {
    let operators = left(&[&[40, 3]], |g, x| {
        let twos = g.full(&[40, 3], 2.0)?;
        g.mul(x[0], twos)
    });
    assert_eq!(operators, ["Constant { tensor: 2.0 }", "Mul"]);
}

#[test]
fn chains_of_moves() {
    let operators = left(&[&[2, 3, 4]], |g, x| {
        let there = g.transpose(x[0], &[2, 0, 1])?;
        let back = g.transpose(there, &[1, 2, 0])?;
        g.sin(back)
    });
    assert_eq!(operators, ["Sin"]);
    let operators = left(&[&[2, 3, 4]], |g, x| {
        let flat = g.reshape(x[0], &[24])?;
        let tall = g.reshape(flat, &[6, 4])?;
        let more = g.unsqueeze(tall, &[0])?;
        g.transpose(more, &[1, 0, 2])
    });
    assert_eq!(operators, ["Reshape { shape: [6, 1, 4] }"]);
    let operators = left(&[&[9]], |g, x| {
        let outer = g.slice(x[0], 0, 2, 8)?;
        g.slice(outer, 0, 1, 3)
    });
    assert_eq!(operators, ["Slice { axis: 0, start: 3, end: 5 }"]);
    let operators = left(&[&[4], &[5]], |g, x| {
        let joined = g.concat(&[x[0], x[1]], 0)?;
        g.slice(joined, 0, 5, 7)
    });
    assert_eq!(operators, ["Slice { axis: 0, start: 1, end: 3 }"]);
    let operators = left(&[&[9]], |g, x| {
        let (a, b, c) = (
            g.slice(x[0], 0, 0, 4)?,
            g.slice(x[0], 0, 4, 5)?,
            g.slice(x[0], 0, 5, 9)?,
        );
        let inner = g.concat(&[a, b], 0)?;
        let whole = g.concat(&[inner, c], 0)?;
        g.sin(whole)
    });
    assert_eq!(operators, ["Sin"]);
}

#[test]
fn signs() {
    let operators = left(&[&[3], &[3]], |g, x| {
        let (a, b) = (g.neg(x[0])?, g.neg(x[1])?);
        let sum = g.add(x[0], b)?;
        let difference = g.sub(sum, a)?;
        let product = g.mul(a, b)?;
        let both = g.add(difference, product)?;
        let once = g.neg(both)?;
        g.neg(once)
    });
    assert_eq!(operators, ["Sub", "Add", "Mul", "Add"]);
}

#[test]
fn constant_factors() {
    let operators = left(&[&[3]], |g, x| {
        let negative = g.neg(x[0])?;
        let scaled = g.scale(negative, 0.1)?;
        g.add(scaled, scaled)
    });
    assert_eq!(operators, ["Constant { tensor: -0.2 }", "Mul"]);
    let operators = left(&[&[3]], |g, x| {
        let scaled = g.scale(x[0], 0.1)?;
        g.scale(scaled, 0.3)
    });
    assert_eq!(
        operators.iter().filter(|name| *name == "Mul").count(),
        2,
        "joining these would round otherwise"
    );
}

#[test]
fn transposed_products() {
    let operators = left(&[&[4, 3], &[2, 3]], |g, x| {
        let b = g.transpose(x[1], &[1, 0])?;
        let product = g.matmul(x[0], b)?;
        g.transpose(product, &[1, 0])
    });
    assert_eq!(operators, ["Transpose { permutation: [1, 0] }", "MatMul"]);
    let operators = left(&[&[4, 3], &[2, 3]], |g, x| {
        let b = g.transpose(x[1], &[1, 0])?;
        let product = g.matmul(x[0], b)?;
        let turned = g.transpose(product, &[1, 0])?;
        g.matmul(product, turned)
    });
    assert_eq!(
        operators.iter().filter(|name| *name == "MatMul").count(),
        2,
        "the product is needed both ways"
    );
}

#[test]
fn transposes_of_what_was_expanded() {
    let operators = left(&[&[5, 4, 2], &[3, 2]], |g, x| {
        let tasks = g.expand(x[1], &[5, 3, 2])?;
        let turned = g.transpose(tasks, &[0, 2, 1])?;
        g.matmul(x[0], turned)
    });
    assert_eq!(operators, ["Transpose { permutation: [1, 0] }", "MatMul"]);
}

#[test]
fn sums_of_copies() {
    let operators = left(&[&[3, 1]], |g, x| {
        let wide = g.expand(x[0], &[5, 3, 4])?;
        g.reduce_sum(wide, &[0, 2], false)
    });
    assert_eq!(
        operators,
        ["Constant { tensor: 20.0 }", "Mul", "Reshape { shape: [3] }"]
    );
    for keep_dims in [false, true] {
        for axes in [&[0][..], &[2], &[1], &[0, 1], &[0, 1, 2]] {
            left(&[&[3, 1]], |g, x| {
                let wide = g.expand(x[0], &[5, 3, 4])?;
                g.reduce_sum(wide, axes, keep_dims)
            });
        }
    }
}

#[test]
fn ports_stay_as_they_are() {
    let mut graph = Graph::new();
    let a = graph.input("a", DType::F32, &[2]).unwrap();
    graph.input("unused", DType::F32, &[3]).unwrap();
    let same = graph.identity(a).unwrap();
    graph.output("first", same).unwrap();
    graph.output("second", a).unwrap();
    let simple = simplify(&graph);
    let names = |ports: &[pliant_compiler::graph::Port]| ports.iter().map(|p| p.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(simple.inputs()), ["a", "unused"]);
    assert_eq!(names(simple.outputs()), ["first", "second"]);
}
