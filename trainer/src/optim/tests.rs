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

/// A matrix of these shapes and elements through `build`.
fn run_matrices(
    inputs: &[(&[usize], &[f64])],
    build: impl Fn(&mut Graph, &[ValueId]) -> Result<Vec<ValueId>, GraphError>,
) -> Vec<Vec<f64>> {
    let mut graph = Graph::new();
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("in{index}")).collect();
    let values: Vec<ValueId> = names
        .iter()
        .zip(inputs)
        .map(|(name, (shape, _))| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    for (index, output) in build(&mut graph, &values).unwrap().into_iter().enumerate() {
        graph.output(&format!("out{index}"), output).unwrap();
    }
    let inputs: Vec<_> = names
        .iter()
        .zip(inputs)
        .map(|(name, (shape, data))| (name.as_str(), Tensor64::new(shape, data.to_vec())))
        .collect();
    let outputs = evaluate(&graph, &inputs).unwrap();
    outputs.into_iter().map(|tensor| tensor.data).collect()
}

/// What Muon makes of a singular value, its share of the norm given.
fn singular_value(share: f64) -> f64 {
    (0..5).fold(share, |s, _| 3.4445 * s - 4.7750 * s.powi(3) + 2.0315 * s.powi(5))
}

/// The singular vectors of a matrix that is diagonal are the axes: only the diagonal moves, each element by what the
/// quintic makes of its singular value. Turned by 30 degrees, the direction turns as well.
#[test]
fn muon_moves_all_singular_directions_alike() {
    let singular = [3.0, -1.0, 0.5, 0.1];
    let norm = singular.iter().map(|s| s * s).sum::<f64>().sqrt();
    let (sine, cosine) = (0.5, 0.75f64.sqrt());
    let (mut matrix, mut expected) = (vec![0.0; 4 * 6], vec![0.0; 4 * 6]);
    for (row, &s) in singular.iter().enumerate() {
        let moved = 0.1 * 6.0f64.sqrt() * s.signum() * singular_value(s.abs() / norm);
        assert!((0.6..1.3).contains(&singular_value(s.abs() / norm)));
        // Columns 0 and 5 turned into each other.
        match row {
            0 => {
                (matrix[0], matrix[5]) = (cosine * s, sine * s);
                (expected[0], expected[5]) = (cosine * moved, sine * moved);
            }
            _ => (matrix[7 * row], expected[7 * row]) = (s, moved),
        }
    }
    let wide = run_matrices(&[(&[4, 6], &matrix)], |graph, x| {
        Ok(vec![muon_direction(graph, x[0], 0.1)?])
    });
    close(&wide[0], &expected);

    let transposed = |values: &[f64]| -> Vec<f64> { (0..24).map(|at| values[at % 4 * 6 + at / 4]).collect() };
    let tall = run_matrices(&[(&[6, 4], &transposed(&matrix))], |graph, x| {
        Ok(vec![muon_direction(graph, x[0], 0.1)?])
    });
    close(&tall[0], &transposed(&expected));

    let zero = run_matrices(&[(&[4, 6], &[0.0; 24])], |graph, x| {
        Ok(vec![muon_direction(graph, x[0], 0.1)?])
    });
    close(&zero[0], &[0.0; 24]);
}

/// Matrices by Muon, the last layer's three rows and the biases by Adam, and the moments of all as without.
#[test]
fn orthogonal_steps_are_for_matrices_only() {
    let gradient: Vec<f64> = (0..16)
        .map(|at| f64::from((at * 7 % 5) as f32 - 2.0) + 0.1 * at as f64)
        .collect();
    let shapes: [&[usize]; 3] = [&[4, 4], &[4, 3], &[4]];
    let step = |orthogonal: Option<f32>| {
        let settings = Adam {
            orthogonal,
            ..Adam::new(0.01)
        };
        let mut inputs: Vec<(&[usize], &[f64])> = Vec::new();
        let zeros = [0.0; 16];
        for kind in 0..4 {
            for shape in shapes {
                let values: &[f64] = if kind == 1 { &gradient } else { &zeros };
                inputs.push((shape, &values[..shape.iter().product()]));
            }
        }
        inputs.push((&[], &[0.01]));
        run_matrices(&inputs, |graph, x| {
            let step = adam(graph, &settings, &x[..3], &x[3..6], &x[6..9], &x[9..12], x[12])?;
            Ok([step.parameters, step.first, step.second].concat())
        })
    };
    let (with, without) = (step(Some(0.1)), step(None));
    for (output, (a, b)) in with.iter().zip(&without).enumerate() {
        assert_eq!(a == b, output != 0, "output {output}");
    }
    let momentum: Vec<f64> = gradient.iter().map(|g| 0.1 * g).collect();
    let direction = run_matrices(&[(&[4, 4], &momentum)], |graph, x| {
        Ok(vec![muon_direction(graph, x[0], 0.1)?])
    });
    close(&with[0], &direction[0].iter().map(|d| -0.01 * d).collect::<Vec<_>>());
}
