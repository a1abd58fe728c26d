//! One action, and one adaptation step.

use pliant_compiler::graph::{DType, Graph, Tensor, ValueId};
use pliant_compiler::image::{AlignedBytes, ImageOptions, compile_policy};
use pliant_compiler::onnx::import_with;
use pliant_compiler::policy::{Activation, Gru, Mlp, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, Status, act_workspace_len, workspace_len};
use pliant_trainer::engine::CompileOptions;

use crate::work::uniform;
use crate::{Outcome, Prepared, engine, take_turns};

/// Calls that are timed together: a clock costs as much as an action.
const TOGETHER: u32 = 200;

pub fn description(work: &str) -> PolicyDescription {
    match work {
        "act-mlp" => PolicyDescription::deterministic(Mlp::new(&[16, 64, 64, 4], Activation::Tanh)),
        _ => PolicyDescription::deterministic(Gru {
            observations: 22,
            encoder: 16,
            activation: Activation::Relu,
            hidden: 16,
            outputs: 4,
            changes: 0,
        }),
    }
}

/// Its parameters, small.
pub fn values(policy: &PolicyDescription) -> Vec<Vec<f32>> {
    let value = |(seed, p): (u64, &pliant_compiler::policy::Parameter)| {
        uniform(p.elements(), (p.shape[0] as f32).powf(-0.5), seed)
    };
    (1..).zip(&policy.parameters()).map(value).collect()
}

fn tensors(policy: &PolicyDescription) -> Outcome<Vec<Tensor>> {
    let shapes = policy.parameters();
    let tensors = shapes
        .iter()
        .zip(values(policy))
        .map(|(p, values)| Tensor::f32(&p.shape, values));
    Ok(tensors
        .collect::<Option<Vec<Tensor>>>()
        .ok_or("a tensor is as long as its shape says")?)
}

/// The policy of the work on a peer; `device` is the device image through the runtime, contract and checks included.
pub fn run(work: &str, peer: &str) -> Outcome<()> {
    let policy = description(work);
    let parameters = tensors(&policy)?;
    let observations = policy.network.observations();
    let mut x = vec![0.3f32; observations];
    let mut y = [0.0f32; 4];
    let mut prepared = Prepared {
        setup: 0.0,
        loss: f64::NAN,
        note: String::new(),
    };
    let sum = |y: &[f32; 4]| f64::from(y[0] + y[1] + y[2] + y[3]);
    if peer == "device" {
        let mut contract = Contract::new(1000.0);
        for index in 0..observations {
            contract.observe(Channel::observation(&format!("sensor{index}"), "rad"))?;
        }
        for index in 0..4 {
            contract.actuate(Channel::action(&format!("motor{index}"), "N m"))?;
        }
        let bytes = compile_policy(&policy, &parameters, None, &contract, &ImageOptions::default())?;
        let bytes = AlignedBytes::new(&bytes);
        let image = Image::new_checked(&bytes)?;
        let mut memory = vec![0.0; act_workspace_len(&bytes)];
        let mut loaded = Policy::act_only(&image, None, &mut memory)?;
        let (mut actor, _) = loaded.split();
        let mut act = || -> Outcome<f64> {
            if actor.act(&x, &mut y) != Status::Acted {
                return Err("the safe action".into());
            }
            x[0] = 0.3 + 1e-3 * y[0];
            Ok(sum(&y))
        };
        prepared.loss = act()?;
        take_turns(&prepared, TOGETHER, || (0..TOGETHER).try_for_each(|_| act().map(drop)))
    } else {
        let mut graph = Graph::new();
        let weights: Vec<ValueId> = parameters.iter().map(|tensor| graph.constant(tensor.clone())).collect();
        let observation = graph.input("observation", DType::F32, &[1, observations])?;
        let mut resident = Vec::new();
        let state = match policy.network.state() {
            0 => None,
            width => Some(graph.input("state", DType::F32, &[1, width])?),
        };
        let distribution = policy.distribution(&mut graph, &weights, observation, state)?;
        graph.output("action", distribution.mean)?;
        if let Some(next) = distribution.next_state {
            graph.output("next_state", next)?;
            resident.push(("state".to_owned(), "next_state".to_owned()));
        }
        let mut program = engine(peer)?.compile(&graph, &CompileOptions::resident(resident))?;
        prepared.setup = program.statistics().creation.as_secs_f64();
        let mut act = || -> Outcome<f64> {
            program.set(0, &x)?;
            program.run()?;
            program.get(0, &mut y)?;
            x[0] = 0.3 + 1e-3 * y[0];
            Ok(sum(&y))
        };
        prepared.loss = act()?;
        take_turns(&prepared, TOGETHER, || (0..TOGETHER).try_for_each(|_| act().map(drop)))
    }
}

/// One adaptation step of `models/sinusoid` on ten rows: `device` is the learner with its guards on the device image, the
/// others run `adapt.onnx`.
pub fn adapt(peer: &str) -> Outcome<()> {
    const ROWS: usize = 10;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sinusoid");
    let x = uniform(ROWS, 5.0, 100);
    let y: Vec<f32> = x.iter().map(|x| 2.0 * (x + 0.5).sin()).collect();
    let mut prepared = Prepared {
        setup: 0.0,
        // Guards, learned step sizes: what the peers compute is alike, not the same.
        loss: f64::NAN,
        note: String::new(),
    };
    if peer == "device" {
        let bytes = AlignedBytes::new(&std::fs::read(folder.join("policy.pliant"))?);
        let image = Image::new_checked(&bytes)?;
        if image.adaptation().is_none_or(|spec| spec.steps != 1) {
            return Err("the model takes more than one step".into());
        }
        let mut memory = vec![0.0; workspace_len(&bytes)];
        let mut policy = Policy::new(&image, None, &mut memory)?;
        let (_, mut learner) = policy.split();
        for (x, y) in x.iter().zip(&y) {
            learner.observe_example(&[*x], &[*y])?;
        }
        let adapt = || match learner.adapt() {
            report if report.is_accepted() => Ok(()),
            report => Err(format!("rejected: {report:?}").into()),
        };
        take_turns(&prepared, 1, adapt)
    } else {
        let graph = import_with(&std::fs::read(folder.join("adapt.onnx"))?, &[("rows", ROWS)])?;
        let mut program = engine(peer)?.compile(&graph, &CompileOptions::default())?;
        prepared.setup = program.statistics().creation.as_secs_f64();
        let names: Vec<String> = program.inputs().iter().map(|port| port.name.clone()).collect();
        for (index, name) in names.iter().enumerate() {
            let length = program.inputs()[index].len();
            let values = match name.as_str() {
                "x" => x.clone(),
                "y" => y.clone(),
                "row_weight" | "step_scale" => vec![1.0; length],
                // The time does not depend on them.
                _ => uniform(length, 0.1, index as u64),
            };
            program.set(index, &values)?;
        }
        take_turns(&prepared, 1, || Ok(program.run()?))
    }
}
