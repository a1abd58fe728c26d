//! The rule "ridge": the solver against f64 by hand, its gradients against differences, the fold of a device against the
//! whole-support graph, and the recursive form against the closed one.

mod support;

use pliant_compiler::adaptation::gradient::DeviceGraph;
use pliant_compiler::adaptation::ridge::RidgeRule;
use pliant_compiler::adaptation::{AdaptationError, Rule, Update, solve_positive_definite};
use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, Tensor, ValueId};
use pliant_compiler::image::{LowerOptions, LoweredPlan, lower};
use pliant_compiler::onnx::{ExportOptions, export_symbolic};
use pliant_compiler::passes::simplify;
use pliant_compiler::policy::{Activation, Gaussian, Gru, Mlp, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::image::Objective;
use pliant_runtime::image::record::Space;
use support::{Memory, Random};

const RIDGE: f32 = 0.05;
const ROWS: usize = 7;

fn policy() -> PolicyDescription {
    PolicyDescription::deterministic(Mlp::new(&[2, 9, 4, 2], Activation::Tanh))
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Positive definite matrices `m m^T + n / 4 I`, `[batch, n, n]`.
fn definite(random: &mut Random, batch: usize, n: usize) -> Vec<f64> {
    let mut all = Vec::new();
    for _ in 0..batch {
        let m = widen(&random.values(n * n));
        for i in 0..n {
            for j in 0..n {
                let product: f64 = (0..n).map(|k| m[i * n + k] * m[j * n + k]).sum();
                all.push(product + if i == j { 0.25 * n as f64 } else { 0.0 });
            }
        }
    }
    all
}

#[test]
fn the_solver_solves() {
    let mut random = Random(3);
    for (batch, n, m) in [(1, 1, 1), (1, 2, 3), (3, 5, 2), (2, 24, 1)] {
        let (a, b) = (definite(&mut random, batch, n), widen(&random.values(batch * n * m)));
        let mut graph = Graph::new();
        let matrix = graph.input("a", DType::F32, &[batch, n, n]).unwrap();
        let right = graph.input("b", DType::F32, &[batch, n, m]).unwrap();
        let x = solve_positive_definite(&mut graph, matrix, right).unwrap();
        assert_eq!(graph.shape(x), [batch, n, m]);
        let back = graph.matmul(matrix, x).unwrap();
        graph.output("back", back).unwrap();
        let inputs = [
            ("a", Tensor64::new(&[batch, n, n], a)),
            ("b", Tensor64::new(&[batch, n, m], b.clone())),
        ];
        for (found, b) in evaluate(&graph, &inputs).unwrap()[0].data.iter().zip(&b) {
            assert!((found - b).abs() < 1e-12 * n as f64, "n = {n}: {found} instead of {b}");
        }
    }
}

/// Gradients of the first and of the second order against central differences in f64.
#[test]
fn the_solver_has_gradients_of_both_orders() {
    const N: usize = 3;
    let mut random = Random(5);
    let values = [definite(&mut random, 2, N), widen(&random.values(2 * N * 2))];
    let shapes = [[2, N, N], [2, N, 2]];
    let mut graph = Graph::new();
    let leaves: Vec<ValueId> = (["a", "b"].iter().zip(&shapes))
        .map(|(name, shape)| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    let x = solve_positive_definite(&mut graph, leaves[0], leaves[1]).unwrap();
    let cosine = graph.cos(x).unwrap();
    let first = graph.sum_all(cosine).unwrap();
    let by_first = gradients(&mut graph, first, &leaves).unwrap();
    let mut second = graph.scalar(0.0);
    for &gradient in &by_first {
        let sine = graph.sin(gradient).unwrap();
        let sum = graph.sum_all(sine).unwrap();
        second = graph.add(second, sum).unwrap();
    }
    let by_second = gradients(&mut graph, second, &leaves).unwrap();
    for value in [first, second].into_iter().chain(by_first).chain(by_second) {
        let name = format!("output{}", graph.outputs().len());
        graph.output(&name, value).unwrap();
    }
    let run = |values: &[Vec<f64>; 2]| {
        let inputs = [
            ("a", Tensor64::new(&shapes[0], values[0].clone())),
            ("b", Tensor64::new(&shapes[1], values[1].clone())),
        ];
        evaluate(&graph, &inputs).unwrap()
    };
    let found = run(&values);
    for order in 0..2 {
        for leaf in 0..2 {
            for element in 0..values[leaf].len() {
                let at = |step: f64| {
                    let mut values = values.clone();
                    values[leaf][element] += step;
                    run(&values)[order].data[0]
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                let gradient = found[2 + 2 * order + leaf].data[element];
                assert!(
                    (gradient - difference).abs() < 1e-6 * difference.abs().max(1.0),
                    "order {order}, leaf {leaf}[{element}]: {gradient} and {difference}"
                );
            }
        }
    }
}

/// A support set, and parameters of the policy.
struct Case {
    /// One a parameter.
    parameters: Vec<Vec<f32>>,
    /// `x`, `y`.
    fields: [Vec<f32>; 2],
}

impl Case {
    fn new(policy: &PolicyDescription) -> Self {
        let mut random = Random(11);
        Self {
            parameters: policy
                .parameters()
                .iter()
                .map(|p| random.values(p.elements()))
                .collect(),
            fields: [random.values(ROWS * 2), random.values(ROWS * 2)],
        }
    }

    /// Weight above bias.
    fn head(&self) -> Vec<f32> {
        self.parameters[4..].concat()
    }

    fn frozen(&self, policy: &PolicyDescription) -> Vec<Tensor> {
        let parameters = policy.parameters();
        parameters[..4]
            .iter()
            .zip(&self.parameters)
            .map(|(parameter, values)| Tensor::f32(&parameter.shape, values.as_slice()).unwrap())
            .collect()
    }

    /// The fitted head by the whole-support graph, in f64.
    fn whole(&self, rule: &RidgeRule) -> Vec<f64> {
        let graph = rule.adapt(ROWS, RIDGE).unwrap();
        let names: Vec<&str> = graph.outputs().iter().map(|port| &*port.name).collect();
        assert_eq!(names, ["next.layer2.weight", "next.layer2.bias"]);
        let mut inputs: Vec<(&str, Tensor64)> = (rule.rows().parameters.iter().zip(&self.parameters))
            .map(|(parameter, values)| (parameter.name.as_str(), Tensor64::new(&parameter.shape, widen(values))))
            .collect();
        inputs.push(("x", Tensor64::new(&[ROWS, 2], widen(&self.fields[0]))));
        inputs.push(("y", Tensor64::new(&[ROWS, 2], widen(&self.fields[1]))));
        inputs.push(("row_weight", Tensor64::new(&[ROWS], vec![1.0; ROWS])));
        inputs.push(("step_scale", Tensor64::new(&[1], vec![1.0])));
        evaluate(&graph, &inputs)
            .unwrap()
            .into_iter()
            .flat_map(|tensor| tensor.data)
            .collect()
    }
}

/// Features with a one behind them, in f64 by hand.
fn features(case: &Case) -> Vec<[f64; 5]> {
    let layer = |input: &[f64], weight: &[f32], bias: &[f32]| -> Vec<f64> {
        let mut output = widen(bias);
        for (value, row) in input.iter().zip(weight.chunks_exact(bias.len())) {
            output
                .iter_mut()
                .zip(row)
                .for_each(|(sum, weight)| *sum += value * f64::from(*weight));
        }
        output.iter().map(|value| value.tanh()).collect()
    };
    let rows = case.fields[0].chunks_exact(2);
    rows.map(|x| {
        let hidden = layer(&widen(x), &case.parameters[0], &case.parameters[1]);
        let last = layer(&hidden, &case.parameters[2], &case.parameters[3]);
        [last[0], last[1], last[2], last[3], 1.0]
    })
    .collect()
}

/// What the gradient of `sum_i g^(n - 1 - i) |f_i X - y_i|^2 + g^n l |X - H|^2` is at a head, greatest element.
fn gradient_of_the_objective(case: &Case, head: &[f64], forgetting: f64) -> f64 {
    let features = features(case);
    let start = widen(&case.head());
    let mut greatest = 0.0f64;
    for output in 0..2 {
        for feature in 0..5 {
            let at = feature * 2 + output;
            let ridge = f64::from(RIDGE) * forgetting.powi(ROWS as i32);
            let mut gradient = ridge * (head[at] - start[at]);
            for (row, values) in features.iter().enumerate() {
                let prediction: f64 = (0..5).map(|k| values[k] * head[k * 2 + output]).sum();
                let error = prediction - f64::from(case.fields[1][row * 2 + output]);
                gradient += forgetting.powi((ROWS - 1 - row) as i32) * values[feature] * error;
            }
            greatest = greatest.max(gradient.abs());
        }
    }
    greatest
}

#[test]
fn the_fitted_head_minimises_the_ridge_objective() {
    let policy = policy();
    let case = Case::new(&policy);
    let head = case.whole(&RidgeRule::for_policy(&policy).unwrap());
    assert!(gradient_of_the_objective(&case, &widen(&case.head()), 1.0) > 0.1);
    let rest = gradient_of_the_objective(&case, &head, 1.0);
    assert!(rest < 1e-9, "{rest}");
    let forgetting = 0.75;
    let head = case.whole(&RidgeRule::for_policy(&policy).unwrap().recursive(forgetting));
    let rest = gradient_of_the_objective(&case, &head, f64::from(forgetting));
    assert!(rest < 1e-7, "{rest}");
}

/// The graphs of a fold, evaluated in f64 over memory carried from plan to plan.
fn fold_in_double_precision(case: &Case, policy: &PolicyDescription, rule: &RidgeRule, chunk: usize) -> Vec<f64> {
    let mut memory: Vec<(String, Tensor64)> = vec![
        ("head".into(), Tensor64::new(&[5, 2], widen(&case.head()))),
        ("gram".into(), Tensor64::new(&[5, 5], vec![0.0; 25])),
        ("right".into(), Tensor64::new(&[5, 2], vec![0.0; 10])),
        ("step_scale".into(), Tensor64::new(&[1], vec![1.0])),
        (
            "layer2.weight".into(),
            Tensor64::new(&[4, 2], widen(&case.parameters[4])),
        ),
        ("layer2.bias".into(), Tensor64::new(&[2], widen(&case.parameters[5]))),
    ];
    let run = |device: &DeviceGraph, memory: &mut Vec<(String, Tensor64)>| {
        let known = memory.clone();
        let wanted = |name: &str| device.graph.inputs().iter().any(|port| &*port.name == name);
        let inputs: Vec<(&str, Tensor64)> = (known.iter())
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let outputs = evaluate(&device.graph, &inputs).unwrap();
        for (port, value) in device.graph.outputs().iter().zip(outputs) {
            memory.retain(|(name, _)| *name != *port.name);
            memory.push((port.name.to_string(), value));
        }
    };
    let columns = |memory: &[(String, Tensor64)]| {
        let name = if rule.forgetting().is_some() {
            "estimate"
        } else {
            "right"
        };
        memory.iter().find(|(known, _)| known == name).unwrap().1.clone()
    };
    run(&rule.begin(RIDGE).unwrap(), &mut memory);
    let accumulate = rule.accumulate(chunk, &case.frozen(policy)).unwrap();
    for start in (0..ROWS).step_by(chunk) {
        let mut rows = [vec![0.0; chunk * 2], vec![0.0; chunk * 2], vec![0.0; chunk]];
        for row in start..ROWS.min(start + chunk) {
            for (to, from) in rows.iter_mut().zip(&case.fields) {
                let place = (row - start) * 2;
                to[place..place + 2].copy_from_slice(&widen(&from[row * 2..row * 2 + 2]));
            }
            rows[2][row - start] = 1.0;
        }
        let shapes = [&[chunk, 2][..], &[chunk, 2], &[chunk]];
        for ((name, shape), values) in ["x", "y", "row_weight"].into_iter().zip(shapes).zip(rows) {
            memory.retain(|(known, _)| known != name);
            memory.push((name.into(), Tensor64::new(shape, values)));
        }
        run(&accumulate, &mut memory);
    }
    memory.push(("columns".into(), columns(&memory)));
    run(&rule.apply(RIDGE).unwrap(), &mut memory);
    memory.pop().unwrap().1.data
}

/// The recursive form with factor 1 gives what the closed form gives, and so does every cut into chunks; with another
/// factor it gives the weighted closed form.
#[test]
fn recursive_least_squares_equals_the_ridge_regression() {
    let policy = policy();
    let case = Case::new(&policy);
    let rule = || RidgeRule::for_policy(&policy).unwrap();
    let expected = case.whole(&rule());
    let close = |found: &[f64], expected: &[f64], what: &str, tolerance: f64| {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < tolerance, "{what}: {a} instead of {b}");
        }
    };
    for chunk in [1, 3, ROWS] {
        let sums = fold_in_double_precision(&case, &policy, &rule(), chunk);
        close(&sums, &expected, "sums", 1e-11);
        let recursion = fold_in_double_precision(&case, &policy, &rule().recursive(1.0), chunk);
        // 1 / ridge and 1 - factor are rounded to single precision.
        close(&recursion, &expected, "recursion", 1e-6);
        let forgetting = fold_in_double_precision(&case, &policy, &rule().recursive(0.75), chunk);
        close(&forgetting, &case.whole(&rule().recursive(0.75)), "forgetting", 1e-6);
    }
}

fn lowered(device: &DeviceGraph, max_macs_per_record: Option<u64>) -> LoweredPlan {
    let options = LowerOptions {
        compact: true,
        max_macs_per_record,
        ..LowerOptions::default()
    };
    lower(&simplify(&device.graph), &device.bindings, &options).unwrap()
}

/// The plans of a device in single precision, cut into chunks and records, against f64.
#[test]
fn the_plans_of_a_device_give_the_fitted_head() {
    let policy = policy();
    let case = Case::new(&policy);
    let frozen = case.frozen(&policy);
    for forgetting in [None, Some(1.0), Some(0.75)] {
        let rule = RidgeRule::for_policy(&policy).unwrap();
        let rule = match forgetting {
            Some(factor) => rule.recursive(factor),
            None => rule,
        };
        let expected = case.whole(&rule);
        let elements = rule.accumulator_elements();
        let update = Update::Ridge {
            ridge: RIDGE,
            forgetting,
        };
        let rule = Rule::from(rule);
        for (chunk, max_macs) in [(1, None), (3, None), (3, Some(20))] {
            let plans = rule.plans(chunk, &frozen, &update).unwrap();
            let [begin, accumulate, apply, score] = plans.each_ref().map(|(_, plan)| lowered(plan, max_macs));
            let (mut adapted, mut accumulator) = (case.head(), vec![f32::NAN; elements]);
            let mut run = |plan: &LoweredPlan, input: &[f32]| {
                let mut memory = Memory::of(plan);
                memory.spaces[Space::Adapted as usize] = adapted.clone();
                memory.spaces[Space::Accumulator as usize] = accumulator.clone();
                memory.spaces[Space::Input as usize][..input.len()].copy_from_slice(input);
                memory.run(plan);
                adapted.clone_from(&memory.spaces[Space::Adapted as usize]);
                accumulator.clone_from(&memory.spaces[Space::Accumulator as usize]);
                (adapted.clone(), accumulator.clone())
            };
            run(&begin, &[]);
            for start in (0..ROWS).step_by(chunk) {
                let mut input = vec![0.0; chunk * 5];
                for row in start..ROWS.min(start + chunk) {
                    for (field, values) in case.fields.iter().enumerate() {
                        let place = field * chunk * 2 + (row - start) * 2;
                        input[place..place + 2].copy_from_slice(&values[row * 2..row * 2 + 2]);
                    }
                    input[chunk * 4 + row - start] = 1.0;
                }
                run(&accumulate, &input);
            }
            let (head, _) = run(&apply, &[1.0]);
            for (found, expected) in head.iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-4,
                    "{forgetting:?}, chunks of {chunk}: {found} instead of {expected}"
                );
            }
            assert!(!score.records.is_empty());
            println!("{forgetting:?}: {} records to apply", apply.records.len());
        }
    }
}

/// Meta-training's form, a copy of the head a task, gives each task what it would get alone.
#[test]
fn tasks_do_not_see_each_other() {
    let policy = policy();
    let case = Case::new(&policy);
    let rule = RidgeRule::for_policy(&policy).unwrap();
    let mut graph = Graph::new();
    let mut parameters: Vec<ValueId> = Vec::new();
    for (index, parameter) in rule.rows().parameters.iter().enumerate() {
        let value = graph.input(&parameter.name, DType::F32, &parameter.shape).unwrap();
        parameters.push(match index {
            4.. => graph.expand(value, &parameter.shape_for_tasks(2)).unwrap(),
            _ => value,
        });
    }
    let x = graph.input("x", DType::F32, &[2, ROWS, 2]).unwrap();
    let y = graph.input("y", DType::F32, &[2, ROWS, 2]).unwrap();
    let weights = graph.full(&[2, ROWS], 1.0).unwrap();
    let (ridge, scale) = (graph.scalar(RIDGE), graph.scalar(1.0));
    let next = rule
        .inner_step(&mut graph, &parameters, ridge, &[x, y], weights, scale)
        .unwrap();
    graph.output("weight", next[4]).unwrap();
    graph.output("bias", next[5]).unwrap();
    let mut inputs: Vec<(&str, Tensor64)> = (rule.rows().parameters.iter().zip(&case.parameters))
        .map(|(parameter, values)| (parameter.name.as_str(), Tensor64::new(&parameter.shape, widen(values))))
        .collect();
    // The first task is the case; the second has its targets turned around.
    let (mut x, mut y) = (widen(&case.fields[0]), widen(&case.fields[1]));
    x.extend_from_within(..);
    y.extend(case.fields[1].iter().map(|value| -f64::from(*value)));
    inputs.push(("x", Tensor64::new(&[2, ROWS, 2], x)));
    inputs.push(("y", Tensor64::new(&[2, ROWS, 2], y)));
    let outputs = evaluate(&graph, &inputs).unwrap();
    let expected = case.whole(&rule);
    let found = outputs[0].data[..8].iter().chain(&outputs[1].data[..2]);
    for (found, expected) in found.zip(&expected) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }
    assert!(
        (outputs[0].data[8] - expected[0]).abs() > 1e-3,
        "the second task is another one"
    );
}

#[test]
fn the_fit_is_exported_for_any_number_of_rows() {
    let rule = RidgeRule::for_policy(&policy()).unwrap();
    let options = ExportOptions::default();
    let model = export_symbolic(
        "rows",
        &options,
        |rows| -> Result<Graph, pliant_compiler::onnx::OnnxError> { Ok(rule.adapt(rows, RIDGE).unwrap()) },
    );
    assert!(model.is_ok(), "{:?}", model.err());
}

#[test]
fn policies_without_a_linear_head_are_refused() {
    let hidden = Mlp::new(&[2, 4, 1], Activation::Tanh);
    let recurrent = Gru {
        observations: 2,
        encoder: 3,
        activation: Activation::Tanh,
        hidden: 3,
        outputs: 1,
        changes: 0,
    };
    for policy in [
        PolicyDescription::deterministic(Mlp::new(&[2, 1], Activation::Tanh)),
        PolicyDescription::stochastic(hidden.clone(), Gaussian { floor: -3.0 }),
        PolicyDescription::bounded(hidden.clone()),
        PolicyDescription::deterministic(recurrent),
    ] {
        assert_eq!(
            RidgeRule::for_policy(&policy).err(),
            Some(AdaptationError::NoLinearHead)
        );
    }
    let policy = PolicyDescription::deterministic(hidden);
    let update = Update::Ridge {
        ridge: 1.0,
        forgetting: None,
    };
    let rule = |objective| Rule::of(&policy, objective, &update, None, None);
    assert_eq!(
        rule(Objective::PolicyGradient).err(),
        Some(AdaptationError::NoLinearHead)
    );
    let other = Update::Gradient(pliant_compiler::adaptation::gradient::StepSizes::Uniform(0.1));
    let rule = rule(Objective::Supervised).unwrap();
    assert_eq!(rule.adapt(3, &other).err(), Some(AdaptationError::OtherRule));
}
