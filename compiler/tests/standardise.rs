//! Inputs that are standardised anew: the exported step against the formula in double precision, and the device against the
//! exported step.

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::{DType, Graph, Tensor};
use pliant_compiler::image::{AdaptationDescription, AlignedBytes, ImageOptions, banked_rule, compile_banked};
use pliant_compiler::policy::{
    Activation, Banked, FeatureMap, InputScaling, Modulation, Parameter, TargetLoss, TaskSlice,
};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, Image, Objective};
use pliant_runtime::policy::{Policy, workspace_len};

const PRIOR: f32 = 4.0;
const RATE: f32 = 0.1;
/// Inputs of a row, and its target: the second input never varies, the third the task has not.
const ROWS: [([f32; 3], f32); 6] = [
    ([1.0, 3.0, 0.0], 0.5),
    ([2.5, 3.0, 0.0], -0.5),
    ([4.0, 3.0, 0.0], 1.0),
    ([3.0, 3.0, 0.0], 0.25),
    ([2.0, 3.0, 0.0], 0.0),
    ([6.5, 3.0, 0.0], -1.0),
];

fn policy() -> Banked {
    Banked {
        inputs: 3,
        feature_map: Some(FeatureMap::new(3)),
        logarithms: false,
        outputs: 1,
        encoder: None,
        modulation: Modulation::None,
        hidden: vec![4],
        activation: Activation::Tanh,
        losses: vec![TargetLoss::SquaredError],
        adapts_input: true,
        standardises: Some(PRIOR),
    }
}

fn trunk(policy: &Banked) -> Vec<Tensor> {
    let value = |index: usize| 0.3 * ((7 * index + 3) as f32).sin();
    let tensor = |parameter: Parameter| {
        let values: Vec<f32> = (0..parameter.elements()).map(value).collect();
        Tensor::f32(&parameter.shape, values).unwrap()
    };
    policy.trunk().into_iter().map(tensor).collect()
}

fn slice() -> TaskSlice {
    TaskSlice {
        inputs: 3,
        scaling: Some(InputScaling {
            mean: vec![2.0, 1.0, 0.0],
            factor: vec![0.5, 2.0, 0.0],
            mask: vec![1.0, 1.0, 0.0],
        }),
        outputs: 1,
        loss: TargetLoss::SquaredError,
        encoder: None,
        modulation: Vec::new(),
        head: (vec![0.4, -0.2, 0.7, 0.1], vec![0.05]),
        target: vec![(2.0, 0.5)],
        logarithm: false,
        deviation: 1.0,
        trained: true,
    }
}

/// Values of every parameter by name: what adapts at its start, the trunk, the slice.
fn values(policy: &Banked) -> Vec<(String, Tensor64)> {
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let mut all = Vec::new();
    for (parameter, value) in policy.adapted() {
        let start = vec![f64::from(value); parameter.elements()];
        all.push((parameter.name, Tensor64::new(&parameter.shape, start)));
    }
    for (parameter, tensor) in policy.trunk().into_iter().zip(trunk(policy)) {
        let values = Tensor64::new(&parameter.shape, wide(tensor.as_f32().unwrap()));
        all.push((parameter.name, values));
    }
    let slice = policy.slice(&slice());
    let mut rest = slice.as_slice();
    for parameter in policy.bank() {
        let (own, after) = rest.split_at(parameter.elements());
        rest = after;
        all.push((parameter.name, Tensor64::new(&parameter.shape, wide(own))));
    }
    all
}

/// The parameters after so many exported steps, in double precision.
fn stepped(steps: usize) -> Vec<(String, Tensor64)> {
    let policy = policy();
    let graph = banked_rule(&policy)
        .adapt(ROWS.len(), &StepSizes::Uniform(RATE))
        .unwrap();
    let mut parameters = values(&policy);
    for _ in 0..steps {
        let x = ROWS.iter().flat_map(|(x, _)| x.iter().map(|value| f64::from(*value)));
        let y = ROWS.iter().map(|(_, y)| f64::from(*y));
        let mut inputs: Vec<(&str, Tensor64)> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        inputs.push(("x", Tensor64::new(&[ROWS.len(), 3], x.collect())));
        inputs.push(("y", Tensor64::new(&[ROWS.len(), 1], y.collect())));
        inputs.push(("row_weight", Tensor64::new(&[ROWS.len()], vec![1.0; ROWS.len()])));
        inputs.push(("step_scale", Tensor64::new(&[1], vec![1.0])));
        let next = evaluate(&graph, &inputs).unwrap();
        for (port, value) in graph.outputs().iter().zip(next) {
            let name = port.name.strip_prefix("next.").unwrap();
            let place = parameters.iter_mut().find(|(known, _)| known == name).unwrap();
            place.1 = value;
        }
    }
    parameters
}

#[test]
fn scale_and_offset_are_those_of_the_rows() {
    let parameters = stepped(1);
    let of = |name: &str| &parameters.iter().find(|(known, _)| known == name).unwrap().1.data;
    let n = ROWS.len() as f64;
    for (input, (mean, factor)) in [(2.0, 0.5), (1.0, 2.0)].into_iter().enumerate() {
        let x: Vec<f64> = ROWS
            .iter()
            .map(|(x, _)| (f64::from(x[input]) - mean) * factor)
            .collect();
        let m = x.iter().sum::<f64>() / n;
        let v = (x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n).max(1e-6);
        let s = ((n * v + f64::from(PRIOR)) / (n + f64::from(PRIOR))).sqrt().recip();
        assert!(
            (of("input.scale")[input] - s).abs() < 1e-6,
            "{input}: {:?} {s}",
            of("input.scale")
        );
        assert!(
            (of("input.offset")[input] + m * s).abs() < 1e-6,
            "{input}: {:?}",
            of("input.offset")
        );
    }
    // What the task has not stays as it is.
    assert!((of("input.scale")[2] - 1.0).abs() < 1e-9 && of("input.offset")[2] == 0.0);
    // They are found at once, whatever the head does.
    let later = stepped(5);
    let again = &later.iter().find(|(known, _)| known == "input.scale").unwrap().1.data;
    assert_eq!(again, of("input.scale"));
    let head = |parameters: &[(String, Tensor64)]| {
        let change = parameters.iter().find(|(known, _)| known == "change.weight").unwrap();
        change.1.data.iter().map(|value| value.abs()).sum::<f64>()
    };
    assert!(
        head(&later) > head(&parameters) && head(&parameters) > 0.0,
        "labels move the head"
    );
}

#[test]
fn the_device_does_the_same() {
    const STEPS: usize = 3;
    let policy = policy();
    let mut contract = Contract::new(1.0);
    for name in ["a", "b", "c"] {
        contract.observe(Channel::observation(name, "")).unwrap();
    }
    contract.actuate(Channel::action("y", "")).unwrap();
    let adaptation = AdaptationDescription {
        // Chunks that do not divide the rows.
        spec: AdaptationSpec::new(Objective::Supervised)
            .with_rows(ROWS.len() as u32, 4)
            .with_step_scales(&[1.0; STEPS]),
        adapts: None,
        update: StepSizes::Uniform(RATE).into(),
    };
    let options = ImageOptions::default();
    let image = compile_banked(&policy, &trunk(&policy), &[slice()], &adaptation, &contract, &options).unwrap();
    let bytes = AlignedBytes::new(&image);
    let image = Image::new_checked(&bytes).unwrap();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut device = Policy::new(&image, None, &mut memory).unwrap();
    device.select(0).unwrap();
    let (mut actor, mut learner) = device.split();
    for (x, y) in ROWS {
        learner.observe_example(&x, &[y]).unwrap();
    }
    let report = learner.adapt();
    assert!(report.is_accepted(), "{report:?}");

    let parameters = stepped(STEPS);
    let mut graph = Graph::new();
    let all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| graph.input(name, DType::F32, &value.shape).unwrap())
        .collect();
    let x = graph.input("x", DType::F32, &[1, 3]).unwrap();
    let answer = policy.answer(&mut graph, &all, x).unwrap();
    graph.output("answer", answer).unwrap();
    for (x, _) in ROWS {
        let mut inputs: Vec<(&str, Tensor64)> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        inputs.push((
            "x",
            Tensor64::new(&[1, 3], x.iter().map(|value| f64::from(*value)).collect()),
        ));
        let expected = evaluate(&graph, &inputs).unwrap()[0].data[0];
        let mut answer = [0.0];
        assert!(!actor.act(&x, &mut answer).is_safe_action());
        assert!(
            (f64::from(answer[0]) - expected).abs() < 1e-5,
            "{x:?}: {answer:?} {expected}"
        );
    }
}
