//! The rule "ridge": the last layer is fitted in closed form to the features that the layers before it give.
//!
//! With the features of row `i` and a constant one, `f_i` `[1, d + 1]`, targets `y_i`, row weights `w_i`, the trained head
//! `H` `[d + 1, outputs]` (weight above bias) and a trained ridge `l`:
//!
//! `H' = argmin_X sum_i w_i |f_i X - y_i|^2 + l |X - H|^2 = H + (F^T W F + l I)^-1 F^T W (Y - F H)`
//!
//! R2-D2 (Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers", equation 5) with a prior mean
//! that is learned instead of zero, as in ALPaCA (Harrison et al. 2018, "Meta-Learning Priors for Efficient Online Bayesian
//! Regression"). Gram matrix and right side are sums over rows: a fold. The recursive form takes one row at a time and
//! keeps `P`, the inverse of the matrix above, instead (Plackett 1950; Haykin, "Adaptive Filter Theory", chapter 10),
//! with a forgetting factor `g`: the row that came `j` rows before the last counts `g^j`, the ridge `g^n`.
//!
//! `k = P f^T / (g + f P f^T)`, `X' = X + k (y - f X)`, `P' = (P - k f P) / g`, from `P = I / l`, `X = H`.

use pliant_runtime::image::Objective;
use pliant_runtime::image::record::Space;

use super::AdaptationError;
use super::gradient::{DeviceGraph, GradientRule};
use super::solve::solve_positive_definite;
use super::subset::Subset;
use crate::graph::{DType, Graph, Tensor, ValueId};
use crate::image::{Bindings, Place};
use crate::policy::{Layout, Mlp, Network, PolicyDescription};

/// The rule for one policy: a multilayer perceptron whose output is the answer.
///
/// ```
/// use pliant_compiler::adaptation::ridge::RidgeRule;
/// use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
///
/// let policy = PolicyDescription::deterministic(Mlp::new(&[1, 32, 8, 1], Activation::Tanh));
/// let rule = RidgeRule::for_policy(&policy).unwrap();
/// assert_eq!(rule.rows().adapted_elements(), 9);
/// // Gram matrix and right side.
/// assert_eq!(rule.accumulator_elements(), 9 * 9 + 9);
/// ```
pub struct RidgeRule {
    network: Mlp,
    /// Parameters, fields and losses; what adapts is the head.
    rows: GradientRule<'static>,
    /// Forgetting factor of the recursive form.
    forgetting: Option<f32>,
}

impl RidgeRule {
    /// The rule of a policy.
    ///
    /// # Errors
    /// [`AdaptationError::NoLinearHead`] for a policy that is recurrent, samples or bounds its output, or has no hidden
    /// layer.
    pub fn for_policy(policy: &PolicyDescription) -> Result<Self, AdaptationError> {
        let network = match &policy.network {
            Network::Mlp(mlp) if policy.gaussian.is_none() && !policy.bounded && mlp.sizes.len() > 2 => mlp.clone(),
            _ => return Err(AdaptationError::NoLinearHead),
        };
        let mut rows = GradientRule::for_policy(policy, Objective::Supervised);
        rows.adapts = Subset::Head.of(policy);
        Ok(Self {
            network,
            rows,
            forgetting: None,
        })
    }

    /// The recursive form: a row at a time, with a forgetting factor above 0, at most 1.
    #[must_use]
    pub fn recursive(mut self, forgetting: f32) -> Self {
        self.forgetting = Some(forgetting);
        self
    }

    /// The forgetting factor, of the recursive form.
    pub fn forgetting(&self) -> Option<f32> {
        self.forgetting
    }

    /// Parameters, fields and losses of the rows.
    pub fn rows(&self) -> &GradientRule<'static> {
        &self.rows
    }

    /// Features of a row, the constant one included.
    pub fn features(&self) -> usize {
        self.network.sizes[self.network.sizes.len() - 2] + 1
    }

    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    /// Elements of the accumulator: a square matrix, and a column for each output.
    pub fn accumulator_elements(&self) -> usize {
        (self.features() * (self.features() + self.outputs())).max(2)
    }

    /// The head fitted to all rows at once, in the graph: what meta-training differentiates through. Gives all parameters,
    /// those before the head unchanged.
    ///
    /// Shapes as [`GradientRule::inner_step`], where parameters that do not adapt may do without the task dimension;
    /// `ridge` and `step_scale` are scalars or `[1]`. Scale 1 is the solution itself, 0 the head as it was. The
    /// forgetting factor counts rows in their order.
    ///
    /// # Errors
    /// [`AdaptationError`] when numbers of values or shapes do not fit.
    pub fn inner_step(
        &self,
        graph: &mut Graph,
        parameters: &[ValueId],
        ridge: ValueId,
        fields: &[ValueId],
        row_weights: ValueId,
        step_scale: ValueId,
    ) -> Result<Vec<ValueId>, AdaptationError> {
        let (mut row_weights, mut ridge) = (row_weights, ridge);
        if let Some(forgetting) = self.forgetting.filter(|forgetting| *forgetting != 1.0) {
            let count = graph.shape(row_weights)[graph.shape(row_weights).len() - 1];
            let ages: Vec<f32> = (0..count).rev().map(|age| forgetting.powi(age as i32)).collect();
            let ages = graph.constant(Tensor::f32(&[count], ages).expect("as long as its shape"));
            row_weights = graph.mul(row_weights, ages)?;
            ridge = graph.scale(ridge, forgetting.powi(count as i32))?;
        }
        let weights = column(graph, row_weights)?;
        let (features, error) = self.regression(graph, parameters, fields)?;
        let (gram, right) = weighted_sums(graph, features, error, weights)?;
        let change = self.solve(graph, gram, right, ridge)?;
        let change = graph.mul(change, step_scale)?;

        let rank = graph.shape(change).len();
        let (rows, d) = (rank - 2, self.features() - 1);
        let weight = graph.slice(change, rows, 0, d)?;
        let mut bias = graph.slice(change, rows, d, d + 1)?;
        let mut next = parameters.to_vec();
        let head = self.head();
        if graph.shape(parameters[head + 1]).len() == 1 {
            bias = graph.reshape(bias, &[self.outputs()])?;
        }
        next[head] = graph.add(parameters[head], weight)?;
        next[head + 1] = graph.add(parameters[head + 1], bias)?;
        Ok(next)
    }

    /// The plan that clears the sums; of the recursive form: that sets `P = I / ridge` and the head to its trained values.
    ///
    /// # Errors
    /// As the graph's operators.
    pub fn begin(&self, ridge: f32) -> Result<DeviceGraph, AdaptationError> {
        let mut graph = Graph::new();
        let (n, m) = (self.features(), self.outputs());
        let bindings = Bindings::new().at_least(Space::Accumulator, self.accumulator_elements());
        if self.forgetting.is_none() {
            let zeros = graph.full(&[self.accumulator_elements()], 0.0)?;
            graph.output("accumulator", zeros)?;
            let bindings = bindings.output("accumulator", Place::new(Space::Accumulator, 0));
            return Ok(DeviceGraph { graph, bindings });
        }
        let inverse = graph.constant(diagonal(n, 1.0 / ridge));
        let head = graph.input("head", DType::F32, &[n, m])?;
        let head = graph.identity(head)?;
        graph.output("inverse", inverse)?;
        graph.output("estimate", head)?;
        let bindings = bindings
            .input("head", Place::new(Space::Adapted, 0))
            .output("inverse", Place::new(Space::Accumulator, 0))
            .output("estimate", Place::new(Space::Accumulator, n * n));
        Ok(DeviceGraph { graph, bindings })
    }

    /// The plan that folds a chunk in. Inputs as [`GradientRule::accumulate`].
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn accumulate(&self, rows: usize, frozen: &[Tensor]) -> Result<DeviceGraph, AdaptationError> {
        let mut chunk = self.rows.chunk(rows, frozen)?;
        let graph = &mut chunk.graph;
        let (n, m) = (self.features(), self.outputs());
        let places = [Place::new(Space::Accumulator, 0), Place::new(Space::Accumulator, n * n)];
        let names = match self.forgetting {
            None => ["gram", "right"],
            Some(_) => ["inverse", "estimate"],
        };
        let square = graph.input(names[0], DType::F32, &[n, n])?;
        let columns = graph.input(names[1], DType::F32, &[n, m])?;
        let next = match self.forgetting {
            None => {
                let weights = column(graph, chunk.row_weights)?;
                let (features, error) = self.regression(graph, &chunk.parameters, &chunk.fields)?;
                let (gram, right) = weighted_sums(graph, features, error, weights)?;
                [graph.add(square, gram)?, graph.add(columns, right)?]
            }
            Some(forgetting) => {
                let features = self.row_features(graph, &chunk.parameters, chunk.fields[0])?;
                let mut state = [square, columns];
                for row in 0..rows {
                    let feature = graph.slice(features, 0, row, row + 1)?;
                    let target = graph.slice(chunk.fields[1], 0, row, row + 1)?;
                    let weight = graph.slice(chunk.row_weights, 0, row, row + 1)?;
                    state = recursion(graph, state, feature, target, weight, forgetting)?;
                }
                state
            }
        };
        let mut bindings = chunk.bindings;
        for ((name, place), next) in names.into_iter().zip(places).zip(next) {
            graph.output(name, next)?;
            bindings = bindings.input(name, place).output(name, place);
        }
        Ok(DeviceGraph {
            graph: chunk.graph,
            bindings: bindings.at_least(Space::Accumulator, self.accumulator_elements()),
        })
    }

    /// The plan that turns the accumulator into the new head. Input: the step's scale.
    ///
    /// # Errors
    /// As the graph's operators.
    pub fn apply(&self, ridge: f32) -> Result<DeviceGraph, AdaptationError> {
        let mut graph = Graph::new();
        let (n, m) = (self.features(), self.outputs());
        let head = graph.input("head", DType::F32, &[n, m])?;
        let columns = graph.input("columns", DType::F32, &[n, m])?;
        let step_scale = graph.input("step_scale", DType::F32, &[1])?;
        let mut bindings = Bindings::new()
            .input("head", Place::new(Space::Adapted, 0))
            .input("columns", Place::new(Space::Accumulator, n * n))
            .output("head", Place::new(Space::Adapted, 0))
            .at_least(Space::Accumulator, self.accumulator_elements());
        let change = match self.forgetting {
            None => {
                let gram = graph.input("gram", DType::F32, &[n, n])?;
                bindings = bindings.input("gram", Place::new(Space::Accumulator, 0));
                let ridge = graph.scalar(ridge);
                self.solve(&mut graph, gram, columns, ridge)?
            }
            Some(_) => graph.sub(columns, head)?,
        };
        let change = graph.mul(change, step_scale)?;
        let next = graph.add(head, change)?;
        graph.output("head", next)?;
        Ok(DeviceGraph { graph, bindings })
    }

    /// The whole fit over `rows` rows, for export: inputs and outputs as [`GradientRule::adapt`].
    ///
    /// # Errors
    /// [`AdaptationError`] as [`Self::inner_step`].
    pub fn adapt(&self, rows: usize, ridge: f32) -> Result<Graph, AdaptationError> {
        self.rows.adapt_by(rows, |graph, whole| {
            let ridge = graph.scalar(ridge);
            let (fields, weights, scale) = (whole.fields, whole.row_weights, whole.step_scale);
            self.inner_step(graph, whole.parameters, ridge, fields, weights, scale)
        })
    }

    /// Index of the head's weight among the parameters; its bias follows.
    fn head(&self) -> usize {
        2 * (self.network.sizes.len() - 2)
    }

    /// Features `[.., rows, d + 1]` of inputs.
    fn row_features(
        &self,
        graph: &mut Graph,
        parameters: &[ValueId],
        inputs: ValueId,
    ) -> Result<ValueId, AdaptationError> {
        let features = self.network.features(graph, Layout::Rows, parameters, inputs)?;
        let axis = graph.shape(features).len() - 1;
        let mut shape = graph.shape(features).to_vec();
        shape[axis] = 1;
        let ones = graph.full(&shape, 1.0)?;
        Ok(graph.concat(&[features, ones], axis)?)
    }

    /// Features, and what the head leaves of the targets.
    fn regression(
        &self,
        graph: &mut Graph,
        parameters: &[ValueId],
        fields: &[ValueId],
    ) -> Result<(ValueId, ValueId), AdaptationError> {
        let features = self.row_features(graph, parameters, fields[0])?;
        let axis = graph.shape(features).len() - 1;
        let plain = graph.slice(features, axis, 0, self.features() - 1)?;
        let head = self.head();
        let prediction = Layout::Rows.affine(graph, plain, parameters[head], parameters[head + 1])?;
        Ok((features, graph.sub(fields[1], prediction)?))
    }

    /// `(gram + ridge I)^-1 right`.
    fn solve(
        &self,
        graph: &mut Graph,
        gram: ValueId,
        right: ValueId,
        ridge: ValueId,
    ) -> Result<ValueId, AdaptationError> {
        let identity = graph.constant(diagonal(self.features(), 1.0));
        let ridge = graph.mul(identity, ridge)?;
        let matrix = graph.add(gram, ridge)?;
        Ok(solve_positive_definite(graph, matrix, right)?)
    }
}

/// `[.., rows]` as `[.., rows, 1]`. It comes before the features: an exported graph, whose number of rows is open, then
/// knows the shape of the constant one from it.
fn column(graph: &mut Graph, row_weights: ValueId) -> Result<ValueId, AdaptationError> {
    let rank = graph.shape(row_weights).len();
    Ok(graph.unsqueeze(row_weights, &[rank])?)
}

/// `F^T W F` and `F^T W E` for features, errors and weights `[.., rows, ..]`.
fn weighted_sums(
    graph: &mut Graph,
    features: ValueId,
    error: ValueId,
    weights: ValueId,
) -> Result<(ValueId, ValueId), AdaptationError> {
    let weighted = graph.mul(features, weights)?;
    let transposed = graph.transpose_matrix(weighted)?;
    Ok((graph.matmul(transposed, features)?, graph.matmul(transposed, error)?))
}

/// One row of the recursive form: `P` `[n, n]` and head `[n, m]` with features `[1, n]` and target `[1, m]`. A row of
/// weight zero changes nothing.
fn recursion(
    graph: &mut Graph,
    [inverse, head]: [ValueId; 2],
    feature: ValueId,
    target: ValueId,
    weight: ValueId,
    forgetting: f32,
) -> Result<[ValueId; 2], AdaptationError> {
    let one = graph.scalar(1.0);
    let lost = graph.scale(weight, 1.0 - forgetting)?;
    let forgetting = graph.sub(one, lost)?;
    // [1, n]: P is symmetric.
    let direction = graph.matmul(feature, inverse)?;
    let column = graph.transpose_matrix(feature)?;
    let variance = graph.matmul(direction, column)?;
    let variance = graph.mul(variance, weight)?;
    let total = graph.add(variance, forgetting)?;
    let gain = graph.mul(direction, weight)?;
    let gain = graph.div(gain, total)?;
    let gain = graph.transpose_matrix(gain)?;

    let prediction = graph.matmul(feature, head)?;
    let error = graph.sub(target, prediction)?;
    let change = graph.mul(gain, error)?;
    let head = graph.add(head, change)?;
    let known = graph.mul(gain, direction)?;
    let inverse = graph.sub(inverse, known)?;
    Ok([graph.div(inverse, forgetting)?, head])
}

/// `value I` of `n` rows.
fn diagonal(n: usize, value: f32) -> Tensor {
    let mut values = vec![0.0; n * n];
    values.iter_mut().step_by(n + 1).for_each(|element| *element = value);
    Tensor::f32(&[n, n], values).expect("as long as its shape")
}
