//! The works as graphs: sizes, numbers and arithmetic as in `peers.py`.

use pliant_compiler::adaptation::gradient::{GradientRule, Order};
use pliant_compiler::adaptation::loss;
use pliant_compiler::autodiff::gradients;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::policy::{Activation, Gaussian, Mlp, Parameter, PolicyDescription, broadcast_to_tasks};
use pliant_runtime::image::Objective;
use pliant_trainer::optim::{AdamStep, adam};
use pliant_trainer::recipe::{Adam, Schedule};

type Built<T> = Result<T, Box<dyn std::error::Error>>;

/// A whole training step is a gradient over a chunk of the batch, as often as there are chunks, and one step of Adam.
pub struct Work {
    /// Parameters and a chunk of data to the chunk's share of the gradient, and of the loss (the last output).
    pub gradient: Graph,
    /// Parameters, moments, gradient and step size to parameters and moments.
    pub optimiser: Graph,
    pub parameters: Vec<Parameter>,
    /// Initial values.
    pub values: Vec<Vec<f32>>,
    /// The data inputs of the whole batch; each is cut into as many chunks, along its first axis.
    pub data: Vec<Vec<f32>>,
    pub chunks: usize,
}

/// Numbers of SplitMix64 (Steele et al. 2014) by index: uniform in [-scale, scale).
pub fn uniform(count: usize, scale: f32, seed: u64) -> Vec<f32> {
    let number = |index: u64| {
        let mut z = ((seed << 32) + index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (((z >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0) * f64::from(scale)) as f32
    };
    (0..count as u64).map(number).collect()
}

/// Weights and biases of the layers of `sizes`, small.
pub fn layers(sizes: &[usize], seed: u64) -> Vec<Vec<f32>> {
    let layer = |(index, pair): (usize, &[usize])| {
        let scale = (pair[0] as f32).powf(-0.5);
        let seed = seed + 2 * index as u64;
        [
            uniform(pair[0] * pair[1], scale, seed),
            uniform(pair[1], scale, seed + 1),
        ]
    };
    sizes.windows(2).enumerate().flat_map(layer).collect()
}

fn inputs(graph: &mut Graph, kind: &str, parameters: &[Parameter]) -> Built<Vec<ValueId>> {
    let input = |parameter: &Parameter| graph.input(&format!("{kind}{}", parameter.name), DType::F32, &parameter.shape);
    Ok(parameters.iter().map(input).collect::<Result<_, _>>()?)
}

fn finish(graph: &mut Graph, loss: ValueId, shared: &[ValueId], parameters: &[Parameter]) -> Built<()> {
    for (parameter, gradient) in parameters.iter().zip(gradients(graph, loss, shared)?) {
        graph.output(&format!("gradient/{}", parameter.name), gradient)?;
    }
    graph.output("loss", loss)?;
    Ok(())
}

/// The outer optimiser of every work.
pub const ADAM: Adam = Adam {
    rate: 1e-3,
    schedule: Schedule::Constant,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    clip_elements: None,
    clip_norm: None,
    orthogonal: None,
};

/// One step of Adam, bias corrections in the step size.
fn optimiser(parameters: &[Parameter]) -> Built<Graph> {
    let mut graph = Graph::new();
    let values = inputs(&mut graph, "", parameters)?;
    let gradients = inputs(&mut graph, "gradient/", parameters)?;
    let first = inputs(&mut graph, "first/", parameters)?;
    let second = inputs(&mut graph, "second/", parameters)?;
    let step_size = graph.input("step size", DType::F32, &[])?;
    let AdamStep {
        parameters: next,
        first,
        second,
    } = adam(&mut graph, &ADAM, &values, &gradients, &first, &second, step_size)?;
    for (kind, values) in [("", next), ("first/", first), ("second/", second)] {
        for (parameter, value) in parameters.iter().zip(values) {
            graph.output(&format!("new/{kind}{}", parameter.name), value)?;
        }
    }
    Ok(graph)
}

/// Pairs of the optimiser that are one variable.
pub fn resident(parameters: &[Parameter]) -> Vec<(String, String)> {
    let kinds = ["", "first/", "second/"];
    let pairs = |kind: &'static str| {
        let pair = move |p: &Parameter| (format!("{kind}{}", p.name), format!("new/{kind}{}", p.name));
        parameters.iter().map(pair)
    };
    kinds.into_iter().flat_map(pairs).collect()
}

/// Second-order MAML on sinusoids (Finn et al. 2017): `inner_steps` steps of gradient descent, then the query loss.
pub fn maml(tasks: usize, inner_steps: usize, hidden: usize, chunk: usize) -> Built<Work> {
    const SHOTS: usize = 10;
    let sizes = [1, hidden, hidden, 1];
    let policy = PolicyDescription::deterministic(Mlp::new(&sizes, Activation::Relu));
    let rule = GradientRule::for_policy(&policy, Objective::Supervised);
    let mut graph = Graph::new();
    let shared = inputs(&mut graph, "", &rule.parameters)?;
    let mut data = Vec::new();
    for name in ["support x", "support y", "query x", "query y"] {
        data.push(graph.input(name, DType::F32, &[chunk, SHOTS, 1])?);
    }
    let mut adapted = broadcast_to_tasks(&mut graph, &rule.parameters, &shared, chunk)?;
    let rate = graph.scalar(0.01);
    let rates = vec![rate; adapted.len()];
    let weights = graph.full(&[chunk, SHOTS], 1.0)?;
    let scale = graph.full(&[1], 1.0)?;
    for _ in 0..inner_steps {
        adapted = rule.inner_step(&mut graph, &adapted, &rates, &data[..2], weights, scale, Order::Second)?;
    }
    let losses = (rule.loss)(&mut graph, &adapted, &data[2..])?;
    let sum = graph.sum_all(losses)?;
    let loss = graph.scale(sum, 1.0 / (SHOTS * tasks) as f32)?;
    finish(&mut graph, loss, &shared, &rule.parameters)?;
    Ok(Work {
        gradient: graph,
        optimiser: optimiser(&rule.parameters)?,
        values: layers(&sizes, 1),
        data: [5.0, 3.0, 5.0, 3.0]
            .iter()
            .enumerate()
            .map(|(index, &scale)| uniform(tasks * SHOTS, scale, 100 + index as u64))
            .collect(),
        parameters: rule.parameters,
        chunks: tasks / chunk,
    })
}

/// A gated recurrent unit over 64 steps, a linear head at each, the mean squared error: back-propagation through time.
pub fn gru(chunk: usize) -> Built<Work> {
    const INPUTS: usize = 16;
    const HIDDEN: usize = 64;
    const OUTPUTS: usize = 4;
    const STEPS: usize = 64;
    const BATCH: usize = 256;
    let parameters = vec![
        Parameter::new("input weight", &[INPUTS, 3 * HIDDEN]),
        Parameter::new("input bias", &[3 * HIDDEN]),
        Parameter::new("state weight", &[HIDDEN, 3 * HIDDEN]),
        Parameter::new("state bias", &[3 * HIDDEN]),
        Parameter::new("head weight", &[HIDDEN, OUTPUTS]),
        Parameter::new("head bias", &[OUTPUTS]),
    ];
    let mut graph = Graph::new();
    let p = inputs(&mut graph, "", &parameters)?;
    // Sequences first, so that a chunk of them is one piece of memory; each sequence step by step.
    let x = graph.input("x", DType::F32, &[chunk, STEPS, INPUTS])?;
    let y = graph.input("y", DType::F32, &[chunk, STEPS, OUTPUTS])?;
    let one = graph.scalar(1.0);
    let mut h = graph.full(&[chunk, HIDDEN], 0.0)?;
    let mut total: Option<ValueId> = None;
    for step in 0..STEPS {
        let now = graph.slice(x, 1, step, step + 1)?;
        let now = graph.reshape(now, &[chunk, INPUTS])?;
        let from_input = graph.matmul(now, p[0])?;
        let from_input = graph.add(from_input, p[1])?;
        let from_state = graph.matmul(h, p[2])?;
        let from_state = graph.add(from_state, p[3])?;
        let gates = [from_input, from_state].map(|value| graph.slice(value, 1, 0, 2 * HIDDEN));
        let [a, b] = gates;
        let gates = graph.add(a?, b?)?;
        let gates = graph.sigmoid(gates)?;
        let reset = graph.slice(gates, 1, 0, HIDDEN)?;
        let update = graph.slice(gates, 1, HIDDEN, 2 * HIDDEN)?;
        let candidates = [from_input, from_state].map(|value| graph.slice(value, 1, 2 * HIDDEN, 3 * HIDDEN));
        let [a, b] = candidates;
        let kept = graph.mul(reset, b?)?;
        let candidate = graph.add(a?, kept)?;
        let candidate = graph.tanh(candidate)?;
        let rest = graph.sub(one, update)?;
        let new = graph.mul(rest, candidate)?;
        let old = graph.mul(update, h)?;
        h = graph.add(new, old)?;
        let answer = graph.matmul(h, p[4])?;
        let answer = graph.add(answer, p[5])?;
        let target = graph.slice(y, 1, step, step + 1)?;
        let target = graph.reshape(target, &[chunk, OUTPUTS])?;
        let error = graph.sub(answer, target)?;
        let square = graph.square(error)?;
        total = Some(match total {
            Some(total) => graph.add(total, square)?,
            None => square,
        });
    }
    let sum = graph.sum_all(total.ok_or("no steps")?)?;
    let loss = graph.scale(sum, 1.0 / (BATCH * STEPS * OUTPUTS) as f32)?;
    finish(&mut graph, loss, &p, &parameters)?;
    let small = (HIDDEN as f32).powf(-0.5);
    let scales = [(INPUTS as f32).powf(-0.5), small, small, small, small, small];
    let values = parameters.iter().zip(scales).zip(1..);
    Ok(Work {
        gradient: graph,
        optimiser: optimiser(&parameters)?,
        values: values
            .map(|((parameter, scale), seed)| uniform(parameter.elements(), scale, seed))
            .collect(),
        data: vec![
            uniform(BATCH * STEPS * INPUTS, 1.0, 100),
            uniform(BATCH * STEPS * OUTPUTS, 1.0, 101),
        ],
        parameters,
        chunks: BATCH / chunk,
    })
}

/// Policy-gradient MAML: one REINFORCE step a task, the clipped surrogate (Schulman et al. 2017) after it.
pub fn policy(chunk: usize) -> Built<Work> {
    const TASKS: usize = 40;
    const ROWS: usize = 2000;
    const CLIP: f32 = 0.2;
    let sizes = [16, 64, 64, 4];
    let gaussian = Gaussian {
        floor: f32::NEG_INFINITY,
    };
    let policy = PolicyDescription::stochastic(Mlp::new(&sizes, Activation::Tanh), gaussian);
    let rule = GradientRule::for_policy(&policy, Objective::PolicyGradient);
    let mut graph = Graph::new();
    let shared = inputs(&mut graph, "", &rule.parameters)?;
    let mut fields = Vec::new();
    for set in ["support", "query"] {
        for field in &rule.fields {
            let name = format!("{set} {}", field.name);
            fields.push(graph.input(&name, DType::F32, &[chunk, ROWS, field.width])?);
        }
    }
    let (support, query) = fields.split_at(rule.fields.len());
    let mut adapted = broadcast_to_tasks(&mut graph, &rule.parameters, &shared, chunk)?;
    let rate = graph.scalar(0.1);
    let rates = vec![rate; adapted.len()];
    let weights = graph.full(&[chunk, ROWS], 1.0)?;
    let scale = graph.full(&[1], 1.0)?;
    adapted = rule.inner_step(&mut graph, &adapted, &rates, support, weights, scale, Order::Second)?;
    let log_ratio = loss::log_ratio(&policy, &mut graph, &adapted, query)?;
    let ratio = graph.exp(log_ratio)?;
    let clipped = graph.clip(ratio, 1.0 - CLIP, 1.0 + CLIP)?;
    let free = graph.mul(ratio, query[3])?;
    let bounded = graph.mul(clipped, query[3])?;
    let gain = graph.min(free, bounded)?;
    let sum = graph.sum_all(gain)?;
    let loss = graph.scale(sum, -1.0 / (TASKS * ROWS) as f32)?;
    finish(&mut graph, loss, &shared, &rule.parameters)?;
    let mut values = layers(&sizes, 1);
    values.push(vec![-0.5; 4]);
    let rows = TASKS * ROWS;
    let mut data = Vec::new();
    for set in [0, 4] {
        data.push(uniform(rows * 16, 1.0, 100 + set));
        data.push(uniform(rows * 4, 1.0, 101 + set));
        // Between -4 and -2.
        data.push(uniform(rows, 1.0, 102 + set).iter().map(|value| value - 3.0).collect());
        data.push(uniform(rows, 1.0, 103 + set));
    }
    Ok(Work {
        gradient: graph,
        optimiser: optimiser(&rule.parameters)?,
        values,
        data,
        parameters: rule.parameters,
        chunks: TASKS / chunk,
    })
}
