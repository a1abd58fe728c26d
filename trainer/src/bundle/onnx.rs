//! The ONNX models of a bundle: policy, one adaptation step, score. Their inputs and outputs are tabled in [`super`].

use pliant_compiler::adaptation::Update;
use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::onnx::proto::{ElementType, ModelProto, TensorProto};
use pliant_compiler::onnx::{ExportOptions, export_symbolic};
use pliant_runtime::contract::Contract;
use pliant_runtime::image::{AdaptationSpec, Field, FieldKind, Objective};
use prost::Message;

use super::ExportError;
use crate::algorithms::NamedTensor;
use crate::deployment;
use crate::recipe::Recipe;

/// Name, text and metadata of one model.
pub(super) fn options(
    recipe: &Recipe,
    contract: &Contract,
    spec: Option<&AdaptationSpec>,
    name: &str,
) -> ExportOptions {
    let json = |value: Result<String, serde_json::Error>| value.expect("finite numbers and strings are JSON");
    let contract = json(serde_json::to_string(contract));
    let scales = spec.map(|spec| json(serde_json::to_string(spec.step_scales())));
    ExportOptions {
        name: format!("{}.{name}", recipe.name),
        doc: recipe.description.clone(),
        metadata: [
            Some(("pliant.family".to_owned(), recipe.family.name().to_owned())),
            Some(("pliant.contract".to_owned(), contract)),
            scales.map(|scales| ("pliant.step_scales".to_owned(), scales)),
            spec.map(|spec| ("pliant.adaptation".to_owned(), adaptation(spec).to_string())),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// The model of a policy that only acts.
pub(super) fn policy_model(
    recipe: &Recipe,
    contract: &Contract,
    parameters: &[NamedTensor],
) -> Result<(&'static str, Vec<u8>), ExportError> {
    let options = options(recipe, contract, None, "policy");
    let policy = export_symbolic("batch", &options, |batch| policy_graph(recipe, batch))?;
    Ok(("policy.onnx", with_defaults(&policy, parameters)?))
}

/// The three models, by file name; without the step of a rule that counts rows by their age, which no graph for any number
/// of rows has.
pub(super) fn models(
    recipe: &Recipe,
    contract: &Contract,
    parameters: &[NamedTensor],
    update: &Update,
    spec: &AdaptationSpec,
) -> Result<Vec<(&'static str, Vec<u8>)>, ExportError> {
    let rule = deployment::rule(recipe)?;
    let spec = with_row_fields(spec, rule.rows());
    let options = |name: &str| options(recipe, contract, Some(&spec), name);
    let policy = export_symbolic("batch", &options("policy"), |batch| policy_graph(recipe, batch))?;
    let score = export_symbolic("rows", &options("score"), |rows| {
        rule.rows().score_rows(rows).map_err(ExportError::from)
    })?;
    let mut models = vec![("policy.onnx", policy), ("score.onnx", score)];
    let forgets = matches!(update, Update::Ridge { forgetting: Some(factor), .. } if *factor != 1.0);
    if !forgets {
        let adapt = export_symbolic("rows", &options("adapt"), |rows| {
            rule.adapt(rows, update).map_err(ExportError::from)
        })?;
        models.push(("adapt.onnx", adapt));
    }
    let filled = |(name, model): (&'static str, Vec<u8>)| Ok((name, with_defaults(&model, parameters)?));
    models.into_iter().map(filled).collect()
}

/// The specification with the fields of the rule's rows, which a device image fills in when it is compiled.
pub(super) fn with_row_fields(spec: &AdaptationSpec, rule: &GradientRule<'_>) -> AdaptationSpec {
    let field = |field: &pliant_compiler::adaptation::loss::RowField| Field::new(field.kind, field.width as u32);
    spec.with_fields(&rule.fields.iter().map(field).collect::<Vec<_>>())
}

/// How the policy adapts, as the edge runtime reads it; a guard that is open is null.
fn adaptation(spec: &AdaptationSpec) -> serde_json::Value {
    let name = |kind| match kind {
        FieldKind::Input => "x",
        FieldKind::Target => "y",
        FieldKind::Observation => "observation",
        FieldKind::Action => "action",
        FieldKind::LogProbability => "log_probability",
        FieldKind::Advantage => "advantage",
    };
    let fields: Vec<(&str, u32)> = spec
        .fields()
        .iter()
        .filter_map(|field| Some((name(field.field_kind()?), field.width)))
        .collect();
    let guard = |limit: f32| limit.is_finite().then_some(limit);
    serde_json::json!({
        "objective": match spec.objective() {
            Some(Objective::PolicyGradient) => "policy_gradient",
            _ => "supervised",
        },
        "capacity": spec.capacity,
        "fields": fields,
        "holdout_every": spec.holdout_every,
        "trajectories": spec.trajectories,
        "horizon": spec.horizon,
        "baseline_features": spec.baseline_features,
        "trust_region": guard(spec.trust_region),
        "kl_limit": guard(spec.kl_limit),
        "gamma": spec.gamma,
        "lambda": spec.lambda,
        "baseline_ridge": spec.baseline_ridge,
    })
}

fn policy_graph(recipe: &Recipe, batch: usize) -> Result<Graph, ExportError> {
    let policy = deployment::policy(recipe);
    let mut graph = Graph::new();
    let observation = graph.input("observation", DType::F32, &[batch, policy.network.observations()])?;
    let parameters: Vec<ValueId> = policy
        .parameters()
        .iter()
        .map(|parameter| graph.input(&parameter.name, DType::F32, &parameter.shape))
        .collect::<Result<_, _>>()?;
    let memory = match policy.network.state() {
        0 => None,
        width => Some(graph.input("memory", DType::F32, &[batch, width])?),
    };
    let distribution = policy.distribution(&mut graph, &parameters, observation, memory)?;
    graph.output("action", distribution.mean)?;
    if let Some(next) = distribution.next_state {
        graph.output("next.memory", next)?;
    }
    if let Some(value) = distribution.log_std {
        // The parameter of this name is an input; where no floor applies the two would be one value.
        graph.output("action_log_std", value)?;
    }
    Ok(graph)
}

/// Adds the parameters as initialisers of the inputs of their names: defaults, since IR version 4.
pub(super) fn with_defaults(model: &[u8], parameters: &[NamedTensor]) -> Result<Vec<u8>, ExportError> {
    let mut model = ModelProto::decode(model).map_err(pliant_compiler::onnx::OnnxError::from)?;
    if let Some(graph) = &mut model.graph {
        let used = |tensor: &&NamedTensor| graph.input.iter().any(|input| input.name == tensor.name);
        let defaults: Vec<TensorProto> = parameters
            .iter()
            .filter(used)
            .map(|tensor| TensorProto {
                dims: tensor.shape.iter().map(|&axis| axis as i64).collect(),
                data_type: ElementType::Float as i32,
                name: tensor.name.clone(),
                raw_data: tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                ..TensorProto::default()
            })
            .collect();
        graph.initializer.extend(defaults);
    }
    Ok(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_names_the_fields_of_a_row() {
        let source = crate::recipe::Source::find("sinusoid").expect("it comes along");
        let recipe = source.parse().expect("it is valid");
        let spec = deployment::adaptation_spec(&recipe, &[1.0]).expect("it adapts");
        let rule = deployment::rule(&recipe).expect("it has a rule");
        let written = adaptation(&with_row_fields(&spec, rule.rows()));
        assert_eq!(written["fields"], serde_json::json!([["x", 1], ["y", 1]]));
    }
}
