//! From a trained policy to its device image: the one call the trainer makes.

use pliant_runtime::contract::Contract;
use pliant_runtime::image::record::Space;
use pliant_runtime::image::{AdaptationSpec, Field, Objective, PlanKind, ResetRule};

use super::lower::{Bindings, LowerOptions, Place};
use super::writer::{ImageBuildError, ImageBuilder};
use crate::adaptation::gradient::DeviceGraph;
use crate::adaptation::{AdaptationError, Rule, Update};
use crate::graph::{DType, Graph, Tensor, ValueId};
use crate::passes::simplify;
use crate::policy::PolicyDescription;

/// How a deployed policy adapts.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptationDescription {
    /// What the device needs to know: objective, rows, step scales, guards. Its fields and its rule are filled in.
    pub spec: AdaptationSpec,
    /// Which parameters adapt; `None` for all. By a ridge regression the head does.
    pub adapts: Option<Vec<bool>>,
    /// The rule, with its learned numbers.
    pub update: Update,
}

/// How an image is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Records of the learning plans that cost more are split, so that `adapt_some` can share a control loop.
    pub max_macs_per_record: Option<u64>,
    /// Text for people.
    pub card: Option<String>,
    /// When the recurrent state begins anew; `None` for each episode. A policy that learns in context keeps it until the
    /// task changes ([`ResetRule::Task`]).
    pub state_reset: Option<ResetRule>,
}

/// The device image of a policy.
///
/// `parameters` are those of [`PolicyDescription::parameters`], in order.
///
/// ```
/// use pliant_compiler::adaptation::gradient::StepSizes;
/// use pliant_compiler::graph::Tensor;
/// use pliant_compiler::image::{AdaptationDescription, ImageOptions, compile_policy, inspect};
/// use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
/// use pliant_runtime::contract::{Channel, Contract};
/// use pliant_runtime::image::{AdaptationSpec, Objective};
///
/// let policy = PolicyDescription::deterministic(Mlp::new(&[1, 8, 1], Activation::Tanh));
/// let parameters: Vec<Tensor> = policy
///     .parameters()
///     .iter()
///     .map(|p| Tensor::f32(&p.shape, vec![0.1; p.elements()]).unwrap())
///     .collect();
/// let adaptation = AdaptationDescription {
///     spec: AdaptationSpec::new(Objective::Supervised).with_rows(10, 5).with_step_scales(&[1.0]),
///     adapts: None,
///     update: StepSizes::Uniform(0.01).into(),
/// };
/// let mut contract = Contract::new(10.0);
/// contract.observe(Channel::observation("x", "")).unwrap();
/// contract.actuate(Channel::action("y", "")).unwrap();
///
/// let image =
///     compile_policy(&policy, &parameters, Some(&adaptation), &contract, &ImageOptions::default()).unwrap();
/// let report = inspect(&image).unwrap();
/// assert_eq!(report.image_bytes, image.len());
/// assert_eq!(report.adapted_parameters, 25);
/// ```
///
/// # Errors
/// [`ImageBuildError`] when parameters or contract do not fit the policy, a plan cannot be built, or a value is not
/// finite.
pub fn compile_policy(
    policy: &PolicyDescription,
    parameters: &[Tensor],
    adaptation: Option<&AdaptationDescription>,
    contract: &Contract,
    options: &ImageOptions,
) -> Result<Vec<u8>, ImageBuildError> {
    let described = policy.parameters();
    expect("parameters", described.len(), parameters.len())?;
    for (parameter, tensor) in described.iter().zip(parameters) {
        expect("elements of a parameter", parameter.elements(), tensor.len())?;
    }
    expect(
        "observation channels",
        policy.network.observations(),
        contract.observations.len(),
    )?;
    expect("action channels", policy.network.outputs(), contract.actions.len())?;

    let rule = match adaptation {
        Some(AdaptationDescription { spec, adapts, update }) => {
            let objective = spec.objective().unwrap_or(Objective::Supervised);
            Some(Rule::of(
                policy,
                objective,
                update,
                adapts.clone(),
                spec.gradient_clip(),
            )?)
        }
        None => None,
    };
    let adapts = match &rule {
        Some(rule) => rule.rows().adapts.clone(),
        None => vec![false; parameters.len()],
    };
    expect("flags of what adapts", parameters.len(), adapts.len())?;

    let mut builder = ImageBuilder::new(contract.clone());
    if let Some(card) = &options.card {
        builder.card(card);
    }
    let adapted: Vec<f32> = parameters
        .iter()
        .zip(&adapts)
        .filter(|(_, adapts)| **adapts)
        .flat_map(|(tensor, _)| tensor.as_f32().unwrap_or_default().iter().copied())
        .collect();
    builder.adapted(&adapted);
    if policy.network.state() > 0 {
        let reset = options.state_reset.unwrap_or(ResetRule::Episode);
        builder.state([1, 1, 1, policy.network.state()], reset);
    }
    let act = act_graph(policy, parameters, &adapts)?;
    builder.plan(PlanKind::Act, &simplify(&act.graph), &act.bindings)?;

    if let (Some(description), Some(rule)) = (adaptation, rule) {
        let frozen: Vec<Tensor> = parameters
            .iter()
            .zip(&adapts)
            .filter(|(_, adapts)| !**adapts)
            .map(|(tensor, _)| tensor.clone())
            .collect();
        let fields: Vec<Field> = rule
            .rows()
            .fields
            .iter()
            .map(|field| Field::new(field.kind, field.width as u32))
            .collect();
        let spec = AdaptationSpec {
            rule: rule.kind() as u32,
            ..description.spec.with_fields(&fields)
        };
        spec.check().map_err(ImageBuildError::Adaptation)?;
        builder.adaptation(spec);
        builder.options(LowerOptions {
            compact: true,
            max_macs_per_record: options.max_macs_per_record,
            ..LowerOptions::default()
        });
        learning_plans(&mut builder, &rule, &spec, &description.update, &frozen)?;
    }
    builder.build()
}

/// The plans `begin`, `accumulate`, `apply` and `score` of a rule.
pub(super) fn learning_plans(
    builder: &mut ImageBuilder,
    rule: &Rule,
    spec: &AdaptationSpec,
    update: &Update,
    frozen: &[Tensor],
) -> Result<(), ImageBuildError> {
    for (kind, device) in rule.plans(spec.chunk_rows as usize, frozen, update)? {
        builder.plan(kind, &simplify(&device.graph), &device.bindings)?;
    }
    Ok(())
}

/// The `act` plan: normalised observation and state to action (and the logarithm of its standard deviation) and state.
fn act_graph(
    policy: &PolicyDescription,
    parameters: &[Tensor],
    adapts: &[bool],
) -> Result<DeviceGraph, ImageBuildError> {
    let wrap = |error| ImageBuildError::from(AdaptationError::Graph(error));
    let mut graph = Graph::new();
    let mut bindings = Bindings::new();
    let mut values: Vec<ValueId> = Vec::with_capacity(parameters.len());
    let mut offset = 0;
    for ((parameter, tensor), &adapts) in policy.parameters().iter().zip(parameters).zip(adapts) {
        values.push(if adapts {
            bindings = bindings.input(&parameter.name, Place::new(Space::Adapted, offset));
            offset += parameter.elements();
            graph
                .input(&parameter.name, DType::F32, &parameter.shape)
                .map_err(wrap)?
        } else {
            graph.constant(tensor.clone())
        });
    }
    let (inputs, states) = (policy.network.observations(), policy.network.state());
    let observation = graph.input("observation", DType::F32, &[1, inputs]).map_err(wrap)?;
    let state = match states {
        0 => None,
        _ => {
            bindings = bindings
                .input("state", Place::new(Space::State, 0))
                .output("state", Place::new(Space::State, 0));
            Some(graph.input("state", DType::F32, &[1, states]).map_err(wrap)?)
        }
    };
    let distribution = policy
        .distribution(&mut graph, &values, observation, state)
        .map_err(wrap)?;
    graph.output("action", distribution.mean).map_err(wrap)?;
    if let Some(log_std) = distribution.log_std {
        graph.output("log_std", log_std).map_err(wrap)?;
    }
    if let Some(next) = distribution.next_state {
        graph.output("state", next).map_err(wrap)?;
    }
    Ok(DeviceGraph { graph, bindings })
}

pub(super) fn expect(what: &'static str, expected: usize, found: usize) -> Result<(), ImageBuildError> {
    if expected == found {
        Ok(())
    } else {
        Err(ImageBuildError::Mismatch { what, expected, found })
    }
}
