//! From a trained multi-task network to its device image: the trunk in the constants, the tasks in the bank.

use pliant_runtime::contract::Contract;
use pliant_runtime::image::record::Space;
use pliant_runtime::image::{AdaptationSpec, Field, FieldKind, PlanKind};

use super::lower::{Bindings, LowerOptions, Place};
use super::policy::{AdaptationDescription, ImageOptions, expect, learning_plans};
use super::writer::{ImageBuildError, ImageBuilder};
use crate::adaptation::gradient::GradientRule;
use crate::adaptation::loss::RowField;
use crate::adaptation::{AdaptationError, Rule};
use crate::graph::{DType, Graph, GraphError, Tensor, ValueId};
use crate::passes::simplify;
use crate::policy::{Banked, TaskSlice};

/// The rule by which a banked network adapts: gradient steps on the change of the head, and on scale and offset of each
/// input where these adapt; the trunk and the bank stay.
pub fn banked_rule(policy: &Banked) -> GradientRule<'static> {
    let adapted = policy.adapted().len();
    let parameters = policy.parameters();
    let field = |name: &str, kind, width| RowField {
        name: name.to_owned(),
        kind,
        width,
    };
    let (for_loss, for_score) = (policy.clone(), policy.clone());
    GradientRule {
        adapts: (0..parameters.len()).map(|index| index < adapted).collect(),
        parameters,
        banked: policy.bank().len(),
        fields: vec![
            field("x", FieldKind::Input, policy.inputs),
            field("y", FieldKind::Target, policy.outputs),
        ],
        loss: Box::new(move |graph, parameters, fields| for_loss.loss(graph, parameters, fields)),
        score: Box::new(move |graph, parameters, fields| for_score.score(graph, parameters, fields)),
        gradient_clip: None,
        standardises: policy
            .standardises
            .filter(|_| policy.adapts_input && policy.feature_map.is_some()),
    }
}

/// The device image of a network with one slice of the bank a task.
///
/// `trunk` are the values of [`Banked::trunk`], in order; `tasks` the slices, task 0 first. The contract has a channel for
/// each of the widest task's inputs and outputs.
///
/// ```
/// use pliant_compiler::adaptation::gradient::StepSizes;
/// use pliant_compiler::graph::Tensor;
/// use pliant_compiler::image::{AdaptationDescription, ImageOptions, compile_banked, inspect};
/// use pliant_compiler::policy::{Activation, Banked, Modulation, TargetLoss, TaskSlice};
/// use pliant_runtime::contract::{Channel, Contract};
/// use pliant_runtime::image::{AdaptationSpec, Objective};
///
/// let policy = Banked {
///     inputs: 2, feature_map: None, logarithms: false, outputs: 1, encoder: None, hidden: vec![4],
///     modulation: Modulation::None, activation: Activation::Tanh, losses: vec![TargetLoss::SquaredError], adapts_input: false, standardises: None,
/// };
/// let trunk: Vec<Tensor> =
///     policy.trunk().iter().map(|p| Tensor::f32(&p.shape, vec![0.1; p.elements()]).unwrap()).collect();
/// let task = TaskSlice {
///     inputs: 2, scaling: None, outputs: 1, loss: TargetLoss::SquaredError, encoder: None, modulation: vec![],
///     head: (vec![0.5; 4], vec![0.0]), target: vec![(1.0, 0.0)], logarithm: false, deviation: 1.0, trained: true,
/// };
/// let adaptation = AdaptationDescription {
///     spec: AdaptationSpec::new(Objective::Supervised).with_rows(8, 4).with_step_scales(&[1.0]),
///     adapts: None,
///     update: StepSizes::Uniform(0.1).into(),
/// };
/// let mut contract = Contract::new(1.0);
/// contract.observe(Channel::observation("a", "")).unwrap();
/// contract.observe(Channel::observation("b", "")).unwrap();
/// contract.actuate(Channel::action("y", "")).unwrap();
/// let options = ImageOptions::default();
/// let image = compile_banked(&policy, &trunk, &[task.clone(), task], &adaptation, &contract, &options).unwrap();
/// assert_eq!(inspect(&image).unwrap().adapted_parameters, 5);
/// ```
///
/// # Errors
/// [`ImageBuildError`] when trunk or contract do not fit the network, a plan cannot be built, or a value is not finite.
pub fn compile_banked(
    policy: &Banked,
    trunk: &[Tensor],
    tasks: &[TaskSlice],
    adaptation: &AdaptationDescription,
    contract: &Contract,
    options: &ImageOptions,
) -> Result<Vec<u8>, ImageBuildError> {
    let described = policy.trunk();
    expect("parameters of the trunk", described.len(), trunk.len())?;
    for (parameter, tensor) in described.iter().zip(trunk) {
        expect("elements of a parameter", parameter.elements(), tensor.len())?;
    }
    expect("observation channels", policy.inputs, contract.observations.len())?;
    expect("action channels", policy.outputs, contract.actions.len())?;

    let mut builder = ImageBuilder::new(contract.clone());
    if let Some(card) = &options.card {
        builder.card(card);
    }
    let initial = |(parameter, value): &(_, f32)| vec![*value; crate::policy::Parameter::elements(parameter)];
    builder.adapted(&policy.adapted().iter().flat_map(initial).collect::<Vec<f32>>());
    builder.bank(&tasks.iter().map(|task| policy.slice(task)).collect::<Vec<_>>());
    let (act, bindings) = act(policy, trunk).map_err(|error| ImageBuildError::from(AdaptationError::Graph(error)))?;
    builder.plan(PlanKind::Act, &simplify(&act), &bindings)?;

    let mut rule = banked_rule(policy);
    rule.gradient_clip = adaptation.spec.gradient_clip();
    let fields: Vec<Field> = rule
        .fields
        .iter()
        .map(|field| Field::new(field.kind, field.width as u32))
        .collect();
    let rule = Rule::Gradient(rule);
    let spec = AdaptationSpec {
        rule: rule.kind() as u32,
        ..adaptation.spec.with_fields(&fields)
    };
    spec.check().map_err(ImageBuildError::Adaptation)?;
    builder.adaptation(spec);
    builder.options(LowerOptions {
        compact: true,
        max_macs_per_record: options.max_macs_per_record,
        ..LowerOptions::default()
    });
    learning_plans(&mut builder, &rule, &spec, &adaptation.update, trunk)?;
    builder.build()
}

/// The `act` plan: normalised observation to answer, with the selected task's slice of the bank.
fn act(policy: &Banked, trunk: &[Tensor]) -> Result<(Graph, Bindings), GraphError> {
    let mut graph = Graph::new();
    let mut bindings = Bindings::new();
    let mut values: Vec<ValueId> = Vec::new();
    let mut offset = 0;
    for (parameter, _) in policy.adapted() {
        bindings = bindings.input(&parameter.name, Place::new(Space::Adapted, offset));
        offset += parameter.elements();
        values.push(graph.input(&parameter.name, DType::F32, &parameter.shape)?);
    }
    values.extend(trunk.iter().map(|tensor| graph.constant(tensor.clone())));
    let mut offset = 0;
    for parameter in policy.bank() {
        bindings = bindings.input(&parameter.name, Place::new(Space::Bank, offset));
        offset += parameter.elements();
        values.push(graph.input(&parameter.name, DType::F32, &parameter.shape)?);
    }
    let observation = graph.input("observation", DType::F32, &[1, policy.inputs])?;
    let answer = policy.answer(&mut graph, &values, observation)?;
    graph.output("action", answer)?;
    Ok((graph, bindings))
}
