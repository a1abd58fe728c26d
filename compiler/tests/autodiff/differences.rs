//! Central differences of a whole graph in f64.

use pliant_compiler::graph::{Graph, ValueId};
use pliant_compiler::reference::{Tensor64, evaluate};

/// Values of the named inputs.
pub(crate) type Inputs = Vec<(&'static str, Tensor64)>;

/// A tensor of numbers that look random and are always the same, in -0.8..0.8.
pub(crate) fn numbers(shape: &[usize], seed: usize) -> Tensor64 {
    let count = shape.iter().product();
    Tensor64::new(
        shape,
        (0..count)
            .map(|i| 0.8 * ((i * 37 + seed * 101 + 11) as f64 * 0.7131).sin())
            .collect(),
    )
}

pub(crate) fn value(graph: &Graph, inputs: &Inputs, of: ValueId) -> Tensor64 {
    let mut graph = graph.clone();
    graph.output("__value", of).unwrap();
    evaluate(&graph, inputs).unwrap().pop().unwrap()
}

/// Compares `gradient`, of `scalar` by the named input, with central differences; gives the greatest relative error.
pub(crate) fn assert_gradient(graph: &Graph, inputs: &Inputs, scalar: ValueId, by: &str, gradient: ValueId) {
    const STEP: f64 = 1e-5;
    let found = value(graph, inputs, gradient);
    let position = inputs.iter().position(|(name, _)| *name == by).unwrap();
    assert_eq!(found.shape, inputs[position].1.shape, "{by}");
    let mut largest: f64 = 0.0;
    for element in 0..found.data.len() {
        let at = |step: f64| {
            let mut inputs = inputs.clone();
            inputs[position].1.data[element] += step;
            value(graph, &inputs, scalar).data[0]
        };
        let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        largest = largest.max(difference.abs());
        let error = (found.data[element] - difference).abs();
        assert!(
            error <= 1e-7 * difference.abs().max(1.0),
            "{by}[{element}]: {}, {difference}",
            found.data[element]
        );
    }
    assert!(largest > 1e-4, "{by}: a gradient of zero tests nothing");
}
