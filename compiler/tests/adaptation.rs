//! The gradient rule: the fold over chunks, the whole-support graph and the f64 reference give the same parameters, and
//! meta-gradients through it are right.

mod support;

use pliant_compiler::adaptation::Subset;
use pliant_compiler::adaptation::gradient::{DeviceGraph, GradientRule, Order, StepSizes};
use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, Tensor, ValueId};
use pliant_compiler::image::{Bindings, LowerOptions, LoweredPlan, lower};
use pliant_compiler::passes::simplify;
use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription, broadcast_to_tasks};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::image::Objective;
use pliant_runtime::image::record::{Record, Space};
use support::{Memory, Random};

/// Tolerance of a whole adaptation in f32, relative to the largest value (at least one).
const TOLERANCE: f64 = 1e-4;

fn close(found: &[f32], expected: &[f64], what: &str) {
    let scale = expected.iter().fold(1.0_f64, |scale, v| scale.max(v.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!(
            (f64::from(*a) - b).abs() <= TOLERANCE * scale,
            "{what}: {a} instead of {b}"
        );
    }
}

fn sinusoid() -> PolicyDescription {
    PolicyDescription::deterministic(Mlp::new(&[1, 40, 40, 1], Activation::Relu))
}

fn navigation() -> PolicyDescription {
    PolicyDescription::stochastic(Mlp::new(&[2, 20, 20, 2], Activation::Tanh), Gaussian { floor: -3.0 })
}

/// Values for all parameters, one after the other.
fn parameters(policy: &PolicyDescription, random: &mut Random) -> Vec<f32> {
    policy
        .parameters()
        .iter()
        .flat_map(|p| {
            let scale = 1.0 / (p.shape[0] as f32).sqrt();
            random.values(p.elements()).into_iter().map(move |v| v * scale)
        })
        .collect()
}

/// A row of every field.
fn rows(rule: &GradientRule<'_>, count: usize, random: &mut Random) -> Vec<Vec<f32>> {
    rule.fields
        .iter()
        .map(|field| random.values(count * field.width))
        .collect()
}

fn lowered(device: &DeviceGraph, max_macs_per_record: Option<u64>) -> LoweredPlan {
    let options = LowerOptions {
        compact: true,
        max_macs_per_record,
        ..LowerOptions::default()
    };
    lower(&simplify(&device.graph), &device.bindings, &options).unwrap()
}

/// Runs one plan of the fold over its own memory, with adapted parameters and accumulator carried over.
fn run(plan: &LoweredPlan, adapted: &mut Vec<f32>, accumulator: &mut Vec<f32>, input: &[f32]) {
    let mut memory = Memory::of(plan);
    memory.spaces[Space::Adapted as usize] = adapted.clone();
    memory.spaces[Space::Accumulator as usize] = accumulator.clone();
    memory.spaces[Space::Input as usize][..input.len()].copy_from_slice(input);
    memory.run(plan);
    *adapted = memory.spaces[Space::Adapted as usize].clone();
    *accumulator = memory.spaces[Space::Accumulator as usize].clone();
}

/// `chunk` rows from `start` of every field, then the weights; rows past the end are zero.
fn chunk(rule: &GradientRule<'_>, rows: &[Vec<f32>], start: usize, chunk: usize, count: usize) -> Vec<f32> {
    let mut input = Vec::new();
    for (field, values) in rule.fields.iter().zip(rows) {
        for row in start..start + chunk {
            match values.get(row * field.width..(row + 1) * field.width) {
                Some(row) => input.extend_from_slice(row),
                None => input.extend(vec![0.0; field.width]),
            }
        }
    }
    input.extend((start..start + chunk).map(|row| if row < count { 1.0 } else { 0.0 }));
    input
}

/// One step of the exported graph in f64.
fn reference_step(graph: &Graph, rule: &GradientRule<'_>, values: &[f64], rows: &[Vec<f32>], scale: f64) -> Vec<f64> {
    let count = rows[0].len() / rule.fields[0].width;
    let mut inputs: Vec<(&str, Tensor64)> = Vec::new();
    let mut start = 0;
    for parameter in &rule.parameters {
        let end = start + parameter.elements();
        inputs.push((
            &parameter.name,
            Tensor64::new(&parameter.shape, values[start..end].to_vec()),
        ));
        start = end;
    }
    for (field, values) in rule.fields.iter().zip(rows) {
        let values = values.iter().map(|&v| f64::from(v)).collect();
        inputs.push((&field.name, Tensor64::new(&[count, field.width], values)));
    }
    inputs.push(("row_weight", Tensor64::new(&[count], vec![1.0; count])));
    inputs.push(("step_scale", Tensor64::new(&[1], vec![scale])));
    evaluate(graph, &inputs)
        .unwrap()
        .into_iter()
        .flat_map(|tensor| tensor.data)
        .collect()
}

/// Two steps of the parameters of a subset over ten rows in chunks of four, against the whole-support graph in f64.
fn fold_matches_whole_support(policy: &PolicyDescription, objective: Objective, subset: Subset) {
    const ROWS: usize = 10;
    const CHUNK: usize = 4;
    const SCALES: [f32; 2] = [1.0, 0.5];
    let mut rule = GradientRule::for_policy(policy, objective);
    rule.adapts = subset.of(policy);
    let mut random = Random(7);
    let all = parameters(policy, &mut random);
    let rows = rows(&rule, ROWS, &mut random);
    let step_sizes = random.values(rule.adapted_elements());
    let step_sizes = StepSizes::PerElement(step_sizes.iter().map(|v| 0.05 + 0.04 * v).collect());
    let (mut base, mut frozen) = (Vec::new(), Vec::new());
    let mut rest = &all[..];
    for (parameter, &adapts) in rule.parameters.iter().zip(&rule.adapts) {
        let (values, after) = rest.split_at(parameter.elements());
        rest = after;
        match adapts {
            true => base.extend_from_slice(values),
            false => frozen.push(Tensor::f32(&parameter.shape, values).unwrap()),
        }
    }

    let whole = rule.adapt(ROWS, &step_sizes).unwrap();
    let mut values: Vec<f64> = all.iter().map(|&v| f64::from(v)).collect();
    let mut expected = Vec::new();
    for scale in SCALES {
        expected = reference_step(&whole, &rule, &values, &rows, f64::from(scale));
        let (mut start, mut next) = (0, expected.iter());
        for (parameter, &adapts) in rule.parameters.iter().zip(&rule.adapts) {
            let end = start + parameter.elements();
            if adapts {
                values[start..end]
                    .iter_mut()
                    .zip(&mut next)
                    .for_each(|(to, from)| *to = *from);
            }
            start = end;
        }
    }

    for max_macs in [None, Some(300)] {
        let begin = lowered(&rule.begin().unwrap(), max_macs);
        let accumulate = lowered(&rule.accumulate(CHUNK, &frozen).unwrap(), max_macs);
        let apply = lowered(&rule.apply(&step_sizes).unwrap(), max_macs);
        let mut adapted = base.clone();
        let mut accumulator = vec![f32::NAN; rule.accumulator_elements()];
        for scale in SCALES {
            run(&begin, &mut adapted, &mut accumulator, &[]);
            for start in (0..ROWS).step_by(CHUNK) {
                let input = chunk(&rule, &rows, start, CHUNK, ROWS);
                run(&accumulate, &mut adapted, &mut accumulator, &input);
            }
            assert_eq!(accumulator[rule.adapted_elements()], ROWS as f32);
            run(&apply, &mut adapted, &mut accumulator, &[scale]);
        }
        close(&adapted, &expected, "the fold");
    }

    // The score folds too.
    let score = lowered(&rule.score(CHUNK, &frozen).unwrap(), None);
    let mut accumulator = vec![0.0; rule.accumulator_elements()];
    let mut adapted = base.clone();
    for start in (0..ROWS).step_by(CHUNK) {
        let input = chunk(&rule, &rows, start, CHUNK, ROWS);
        run(&score, &mut adapted, &mut accumulator, &input);
    }
    let graph = rule.score_rows(ROWS).unwrap();
    let base64: Vec<f64> = all.iter().map(|&v| f64::from(v)).collect();
    let mut inputs: Vec<(String, Vec<usize>, Vec<f64>)> = Vec::new();
    let mut start = 0;
    for parameter in &rule.parameters {
        let end = start + parameter.elements();
        inputs.push((
            parameter.name.clone(),
            parameter.shape.clone(),
            base64[start..end].to_vec(),
        ));
        start = end;
    }
    for (field, values) in rule.fields.iter().zip(&rows) {
        let values = values.iter().map(|&v| f64::from(v)).collect();
        inputs.push((field.name.clone(), vec![ROWS, field.width], values));
    }
    inputs.push(("row_weight".to_owned(), vec![ROWS], vec![1.0; ROWS]));
    let borrowed: Vec<(&str, Tensor64)> = inputs
        .iter()
        .map(|(name, shape, data)| (name.as_str(), Tensor64::new(shape, data.clone())))
        .collect();
    let expected = evaluate(&graph, &borrowed).unwrap()[0].data[0];
    close(&[accumulator[0] / accumulator[1]], &[expected], "the score");
}

#[test]
fn the_fold_of_a_regression_equals_the_whole_support_graph() {
    fold_matches_whole_support(&sinusoid(), Objective::Supervised, Subset::All);
}

#[test]
fn the_fold_of_a_head_equals_the_whole_support_graph() {
    fold_matches_whole_support(&sinusoid(), Objective::Supervised, Subset::Head);
}

#[test]
fn the_fold_of_a_context_equals_the_whole_support_graph() {
    let network = Mlp::new(&[1, 40, 40, 1], Activation::Relu).with_context(5);
    let policy = PolicyDescription::deterministic(network);
    fold_matches_whole_support(&policy, Objective::Supervised, Subset::Context);
    fold_matches_whole_support(&policy, Objective::Supervised, Subset::All);
}

#[test]
fn the_fold_of_a_policy_gradient_equals_the_whole_support_graph() {
    fold_matches_whole_support(&navigation(), Objective::PolicyGradient, Subset::All);
}

#[test]
fn rows_of_weight_zero_change_nothing_even_where_the_ratio_would_overflow() {
    // A standard deviation of e^-60: the missing row's own probability ratio is beyond f32.
    let policy = PolicyDescription::stochastic(
        Mlp::new(&[1, 1], Activation::Tanh),
        Gaussian {
            floor: f32::NEG_INFINITY,
        },
    );
    let rule = GradientRule::for_policy(&policy, Objective::PolicyGradient);
    let plan = lowered(&rule.accumulate(1, &[]).unwrap(), None);
    let mut adapted = vec![0.0, 0.0, -60.0];
    let mut accumulator = vec![0.0; rule.accumulator_elements()];
    run(&plan, &mut adapted, &mut accumulator, &[0.0; 5]);
    assert_eq!(accumulator, [0.0; 4]);
}

#[test]
fn gradients_are_summed_where_they_accumulate_without_scratch_of_their_size() {
    let policy = navigation();
    let rule = GradientRule::for_policy(&policy, Objective::PolicyGradient);
    let plan = lowered(&rule.accumulate(4, &[]).unwrap(), None);
    // Every weight gradient is one product that starts from the accumulator.
    let direct = plan
        .records
        .iter()
        .filter(|record| record.operand(1).space() == Some(Space::Accumulator))
        .count();
    // Three weights, three biases, log_std, the weight sum.
    assert_eq!(direct, 8);
    // Less than the largest matrix: no weight is copied to be transposed.
    println!("{} bytes of scratch for 4 rows", plan.statistics.arena_bytes);
    assert!(plan.statistics.arena_bytes < 20 * 20 * 4);
    let apply = lowered(&rule.apply(&StepSizes::Uniform(0.1)).unwrap(), None);
    assert!(apply.statistics.arena_bytes <= 8, "apply works in place");
    assert_eq!(apply.records.len(), 3);
}

/// The meta-loss of `tasks` sinusoid tasks after `steps` inner steps, and its gradient for the shared parameters and
/// step sizes.
fn meta_graph(policy: &PolicyDescription, tasks: usize, rows: usize, steps: usize, order: Order) -> Graph {
    let rule = GradientRule::for_policy(policy, Objective::Supervised);
    let mut graph = Graph::new();
    let shared: Vec<ValueId> = rule
        .parameters
        .iter()
        .map(|p| graph.input(&p.name, DType::F32, &p.shape).unwrap())
        .collect();
    let alphas: Vec<ValueId> = rule
        .parameters
        .iter()
        .map(|p| graph.input(&format!("alpha.{}", p.name), DType::F32, &p.shape).unwrap())
        .collect();
    let [support_x, support_y, query_x, query_y] = ["support_x", "support_y", "query_x", "query_y"]
        .map(|name| graph.input(name, DType::F32, &[tasks, rows, 1]).unwrap());
    let mut fast = broadcast_to_tasks(&mut graph, &rule.parameters, &shared, tasks).unwrap();
    let weights = graph.full(&[tasks, rows], 1.0).unwrap();
    let scale = graph.scalar(1.0);
    for _ in 0..steps {
        fast = rule
            .inner_step(
                &mut graph,
                &fast,
                &alphas,
                &[support_x, support_y],
                weights,
                scale,
                order,
            )
            .unwrap();
    }
    let errors = (rule.loss)(&mut graph, &fast, &[query_x, query_y]).unwrap();
    let loss = graph.mean_all(errors).unwrap();
    let wrt: Vec<ValueId> = shared.iter().chain(&alphas).copied().collect();
    let meta = gradients(&mut graph, loss, &wrt).unwrap();
    graph.output("loss", loss).unwrap();
    for (index, gradient) in meta.into_iter().enumerate() {
        graph.output(&format!("gradient{index}"), gradient).unwrap();
    }
    graph
}

#[test]
fn meta_gradients_of_first_and_second_order_match_the_reference() {
    for (order, activation) in [
        (Order::Second, Activation::Relu),
        (Order::Second, Activation::Tanh),
        (Order::First, Activation::Tanh),
    ] {
        let policy = PolicyDescription::deterministic(Mlp::new(&[1, 12, 12, 1], activation));
        let graph = meta_graph(&policy, 4, 5, 2, order);
        let mut random = Random(11);
        let inputs: Vec<(String, Vec<usize>, Vec<f32>)> = graph
            .inputs()
            .iter()
            .map(|port| {
                let shape = graph.shape(port.value).to_vec();
                let count = shape.iter().product();
                let scale = if port.name.starts_with("alpha") { 0.05 } else { 0.6 };
                let values = random.values(count).into_iter().map(|v| v * scale).collect();
                (port.name.to_string(), shape, values)
            })
            .collect();
        let borrowed: Vec<(&str, Tensor64)> = inputs
            .iter()
            .map(|(name, shape, data)| {
                let data = data.iter().map(|&v| f64::from(v)).collect();
                (name.as_str(), Tensor64::new(shape, data))
            })
            .collect();
        let expected = evaluate(&graph, &borrowed).unwrap();
        for fuse in [true, false] {
            let options = LowerOptions {
                fuse,
                alignment: 16,
                ..LowerOptions::default()
            };
            let plan = lower(&simplify(&graph), &Bindings::new(), &options).unwrap();
            let mut memory = Memory::of(&plan);
            for (name, _, values) in &inputs {
                memory.set(&plan, name, values);
            }
            memory.run(&plan);
            for (slot, expected) in plan.outputs.iter().zip(&expected) {
                close(&memory.get(&plan, &slot.name), &expected.data, &slot.name);
            }
        }
    }
}

#[test]
fn large_graphs_lower_quickly_and_small() {
    // 25 tasks, 10 rows, as the sinusoid protocol; ten inner steps make thousands of nodes.
    let graph = simplify(&meta_graph(&sinusoid(), 25, 10, 10, Order::Second));
    let start = std::time::Instant::now();
    let options = LowerOptions {
        alignment: 16,
        ..LowerOptions::default()
    };
    let plan = lower(&graph, &Bindings::new(), &options).unwrap();
    let elapsed = start.elapsed();
    println!(
        "{} nodes, {} records, {} macs, {} KiB of scratch ({} KiB unshared), lowered in {elapsed:?}",
        graph.len(),
        plan.records.len(),
        plan.statistics.macs,
        plan.statistics.arena_bytes / 1024,
        plan.statistics.unshared_arena_bytes / 1024,
    );
    assert!(plan.records.len() < graph.len(), "fusion saves records");
    assert!(plan.statistics.arena_bytes < plan.statistics.unshared_arena_bytes / 2);
    assert!(
        elapsed.as_secs_f64() < 5.0,
        "lowering takes time in proportion to the graph"
    );
    assert!(plan.records.iter().all(|record: &Record| record.opcode().is_some()));
}
