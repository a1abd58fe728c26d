//! Whole adaptations of a sinusoid regressor (Finn et al. 2017, 1-40-40-1): an inner step, the second-order meta-gradient, and
//! a whole training step with Adam in the graph.

use pliant_compiler::{
    autodiff::gradients,
    graph::{DType, Graph, ValueId},
    reference::Tensor64,
};

use crate::cases::Random;

/// Sizes of a training step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Tasks in a meta-batch.
    pub(crate) tasks: usize,
    /// Support rows, and as many query rows, a task.
    pub(crate) shots: usize,
    /// Units in each of the two hidden layers.
    pub(crate) hidden: usize,
}

const INNER_RATE: f32 = 0.01;
const META_RATE: f32 = 0.001;

/// Names and shapes of the parameters.
fn parameters(hidden: usize) -> [(&'static str, Vec<usize>); 6] {
    [
        ("w1", vec![1, hidden]),
        ("b1", vec![hidden]),
        ("w2", vec![hidden, hidden]),
        ("b2", vec![hidden]),
        ("w3", vec![hidden, 1]),
        ("b3", vec![1]),
    ]
}

/// `[.., rows, 1] -> [.., rows, 1]`; biases broadcast over the rows.
fn forward(graph: &mut Graph, parameters: &[ValueId], x: ValueId) -> ValueId {
    let mut value = x;
    for (layer, pair) in parameters.chunks(2).enumerate() {
        let product = graph.matmul(value, pair[0]).unwrap();
        value = graph.add(product, pair[1]).unwrap();
        if layer < 2 {
            value = graph.relu(value).unwrap();
        }
    }
    value
}

/// Mean squared error of each task, summed over the tasks.
fn loss(graph: &mut Graph, parameters: &[ValueId], x: ValueId, y: ValueId) -> ValueId {
    let rows = graph.shape(x)[graph.shape(x).len() - 2];
    let prediction = forward(graph, parameters, x);
    let error = graph.sub(prediction, y).unwrap();
    let square = graph.square(error).unwrap();
    let sum = graph.sum_all(square).unwrap();
    graph.scale(sum, 1.0 / rows as f32).unwrap()
}

fn descend(graph: &mut Graph, parameters: &[ValueId], loss: ValueId) -> Vec<ValueId> {
    let gradients = gradients(graph, loss, parameters).unwrap();
    let step = |(&parameter, gradient)| {
        let change = graph.scale(gradient, INNER_RATE).unwrap();
        graph.sub(parameter, change).unwrap()
    };
    parameters.iter().zip(gradients).map(step).collect()
}

/// One step of gradient descent on one task: outputs are the adapted parameters.
pub(crate) fn inner_step(rows: usize) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[rows, 1]).unwrap();
    let y = graph.input("y", DType::F32, &[rows, 1]).unwrap();
    let names = parameters(40);
    let parameters: Vec<ValueId> = names
        .iter()
        .map(|(name, shape)| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    let loss = loss(&mut graph, &parameters, x, y);
    for ((name, _), value) in names.iter().zip(descend(&mut graph, &parameters, loss)) {
        graph.output(&format!("{name}_adapted"), value).unwrap();
    }
    graph.prune()
}

/// Builds inputs and the query loss after `steps` inner steps; gives the parameters and the mean query loss.
fn meta_loss(graph: &mut Graph, size: &Size, steps: usize) -> (Vec<ValueId>, ValueId) {
    let rows = [size.tasks, size.shots, 1];
    let [xs, ys, xq, yq] =
        ["support_x", "support_y", "query_x", "query_y"].map(|name| graph.input(name, DType::F32, &rows).unwrap());
    let parameters: Vec<ValueId> = parameters(size.hidden)
        .iter()
        .map(|(name, shape)| graph.input(name, DType::F32, shape).unwrap())
        .collect();
    // Each task has its own copy: a leading axis of tasks.
    let mut adapted: Vec<ValueId> = parameters
        .iter()
        .map(|&parameter| {
            let mut shape = graph.shape(parameter).to_vec();
            if shape.len() == 1 {
                shape.insert(0, 1);
            }
            shape.insert(0, 1);
            let one = graph.reshape(parameter, &shape).unwrap();
            shape[0] = size.tasks;
            graph.expand(one, &shape).unwrap()
        })
        .collect();
    for _ in 0..steps {
        let loss = loss(graph, &adapted, xs, ys);
        adapted = descend(graph, &adapted, loss);
    }
    let sum = loss(graph, &adapted, xq, yq);
    let mean = graph.scale(sum, 1.0 / size.tasks as f32).unwrap();
    (parameters, mean)
}

/// The gradient of the query loss after one inner step, through the inner gradient.
pub(crate) fn meta_gradient(size: &Size) -> Graph {
    let mut graph = Graph::new();
    let (parameters, loss) = meta_loss(&mut graph, size, 1);
    let gradients = gradients(&mut graph, loss, &parameters).unwrap();
    graph.output("loss", loss).unwrap();
    for (index, value) in gradients.into_iter().enumerate() {
        graph.output(&format!("gradient_{index}"), value).unwrap();
    }
    graph.prune()
}

/// A training step: meta-gradient, then Adam (Kingma & Ba 2015). Outputs `x_next` are the next values of inputs `x`.
pub(crate) fn training_step(size: &Size, steps: usize) -> Graph {
    let mut graph = Graph::new();
    let (parameters, loss) = meta_loss(&mut graph, size, steps);
    let gradients = gradients(&mut graph, loss, &parameters).unwrap();
    graph.output("loss", loss).unwrap();
    // beta^t, kept as variables: the number of steps is then no input that the host must set.
    let decays = [0.9f32, 0.999].map(|beta| {
        let name = format!("power_{beta}");
        let power = graph.input(&name, DType::F32, &[]).unwrap();
        let next = graph.scale(power, beta).unwrap();
        graph.output(&format!("{name}_next"), next).unwrap();
        let one = graph.scalar(1.0);
        graph.sub(one, next).unwrap()
    });
    for ((name, shape), (&parameter, gradient)) in self::parameters(size.hidden)
        .iter()
        .zip(parameters.iter().zip(gradients))
    {
        let square = graph.square(gradient).unwrap();
        let [first, second] = [("m", 0.9f32, gradient), ("v", 0.999, square)].map(|(moment, beta, new)| {
            let name = format!("{moment}_{name}");
            let old = graph.input(&name, DType::F32, shape).unwrap();
            let old = graph.scale(old, beta).unwrap();
            let new = graph.scale(new, 1.0 - beta).unwrap();
            let next = graph.add(old, new).unwrap();
            graph.output(&format!("{name}_next"), next).unwrap();
            next
        });
        let first = graph.div(first, decays[0]).unwrap();
        let second = graph.div(second, decays[1]).unwrap();
        let root = graph.sqrt(second).unwrap();
        let epsilon = graph.scalar(1e-8);
        let root = graph.add(root, epsilon).unwrap();
        let step = graph.div(first, root).unwrap();
        let step = graph.scale(step, META_RATE).unwrap();
        let next = graph.sub(parameter, step).unwrap();
        graph.output(&format!("{name}_next"), next).unwrap();
    }
    graph.prune()
}

/// The pairs of a training step that are one variable each.
pub(crate) fn resident(graph: &Graph) -> Vec<(String, String)> {
    let next = graph
        .outputs()
        .iter()
        .filter_map(|port| Some((port.name.strip_suffix("_next")?, &port.name)));
    next.map(|(input, output)| (input.to_owned(), output.to_string()))
        .collect()
}

/// Values for the inputs: small weights, first moments, positive second moments, sinusoids.
pub(crate) fn inputs(graph: &Graph, seed: u64) -> Vec<(String, Tensor64)> {
    let mut random = Random(seed);
    let value = |port: &pliant_compiler::graph::Port| {
        let shape = graph.shape(port.value);
        let count = shape.iter().product();
        let data = match &*port.name {
            name if name.starts_with("m_") => random.many(count, -0.01, 0.01),
            name if name.starts_with("v_") => random.many(count, 1e-3, 1e-2),
            "power_0.9" => vec![f64::from(0.9f32)],
            "power_0.999" => vec![f64::from(0.999f32)],
            name if name.ends_with('x') => random.many(count, -5.0, 5.0),
            name if name.ends_with('y') => random.many(count, -3.0, 3.0),
            _ => {
                let fan_in = if shape.len() > 1 { shape[0] as f64 } else { 4.0 };
                random.many(count, -1.0 / fan_in.sqrt(), 1.0 / fan_in.sqrt())
            }
        };
        (port.name.to_string(), Tensor64::new(shape, data))
    };
    graph.inputs().iter().map(value).collect()
}
