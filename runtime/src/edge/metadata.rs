//! What a bundle's models carry besides the graphs: the contract, and how the policy adapts.

use std::{string::String, vec, vec::Vec};

use serde::Deserialize;

use super::EdgeError;
use super::network::Model;
use crate::contract::{Contract, ContractError};
use crate::image::{AdaptationSpec, Field, FieldKind, Objective};

/// Bytes that hold the largest contract.
const CONTRACT_BYTES: usize = 8192;

/// The contract, encoded as an image carries it.
pub(super) fn contract(model: &Model) -> Result<Vec<u8>, EdgeError> {
    const KEY: &str = "pliant.contract";
    let contract: Contract = parse(KEY, model.metadata(KEY)?)?;
    let mut buffer = vec![0; CONTRACT_BYTES];
    Ok(contract.encode(&mut buffer)?.to_vec())
}

/// `pliant.adaptation` as JSON. A guard that is not there is open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adaptation {
    objective: String,
    capacity: u32,
    fields: Vec<(String, u32)>,
    holdout_every: u32,
    trajectories: u32,
    horizon: u32,
    baseline_features: u32,
    trust_region: Option<f32>,
    kl_limit: Option<f32>,
    gamma: f32,
    lambda: f32,
    baseline_ridge: f32,
}

/// How the policy adapts. The whole support set is one chunk: a model takes all rows at once.
pub(super) fn adaptation(model: &Model) -> Result<AdaptationSpec, EdgeError> {
    const KEY: &str = "pliant.adaptation";
    let adaptation: Adaptation = parse(KEY, model.metadata(KEY)?)?;
    const SCALES: &str = "pliant.step_scales";
    let scales: Vec<f32> = parse(SCALES, model.metadata(SCALES)?)?;
    let wrong = |problem: &str| EdgeError::Metadata {
        key: KEY,
        problem: problem.into(),
    };
    let objective = match adaptation.objective.as_str() {
        "supervised" => Objective::Supervised,
        "policy_gradient" => Objective::PolicyGradient,
        _ => return Err(wrong("the objective is unknown")),
    };
    let fields = adaptation
        .fields
        .iter()
        .map(|(name, width)| Some(Field::new(field_kind(name)?, *width)))
        .collect::<Option<Vec<Field>>>()
        .ok_or_else(|| wrong("a field is unknown"))?;
    let mut spec = AdaptationSpec::new(objective)
        .with_rows(adaptation.capacity, adaptation.capacity)
        .with_fields(&fields)
        .with_step_scales(&scales);
    spec.holdout_every = adaptation.holdout_every;
    spec.trajectories = adaptation.trajectories;
    spec.horizon = adaptation.horizon;
    spec.baseline_features = adaptation.baseline_features;
    spec.trust_region = adaptation.trust_region.unwrap_or(f32::INFINITY);
    spec.kl_limit = adaptation.kl_limit.unwrap_or(f32::INFINITY);
    spec.gamma = adaptation.gamma;
    spec.lambda = adaptation.lambda;
    spec.baseline_ridge = adaptation.baseline_ridge;
    spec.check()
        .map_err(|error| wrong(&std::format!("out of range: {error:?}")))?;
    Ok(spec)
}

/// The input of `adapt.onnx` that a field is.
pub(super) const fn input_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Input => "x",
        FieldKind::Target => "y",
        FieldKind::Observation => "observation",
        FieldKind::Action => "action",
        FieldKind::LogProbability => "log_probability",
        FieldKind::Advantage => "advantage",
    }
}

fn field_kind(name: &str) -> Option<FieldKind> {
    [
        FieldKind::Input,
        FieldKind::Target,
        FieldKind::Observation,
        FieldKind::Action,
        FieldKind::LogProbability,
        FieldKind::Advantage,
    ]
    .into_iter()
    .find(|kind| input_name(*kind) == name)
}

fn parse<'a, T: Deserialize<'a>>(key: &'static str, text: &'a str) -> Result<T, EdgeError> {
    serde_json::from_str(text).map_err(|error| EdgeError::Metadata {
        key,
        problem: std::format!("{error}"),
    })
}

impl From<ContractError> for EdgeError {
    fn from(error: ContractError) -> Self {
        Self::Contract(error)
    }
}
