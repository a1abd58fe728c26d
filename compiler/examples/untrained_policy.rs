//! Writes the device image of an untrained policy, to measure what one of this size costs:
//!
//! ```sh
//! cargo run --package pliant-compiler --example untrained_policy -- 16-64-64-4 policy.pliant
//! cargo run --package pliant-compiler --example untrained_policy -- 22-16-gru16-4 policy.pliant
//! cargo run --package pliant-compiler --example untrained_policy -- 16-64-64-4 policy.pliant --adapts
//! ```
//!
//! Hidden layers are tanh, the encoder in front of a recurrent unit is ReLU. With `--adapts` the policy adapts all its
//! parameters by gradient descent, by default five steps on 32 examples; `--adapts ROWS STEPS` says otherwise. `--rate HZ`
//! states the control rate, by default 100.

use std::error::Error;

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_compiler::graph::Tensor;
use pliant_compiler::image::{AdaptationDescription, ImageOptions, compile_policy};
use pliant_compiler::policy::{Activation, Gru, Mlp, Network, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, Objective};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [sizes, path, rest @ ..] = words.as_slice() else {
        return Err("usage: untrained_policy SIZES FILE [--adapts [ROWS STEPS]] [--rate HZ]".into());
    };
    let policy = PolicyDescription::deterministic(network(sizes).ok_or("sizes are like 16-64-4 or 22-16-gru16-4")?);
    // Any numbers of the size of trained ones will do: no kernel branches on data.
    let mut number = 1u32;
    let mut draw = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let parameters: Vec<Tensor> = policy
        .parameters()
        .iter()
        .map(|p| {
            let values: Vec<f32> = (0..p.elements()).map(|_| 0.25 * draw()).collect();
            Tensor::f32(&p.shape, values).expect("as many values as the shape says")
        })
        .collect();
    // The numbers behind a word.
    let numbers = |word: &str| -> Option<Vec<u32>> {
        let start = rest.iter().position(|found| found == word)? + 1;
        Some(rest[start..].iter().map_while(|number| number.parse().ok()).collect())
    };
    let rate = numbers("--rate").map_or(Some(100), |numbers| numbers.first().copied());
    let mut contract = Contract::new(rate.ok_or("--rate needs a number")? as f32);
    for index in 0..policy.network.observations() {
        contract.observe(Channel::observation(&format!("sensor{index}"), ""))?;
    }
    for index in 0..policy.network.outputs() {
        contract.actuate(Channel::action(&format!("motor{index}"), "").with_range(-1.0, 1.0))?;
    }
    let adaptation = numbers("--adapts").map(|numbers| {
        let (rows, steps) = match numbers[..] {
            [rows, steps, ..] => (rows, steps as usize),
            _ => (32, 5),
        };
        AdaptationDescription {
            spec: AdaptationSpec::new(Objective::Supervised)
                .with_rows(rows, 8)
                .with_step_scales(&vec![1.0; steps]),
            adapts: None,
            update: StepSizes::Uniform(1e-4).into(),
        }
    });
    let options = ImageOptions {
        max_macs_per_record: Some(10_000),
        ..ImageOptions::default()
    };
    let image = compile_policy(&policy, &parameters, adaptation.as_ref(), &contract, &options)?;
    std::fs::write(path, image)?;
    Ok(())
}

/// The network of sizes like `16-64-64-4` or `22-16-gru16-4`.
fn network(sizes: &str) -> Option<Network> {
    let layers: Vec<&str> = sizes.split('-').collect();
    if let [observations, encoder, unit, outputs] = layers[..]
        && let Some(hidden) = unit.strip_prefix("gru")
    {
        return Some(Network::Gru(Gru {
            observations: observations.parse().ok()?,
            encoder: encoder.parse().ok()?,
            activation: Activation::Relu,
            hidden: hidden.parse().ok()?,
            outputs: outputs.parse().ok()?,
            changes: 0,
        }));
    }
    let sizes: Vec<usize> = layers.iter().map(|size| size.parse().ok()).collect::<Option<_>>()?;
    (sizes.len() >= 2).then(|| Mlp::new(&sizes, Activation::Tanh).into())
}
