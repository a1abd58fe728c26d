//! The works on candle. Its gradients are tensors with a history of their own where `CANDLE_GRAD_DO_NOT_DETACH` is set, which
//! the second-order works need (and `cargo xtask peers` does).

use candle_core::{Device, Tensor, Var, backprop::GradStore};
use candle_nn::ops::sigmoid;
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

use crate::work::{self, Work};
use crate::{Outcome, Prepared, act, take_turns};

type Built<T> = candle_core::Result<T>;

pub fn run(name: &str) -> Outcome<()> {
    match name {
        "maml" => Training::new(work::maml(25, 1, 40, 25)?, maml_loss)?.turns(),
        "gru" => Training::new(work::gru(256)?, gru_loss)?.turns(),
        "policy" => Training::new(work::policy(40)?, policy_loss)?.turns(),
        "act-mlp" | "act-gru" => action(name),
        "adapt" => adapt(),
        other => Err(format!("candle does not do `{other}`").into()),
    }
}

fn tensor(values: &[f32], shape: &[usize]) -> Built<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)
}

fn prepared(loss: f64) -> Prepared {
    Prepared {
        setup: 0.0,
        loss,
        note: String::new(),
    }
}

/// Two hidden layers; the tasks, where there are any, come first.
fn network(p: &[Tensor], x: &Tensor, activation: fn(&Tensor) -> Built<Tensor>) -> Built<Tensor> {
    let layer = |x: &Tensor, index: usize| x.matmul(&p[index])?.broadcast_add(&p[index + 1]);
    let h = activation(&layer(x, 0)?)?;
    let h = activation(&layer(&h, 2)?)?;
    layer(&h, 4)
}

/// Loss and gradients of a training step.
type Loss = fn(&[Var], &[Tensor]) -> Built<(f64, GradStore)>;

/// Parameters under Adam, and the batch.
struct Training {
    parameters: Vec<Var>,
    data: Vec<Tensor>,
    optimiser: AdamW,
    loss: Loss,
}

impl Training {
    fn new(work: Work, loss: Loss) -> Outcome<Self> {
        let parameter = |(values, p): (&Vec<f32>, &pliant_compiler::policy::Parameter)| {
            Var::from_tensor(&tensor(values, &p.shape)?)
        };
        let parameters: Vec<Var> = work
            .values
            .iter()
            .zip(&work.parameters)
            .map(parameter)
            .collect::<Built<_>>()?;
        let shapes = work.gradient.inputs();
        let shapes = shapes[parameters.len()..]
            .iter()
            .map(|input| work.gradient.shape(input.value));
        let data = work
            .data
            .iter()
            .zip(shapes)
            .map(|(values, shape)| tensor(values, shape));
        let settings = ParamsAdamW {
            lr: f64::from(work::ADAM.rate),
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        };
        Ok(Self {
            data: data.collect::<Built<_>>()?,
            optimiser: AdamW::new(parameters.clone(), settings)?,
            parameters,
            loss,
        })
    }

    fn step(&mut self) -> Outcome<f64> {
        let (loss, gradients) = (self.loss)(&self.parameters, &self.data)?;
        self.optimiser.step(&gradients)?;
        Ok(loss)
    }

    fn turns(mut self) -> Outcome<()> {
        let first = self.step()?;
        take_turns(&prepared(first), 1, || self.step().map(drop))
    }
}

/// Each task's own copy of the parameters: their gradients are the tasks' own, and sum to the meta-gradient.
fn for_each_task(parameters: &[Var], tasks: usize) -> Built<Vec<Var>> {
    let copy = |parameter: &Var| {
        let mut shape = parameter.dims().to_vec();
        if shape.len() == 1 {
            shape.insert(0, 1);
        }
        let row = parameter.as_tensor().detach().reshape(shape.as_slice())?;
        shape.insert(0, tasks);
        Var::from_tensor(&row.broadcast_as(shape.as_slice())?.contiguous()?)
    };
    parameters.iter().map(copy).collect()
}

fn tensors(variables: &[Var]) -> Vec<Tensor> {
    variables.iter().map(|variable| variable.as_tensor().clone()).collect()
}

/// One step of gradient descent along each task's own gradient of `loss`, which is the sum over tasks.
fn inner_step(copies: &[Var], loss: &Tensor, rate: f64) -> Built<Vec<Tensor>> {
    let gradients = loss.backward()?;
    let step = |copy: &Var| match gradients.get(copy) {
        Some(gradient) => copy.as_tensor() - (gradient * rate)?,
        None => Ok(copy.as_tensor().clone()),
    };
    copies.iter().map(step).collect()
}

/// The meta-gradient, by parameter.
fn meta_gradient(parameters: &[Var], copies: &[Var], loss: &Tensor) -> Built<(f64, GradStore)> {
    let mut gradients = loss.backward()?;
    for (parameter, copy) in parameters.iter().zip(copies) {
        if let Some(gradient) = gradients.remove(copy) {
            gradients.insert(parameter, gradient.sum(0)?.reshape(parameter.dims())?);
        }
    }
    Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
}

fn maml_loss(parameters: &[Var], data: &[Tensor]) -> Built<(f64, GradStore)> {
    let [support_x, support_y, query_x, query_y] = data else {
        candle_core::bail!("four inputs")
    };
    let copies = for_each_task(parameters, support_x.dim(0)?)?;
    let squares = |p: &[Tensor], x: &Tensor, y: &Tensor| (network(p, x, Tensor::relu)? - y)?.sqr();
    let loss = squares(&tensors(&copies), support_x, support_y)?.mean(1)?.sum_all()?;
    let adapted = inner_step(&copies, &loss, 0.01)?;
    meta_gradient(parameters, &copies, &squares(&adapted, query_x, query_y)?.mean_all()?)
}

fn policy_loss(parameters: &[Var], data: &[Tensor]) -> Built<(f64, GradStore)> {
    let (support, query) = data.split_at(4);
    let copies = for_each_task(parameters, support[0].dim(0)?)?;
    let ratio = |p: &[Tensor], rows: &[Tensor]| {
        let mean = network(p, &rows[0], Tensor::tanh)?;
        let z = (&rows[1] - mean)?.broadcast_mul(&p[6].neg()?.exp()?)?;
        let each = ((z.sqr()? * -0.5)?.broadcast_sub(&p[6])? - 0.918_938_533)?;
        (each.sum_keepdim(2)? - &rows[2])?.exp()
    };
    let gain = (ratio(&tensors(&copies), support)? * &support[3])?;
    let loss = gain.mean(1)?.sum_all()?.neg()?;
    let adapted = inner_step(&copies, &loss, 0.1)?;
    let ratio = ratio(&adapted, query)?;
    let clipped = (ratio.clamp(0.8, 1.2)? * &query[3])?;
    let bounded = (ratio * &query[3])?.minimum(&clipped)?;
    meta_gradient(parameters, &copies, &bounded.mean_all()?.neg()?)
}

/// One step of a gated recurrent unit of `hidden`, from the input's share of the gates.
fn cell(from_input: &Tensor, h: &Tensor, weight: &Tensor, bias: &Tensor, hidden: usize) -> Built<Tensor> {
    let from_state = h.matmul(weight)?.broadcast_add(bias)?;
    let gates = sigmoid(&(from_input.narrow(1, 0, 2 * hidden)? + from_state.narrow(1, 0, 2 * hidden)?)?)?;
    let (reset, update) = (gates.narrow(1, 0, hidden)?, gates.narrow(1, hidden, hidden)?);
    let kept = (reset * from_state.narrow(1, 2 * hidden, hidden)?)?;
    let candidate = (from_input.narrow(1, 2 * hidden, hidden)? + kept)?.tanh()?;
    // (1 - z) n + z h
    &candidate + (update * (h - &candidate)?)?
}

fn gru_loss(parameters: &[Var], data: &[Tensor]) -> Built<(f64, GradStore)> {
    let [x, y] = data else { candle_core::bail!("two inputs") };
    let (batch, steps, _) = x.dims3()?;
    let p = tensors(parameters);
    let hidden = p[2].dim(0)?;
    let mut h = Tensor::zeros((batch, hidden), x.dtype(), x.device())?;
    let mut states = Vec::with_capacity(steps);
    for step in 0..steps {
        let from_input = x.narrow(1, step, 1)?.squeeze(1)?.contiguous()?.matmul(&p[0])?;
        h = cell(&from_input.broadcast_add(&p[1])?, &h, &p[2], &p[3], hidden)?;
        states.push(h.clone());
    }
    let states = Tensor::stack(&states, 1)?.reshape((batch * steps, hidden))?;
    let answers = states.matmul(&p[4])?.broadcast_add(&p[5])?;
    let loss = (answers - y.reshape((batch * steps, y.dim(2)?))?)?.sqr()?.mean_all()?;
    Ok((f64::from(loss.to_scalar::<f32>()?), loss.backward()?))
}

/// One action.
fn action(name: &str) -> Outcome<()> {
    const TOGETHER: u32 = 20;
    let policy = act::description(name);
    let p: Vec<Tensor> = policy
        .parameters()
        .iter()
        .zip(act::values(&policy))
        .map(|(parameter, values)| tensor(&values, &parameter.shape))
        .collect::<Built<_>>()?;
    let mut x = vec![0.3f32; policy.network.observations()];
    let mut h = Tensor::zeros((1, policy.network.state()), p[0].dtype(), p[0].device())?;
    let mut act = || -> Outcome<f64> {
        let observation = tensor(&x, &[1, x.len()])?;
        let y = if policy.network.state() == 0 {
            network(&p, &observation, Tensor::tanh)?
        } else {
            let encoded = observation.matmul(&p[0])?.broadcast_add(&p[1])?.relu()?;
            let from_input = encoded.matmul(&p[2])?.broadcast_add(&p[3])?;
            h = cell(&from_input, &h, &p[4], &p[5], policy.network.state())?;
            h.matmul(&p[6])?.broadcast_add(&p[7])?
        };
        let y = y.flatten_all()?.to_vec1::<f32>()?;
        x[0] = 0.3 + 1e-3 * y[0];
        Ok(y.iter().copied().map(f64::from).sum())
    };
    let first = act()?;
    take_turns(&prepared(first), TOGETHER, || {
        (0..TOGETHER).try_for_each(|_| act().map(drop))
    })
}

/// One step of gradient descent of a network like `models/sinusoid`'s on ten rows.
fn adapt() -> Outcome<()> {
    const ROWS: usize = 10;
    let sizes = [1, 40, 40, 1];
    let shapes = sizes
        .windows(2)
        .flat_map(|pair| [vec![pair[0], pair[1]], vec![pair[1]]]);
    let parameters: Vec<Var> = work::layers(&sizes, 1)
        .iter()
        .zip(shapes)
        .map(|(values, shape)| Var::from_tensor(&tensor(values, &shape)?))
        .collect::<Built<_>>()?;
    let x = work::uniform(ROWS, 5.0, 100);
    let y: Vec<f32> = x.iter().map(|x| 2.0 * (x + 0.5).sin()).collect();
    let (x, y) = (tensor(&x, &[ROWS, 1])?, tensor(&y, &[ROWS, 1])?);
    let mut descent = candle_nn::SGD::new(parameters.clone(), 0.01)?;
    take_turns(&prepared(f64::NAN), 1, || {
        let loss = (network(&tensors(&parameters), &x, Tensor::relu)? - &y)?
            .sqr()?
            .mean_all()?;
        Ok(descent.backward_step(&loss)?)
    })
}
