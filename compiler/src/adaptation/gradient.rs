//! The rule "gradient": a few steps of gradient descent, each parameter with a learned step size.
//!
//! One step, for parameters `p`, rows `r` with weights `w_r`, learned step sizes `alpha` and the step's scale `s`:
//!
//! `g = d/dp sum_r w_r loss_r(p)`, `p' = p - alpha (g s / sum_r w_r)`
//!
//! MAML (Finn et al. 2017) with one `alpha` for all, Meta-SGD (Li et al. 2017) with one a parameter; on a
//! [`Subset`] of the parameters it is ANIL or CAVIA. The sums over rows are a fold, so a device takes the rows in chunks of fixed size; the division and the update come last.
//!
//! With a gradient clip `c` the mean gradient `g / sum_r w_r`, where its L2 norm over all parameters that adapt exceeds
//! `c`, is scaled down to norm `c` before the step (Pascanu et al. 2013, "On the difficulty of training recurrent neural
//! networks"); in meta-training for each task of its own, and the outer gradient goes through it.

use pliant_runtime::image::Objective;
use pliant_runtime::image::record::Space;

use super::clip::{clip_share, sum_of_squares};
use super::loss::{self, Loss, RowField};
use super::standardise::scale_and_offset;
use super::{AdaptationError, Subset};
use crate::autodiff;
use crate::graph::{DType, Graph, Tensor, ValueId};
use crate::image::{Bindings, Place};
use crate::ops::Op;
use crate::policy::{Network, Parameter, PolicyDescription, total_elements};

/// Whether meta-training differentiates through the inner gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The inner gradient counts as a constant (FOMAML).
    First,
    /// It does not.
    #[default]
    Second,
}

/// Step sizes as numbers: what a device or an exported graph holds.
#[derive(Clone, Debug, PartialEq)]
pub enum StepSizes {
    /// One for all parameters.
    Uniform(f32),
    /// One for each element of each adapted parameter, one parameter after the other.
    PerElement(Vec<f32>),
}

/// A graph with the places of its inputs and outputs on the device.
#[derive(Clone, Debug)]
pub struct DeviceGraph {
    /// What is computed.
    pub graph: Graph,
    /// Where inputs and outputs live.
    pub bindings: Bindings,
}

/// The rule for one policy and loss.
///
/// ```
/// use pliant_compiler::adaptation::gradient::GradientRule;
/// use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
/// use pliant_runtime::image::Objective;
///
/// let policy = PolicyDescription::deterministic(Mlp::new(&[1, 40, 40, 1], Activation::Relu));
/// let rule = GradientRule::for_policy(&policy, Objective::Supervised);
/// // One device pass over 5 rows: x, y and a weight each.
/// let accumulate = rule.accumulate(5, &[]).unwrap();
/// assert_eq!(rule.adapted_elements(), 1761);
/// assert!(accumulate.graph.find_input("row_weight").is_some());
/// ```
pub struct GradientRule<'a> {
    /// All parameters, in the order of the loss.
    pub parameters: Vec<Parameter>,
    /// Which of them adapt.
    pub adapts: Vec<bool>,
    /// How many of the last ones lie in the bank on a device, one after the other: the selected task's own, which do not
    /// adapt.
    pub banked: usize,
    /// The fields of a row.
    pub fields: Vec<RowField>,
    /// What a step descends.
    pub loss: Loss<'a>,
    /// What accepts or rejects the result.
    pub score: Loss<'a>,
    /// Greatest L2 norm of the mean gradient of a step, above 0; `None` for no clip.
    pub gradient_clip: Option<f32>,
    /// Whether the first two parameters that adapt are scale and offset of every input, found in closed form from the
    /// [moments](super::standardise) that the loss has for their gradients, with so many rows of prior knowledge. Step sizes
    /// and clip do not touch them.
    pub standardises: Option<f32>,
}

/// Values of a whole-support graph under construction.
pub(super) struct Whole<'v> {
    pub(super) parameters: &'v [ValueId],
    pub(super) fields: &'v [ValueId],
    pub(super) row_weights: ValueId,
    pub(super) step_scale: ValueId,
}

impl GradientRule<'static> {
    /// All parameters of a policy adapt, as [`Subset::All`] says; the losses are those of the objective: the mean squared error
    /// for both, a [scan](crate::policy::Scan)'s own, or the policy gradient with the approximate divergence for a score.
    pub fn for_policy(policy: &PolicyDescription, objective: Objective) -> Self {
        let parameters = policy.parameters();
        let (loss, score) = match (objective, &policy.network) {
            (Objective::Supervised, Network::Scan(scan)) => loss::scan(*scan),
            (Objective::Supervised, _) => (
                loss::mean_squared_error(policy.clone()),
                loss::mean_squared_error(policy.clone()),
            ),
            (Objective::PolicyGradient, _) => (
                loss::policy_gradient(policy.clone()),
                loss::approximate_divergence(policy.clone()),
            ),
        };
        Self {
            adapts: Subset::All.of(policy),
            parameters,
            banked: 0,
            fields: loss::fields(policy, objective),
            loss,
            score,
            gradient_clip: None,
            standardises: None,
        }
    }
}

impl GradientRule<'_> {
    /// The rule with this clip on the norm of the gradient, `None` for none.
    pub fn with_gradient_clip(mut self, clip: Option<f32>) -> Self {
        self.gradient_clip = clip;
        self
    }

    /// The parameters that adapt, with their offsets among all that do: the layout of the adapted space.
    pub fn adapted(&self) -> Vec<(&Parameter, usize)> {
        let mut offset = 0;
        self.parameters
            .iter()
            .zip(&self.adapts)
            .filter(|(_, adapts)| **adapts)
            .map(|(parameter, _)| {
                let start = offset;
                offset += parameter.elements();
                (parameter, start)
            })
            .collect()
    }

    /// How many of the parameters that adapt are found in closed form: the first two, or none.
    fn standardised(&self) -> usize {
        if self.standardises.is_some() { 2 } else { 0 }
    }

    /// Elements of all parameters that adapt.
    pub fn adapted_elements(&self) -> usize {
        let adapted: Vec<Parameter> = self.adapted().into_iter().map(|(p, _)| p.clone()).collect();
        total_elements(&adapted)
    }

    /// Elements of the accumulator: a gradient sum for each element that adapts, and the sum of the weights.
    pub fn accumulator_elements(&self) -> usize {
        (self.adapted_elements() + 1).max(2)
    }

    /// One step, in the graph: what meta-training differentiates through. Gives all parameters, those that do not adapt
    /// unchanged.
    ///
    /// Without tasks: parameters of their own shapes, fields `[rows, width]`, row weights `[rows]`. With tasks, one copy
    /// of the parameters a task ([`Parameter::shape_for_tasks`]; see [`broadcast_to_tasks`]; parameters that do not adapt may
    /// stay as they are), fields `[tasks, rows, width]`, row weights `[tasks, rows]`; tasks do not see each other. `step_sizes` (one for each parameter; those of
    /// parameters that do not adapt are ignored) and `step_scale` broadcast against the parameters, and against
    /// `[.., 1]`.
    ///
    /// [`broadcast_to_tasks`]: crate::policy::broadcast_to_tasks
    ///
    /// # Errors
    /// [`AdaptationError`] when numbers of values or shapes do not fit, or the loss has no gradient.
    pub fn inner_step(
        &self,
        graph: &mut Graph,
        parameters: &[ValueId],
        step_sizes: &[ValueId],
        fields: &[ValueId],
        row_weights: ValueId,
        step_scale: ValueId,
        order: Order,
    ) -> Result<Vec<ValueId>, AdaptationError> {
        count("step sizes", self.parameters.len(), step_sizes.len())?;
        let (total, wrt) = self.total_loss(graph, &self.loss, parameters, fields, row_weights)?;
        let gradients = autodiff::gradients(graph, total, &wrt)?;

        let gradients = gradients
            .into_iter()
            .map(|gradient| match order {
                Order::First if !is_zero(graph, gradient) => graph.stop_gradient(gradient),
                _ => Ok(gradient),
            })
            .collect::<Result<Vec<_>, _>>()?;

        let axis = graph.shape(row_weights).len() - 1;
        let weight = graph.reduce_sum(row_weights, &[axis], true)?;
        let mut factor = graph.div(step_scale, weight)?;
        if let Some(clip) = self.gradient_clip {
            let mut squares = graph.scalar(0.0);
            for &gradient in &gradients[self.standardised()..] {
                if is_zero(graph, gradient) {
                    continue;
                }
                let square = graph.square(gradient)?;
                // Without tasks over everything, to [1]; with tasks over all but the first axis, to [tasks, 1].
                let axes: Vec<usize> = (axis..graph.shape(square).len()).collect();
                let sum = graph.reduce_sum(square, &axes, false)?;
                let rank = graph.shape(sum).len();
                let sum = graph.unsqueeze(sum, &[rank])?;
                squares = graph.add(squares, sum)?;
            }
            let share = clip_share(graph, squares, weight, clip)?;
            factor = graph.mul(factor, share)?;
        }
        if axis > 0 {
            // [tasks, 1] to [tasks, 1, 1], beside [tasks, inputs, outputs].
            let rank = graph.shape(factor).len();
            factor = graph.unsqueeze(factor, &[rank])?;
        }

        let mut closed = match (self.standardises, &gradients[..]) {
            (Some(prior), [squares, sums, ..]) => scale_and_offset(graph, [*squares, *sums], weight, prior)?.to_vec(),
            _ => Vec::new(),
        }
        .into_iter();
        let mut gradients = gradients.into_iter();
        let mut next = Vec::with_capacity(parameters.len());
        for ((&parameter, &alpha), &adapts) in parameters.iter().zip(step_sizes).zip(&self.adapts) {
            if !adapts {
                next.push(parameter);
                continue;
            }
            if let Some(value) = closed.next() {
                gradients.next();
                next.push(value);
                continue;
            }
            let gradient = gradients.next().expect("one gradient for each parameter that adapts");
            if is_zero(graph, gradient) {
                next.push(parameter);
                continue;
            }
            let scaled = graph.mul(gradient, factor)?;
            let change = graph.mul(alpha, scaled)?;
            next.push(graph.sub(parameter, change)?);
        }
        Ok(next)
    }

    /// Sum over rows (and tasks) of weight times loss, and the parameters that adapt.
    fn total_loss(
        &self,
        graph: &mut Graph,
        loss: &Loss<'_>,
        parameters: &[ValueId],
        fields: &[ValueId],
        row_weights: ValueId,
    ) -> Result<(ValueId, Vec<ValueId>), AdaptationError> {
        count("parameters", self.parameters.len(), parameters.len())?;
        count("fields", self.fields.len(), fields.len())?;
        let wrt: Vec<ValueId> = parameters
            .iter()
            .zip(&self.adapts)
            .filter(|(_, adapts)| **adapts)
            .map(|(&parameter, _)| parameter)
            .collect();
        if wrt.is_empty() {
            return Err(AdaptationError::NothingAdapts);
        }
        let rows = loss(graph, parameters, fields)?;
        let rank = graph.shape(row_weights).len();
        let weights = graph.unsqueeze(row_weights, &[rank])?;
        if graph.shape(rows) != graph.shape(weights) {
            return Err(AdaptationError::LossShape {
                rows: graph.shape(row_weights).to_vec(),
                found: graph.shape(rows).to_vec(),
            });
        }
        let weighted = graph.mul(rows, weights)?;
        Ok((graph.sum_all(weighted)?, wrt))
    }

    /// The plan that clears the accumulator.
    ///
    /// # Errors
    /// None for a rule that adapts something.
    pub fn begin(&self) -> Result<DeviceGraph, AdaptationError> {
        let mut graph = Graph::new();
        let zeros = graph.full(&[self.accumulator_elements()], 0.0)?;
        graph.output("accumulator", zeros)?;
        let bindings = Bindings::new().output("accumulator", Place::new(Space::Accumulator, 0));
        Ok(DeviceGraph { graph, bindings })
    }

    /// The plan that adds a chunk's gradient and weights to the accumulator. Inputs: the fields, `[rows, width]` each,
    /// then `row_weight` `[rows]`, one after the other; parameters in the adapted space.
    ///
    /// `frozen` holds the values of the parameters that do not adapt, in order.
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn accumulate(&self, rows: usize, frozen: &[Tensor]) -> Result<DeviceGraph, AdaptationError> {
        let mut device = self.chunk(rows, frozen)?;
        let graph = &mut device.graph;
        let (total, wrt) = self.total_loss(
            graph,
            &self.loss,
            &device.parameters,
            &device.fields,
            device.row_weights,
        )?;
        let gradients = autodiff::gradients(graph, total, &wrt)?;
        let mut bindings = device.bindings;
        for (gradient, (parameter, offset)) in gradients.into_iter().zip(self.adapted()) {
            let name = format!("gradient.{}", parameter.name);
            let place = Place::new(Space::Accumulator, offset);
            if is_zero(graph, gradient) {
                continue;
            }
            let sum = graph.input(&name, DType::F32, &parameter.shape)?;
            let next = graph.add(sum, gradient)?;
            graph.output(&name, next)?;
            bindings = bindings.input(&name, place).output(&name, place);
        }
        let place = Place::new(Space::Accumulator, self.adapted_elements());
        let weight = graph.sum_all(device.row_weights)?;
        let bindings =
            add_to(graph, bindings, "weight", weight, place)?.at_least(Space::Accumulator, self.accumulator_elements());
        Ok(DeviceGraph {
            graph: device.graph,
            bindings,
        })
    }

    /// The plan that adds a chunk's scores and weights to the first two elements of the accumulator; inputs as
    /// [`Self::accumulate`].
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn score(&self, rows: usize, frozen: &[Tensor]) -> Result<DeviceGraph, AdaptationError> {
        let mut device = self.chunk(rows, frozen)?;
        let graph = &mut device.graph;
        let (total, _) = self.total_loss(
            graph,
            &self.score,
            &device.parameters,
            &device.fields,
            device.row_weights,
        )?;
        let weight = graph.sum_all(device.row_weights)?;
        let bindings = add_to(
            graph,
            device.bindings,
            "score",
            total,
            Place::new(Space::Accumulator, 0),
        )?;
        let bindings = add_to(graph, bindings, "weight", weight, Place::new(Space::Accumulator, 1))?
            .at_least(Space::Accumulator, self.accumulator_elements());
        Ok(DeviceGraph {
            graph: device.graph,
            bindings,
        })
    }

    /// The plan that turns the accumulator into new parameters, in place. Input: the step's scale. The gradient sums are
    /// used up.
    ///
    /// # Errors
    /// [`AdaptationError::Count`] when there are not as many step sizes as elements.
    pub fn apply(&self, step_sizes: &StepSizes) -> Result<DeviceGraph, AdaptationError> {
        let elements = self.adapted_elements();
        // What is found in closed form lies in front of what steps move.
        let fixed = self.adapted()[..self.standardised()]
            .iter()
            .map(|(parameter, _)| parameter.elements())
            .sum::<usize>();
        let moved = elements - fixed;
        let mut graph = Graph::new();
        let mut bindings = Bindings::new();
        let parameters = graph.input("parameters", DType::F32, &[moved])?;
        let gradient = graph.input("gradient", DType::F32, &[moved])?;
        let weight = graph.input("weight", DType::F32, &[1])?;
        let step_scale = graph.input("step_scale", DType::F32, &[1])?;
        let alpha = self.step_size_constant(&mut graph, step_sizes, fixed, &[moved])?;
        let mut factor = graph.div(step_scale, weight)?;
        if let Some(clip) = self.gradient_clip {
            let squares = sum_of_squares(&mut graph, gradient, moved)?;
            let share = clip_share(&mut graph, squares, weight, clip)?;
            factor = graph.mul(factor, share)?;
        }
        if let Some(prior) = self.standardises {
            let inputs = fixed / 2;
            let squares = graph.input("sum of squares", DType::F32, &[inputs])?;
            let sums = graph.input("sum", DType::F32, &[inputs])?;
            let [scale, offset] = scale_and_offset(&mut graph, [squares, sums], weight, prior)?;
            graph.output("scale", scale)?;
            graph.output("offset", offset)?;
            bindings = bindings
                .input("sum of squares", Place::new(Space::Accumulator, 0))
                .input("sum", Place::new(Space::Accumulator, inputs))
                .output("scale", Place::new(Space::Adapted, 0))
                .output("offset", Place::new(Space::Adapted, inputs));
        }
        let scaled = graph.mul(gradient, factor)?;
        let change = graph.mul(alpha, scaled)?;
        let next = graph.sub(parameters, change)?;
        // The scaled gradient takes the place of the sums, so that no scratch is needed.
        graph.output("gradient", scaled)?;
        graph.output("parameters", next)?;
        let bindings = bindings
            .input("parameters", Place::new(Space::Adapted, fixed))
            .input("gradient", Place::new(Space::Accumulator, fixed))
            .input("weight", Place::new(Space::Accumulator, elements))
            .output("gradient", Place::new(Space::Accumulator, fixed))
            .output("parameters", Place::new(Space::Adapted, fixed))
            .at_least(Space::Accumulator, self.accumulator_elements());
        Ok(DeviceGraph { graph, bindings })
    }

    /// One whole step over `rows` rows, for export: inputs are the parameters by name, the fields by name, `row_weight`
    /// `[rows]` and `step_scale` `[1]`; outputs the new values of the parameters that adapt as `next.NAME`. Run it once a
    /// step.
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn adapt(&self, rows: usize, step_sizes: &StepSizes) -> Result<Graph, AdaptationError> {
        self.adapt_by(rows, |graph, whole| {
            let mut alphas = Vec::with_capacity(whole.parameters.len());
            let mut offset = 0;
            for (parameter, &adapts) in self.parameters.iter().zip(&self.adapts) {
                if adapts {
                    alphas.push(self.step_size_constant(graph, step_sizes, offset, &parameter.shape)?);
                    offset += parameter.elements();
                } else {
                    alphas.push(graph.scalar(0.0));
                }
            }
            let (fields, weights, scale) = (whole.fields, whole.row_weights, whole.step_scale);
            self.inner_step(graph, whole.parameters, &alphas, fields, weights, scale, Order::Second)
        })
    }

    /// A graph of [`Self::adapt`]'s inputs and outputs, whose step is `step`: it gives all parameters.
    pub(super) fn adapt_by(
        &self,
        rows: usize,
        step: impl FnOnce(&mut Graph, &Whole<'_>) -> Result<Vec<ValueId>, AdaptationError>,
    ) -> Result<Graph, AdaptationError> {
        let mut graph = Graph::new();
        let parameters = self.parameter_inputs(&mut graph)?;
        let (fields, row_weights) = self.row_inputs(&mut graph, rows)?;
        let step_scale = graph.input("step_scale", DType::F32, &[1])?;
        let whole = Whole {
            parameters: &parameters,
            fields: &fields,
            row_weights,
            step_scale,
        };
        let next = step(&mut graph, &whole)?;
        for ((parameter, value), &adapts) in self.parameters.iter().zip(next).zip(&self.adapts) {
            if adapts {
                graph.output(&format!("next.{}", parameter.name), value)?;
            }
        }
        Ok(graph)
    }

    /// The weighted mean of the score over `rows` rows, for export: inputs as [`Self::adapt`] without `step_scale`;
    /// output `score` `[1]`.
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn score_rows(&self, rows: usize) -> Result<Graph, AdaptationError> {
        let mut graph = Graph::new();
        let parameters = self.parameter_inputs(&mut graph)?;
        let (fields, row_weights) = self.row_inputs(&mut graph, rows)?;
        let (total, _) = self.total_loss(&mut graph, &self.score, &parameters, &fields, row_weights)?;
        let weight = graph.reduce_sum(row_weights, &[0], true)?;
        let score = graph.div(total, weight)?;
        graph.output("score", score)?;
        Ok(graph)
    }

    /// The step sizes of a parameter as a constant of its shape, or a scalar.
    fn step_size_constant(
        &self,
        graph: &mut Graph,
        step_sizes: &StepSizes,
        offset: usize,
        shape: &[usize],
    ) -> Result<ValueId, AdaptationError> {
        match step_sizes {
            StepSizes::Uniform(alpha) => Ok(graph.scalar(*alpha)),
            StepSizes::PerElement(values) => {
                count("elements of step sizes", self.adapted_elements(), values.len())?;
                let elements: usize = shape.iter().product();
                let tensor = Tensor::f32(shape, &values[offset..offset + elements]).expect("as long as the shape says");
                Ok(graph.constant(tensor))
            }
        }
    }

    fn parameter_inputs(&self, graph: &mut Graph) -> Result<Vec<ValueId>, AdaptationError> {
        let mut values = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            values.push(graph.input(&parameter.name, DType::F32, &parameter.shape)?);
        }
        Ok(values)
    }

    fn row_inputs(&self, graph: &mut Graph, rows: usize) -> Result<(Vec<ValueId>, ValueId), AdaptationError> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            fields.push(graph.input(&field.name, DType::F32, &[rows, field.width])?);
        }
        Ok((fields, graph.input("row_weight", DType::F32, &[rows])?))
    }

    /// A graph with the inputs of a pass over one chunk.
    pub(super) fn chunk(&self, rows: usize, frozen: &[Tensor]) -> Result<Chunk, AdaptationError> {
        let still = self.adapts.iter().filter(|adapts| !**adapts).count();
        count(
            "values of parameters that do not adapt",
            still.saturating_sub(self.banked),
            frozen.len(),
        )?;
        let first_banked = self.parameters.len().saturating_sub(self.banked);
        let mut bank_offset = 0;
        let mut graph = Graph::new();
        let mut bindings = Bindings::new();
        let mut parameters = Vec::with_capacity(self.parameters.len());
        let mut frozen = frozen.iter();
        let mut offset = 0;
        for (index, (parameter, &adapts)) in self.parameters.iter().zip(&self.adapts).enumerate() {
            if adapts {
                parameters.push(graph.input(&parameter.name, DType::F32, &parameter.shape)?);
                bindings = bindings.input(&parameter.name, Place::new(Space::Adapted, offset));
                offset += parameter.elements();
            } else if index >= first_banked {
                parameters.push(graph.input(&parameter.name, DType::F32, &parameter.shape)?);
                bindings = bindings.input(&parameter.name, Place::new(Space::Bank, bank_offset));
                bank_offset += parameter.elements();
            } else {
                let value = frozen.next().expect("counted above");
                parameters.push(graph.constant(value.clone()));
            }
        }
        let (fields, row_weights) = self.row_inputs(&mut graph, rows)?;
        Ok(Chunk {
            graph,
            bindings,
            parameters,
            fields,
            row_weights,
        })
    }
}

/// A graph over one chunk under construction.
pub(super) struct Chunk {
    pub(super) graph: Graph,
    pub(super) bindings: Bindings,
    pub(super) parameters: Vec<ValueId>,
    pub(super) fields: Vec<ValueId>,
    pub(super) row_weights: ValueId,
}

/// Adds a number to one element of memory, in place.
fn add_to(
    graph: &mut Graph,
    bindings: Bindings,
    name: &str,
    value: ValueId,
    place: Place,
) -> Result<Bindings, AdaptationError> {
    let sum = graph.input(name, DType::F32, &[])?;
    let next = graph.add(sum, value)?;
    graph.output(name, next)?;
    Ok(bindings.input(name, place).output(name, place))
}

fn count(what: &'static str, expected: usize, found: usize) -> Result<(), AdaptationError> {
    if expected == found {
        Ok(())
    } else {
        Err(AdaptationError::Count { what, expected, found })
    }
}

/// Whether a value is known to be zero everywhere: the gradient of a parameter the loss does not use.
fn is_zero(graph: &Graph, value: ValueId) -> bool {
    match graph.op(value) {
        Op::Constant(constant) => constant.tensor.uniform() == Some(0.0),
        Op::Expand(_) => is_zero(graph, graph.node(value).inputs[0]),
        _ => false,
    }
}
