//! The learner on a compiled policy does what the exported adaptation graph does in double precision: the fold over
//! chunks, in single precision and in slices, against the whole support set at once.

mod support;

use pliant_compiler::adaptation::Update;
use pliant_compiler::adaptation::gradient::{GradientRule, StepSizes};
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AdaptationDescription, AlignedBytes, ImageOptions, compile_policy};
use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::adapt::{AdaptReport, Progress};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::experience::{End, Estimator, Trajectories, advantages, baseline_scratch};
use pliant_runtime::image::{AdaptationSpec, Image, Objective};
use pliant_runtime::policy::{Learner, Policy, ResetKind, Status, Step, workspace_len};
use support::Random;

/// Of a whole adaptation, relative to the greatest parameter (or 1).
const TOLERANCE: f64 = 1e-4;

struct Compiled {
    policy: PolicyDescription,
    parameters: Vec<Tensor>,
    adaptation: AdaptationDescription,
    bytes: AlignedBytes,
}

fn compile(policy: PolicyDescription, spec: AdaptationSpec, contract: &Contract) -> Compiled {
    let mut random = Random(11);
    let parameters: Vec<Tensor> = (policy.parameters().iter())
        .map(|parameter| {
            let scale = 1.0 / (parameter.shape[0] as f32).sqrt();
            let values: Vec<f32> = random
                .values(parameter.elements())
                .iter()
                .map(|value| value * scale)
                .collect();
            Tensor::f32(&parameter.shape, values).unwrap()
        })
        .collect();
    let step_sizes = (0..policy.parameter_elements())
        .map(|index| 0.05 + 1e-4 * index as f32)
        .collect();
    let adaptation = AdaptationDescription {
        spec,
        adapts: None,
        update: StepSizes::PerElement(step_sizes).into(),
    };
    // Small records, so that slices fall in the middle of every plan.
    let options = ImageOptions {
        max_macs_per_record: Some(200),
        ..ImageOptions::default()
    };
    let bytes = compile_policy(&policy, &parameters, Some(&adaptation), contract, &options).unwrap();
    Compiled {
        policy,
        parameters,
        adaptation,
        bytes: AlignedBytes::new(&bytes),
    }
}

impl Compiled {
    /// One step over all rows in double precision; `fields` by the rule's names.
    fn step(&self, parameters: &[f64], fields: &[Vec<f32>], rows: usize, scale: f32) -> Vec<f64> {
        let objective = self.adaptation.spec.objective().unwrap();
        let rule =
            GradientRule::for_policy(&self.policy, objective).with_gradient_clip(self.adaptation.spec.gradient_clip());
        let Update::Gradient(step_sizes) = &self.adaptation.update else {
            panic!("these tests adapt by gradients")
        };
        let graph = rule.adapt(rows, step_sizes).unwrap();
        let widen = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let names: Vec<_> = self.policy.parameters();
        let mut inputs = Vec::new();
        let mut rest = parameters;
        for parameter in &names {
            let (values, after) = rest.split_at(parameter.elements());
            inputs.push((
                parameter.name.as_str(),
                Tensor64::new(&parameter.shape, values.to_vec()),
            ));
            rest = after;
        }
        for (field, values) in rule.fields.iter().zip(fields) {
            inputs.push((field.name.as_str(), Tensor64::new(&[rows, field.width], widen(values))));
        }
        inputs.push(("row_weight", Tensor64::new(&[rows], vec![1.0; rows])));
        inputs.push(("step_scale", Tensor64::new(&[1], vec![f64::from(scale)])));
        evaluate(&graph, &inputs)
            .unwrap()
            .iter()
            .flat_map(|output| output.data.clone())
            .collect()
    }

    fn base(&self) -> Vec<f64> {
        let values = self
            .parameters
            .iter()
            .flat_map(|tensor| tensor.as_f32().unwrap().iter());
        values.map(|value| f64::from(*value)).collect()
    }
}

/// Adapts in slices of about one record.
fn adapt(learner: &mut Learner<'_, '_>) -> AdaptReport {
    loop {
        if let Progress::Done(report) = learner.adapt_some(100) {
            return report;
        }
    }
}

fn assert_close(found: &[f32], expected: &[f64], base: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let error = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, f64::max);
    assert!(error <= TOLERANCE * largest, "{error}");
    let change = expected
        .iter()
        .zip(base)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(change > 100.0 * TOLERANCE, "a change of {change} shows nothing");
}

#[test]
fn supervised_steps() {
    supervised_steps_with(0.0);
}

/// A clip that shortens the gradient of every step (three times and more), and one that none reaches.
#[test]
fn supervised_steps_with_a_clipped_gradient() {
    let [free, far, near] = [0.0, 1e6, 0.1].map(supervised_steps_with);
    assert_eq!(free, far);
    assert!(near < 0.5 * free, "moved by {near}, without the clip by {free}");
}

/// Compares with the reference and gives the distance moved.
fn supervised_steps_with(gradient_clip: f32) -> f32 {
    let mut contract = Contract::new(10.0);
    contract
        .observe(Channel::observation("x", "").with_normaliser(0.5, 2.0))
        .unwrap();
    contract
        .actuate(Channel::action("y", "").with_normaliser(-1.0, 3.0))
        .unwrap();
    let spec = AdaptationSpec {
        gradient_clip,
        ..AdaptationSpec::new(Objective::Supervised)
            .with_rows(10, 4)
            .with_step_scales(&[1.0, 0.5, 0.5])
    };
    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 40, 40, 1], Activation::Relu));
    let compiled = compile(policy, spec, &contract);

    let mut memory = vec![f32::NAN; workspace_len(&compiled.bytes)];
    let image = Image::new_checked(&compiled.bytes).unwrap();
    let mut loaded = Policy::new(&image, None, &mut memory).unwrap();
    let (_, mut learner) = loaded.split();
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for index in 0..10 {
        let (x, y) = (index as f32 - 4.5, 3.0 * (0.7 * index as f32).sin());
        learner.observe_example(&[x], &[y]).unwrap();
        inputs.push((x - 0.5) / 2.0);
        targets.push((y + 1.0) / 3.0);
    }
    let report = adapt(&mut learner);
    assert!(report.is_accepted(), "{report:?}");
    let base = compiled.base();
    let expected = [1.0, 0.5, 0.5].into_iter().fold(base.clone(), |parameters, scale| {
        compiled.step(&parameters, &[inputs.clone(), targets.clone()], 10, scale)
    });
    assert_close(learner.parameters(), &expected, &base);
    report.figures().change
}

#[test]
fn policy_gradient_steps() {
    policy_gradient_steps_with(0.0);
}

#[test]
fn policy_gradient_steps_with_a_clipped_gradient() {
    policy_gradient_steps_with(0.5);
}

fn policy_gradient_steps_with(gradient_clip: f32) {
    let mut contract = Contract::new(10.0);
    for name in ["x", "y"] {
        contract
            .observe(Channel::observation(name, "m").with_normaliser(0.0, 0.5))
            .unwrap();
    }
    for name in ["dx", "dy"] {
        contract
            .actuate(
                Channel::action(name, "m")
                    .with_normaliser(0.0, 0.1)
                    .with_range(-0.1, 0.1),
            )
            .unwrap();
    }
    let mut spec = AdaptationSpec::new(Objective::PolicyGradient)
        .with_rows(100, 8)
        .with_step_scales(&[1.0, 0.5]);
    (spec.trajectories, spec.horizon, spec.baseline_features, spec.kl_limit) = (4, 20, 1, 1.0);
    (spec.gamma, spec.lambda, spec.baseline_ridge) = (0.99, 0.9, 1e-5);
    spec.gradient_clip = gradient_clip;
    let policy = PolicyDescription::stochastic(Mlp::new(&[2, 16, 16, 2], Activation::Relu), Gaussian { floor: -3.0 });
    let compiled = compile(policy, spec, &contract);

    let mut memory = vec![f32::NAN; workspace_len(&compiled.bytes)];
    let image = Image::new_checked(&compiled.bytes).unwrap();
    let mut loaded = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = loaded.split();
    actor.seed(3);
    let mut base = compiled.base();
    for scale in [1.0, 0.5] {
        let (mut steps, mut rewards, mut ends): (Vec<Step>, Vec<f32>, Vec<End>) = Default::default();
        for _ in 0..4 {
            actor.reset(ResetKind::Episode);
            let mut position = [0.0f32; 2];
            for index in 0..20 {
                let mut action = [0.0; 2];
                let step = actor.explore(&position, &mut action).unwrap();
                position = [position[0] + action[0], position[1] + action[1]];
                let reward = -(position[0] - 0.3).hypot(position[1] + 0.4);
                let end = if index == 19 { End::Truncated } else { End::Continue };
                learner.observe(&step, reward, end).unwrap();
                steps.push(step);
                rewards.push(reward);
                ends.push(end);
            }
        }
        let flat = |part: fn(&Step) -> &[f32]| steps.iter().flat_map(part).copied().collect::<Vec<f32>>();
        let (observations, actions) = (flat(Step::observation), flat(Step::action));
        let log_probabilities: Vec<f32> = steps.iter().map(Step::log_probability).collect();
        let mut advantage = vec![0.0; steps.len()];
        let trajectories = Trajectories {
            observations: &observations,
            width: 2,
            rewards: &rewards,
            ends: &ends,
        };
        let estimator = Estimator {
            gamma: 0.99,
            lambda: 0.9,
            ridge: 1e-5,
        };
        advantages(
            &trajectories,
            &estimator,
            &mut vec![0.0; baseline_scratch(2)],
            &mut advantage,
        );

        let report = adapt(&mut learner);
        assert!(report.is_accepted(), "{report:?}");
        let fields = [observations, actions, log_probabilities, advantage];
        let expected = compiled.step(&base, &fields, steps.len(), scale);
        assert_close(learner.parameters(), &expected, &base);
        base = learner.parameters().iter().map(|value| f64::from(*value)).collect();
    }
    assert_eq!(actor.act(&[0.1, 0.1], &mut [0.0; 2]), Status::Acted);
}
