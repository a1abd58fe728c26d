//! Optimisers against values worked out by hand, by the f64 reference.

use pliant_compiler::graph::{DType, Graph, GraphError, ValueId};
use pliant_compiler::reference::{Tensor64, evaluate};

use super::*;
use crate::recipe::Adam;

/// Two parameters of one and two elements through `build`; its outputs in order.
fn run(
    inputs: &[(&str, &[f64])],
    build: impl Fn(&mut Graph, &[ValueId]) -> Result<Vec<ValueId>, GraphError>,
) -> Vec<Vec<f64>> {
    let mut graph = Graph::new();
    let values: Vec<ValueId> = inputs
        .iter()
        .map(|(name, data)| graph.input(name, DType::F32, &[data.len()]).unwrap())
        .collect();
    for (index, output) in build(&mut graph, &values).unwrap().into_iter().enumerate() {
        graph.output(&format!("out{index}"), output).unwrap();
    }
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(name, data)| (*name, Tensor64::new(&[data.len()], data.to_vec())))
        .collect();
    evaluate(&graph, &inputs)
        .unwrap()
        .into_iter()
        .map(|tensor| tensor.data)
        .collect()
}

#[track_caller]
fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{found:?}, expected {expected:?}");
    }
}

#[test]
fn sgd_descends_by_the_rate() {
    let new = run(
        &[("p", &[1.0, 2.0]), ("g", &[0.5, -1.0]), ("rate", &[0.1, 0.2])],
        |graph, v| sgd(graph, &v[..1], &v[1..2], &v[2..]),
    );
    close(&new[0], &[0.95, 2.2]);
}

#[test]
fn elements_are_clipped_one_by_one() {
    let clipped = run(&[("g", &[-30.0, 3.0, 10.5])], |graph, v| clip_elements(graph, v, 10.0));
    close(&clipped[0], &[-10.0, 3.0, 10.0]);
}

#[test]
fn the_norm_is_clipped_over_all_parameters() {
    let long: [(&str, &[f64]); 2] = [("a", &[3.0]), ("b", &[0.0, 4.0])];
    let clipped = run(&long, |graph, v| clip_norm(graph, v, 1.0));
    close(&clipped[0], &[0.6]);
    close(&clipped[1], &[0.0, 0.8]);
    // Short ones, and zero, stay as they are.
    let same = run(&long, |graph, v| clip_norm(graph, v, 5.5));
    close(&same[1], &[0.0, 4.0]);
    close(&run(&[("a", &[0.0])], |graph, v| clip_norm(graph, v, 1.0))[0], &[0.0]);
}

/// Three steps on a constant gradient, against Algorithm 1 of Kingma and Ba.
#[test]
fn adam_follows_the_paper() {
    let settings = Adam {
        clip_elements: Some(2.0),
        ..Adam::new(0.01)
    };
    let (mut state, gradient) = ([1.0, 0.0, 0.0], 3.0);
    let (mut theta, mut m, mut v) = (1.0f64, 0.0f64, 0.0f64);
    for t in 0..3 {
        let step = f64::from(adam_step_size(&settings, t, 100));
        let new = run(
            &[
                ("p", &[state[0]]),
                ("g", &[gradient]),
                ("m", &[state[1]]),
                ("v", &[state[2]]),
                ("step", &[step]),
            ],
            |graph, x| {
                let step = adam(graph, &settings, &x[..1], &x[1..2], &x[2..3], &x[3..4], x[4])?;
                Ok([step.parameters, step.first, step.second].concat())
            },
        );
        state = [new[0][0], new[1][0], new[2][0]];
        let (clipped, power) = (2.0f64, t as i32 + 1);
        m = 0.9 * m + 0.1 * clipped;
        v = 0.999 * v + 0.001 * clipped * clipped;
        let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(power)), v / (1.0 - 0.999f64.powi(power)));
        theta -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
        close(&state, &[theta, m, v]);
    }
}
