//! From one policy for unlike systems to the files of a bundle: what a task has for itself is its slice of the bank.

use std::collections::BTreeMap;

use pliant_compiler::graph::Tensor;
use pliant_compiler::policy::{
    Activation, Banked, FeatureMap, InputScaling, Modulation, Parameter, TargetLoss, TaskSlice,
};

use super::banked::{BankedNetwork, export_network};
use super::export::{ExportError, Exported};
use crate::algorithms::{Learned, NamedTensor};
use crate::error::TrainError;
use crate::recipe::{self, Recipe};

/// Lays out what was learned for a device. Observations are normalised, and those that a task has not masked, by its slice;
/// actions are shares of the greatest.
///
/// # Errors
/// Parameters that are not those of the recipe.
pub fn systems_network(
    settings: &recipe::MultiTaskPpo,
    policy: &recipe::Policy,
    family: &recipe::Systems,
    parameters: &[NamedTensor],
) -> Result<BankedNetwork, ExportError> {
    let by_name: BTreeMap<&str, &NamedTensor> =
        parameters.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let find = |name: String| -> Result<&Vec<f32>, ExportError> {
        let found = by_name.get(name.as_str()).map(|tensor| &tensor.values);
        found.ok_or_else(|| TrainError::StateMismatch(format!("it lacks {name}")).into())
    };
    let (inputs, outputs) = family.widths();
    let head = policy.hidden.len() + 1;
    let features = policy.hidden.last().copied().unwrap_or(settings.encoder);
    let banked = Banked {
        inputs,
        feature_map: Some(FeatureMap::new(inputs)),
        logarithms: false,
        outputs,
        encoder: Some(settings.encoder),
        hidden: policy.hidden.clone(),
        modulation: Modulation::None,
        activation: match policy.activation {
            recipe::Activation::Relu => Activation::Relu,
            recipe::Activation::Tanh => Activation::Tanh,
        },
        losses: vec![TargetLoss::SquaredError],
        adapts_input: false,
        standardises: None,
    };
    let mut trunk = Vec::new();
    let shapes = banked.trunk();
    let (layers, whitening) = shapes.split_at(2 * policy.hidden.len());
    for (index, shape) in layers.iter().enumerate() {
        // Layer 0 of the network that a task sees is its own.
        let kind = if index % 2 == 0 { "weight" } else { "bias" };
        let values = find(format!("layer{}.{kind}", index / 2 + 1))?;
        trunk.push(tensor(shape, values.clone())?);
    }
    // Features are left as they are: the rows that they would be whitened over are gone.
    let identity = (0..features * features).map(|index| f32::from(u8::from(index / features == index % features)));
    trunk.push(tensor(&whitening[0], identity.collect())?);
    trunk.push(tensor(&whitening[1], vec![0.0; features])?);

    let mut tasks = Vec::new();
    for (number, system) in family.tasks.values().enumerate() {
        let own = |name: &str| find(format!("task{number}.{name}"));
        let (seen, done) = system.widths();
        let padded = |values: Vec<f32>| {
            let rest = inputs - values.len();
            values
                .into_iter()
                .chain(std::iter::repeat_n(0.0, rest))
                .collect::<Vec<f32>>()
        };
        let deviation = own("observation.deviation")?;
        let log_std = own("log_std")?;
        let spread = log_std.iter().map(|value| value.exp()).sum::<f32>() / log_std.len().max(1) as f32;
        tasks.push(TaskSlice {
            inputs,
            scaling: Some(InputScaling {
                mean: padded(own("observation.mean")?.clone()),
                factor: padded(deviation.iter().map(|value| value.recip()).collect()),
                mask: padded(vec![1.0; seen]),
            }),
            outputs: done,
            loss: TargetLoss::SquaredError,
            encoder: Some((
                own("layer0.weight")?
                    .iter()
                    .copied()
                    .chain(std::iter::repeat_n(0.0, (inputs - seen) * settings.encoder))
                    .collect(),
                own("layer0.bias")?.clone(),
            )),
            modulation: Vec::new(),
            head: (
                own(&format!("layer{head}.weight"))?.clone(),
                own(&format!("layer{head}.bias"))?.clone(),
            ),
            target: vec![(1.0, 0.0); done],
            logarithm: false,
            // How far actions lie from the policy's: by that a demonstration is told from those of other tasks.
            deviation: spread.max(1e-3),
            trained: true,
        });
    }
    Ok(BankedNetwork {
        policy: banked,
        trunk,
        tasks,
    })
}

fn tensor(parameter: &Parameter, values: Vec<f32>) -> Result<Tensor, ExportError> {
    let wrong = || TrainError::StateMismatch(format!("{} has not {:?} numbers", parameter.name, parameter.shape));
    Tensor::f32(&parameter.shape, values).ok_or_else(|| wrong().into())
}

/// The bundle of a recipe whose systems were learned together.
pub(super) fn export_systems(
    recipe: &Recipe,
    settings: &recipe::MultiTaskPpo,
    family: &recipe::Systems,
    learned: &Learned,
) -> Result<Exported, ExportError> {
    let network = systems_network(settings, &recipe.policy, family, &learned.parameters)?;
    export_network(recipe, &network, learned)
}
