//! Losses over the rows of a support set.
//!
//! A loss takes the parameters and the fields of the rows, each `[.., rows, width]`, and gives one number a row,
//! `[.., rows, 1]`. Leading dimensions are free (a task dimension in meta-training, none on the device).

use pliant_runtime::image::{FieldKind, Objective};

use crate::graph::{Graph, GraphError, ValueId};
use crate::policy::{Gaussian, PolicyDescription, Scan};

/// Builds one number a row from parameters and fields.
pub type Loss<'a> = Box<dyn Fn(&mut Graph, &[ValueId], &[ValueId]) -> Result<ValueId, GraphError> + Send + Sync + 'a>;

/// Greatest logarithm of a probability ratio, either way: keeps rows of weight zero (whose fields are all zero) finite.
const LARGEST_LOG_RATIO: f32 = 20.0;

/// One field of a row of the support set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowField {
    /// Name, as graph inputs carry it.
    pub name: String,
    /// What it means to the device.
    pub kind: FieldKind,
    /// Elements in one row.
    pub width: usize,
}

impl RowField {
    fn new(name: &str, kind: FieldKind, width: usize) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            width,
        }
    }
}

/// The fields an objective gathers: `x`, `y`; or `observation`, `action`, `log_probability`, `advantage`.
pub fn fields(policy: &PolicyDescription, objective: Objective) -> Vec<RowField> {
    let (inputs, outputs) = (policy.network.observations(), policy.network.outputs());
    match objective {
        Objective::Supervised => vec![
            RowField::new("x", FieldKind::Input, inputs),
            RowField::new("y", FieldKind::Target, outputs),
        ],
        Objective::PolicyGradient => vec![
            RowField::new("observation", FieldKind::Observation, inputs),
            RowField::new("action", FieldKind::Action, outputs),
            RowField::new("log_probability", FieldKind::LogProbability, 1),
            RowField::new("advantage", FieldKind::Advantage, 1),
        ],
    }
}

/// Squared error, the mean over the elements of an answer. Fields: `x`, `y`.
pub fn mean_squared_error(policy: PolicyDescription) -> Loss<'static> {
    Box::new(move |graph, parameters, fields| {
        let answer = policy.distribution(graph, parameters, fields[0], None)?.mean;
        let error = graph.sub(answer, fields[1])?;
        let square = graph.square(error)?;
        let axis = graph.shape(square).len() - 1;
        graph.reduce_mean(square, &[axis], true)
    })
}

/// What a scan descends ([`Scan::loss`]) and what it is scored by ([`Scan::score`]). Fields: `x`, `y`, which is 1 or -1.
pub fn scan(scan: Scan) -> (Loss<'static>, Loss<'static>) {
    (
        Box::new(move |graph, parameters, fields| scan.loss(graph, parameters, fields)),
        Box::new(move |graph, parameters, fields| scan.score(graph, parameters, fields)),
    )
}

/// Logarithm of the probability of the taken action under these parameters over that when it was taken, `[.., rows, 1]`.
/// Fields: `observation`, `action`, `log_probability`, ...
///
/// # Errors
/// [`GraphError::Operator`] when shapes do not fit.
///
/// # Panics
/// When the policy does not sample its actions.
pub fn log_ratio(
    policy: &PolicyDescription,
    graph: &mut Graph,
    parameters: &[ValueId],
    fields: &[ValueId],
) -> Result<ValueId, GraphError> {
    let distribution = policy.distribution(graph, parameters, fields[0], None)?;
    let log_std = distribution
        .log_std
        .expect("a policy gradient needs a policy that samples its actions");
    let log_probability = Gaussian::log_probability(graph, distribution.mean, log_std, fields[1])?;
    graph.sub(log_probability, fields[2])
}

/// The policy gradient in ratio form, `-exp(log pi(a|s) - log pi_old(a|s)) advantage`: its gradient at the old policy is
/// that of `-log pi(a|s) advantage`, and it is right to second order too (Al-Shedivat et al. 2018; Rothfuss et al. 2019,
/// "ProMP"). Fields: `observation`, `action`, `log_probability`, `advantage`. The logarithm of the ratio is clipped to
/// +-20.
pub fn policy_gradient(policy: PolicyDescription) -> Loss<'static> {
    Box::new(move |graph, parameters, fields| {
        let log_ratio = log_ratio(&policy, graph, parameters, fields)?;
        let log_ratio = graph.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)?;
        let ratio = graph.exp(log_ratio)?;
        let gain = graph.mul(ratio, fields[3])?;
        graph.neg(gain)
    })
}

/// How far the policy has moved: `(ratio - 1) - log ratio`, an estimate of the Kullback-Leibler divergence of the old
/// policy from the new one that is never negative (Schulman 2020, "Approximating KL divergence"). Fields and clipping as
/// [`policy_gradient`].
pub fn approximate_divergence(policy: PolicyDescription) -> Loss<'static> {
    Box::new(move |graph, parameters, fields| {
        let log_ratio = log_ratio(&policy, graph, parameters, fields)?;
        let log_ratio = graph.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)?;
        let ratio = graph.exp(log_ratio)?;
        let one = graph.scalar(1.0);
        let excess = graph.sub(ratio, one)?;
        graph.sub(excess, log_ratio)
    })
}
