//! The scan of a sequence: against its formula in double precision, on both strands, and learning on the device.

use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::policy::{Layout, Parameter, PolicyDescription, Scan};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::image::Objective;

/// The graph's constants are of single precision.
const CLOSE: f64 = 1e-6;

const SCAN: Scan = Scan {
    length: 11,
    symbols: 4,
    window: 3,
    detectors: 2,
    both_strands: true,
};

fn values(parameter: &Parameter) -> Vec<f64> {
    let start = parameter.name.len() as f64;
    (0..parameter.elements())
        .map(|index| (1.7 * index as f64 + start).sin())
        .collect()
}

fn sequence(row: usize) -> Vec<f64> {
    (0..SCAN.length)
        .map(|place| ((5 * place + 7 * row + place * place) % 4) as f64)
        .collect()
}

fn run(scan: Scan, rows: &[Vec<f64>], build: impl Fn(&mut Graph, &[ValueId], ValueId) -> ValueId) -> Vec<f64> {
    let mut graph = Graph::new();
    let shapes = scan.parameters();
    let parameters: Vec<ValueId> = shapes
        .iter()
        .map(|parameter| graph.input(&parameter.name, DType::F32, &parameter.shape).unwrap())
        .collect();
    let x = graph.input("x", DType::F32, &[rows.len(), scan.length]).unwrap();
    let y = build(&mut graph, &parameters, x);
    graph.output("y", y).unwrap();
    let mut inputs: Vec<(&str, Tensor64)> = shapes
        .iter()
        .map(|parameter| {
            (
                parameter.name.as_str(),
                Tensor64::new(&parameter.shape, values(parameter)),
            )
        })
        .collect();
    inputs.push(("x", Tensor64::new(&[rows.len(), scan.length], rows.concat())));
    evaluate(&graph, &inputs).unwrap().remove(0).data
}

fn output(scan: Scan, rows: &[Vec<f64>]) -> Vec<f64> {
    run(scan, rows, |graph, parameters, x| {
        scan.forward(graph, Layout::Rows, parameters, x).unwrap()
    })
}

/// `l_f = log mean_j exp(sum_k log(4 p_fk(x_(j+k)))) + b_f` and the mixture of the two, written out.
fn by_hand(scan: Scan, x: &[f64]) -> f64 {
    let tensors: Vec<Vec<f64>> = scan.parameters().iter().map(values).collect();
    let (weight, bias, mixture) = (&tensors[0], &tensors[1], &tensors[2]);
    let logit = |position: usize, symbol: usize, f: usize| weight[(position * 4 + symbol) * scan.detectors + f];
    let mut strands = vec![x.to_vec()];
    if scan.both_strands {
        strands.push(x.iter().rev().map(|symbol| 3.0 - symbol).collect());
    }
    let (mut total, mut whole) = (0.0, 0.0);
    for f in 0..scan.detectors {
        let (mut sum, mut count) = (0.0, 0.0);
        for strand in &strands {
            for window in strand.windows(scan.window) {
                let mut odds = 0.0;
                for (position, symbol) in window.iter().enumerate() {
                    let normaliser: f64 = (0..4).map(|s| logit(position, s, f).exp()).sum();
                    // A symbol that is none of the four says nothing; neither does its partner.
                    if (0.0..4.0).contains(symbol) {
                        odds += (4.0 * logit(position, *symbol as usize, f).exp() / normaliser).ln();
                    }
                }
                sum += odds.exp();
                count += 1.0;
            }
        }
        total += mixture[f].exp() * sum / count * bias[f].exp();
        whole += mixture[f].exp();
    }
    (total / whole).ln() * tensors[3][0] + tensors[4][0]
}

#[test]
fn it_is_the_mixture_of_mean_likelihood_ratios() {
    for both_strands in [false, true] {
        for length in [11, 10, 4, 3] {
            let scan = Scan {
                both_strands,
                length,
                ..SCAN
            };
            let rows: Vec<Vec<f64>> = (0..3).map(|row| sequence(row)[..length].to_vec()).collect();
            for (found, row) in output(scan, &rows).iter().zip(&rows) {
                let expected = by_hand(scan, row);
                assert!(
                    (found - expected).abs() < CLOSE,
                    "{both_strands} {length}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_other_strand_says_the_same() {
    let rows = vec![
        sequence(0),
        sequence(0).iter().rev().map(|symbol| 3.0 - symbol).collect(),
    ];
    let both = output(SCAN, &rows);
    assert!((both[0] - both[1]).abs() < 1e-12, "{both:?}");
    let one = output(
        Scan {
            both_strands: false,
            ..SCAN
        },
        &rows,
    );
    assert!((one[0] - one[1]).abs() > 1e-3, "{one:?}");
}

#[test]
fn an_unknown_position_says_nothing() {
    let mut x = sequence(1);
    x[4] = -1.0;
    let found = output(SCAN, &[x.clone()])[0];
    assert!((found - by_hand(SCAN, &x)).abs() < CLOSE);
}

/// The gradient that a device takes, against differences of the loss: of the detectors through the likelihoods, of the mixture
/// through the credit alone.
#[test]
fn the_gradient_of_a_step_agrees_with_finite_differences() {
    let policy = PolicyDescription::deterministic(SCAN);
    let rule = GradientRule::for_policy(&policy, Objective::Supervised);
    assert_eq!(rule.adapts, Scan::adapts());
    let rows: Vec<Vec<f64>> = (0..4).map(sequence).collect();
    let targets = [1.0, -1.0, 1.0, -1.0];
    let mut graph = Graph::new();
    let shapes = policy.parameters();
    let parameters: Vec<ValueId> = shapes
        .iter()
        .map(|parameter| graph.input(&parameter.name, DType::F32, &parameter.shape).unwrap())
        .collect();
    let x = graph.input("x", DType::F32, &[4, SCAN.length]).unwrap();
    let y = graph.input("y", DType::F32, &[4, 1]).unwrap();
    let losses = (rule.loss)(&mut graph, &parameters, &[x, y]).unwrap();
    let total = graph.sum_all(losses).unwrap();
    let gradients = pliant_compiler::autodiff::gradients(&mut graph, total, &[parameters[0], parameters[2]]).unwrap();
    graph.output("total", total).unwrap();
    graph.output("detectors", gradients[0]).unwrap();
    graph.output("mixture", gradients[1]).unwrap();
    let run = |moved: Option<(usize, usize, f64)>| {
        let mut inputs: Vec<(&str, Tensor64)> = Vec::new();
        for (index, parameter) in shapes.iter().enumerate() {
            let mut data = values(parameter);
            if let Some((of, element, by)) = moved.filter(|(of, _, _)| *of == index) {
                let _ = of;
                data[element] += by;
            }
            inputs.push((parameter.name.as_str(), Tensor64::new(&parameter.shape, data)));
        }
        inputs.push(("x", Tensor64::new(&[4, SCAN.length], rows.concat())));
        inputs.push(("y", Tensor64::new(&[4, 1], targets.to_vec())));
        evaluate(&graph, &inputs).unwrap()
    };
    let plain = run(None);
    let h = 1e-5;
    for element in 0..SCAN.detectors {
        let difference = (run(Some((2, element, h)))[0].data[0] - run(Some((2, element, -h)))[0].data[0]) / (2.0 * h);
        assert!((plain[2].data[element] - difference).abs() < 1e-6);
    }
    // The credit holds what a detector says for given: of the detectors only the margins' share differs.
    let without_mixture = |moved| {
        let outputs = run(moved);
        let credit: f64 = outputs[2].data.iter().zip(values(&shapes[2])).map(|(g, h)| g * h).sum();
        outputs[0].data[0] - credit
    };
    for element in 0..shapes[0].elements() {
        let difference = (without_mixture(Some((0, element, h))) - without_mixture(Some((0, element, -h)))) / (2.0 * h);
        let found = plain[1].data[element];
        assert!((found - difference).abs() < 1e-5, "{element}: {found} {difference}");
    }
}
