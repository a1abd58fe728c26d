//! Adam (Kingma and Ba 2015), in the form of their section 2 that folds both bias corrections into the step size:
//! `theta - a_t m / (sqrt(v) + epsilon)` with `a_t = rate sqrt(1 - beta2^t) / (1 - beta1^t)`. The host computes `a_t`, so
//! the graph holds no counter. (TensorFlow has the same form, and so the experiments of Finn et al. 2017; with a tiny
//! epsilon it equals Algorithm 1.)

use pliant_compiler::graph::{Graph, GraphError, ValueId};

use super::muon::{is_muon_matrix, muon_direction};
use super::{clip_elements, clip_norm, rate};
use crate::recipe::Adam;

/// What one step of Adam computes: new values, one a parameter.
#[derive(Debug, Clone)]
pub struct AdamStep {
    /// Parameters.
    pub parameters: Vec<ValueId>,
    /// First moments.
    pub first: Vec<ValueId>,
    /// Second moments.
    pub second: Vec<ValueId>,
}

/// Adds one step of Adam, with the clipping the settings ask for (elements first, then the norm). With
/// [`Adam::orthogonal`] the weight matrices move by their orthogonalised first moment ([`muon_direction`]) with the same
/// step size; their second moments are kept all the same, so that the state has one form.
///
/// `first` and `second` are the moments, of the parameters' shapes, zero at the start; `step_size` is a scalar, see
/// [`adam_step_size`].
///
/// # Errors
/// Shapes that differ between a parameter, its gradient and its moments.
pub fn adam(
    graph: &mut Graph,
    settings: &Adam,
    parameters: &[ValueId],
    gradients: &[ValueId],
    first: &[ValueId],
    second: &[ValueId],
    step_size: ValueId,
) -> Result<AdamStep, GraphError> {
    let mut gradients = gradients.to_vec();
    if let Some(limit) = settings.clip_elements {
        gradients = clip_elements(graph, &gradients, limit)?;
    }
    if let Some(limit) = settings.clip_norm {
        gradients = clip_norm(graph, &gradients, limit)?;
    }
    let epsilon = graph.scalar(settings.epsilon);
    let mut step = AdamStep {
        parameters: Vec::new(),
        first: Vec::new(),
        second: Vec::new(),
    };
    for i in 0..parameters.len() {
        let m = blend(graph, first[i], gradients[i], settings.beta1)?;
        let square = graph.square(gradients[i])?;
        let v = blend(graph, second[i], square, settings.beta2)?;
        let direction = match settings.orthogonal {
            Some(scale) if is_muon_matrix(graph.shape(m)) => muon_direction(graph, m, scale)?,
            _ => {
                let root = graph.sqrt(v)?;
                let divisor = graph.add(root, epsilon)?;
                graph.div(m, divisor)?
            }
        };
        let change = graph.mul(direction, step_size)?;
        step.parameters.push(graph.sub(parameters[i], change)?);
        step.first.push(m);
        step.second.push(v);
    }
    Ok(step)
}

/// `beta * old + (1 - beta) * new`
fn blend(graph: &mut Graph, old: ValueId, new: ValueId, beta: f32) -> Result<ValueId, GraphError> {
    let old = graph.scale(old, beta)?;
    let new = graph.scale(new, 1.0 - beta)?;
    graph.add(old, new)
}

/// The scalar `a_t` for the step after `completed` of `total`: schedule and both bias corrections.
///
/// ```
/// use pliant_trainer::{optim::adam_step_size, recipe::Adam};
/// // The first step moves by the learning rate: a_1 m_1 / sqrt(v_1) = rate.
/// let settings = Adam::new(1e-3);
/// let moved = adam_step_size(&settings, 0, 10) * (0.1 * 2.0) / (0.001f32 * 4.0).sqrt();
/// assert!((moved - 1e-3).abs() < 1e-8);
/// ```
pub fn adam_step_size(settings: &Adam, completed: u64, total: u64) -> f32 {
    let t = i32::try_from(completed + 1).unwrap_or(i32::MAX);
    let first = 1.0 - f64::from(settings.beta1).powi(t);
    let second = 1.0 - f64::from(settings.beta2).powi(t);
    (f64::from(rate(settings.schedule, settings.rate, completed, total)) * second.sqrt() / first) as f32
}
