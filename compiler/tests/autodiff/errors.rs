//! A gradient that does not exist is an error that names the operator, never a zero.

use pliant_compiler::autodiff::{AutodiffError, gradients, vector_jacobian};
use pliant_compiler::graph::{DType, Graph, ValueId};

fn named(graph: &mut Graph, value: ValueId, leaf: ValueId) -> &'static str {
    let loss = graph.sum_all(value).unwrap();
    match gradients(graph, loss, &[leaf]) {
        Err(AutodiffError::NotDifferentiable {
            operator, leaf: found, ..
        }) => {
            assert_eq!(found, leaf);
            operator
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn comparisons_turned_into_numbers() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let zero = graph.scalar(0.0);
    type Compare = fn(&mut Graph, ValueId, ValueId) -> ValueId;
    let table: [(&str, Compare); 3] = [
        ("Greater", |g, a, b| g.greater(a, b).unwrap()),
        ("Less", |g, a, b| g.less(a, b).unwrap()),
        ("Equal", |g, a, b| g.equal(a, b).unwrap()),
    ];
    for (name, compare) in table {
        let mask = compare(&mut graph, x, zero);
        let inverse = graph.not(mask).unwrap();
        let number = graph.cast(inverse, DType::F32).unwrap();
        assert_eq!(named(&mut graph, number, x), name);
    }
}

#[test]
fn rounding_to_integers() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let rounded = graph.cast(x, DType::I64).unwrap();
    let number = graph.cast(rounded, DType::F32).unwrap();
    assert_eq!(named(&mut graph, number, x), "Cast");
    let table = graph.input("table", DType::F32, &[8]).unwrap();
    let picked = graph.gather(table, rounded, 0).unwrap();
    assert_eq!(named(&mut graph, picked, x), "Cast");
    // The same graph has a gradient by what is picked from.
    let loss = graph.sum_all(picked).unwrap();
    assert!(gradients(&mut graph, loss, &[table]).is_ok());
}

#[test]
fn the_sign() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let sign = graph.sign(x).unwrap();
    let product = graph.mul(sign, x).unwrap();
    assert_eq!(named(&mut graph, product, x), "Sign");
}

#[test]
fn a_stopped_or_unneeded_path_is_no_error() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let y = graph.input("y", DType::F32, &[3]).unwrap();
    let sign = graph.sign(x).unwrap();
    let product = graph.mul(sign, y).unwrap();
    let loss = graph.sum_all(product).unwrap();
    assert!(gradients(&mut graph, loss, &[y]).is_ok());
    let stopped = graph.stop_gradient(sign).unwrap();
    let product = graph.mul(stopped, x).unwrap();
    let loss = graph.sum_all(product).unwrap();
    assert!(gradients(&mut graph, loss, &[x]).is_ok());
}

#[test]
fn what_cannot_be_asked() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[3]).unwrap();
    let index = graph.input("index", DType::I64, &[3]).unwrap();
    let two = graph.scalar(2.0);
    let y = graph.mul(x, two).unwrap();
    let loss = graph.sum_all(y).unwrap();
    assert!(matches!(gradients(&mut graph, y, &[x]), Err(AutodiffError::NotScalar { value, .. }) if value == y));
    assert_eq!(
        gradients(&mut graph, loss, &[index]),
        Err(AutodiffError::NotFloat {
            value: index,
            dtype: DType::I64
        })
    );
    assert_eq!(
        gradients(&mut graph, loss, &[two]),
        Err(AutodiffError::ConstantLeaf(two))
    );
    assert_eq!(
        vector_jacobian(&mut graph, &[y], &[], &[x]),
        Err(AutodiffError::Count {
            outputs: 1,
            cotangents: 0
        })
    );
    assert!(matches!(
        vector_jacobian(&mut graph, &[y], &[two], &[x]),
        Err(AutodiffError::CotangentType { .. })
    ));
}
