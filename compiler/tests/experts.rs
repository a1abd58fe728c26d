//! Mixtures of experts: the gradient of gates and experts against differences in double precision, and what gates do.

use pliant_compiler::autodiff;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::policy::{Activation, Conditioning, MultiTask, Parameter, TargetLoss, TaskHead};
use pliant_compiler::reference::{Tensor64, evaluate};

fn network(conditioning: Conditioning) -> MultiTask {
    MultiTask {
        encoder: None,
        hidden: vec![6, 4],
        activation: Activation::Tanh,
        conditioning,
        shared_head: true,
        tasks: vec![
            TaskHead {
                inputs: 3,
                outputs: 1,
                loss: TargetLoss::SquaredError,
            };
            2
        ],
    }
}

fn values(parameter: &Parameter) -> Vec<f64> {
    let start = parameter.name.bytes().map(f64::from).sum::<f64>();
    (0..parameter.elements())
        .map(|index| (2.3 * index as f64 + start).sin())
        .collect()
}

/// The sum of the squared outputs of both tasks for two rows; its gradients; the features of task 1's first row.
fn run(network: &MultiTask, moved: Option<(usize, usize, f64)>) -> Vec<Tensor64> {
    let mut graph = Graph::new();
    let shapes = network.parameters();
    let parameters: Vec<ValueId> = shapes
        .iter()
        .map(|parameter| graph.input(&parameter.name, DType::F32, &parameter.shape).unwrap())
        .collect();
    let x = graph.input("x", DType::F32, &[2, 3]).unwrap();
    let (shared, mut private) = parameters.split_at(network.shared().len());
    let mut total = graph.scalar(0.0);
    let mut features = x;
    for task in 0..2 {
        let (own, rest) = private.split_at(network.private(task).len());
        private = rest;
        features = network.trunk(&mut graph, shared, own, x, &[]).unwrap();
        let output = network.head(&mut graph, shared, own, features).unwrap();
        let square = graph.square(output).unwrap();
        let sum = graph.sum_all(square).unwrap();
        total = graph.add(total, sum).unwrap();
    }
    let gradients = autodiff::gradients(&mut graph, total, &parameters).unwrap();
    graph.output("total", total).unwrap();
    graph.output("features", features).unwrap();
    for (shape, gradient) in shapes.iter().zip(gradients) {
        graph.output(&format!("gradient/{}", shape.name), gradient).unwrap();
    }
    let mut inputs: Vec<(&str, Tensor64)> = Vec::new();
    for (index, parameter) in shapes.iter().enumerate() {
        let mut data = values(parameter);
        if let Some((_, element, by)) = moved.filter(|(of, _, _)| *of == index) {
            data[element] += by;
        }
        inputs.push((parameter.name.as_str(), Tensor64::new(&parameter.shape, data)));
    }
    inputs.push(("x", Tensor64::new(&[2, 3], vec![0.3, -0.8, 0.5, 1.1, 0.2, -0.4])));
    evaluate(&graph, &inputs).unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    for conditioning in [Conditioning::ExpertsByTask(2), Conditioning::ExpertsByInput(2)] {
        let network = network(conditioning);
        let plain = run(&network, None);
        let h = 1e-5;
        for (index, parameter) in network.parameters().iter().enumerate() {
            for element in 0..parameter.elements() {
                let at = |by| run(&network, Some((index, element, by)))[0].data[0];
                let difference = (at(h) - at(-h)) / (2.0 * h);
                let found = plain[2 + index].data[element];
                assert!(
                    (found - difference).abs() < 1e-7,
                    "{conditioning:?} {} {element}: {found} {difference}",
                    parameter.name
                );
            }
        }
    }
}

/// By hand, task 1's first row: in each layer the units of an expert times its gate.
#[test]
fn each_expert_counts_by_its_gate() {
    for conditioning in [Conditioning::ExpertsByTask(2), Conditioning::ExpertsByInput(2)] {
        let network = network(conditioning);
        let find = |name: String| {
            let all = network.parameters();
            let parameter = all.iter().find(|parameter| parameter.name == name).unwrap();
            values(parameter)
        };
        let mut value = vec![0.3, -0.8, 0.5];
        for layer in 0..2 {
            let affine = |weight: &[f64], bias: &[f64], value: &[f64]| -> Vec<f64> {
                let column = |unit: usize| {
                    let rows = value.iter().zip(weight.chunks_exact(bias.len()));
                    bias[unit] + rows.map(|(x, row)| x * row[unit]).sum::<f64>()
                };
                (0..bias.len()).map(column).collect()
            };
            let logits = match conditioning {
                Conditioning::ExpertsByTask(_) => find(format!("task1.gates{layer}")),
                _ => affine(
                    &find(format!("router{layer}.weight")),
                    &find(format!("router{layer}.bias")),
                    &value,
                ),
            };
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let bias = find(format!("layer{layer}.bias"));
            let units = bias.len() / 2;
            value = affine(&find(format!("layer{layer}.weight")), &bias, &value)
                .into_iter()
                .enumerate()
                .map(|(unit, sum_of)| sum_of.tanh() * 2.0 * logits[unit / units].exp() / sum)
                .collect();
        }
        let found = &run(&network, None)[1].data[..4];
        for (found, expected) in found.iter().zip(&value) {
            assert!((found - expected).abs() < 1e-12, "{conditioning:?}: {found} {expected}");
        }
    }
}
