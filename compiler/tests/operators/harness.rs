//! Checks one operator: its literal values, then its gradients order by order.

use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::reference::{Tensor64, evaluate};

/// Step of the central differences: their truncation and rounding errors are both near 1e-10 for values near 1.
const STEP: f64 = 1e-5;
/// Greatest difference to the central differences, relative to the larger of 1 and their size.
const TOLERANCE: f64 = 2e-7;

/// A literal f32 input.
pub(crate) fn f(shape: &[usize], data: &[f64]) -> Tensor64 {
    Tensor64::new(shape, data.to_vec())
}

/// A literal integer input.
pub(crate) fn i(shape: &[usize], data: &[f64]) -> Tensor64 {
    Tensor64 {
        dtype: DType::I64,
        ..f(shape, data)
    }
}

/// A literal input of truth values.
pub(crate) fn b(shape: &[usize], data: &[f64]) -> Tensor64 {
    Tensor64 {
        dtype: DType::Bool,
        ..f(shape, data)
    }
}

/// Pseudo-random numbers in `lo..hi` (SplitMix64), for shapes too large to write out.
pub(crate) fn random(shape: &[usize], lo: f64, hi: f64, seed: u64) -> Tensor64 {
    let mut state = seed;
    let data = (0..shape.iter().product()).map(|_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        lo + (hi - lo) * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    });
    Tensor64::new(shape, data.collect())
}

/// A graph of one operator with its inputs bound.
pub(crate) struct Check {
    graph: Graph,
    inputs: Vec<Tensor64>,
    leaves: Vec<ValueId>,
    output: ValueId,
}

fn name(i: usize) -> String {
    format!("x{i}")
}

impl Check {
    /// Builds the operator over inputs of these values.
    pub(crate) fn new(
        inputs: Vec<Tensor64>,
        build: impl FnOnce(&mut Graph, &[ValueId]) -> Result<ValueId, GraphError>,
    ) -> Self {
        let mut graph = Graph::new();
        let leaves: Vec<ValueId> = inputs
            .iter()
            .enumerate()
            .map(|(i, t)| graph.input(&name(i), t.dtype, &t.shape).unwrap())
            .collect();
        let output = build(&mut graph, &leaves).unwrap();
        Self {
            graph,
            inputs,
            leaves,
            output,
        }
    }

    fn evaluate(graph: &Graph, inputs: &[Tensor64], outputs: &[ValueId]) -> Vec<Tensor64> {
        let mut graph = graph.clone();
        outputs
            .iter()
            .enumerate()
            .for_each(|(i, value)| graph.output(&name(i), *value).unwrap());
        let names: Vec<String> = (0..inputs.len()).map(name).collect();
        let bound: Vec<(&str, Tensor64)> = names.iter().map(String::as_str).zip(inputs.iter().cloned()).collect();
        evaluate(&graph, &bound).unwrap()
    }

    /// Asserts shape and values, to 1e-12.
    pub(crate) fn gives(self, shape: &[usize], expected: &[f64]) -> Self {
        let output = Self::evaluate(&self.graph, &self.inputs, &[self.output]).remove(0);
        assert_eq!(output.shape.as_slice(), shape);
        assert_eq!(self.graph.shape(self.output), shape);
        assert_eq!(output.data.len(), expected.len());
        for (i, (a, b)) in output.data.iter().zip(expected).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * b.abs().max(1.0);
            assert!(same, "element {i}: {a}, expected {b}");
        }
        self
    }

    fn floats(&self) -> Vec<usize> {
        (0..self.inputs.len())
            .filter(|&i| self.inputs[i].dtype == DType::F32)
            .collect()
    }

    /// Asserts the gradient of the sum of the output with respect to each f32 input, to 1e-7.
    pub(crate) fn gradient_is(mut self, expected: &[&[f64]]) -> Self {
        let total = self.graph.sum_all(self.output).unwrap();
        let wrt: Vec<ValueId> = self.floats().into_iter().map(|i| self.leaves[i]).collect();
        let built = gradients(&mut self.graph, total, &wrt).unwrap();
        let values = Self::evaluate(&self.graph, &self.inputs, &built);
        assert_eq!(values.len(), expected.len());
        for (n, (value, expected)) in values.iter().zip(expected).enumerate() {
            assert_eq!(value.data.len(), expected.len());
            for (i, (a, b)) in value.data.iter().zip(*expected).enumerate() {
                assert!(
                    a == b || (a - b).abs() <= 1e-7,
                    "input {n}, element {i}: {a}, expected {b}"
                );
            }
        }
        self
    }

    /// Compares the gradients of every order up to `order`, each of a random projection of the one before, with central
    /// differences of that projection.
    pub(crate) fn gradients_to_order(mut self, order: usize) -> Self {
        let floats = self.floats();
        let wrt: Vec<ValueId> = floats.iter().map(|&i| self.leaves[i]).collect();
        let mut scalar = project(&mut self.graph, &[self.output], 1);
        for n in 1..=order {
            let built = gradients(&mut self.graph, scalar, &wrt).unwrap();
            let values = Self::evaluate(&self.graph, &self.inputs, &built);
            for (&input, value) in floats.iter().zip(&values) {
                assert_eq!(
                    value.shape, self.inputs[input].shape,
                    "order {n}: shape of the gradient"
                );
                for element in 0..value.data.len() {
                    let at = |step: f64| {
                        let mut inputs = self.inputs.clone();
                        inputs[input].data[element] += step;
                        Self::evaluate(&self.graph, &inputs, &[scalar])[0].data[0]
                    };
                    let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                    let found = value.data[element];
                    assert!(
                        (found - difference).abs() <= TOLERANCE * difference.abs().max(1.0),
                        "order {n}, input {input}, element {element}: {found}, central difference {difference}"
                    );
                }
            }
            scalar = project(&mut self.graph, &built, 1 + n as u64);
        }
        self
    }
}

/// The sum of the elements of all values, each times its own random constant.
fn project(graph: &mut Graph, values: &[ValueId], seed: u64) -> ValueId {
    let mut total = graph.scalar(0.0);
    for (i, &value) in values.iter().enumerate() {
        let shape = graph.value_type(value).shape.clone();
        let weights = random(&shape, 0.5, 1.5, 1000 * seed + i as u64).to_tensor().unwrap();
        let weights = graph.constant(weights);
        let product = graph.mul(value, weights).unwrap();
        let sum = graph.sum_all(product).unwrap();
        total = graph.add(total, sum).unwrap();
    }
    total
}
