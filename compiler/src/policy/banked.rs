//! A multi-task network on a device: the trunk is in the constants, what a task has for itself in its slice of the bank,
//! and what adapts is a change on top of both. So one plan serves every task, and selecting a task is one pointer.
//!
//! Inputs and targets are padded to the widest task's: what a task does not have is masked, costs a few products with zero
//! and needs no branch. An image may hold spare slices, of tasks that nobody has met yet: their heads are zero, and the
//! change that adaptation makes is the whole head.

use super::{Activation, FeatureMap, LayerModulation, Modulation, MultiTask, Parameter, TargetLoss};
use crate::adaptation::standardise::moments;
use crate::graph::{Graph, GraphError, ValueId};

/// Taken from the logits of classes that a task does not have: their probability is then exactly zero.
const ABSENT: f32 = 1e4;
/// Least target whose logarithm is taken, and greatest logarithm that is undone: both stay finite.
const LEAST_TARGET: f32 = 1e-30;
const GREATEST_LOGARITHM: f32 = 80.0;

/// The network, the same for every task.
#[derive(Clone, Debug, PartialEq)]
pub struct Banked {
    /// Inputs of the task with the most, as they come from the machine.
    pub inputs: usize,
    /// Where the tasks' inputs are scaled, and features made of them, before anything is learned: the map, over the widest
    /// task's inputs. Each task then has mean and scale of every input in its slice, and which features it has.
    pub feature_map: Option<FeatureMap>,
    /// Whether some task learns the logarithm of its target.
    pub logarithms: bool,
    /// Outputs of the task with the most.
    pub outputs: usize,
    /// Width of each task's own first layer, if there is one.
    pub encoder: Option<usize>,
    /// Widths of the shared layers.
    pub hidden: Vec<usize>,
    /// What the shared layers take from a task's slice.
    pub modulation: Modulation,
    /// After every layer but the heads.
    pub activation: Activation,
    /// The losses that there are among the tasks.
    pub losses: Vec<TargetLoss>,
    /// Whether a scale and an offset of every (scaled) input adapt beside the head: for sensors that change.
    pub adapts_input: bool,
    /// Where inputs adapt: whether scale and offset are those that bring the inputs back to the mean 0 and the deviation 1 of
    /// training, whatever the targets are (see [`standardise`](crate::adaptation::standardise)), with so many rows of prior
    /// knowledge. Needs a feature map with standardised inputs. Otherwise they descend the loss of the targets.
    pub standardises: Option<f32>,
}

/// What one task has for itself, in its own widths.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSlice {
    /// Inputs of the task's first layer; features, where there is a map.
    pub inputs: usize,
    /// With a feature map: what every input is scaled by, and which features the task has.
    pub scaling: Option<InputScaling>,
    /// Outputs of the task.
    pub outputs: usize,
    /// What the targets are.
    pub loss: TargetLoss,
    /// Weight `[inputs, width]` and bias `[width]` of the task's own first layer, where there is one.
    pub encoder: Option<(Vec<f32>, Vec<f32>)>,
    /// Scale and shift of the shared layers, as far as [`Banked::modulation`] says; what is left out changes nothing.
    pub modulation: Vec<LayerModulation>,
    /// Weight `[features, outputs]` and bias `[outputs]` of the head.
    pub head: (Vec<f32>, Vec<f32>),
    /// Numbers: what each output of the head is multiplied by and then added to, in the target's unit (of its logarithm).
    /// 1 and 0 for others.
    pub target: Vec<(f32, f32)>,
    /// Whether what was learned is the logarithm of the target: answers are its exponential.
    pub logarithm: bool,
    /// Numbers: standard deviation of the error on held-out rows, in units of the scale; above 0. It makes the likelihoods
    /// of tasks comparable.
    pub deviation: f32,
    /// Whether the head has learned something: a spare slice is never identified as the task at hand.
    pub trained: bool,
}

/// How one task's inputs become the network's, before a [`FeatureMap`]: `(x - mean) * factor`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputScaling {
    /// One an input of the widest task.
    pub mean: Vec<f32>,
    /// One an input of the widest task; 0 for inputs that the task has not.
    pub factor: Vec<f32>,
    /// One a feature: 1 where the task has it, otherwise 0.
    pub mask: Vec<f32>,
}

impl Banked {
    /// The network of these tasks on a device.
    pub fn of(network: &MultiTask, adapts_input: bool) -> Self {
        let widest = |width: fn(&super::TaskHead) -> usize| network.tasks.iter().map(width).max().unwrap_or(0);
        let mut losses: Vec<TargetLoss> = TargetLoss::ALL.to_vec();
        losses.retain(|loss| network.tasks.iter().any(|task| task.loss == *loss));
        Self {
            inputs: widest(|task| task.inputs),
            feature_map: None,
            logarithms: false,
            outputs: widest(|task| task.outputs),
            encoder: network.encoder,
            hidden: network.hidden.clone(),
            modulation: network.conditioning.modulation(),
            activation: network.activation,
            losses,
            adapts_input,
            standardises: None,
        }
    }

    /// Numbers that the first layer sees.
    fn mapped(&self) -> usize {
        self.feature_map.as_ref().map_or(self.inputs, FeatureMap::width)
    }

    fn features(&self) -> usize {
        let first = self.encoder.unwrap_or(self.mapped());
        self.hidden.last().copied().unwrap_or(first)
    }

    /// What adapts, from these initial values on, whatever the task: `input.scale` `[inputs]` (ones) and `input.offset`
    /// (zeros) where inputs adapt; `change.weight` `[features, outputs]` and `change.bias` `[outputs]` (zeros).
    pub fn adapted(&self) -> Vec<(Parameter, f32)> {
        let mut adapted = Vec::new();
        if self.adapts_input {
            adapted.push((Parameter::new("input.scale", &[self.inputs]), 1.0));
            adapted.push((Parameter::new("input.offset", &[self.inputs]), 0.0));
        }
        adapted.push((Parameter::new("change.weight", &[self.features(), self.outputs]), 0.0));
        adapted.push((Parameter::new("change.bias", &[self.outputs]), 0.0));
        adapted
    }

    /// The trunk: `layer0.weight`, `layer0.bias`, ..., what the [modulation](Modulation::router) has there, then `whitening.weight` `[features, features]` and
    /// `whitening.bias` `[features]`: an affine map of the last layer's features, without an activation, after which a few
    /// gradient steps fit a head.
    pub fn trunk(&self) -> Vec<Parameter> {
        let first = self.encoder.unwrap_or(self.mapped());
        let sizes: Vec<usize> = core::iter::once(first).chain(self.hidden.iter().copied()).collect();
        let mut parameters = Vec::new();
        for (index, sizes) in sizes.windows(2).enumerate() {
            parameters.push(Parameter::new(format!("layer{index}.weight"), sizes));
            parameters.push(Parameter::new(format!("layer{index}.bias"), &sizes[1..]));
        }
        parameters.extend(self.modulation.router(first, &self.hidden));
        let features = self.features();
        parameters.push(Parameter::new("whitening.weight", &[features, features]));
        parameters.push(Parameter::new("whitening.bias", &[features]));
        parameters
    }

    /// One task's slice of the bank, in order: `feature.mean` and `feature.factor` `[inputs]` and `feature.mask` where there
    /// is a feature map; `encoder.weight`, `encoder.bias` where tasks have a first layer of their own; `layerL.scale` and
    /// `layerL.shift`, numbers a unit, as far as the shared layers take any; `head.weight`, `head.bias`, `target.scale` and `target.offset` `[outputs]`, `mask` `[outputs]` (1 for an output that the task has),
    /// `kind` (1 for its loss) `[losses]`, `precision` `[1]` and `log_normaliser` `[1]`; `target.logarithm` `[1]` where some
    /// task has logarithms.
    pub fn bank(&self) -> Vec<Parameter> {
        let mut bank = Vec::new();
        if let Some(map) = &self.feature_map {
            bank.push(Parameter::new("feature.mean", &[self.inputs]));
            bank.push(Parameter::new("feature.factor", &[self.inputs]));
            bank.push(Parameter::new("feature.mask", &[map.width()]));
        }
        if let Some(width) = self.encoder {
            bank.push(Parameter::new("encoder.weight", &[self.mapped(), width]));
            bank.push(Parameter::new("encoder.bias", &[width]));
        }
        bank.extend(self.modulation.bank(&self.hidden));
        bank.push(Parameter::new("head.weight", &[self.features(), self.outputs]));
        bank.push(Parameter::new("head.bias", &[self.outputs]));
        bank.push(Parameter::new("target.scale", &[self.outputs]));
        bank.push(Parameter::new("target.offset", &[self.outputs]));
        bank.push(Parameter::new("mask", &[self.outputs]));
        bank.push(Parameter::new("kind", &[self.losses.len()]));
        bank.push(Parameter::new("precision", &[1]));
        bank.push(Parameter::new("log_normaliser", &[1]));
        if self.logarithms {
            bank.push(Parameter::new("target.logarithm", &[1]));
        }
        bank
    }

    /// What adapts, then the trunk, then the bank: the order that [`answer`](Self::answer) and the losses take.
    pub fn parameters(&self) -> Vec<Parameter> {
        let adapted = self.adapted().into_iter().map(|(parameter, _)| parameter);
        adapted.chain(self.trunk()).chain(self.bank()).collect()
    }

    /// A task's slice, padded, in the order of [`bank`](Self::bank).
    ///
    /// # Panics
    /// With values of other lengths than the widths say, or a loss that is none of the network's.
    pub fn slice(&self, task: &TaskSlice) -> Vec<f32> {
        let mut slice = Vec::new();
        if let Some(scaling) = task.scaling.as_ref().filter(|_| self.feature_map.is_some()) {
            slice.extend(scaling.mean.iter().chain(&scaling.factor).chain(&scaling.mask));
        }
        if let (Some(width), Some((weight, bias))) = (self.encoder, &task.encoder) {
            slice.extend(pad(weight, [task.inputs, width], [self.mapped(), width]));
            slice.extend(bias);
        }
        slice.extend(self.modulation.values(&self.hidden, &task.modulation));
        let features = self.features();
        slice.extend(pad(&task.head.0, [features, task.outputs], [features, self.outputs]));
        slice.extend(pad(&task.head.1, [1, task.outputs], [1, self.outputs]));
        let unit = |output: usize| task.target.get(output).copied().unwrap_or((1.0, 0.0));
        slice.extend((0..self.outputs).map(|output| unit(output).0));
        slice.extend((0..self.outputs).map(|output| unit(output).1));
        slice.extend((0..self.outputs).map(|output| f32::from(u8::from(output < task.outputs))));
        slice.extend(self.losses.iter().map(|loss| f32::from(u8::from(*loss == task.loss))));
        let variance = task.deviation * task.deviation;
        slice.push(0.5 / variance);
        // Of one output in its unit; a row's is the sum over its outputs. Without training nothing is likely.
        let normaliser = match (task.trained, task.loss) {
            (false, _) => 1e30,
            (true, TargetLoss::SquaredError) => {
                let normaliser = |output| (task.deviation * unit(output).0).ln() + 0.5 * core::f32::consts::TAU.ln();
                (0..task.outputs).map(normaliser).sum()
            }
            (true, _) => 0.0,
        };
        slice.push(normaliser);
        if self.logarithms {
            slice.push(f32::from(u8::from(task.logarithm)));
        }
        assert_eq!(
            slice.len(),
            super::total_elements(&self.bank()),
            "a slice is as long as its parameters"
        );
        slice
    }

    /// A head's raw outputs for `x` `[.., rows, inputs]`.
    fn outputs(&self, graph: &mut Graph, parameters: &[ValueId], x: ValueId) -> Result<Raw, GraphError> {
        let (adapted, rest) = parameters.split_at(self.adapted().len());
        let (trunk, bank) = rest.split_at(self.trunk().len());
        let mut value = x;
        let mut adapted = adapted;
        let (scaling, bank) = bank.split_at(if self.feature_map.is_some() { 3 } else { 0 });
        if let [mean, factor, _] = *scaling {
            let moved = graph.sub(value, mean)?;
            value = graph.mul(moved, factor)?;
        }
        let before_inputs_adapt = value;
        if self.adapts_input {
            let scaled = graph.mul(value, adapted[0])?;
            value = graph.add(scaled, adapted[1])?;
            adapted = &adapted[2..];
        }
        if let (Some(map), [_, _, mask]) = (&self.feature_map, scaling) {
            let features = map.apply(graph, value)?;
            value = graph.mul(features, *mask)?;
        }
        let inputs = scaling.get(2).map(|&mask| (before_inputs_adapt, mask));
        let (own, bank) = bank.split_at(if self.encoder.is_some() { 2 } else { 0 });
        let (modulation, bank) = bank.split_at(self.modulation.bank(&self.hidden).len());
        let (layers, whitening) = trunk.split_at(trunk.len() - 2);
        let (layers, router) = layers.split_at(2 * self.hidden.len());
        for (index, layer) in own.chunks_exact(2).chain(layers.chunks_exact(2)).enumerate() {
            let given = value;
            let product = graph.matmul(given, layer[0])?;
            let mut sum = graph.add(product, layer[1])?;
            let shared = index.checked_sub(own.len() / 2);
            if let Some(layer) = shared {
                sum = self.modulation.apply(graph, modulation, layer, sum)?;
            }
            value = self.activation.apply(graph, sum)?;
            if let Some(layer) = shared {
                value = self.modulation.gate(graph, modulation, router, layer, given, value)?;
            }
        }
        let product = graph.matmul(value, whitening[0])?;
        let features = graph.add(product, whitening[1])?;
        let weight = graph.add(bank[0], adapted[0])?;
        let bias = graph.add(bank[1], adapted[1])?;
        let product = graph.matmul(features, weight)?;
        Ok(Raw {
            outputs: graph.add(product, bias)?,
            scale: bank[2],
            offset: bank[3],
            mask: bank[4],
            kind: bank[5],
            precision: bank[6],
            log_normaliser: bank[7],
            logarithm: bank.get(8).copied(),
            inputs,
        })
    }

    /// One term a loss, each multiplied by 1 for the task that has it and 0 for others, summed.
    fn mixed(
        &self,
        graph: &mut Graph,
        raw: &Raw,
        term: impl Fn(&mut Graph, TargetLoss) -> Result<ValueId, GraphError>,
    ) -> Result<ValueId, GraphError> {
        let mut sum = None;
        for (index, &loss) in self.losses.iter().enumerate() {
            let mut value = term(graph, loss)?;
            if self.losses.len() > 1 {
                let axis = graph.shape(raw.kind).len() - 1;
                let share = graph.slice(raw.kind, axis, index, index + 1)?;
                value = graph.mul(value, share)?;
            }
            sum = Some(match sum {
                None => value,
                Some(sum) => graph.add(sum, value)?,
            });
        }
        Ok(sum.unwrap_or(raw.outputs))
    }

    /// The logits of the classes that the task has; those of others are far below.
    fn present(&self, graph: &mut Graph, raw: &Raw) -> Result<ValueId, GraphError> {
        let one = graph.scalar(1.0);
        let absent = graph.sub(raw.mask, one)?;
        let penalty = graph.scale(absent, ABSENT)?;
        graph.add(raw.outputs, penalty)
    }

    /// Numbers in their unit, probabilities of labels or classes, 0 for outputs that the task does not have: `[.., rows,
    /// outputs]` for `x` `[.., rows, inputs]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn answer(&self, graph: &mut Graph, parameters: &[ValueId], x: ValueId) -> Result<ValueId, GraphError> {
        let raw = self.outputs(graph, parameters, x)?;
        let answer = self.mixed(graph, &raw, |graph, loss| match loss {
            TargetLoss::SquaredError => {
                let scaled = graph.mul(raw.outputs, raw.scale)?;
                let number = graph.add(scaled, raw.offset)?;
                let Some(logarithm) = raw.logarithm else {
                    return Ok(number);
                };
                let bounded = graph.clip(number, -GREATEST_LOGARITHM, GREATEST_LOGARITHM)?;
                let undone = graph.exp(bounded)?;
                choose(graph, logarithm, undone, number)
            }
            TargetLoss::BinaryCrossEntropy => loss.answer(graph, raw.outputs),
            TargetLoss::CrossEntropy => {
                let logits = self.present(graph, &raw)?;
                loss.answer(graph, logits)
            }
        })?;
        graph.mul(answer, raw.mask)
    }

    /// What a gradient step descends, `[.., rows, 1]`: half the squared error in units of the target's scale, or the
    /// cross-entropy, summed over the outputs that the task has. `fields` are `x` and `y`, `y` in the target's unit.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn loss(&self, graph: &mut Graph, parameters: &[ValueId], fields: &[ValueId]) -> Result<ValueId, GraphError> {
        if self.standardises.is_none() || !self.adapts_input {
            let raw = self.outputs(graph, parameters, fields[0])?;
            let half = graph.scalar(0.5);
            return self.rows(graph, &raw, fields[1], half);
        }
        // Scale and offset have the moments for their gradients, and nothing of the targets.
        let mut still = parameters.to_vec();
        for value in &mut still[..2] {
            *value = graph.stop_gradient(*value)?;
        }
        let raw = self.outputs(graph, &still, fields[0])?;
        let half = graph.scalar(0.5);
        let rows = self.rows(graph, &raw, fields[1], half)?;
        let Some((x, mask)) = raw.inputs else {
            return Ok(rows);
        };
        let axis = graph.shape(mask).len() - 1;
        let plain = graph.slice(mask, axis, 0, self.inputs)?;
        let moments = moments(graph, parameters[0], parameters[1], x, plain)?;
        graph.add(rows, moments)
    }

    /// The negative log-likelihood of a row, `[.., rows, 1]`: what accepts an adaptation, and by which the task at hand is
    /// identified.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn score(&self, graph: &mut Graph, parameters: &[ValueId], fields: &[ValueId]) -> Result<ValueId, GraphError> {
        let raw = self.outputs(graph, parameters, fields[0])?;
        let rows = self.rows(graph, &raw, fields[1], raw.precision)?;
        let rows = graph.add(rows, raw.log_normaliser)?;
        let Some(flag) = raw.logarithm else {
            return Ok(rows);
        };
        // The density of the number, not of its logarithm: over the number.
        let logarithm = logarithm(graph, fields[1])?;
        let there = graph.mul(logarithm, raw.mask)?;
        let axis = graph.shape(there).len() - 1;
        let sum = graph.reduce_sum(there, &[axis], true)?;
        let own = graph.mul(sum, flag)?;
        graph.add(rows, own)
    }

    fn rows(&self, graph: &mut Graph, raw: &Raw, y: ValueId, precision: ValueId) -> Result<ValueId, GraphError> {
        self.mixed(graph, raw, |graph, loss| {
            let elements = match loss {
                TargetLoss::SquaredError => {
                    let number = match raw.logarithm {
                        Some(flag) => {
                            let logarithm = logarithm(graph, y)?;
                            choose(graph, flag, logarithm, y)?
                        }
                        None => y,
                    };
                    let moved = graph.sub(number, raw.offset)?;
                    let targets = graph.div(moved, raw.scale)?;
                    let squares = loss.of(graph, raw.outputs, targets)?;
                    graph.mul(squares, precision)?
                }
                TargetLoss::BinaryCrossEntropy => loss.of(graph, raw.outputs, y)?,
                TargetLoss::CrossEntropy => {
                    let logits = self.present(graph, raw)?;
                    return loss.of(graph, logits, y);
                }
            };
            let axis = graph.shape(elements).len() - 1;
            let there = graph.mul(elements, raw.mask)?;
            graph.reduce_sum(there, &[axis], true)
        })
    }
}

/// A head's outputs and what the task's slice says of them.
struct Raw {
    outputs: ValueId,
    scale: ValueId,
    offset: ValueId,
    mask: ValueId,
    kind: ValueId,
    precision: ValueId,
    log_normaliser: ValueId,
    logarithm: Option<ValueId>,
    /// Where there is a feature map: the scaled inputs before they adapt, and which features the task has.
    inputs: Option<(ValueId, ValueId)>,
}

/// The first where the flag is 1, the second where it is 0.
fn choose(graph: &mut Graph, flag: ValueId, first: ValueId, second: ValueId) -> Result<ValueId, GraphError> {
    let one = graph.scalar(1.0);
    let other = graph.sub(one, flag)?;
    let first = graph.mul(first, flag)?;
    let second = graph.mul(second, other)?;
    graph.add(first, second)
}

/// The logarithm of what is above zero.
fn logarithm(graph: &mut Graph, y: ValueId) -> Result<ValueId, GraphError> {
    let least = graph.scalar(LEAST_TARGET);
    let bounded = graph.max(y, least)?;
    graph.log(bounded)
}

/// A matrix in the corner of a larger one of zeros.
fn pad(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    assert_eq!(values.len(), from[0] * from[1], "a matrix is as long as its shape says");
    let mut padded = vec![0.0; to[0] * to[1]];
    for (row, values) in values.chunks_exact(from[1].max(1)).enumerate() {
        padded[row * to[1]..][..from[1]].copy_from_slice(values);
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_padded_by_row() {
        assert_eq!(
            pad(&[1.0, 2.0, 3.0, 4.0], [2, 2], [3, 3]),
            [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]
        );
    }
}
