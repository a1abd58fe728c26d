//! A trunk that all tasks share and a head for each (Caruana 1997, "Multitask Learning"), where the tasks may have unlike
//! inputs and unlike targets: what training sees. [`Banked`](super::Banked) is the same network on a device.

use super::{Activation, Conditioning, LayerModulation, Parameter};
use crate::graph::{Graph, GraphError, ValueId};

/// What a target is, and with it the loss: always the negative log-likelihood of the target, up to a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetLoss {
    /// Numbers; the squared error.
    SquaredError,
    /// One or several labels that are there or not (1 or 0); the binary cross-entropy of each, from logits.
    BinaryCrossEntropy,
    /// One class of several, as one 1 among zeros; the cross-entropy, from logits.
    CrossEntropy,
}

impl TargetLoss {
    /// Every loss, in the order of [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::SquaredError, Self::BinaryCrossEntropy, Self::CrossEntropy];

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Numbers that the loss of one row has: one a target, but one a row for the cross-entropy.
    pub const fn elements(self, outputs: usize) -> usize {
        match self {
            Self::CrossEntropy => 1,
            Self::SquaredError | Self::BinaryCrossEntropy => outputs,
        }
    }

    /// The loss of each element, `[.., rows, elements]`, of a head's outputs (logits) and targets, both
    /// `[.., rows, outputs]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn of(self, graph: &mut Graph, outputs: ValueId, targets: ValueId) -> Result<ValueId, GraphError> {
        match self {
            Self::SquaredError => {
                let error = graph.sub(outputs, targets)?;
                graph.square(error)
            }
            Self::BinaryCrossEntropy => {
                // -y log p - (1 - y) log(1 - p) with p the sigmoid of the logit, without forming p.
                let normaliser = graph.softplus(outputs)?;
                let chosen = graph.mul(targets, outputs)?;
                graph.sub(normaliser, chosen)
            }
            Self::CrossEntropy => {
                let axis = graph.shape(outputs).len() - 1;
                let log_probabilities = graph.log_softmax(outputs, axis)?;
                let chosen = graph.mul(targets, log_probabilities)?;
                let sum = graph.reduce_sum(chosen, &[axis], true)?;
                graph.neg(sum)
            }
        }
    }

    /// What a head's outputs say about the target: itself, or probabilities.
    ///
    /// # Errors
    /// None for single precision.
    pub fn answer(self, graph: &mut Graph, outputs: ValueId) -> Result<ValueId, GraphError> {
        match self {
            Self::SquaredError => Ok(outputs),
            Self::BinaryCrossEntropy => graph.sigmoid(outputs),
            Self::CrossEntropy => graph.softmax(outputs, graph.shape(outputs).len() - 1),
        }
    }
}

/// One task of a [`MultiTask`] network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskHead {
    /// Numbers in one input.
    pub inputs: usize,
    /// Numbers in one target, and outputs of the head.
    pub outputs: usize,
    /// What the targets are.
    pub loss: TargetLoss,
}

/// The network of several tasks.
///
/// ```
/// use pliant_compiler::policy::{Activation, Conditioning, MultiTask, TargetLoss, TaskHead};
///
/// // A number from 10 features, and one of 3 classes from 13: each task has a first layer of its own.
/// let network = MultiTask {
///     encoder: Some(16),
///     hidden: vec![16],
///     activation: Activation::Relu,
///     conditioning: Conditioning::None,
///     shared_head: false,
///     tasks: vec![
///         TaskHead { inputs: 10, outputs: 1, loss: TargetLoss::SquaredError },
///         TaskHead { inputs: 13, outputs: 3, loss: TargetLoss::CrossEntropy },
///     ],
/// };
/// assert_eq!(network.shared()[0].shape, [16, 16]);
/// assert_eq!(network.private(1)[0].shape, [13, 16]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultiTask {
    /// Width of a first layer that each task has for itself; `None` where the trunk sees the inputs, which then have one
    /// width.
    pub encoder: Option<usize>,
    /// Widths of the shared hidden layers.
    pub hidden: Vec<usize>,
    /// After every layer but the heads.
    pub activation: Activation,
    /// How the shared layers are told the task; needs at least one.
    pub conditioning: Conditioning,
    /// Whether all tasks, which then have equally many outputs, share one head: conditioning alone tells them apart.
    pub shared_head: bool,
    /// The tasks.
    pub tasks: Vec<TaskHead>,
}

impl MultiTask {
    /// Numbers that the heads see.
    pub fn features(&self) -> usize {
        let before = self.encoder.or(self.tasks.first().map(|task| task.inputs));
        self.hidden.last().copied().or(before).unwrap_or(0)
    }

    /// The trunk: `layer0.weight` `[inputs, outputs]`, `layer0.bias` `[outputs]`, ...; then what the
    /// [conditioning](Conditioning::shared) shares, and `head.weight`, `head.bias` where the head is shared.
    pub fn shared(&self) -> Vec<Parameter> {
        let first = self.encoder.or(self.tasks.first().map(|task| task.inputs)).unwrap_or(0);
        let sizes: Vec<usize> = core::iter::once(first).chain(self.hidden.iter().copied()).collect();
        let layer = |(index, sizes): (usize, &[usize])| {
            [
                Parameter::new(format!("layer{index}.weight"), sizes),
                Parameter::new(format!("layer{index}.bias"), &sizes[1..]),
            ]
        };
        let mut parameters: Vec<Parameter> = sizes.windows(2).enumerate().flat_map(layer).collect();
        parameters.extend(self.conditioning.shared(first, &self.hidden));
        if self.shared_head {
            parameters.extend(self.head_parameters("", self.tasks.first().map_or(0, |task| task.outputs)));
        }
        parameters
    }

    fn head_parameters(&self, owner: &str, outputs: usize) -> [Parameter; 2] {
        [
            Parameter::new(format!("{owner}head.weight"), &[self.features(), outputs]),
            Parameter::new(format!("{owner}head.bias"), &[outputs]),
        ]
    }

    /// What one task has for itself: `taskN.encoder.weight`, `taskN.encoder.bias` where there are encoders; what the
    /// [conditioning](Conditioning::private) has of it; `taskN.head.weight`, `taskN.head.bias` unless the head is shared.
    ///
    /// # Panics
    /// Without such a task.
    pub fn private(&self, task: usize) -> Vec<Parameter> {
        let TaskHead { inputs, outputs, .. } = self.tasks[task];
        let mut parameters = Vec::new();
        if let Some(width) = self.encoder {
            parameters.push(Parameter::new(format!("task{task}.encoder.weight"), &[inputs, width]));
            parameters.push(Parameter::new(format!("task{task}.encoder.bias"), &[width]));
        }
        parameters.extend(self.conditioning.private(task, &self.hidden));
        if !self.shared_head {
            parameters.extend(self.head_parameters(&format!("task{task}."), outputs));
        }
        parameters
    }

    /// Everything: what is shared, then each task's own.
    pub fn parameters(&self) -> Vec<Parameter> {
        let private = (0..self.tasks.len()).flat_map(|task| self.private(task));
        self.shared().into_iter().chain(private).collect()
    }

    /// Hidden layers that a row passes, the task's own included.
    pub fn layers(&self) -> usize {
        self.hidden.len() + usize::from(self.encoder.is_some())
    }

    /// What the heads see of a task's inputs `[rows, inputs]`: `[rows, features]`. Each layer's result is multiplied by
    /// its mask where there is one (dropout; masks `[rows, width]`, in order).
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn trunk(
        &self,
        graph: &mut Graph,
        shared: &[ValueId],
        private: &[ValueId],
        x: ValueId,
        masks: &[ValueId],
    ) -> Result<ValueId, GraphError> {
        let mut masks = masks.iter();
        let (encoder, condition) = self.parts(private, false);
        let (layers, conditioning) = self.parts(shared, true);
        let mut value = x;
        for (index, layer) in encoder.chunks_exact(2).chain(layers.chunks_exact(2)).enumerate() {
            let given = value;
            let product = graph.matmul(given, layer[0])?;
            let mut sum = graph.add(product, layer[1])?;
            let shared = index.checked_sub(encoder.len() / 2);
            if let Some(layer) = shared {
                sum = self.conditioning.apply(graph, conditioning, condition, layer, sum)?;
            }
            value = self.activation.apply(graph, sum)?;
            if let Some(layer) = shared {
                value = self
                    .conditioning
                    .gate(graph, conditioning, condition, layer, given, value)?;
            }
            if let Some(&mask) = masks.next() {
                value = graph.mul(value, mask)?;
            }
        }
        Ok(value)
    }

    /// Layers, and what the conditioning has, of parameters that are all shared or all one task's; without the head.
    fn parts<'a, T>(&self, parameters: &'a [T], shared: bool) -> (&'a [T], &'a [T]) {
        let head = if self.shared_head == shared { 2 } else { 0 };
        let layers = match shared {
            true => 2 * self.hidden.len(),
            false => 2 * usize::from(self.encoder.is_some()),
        };
        parameters[..parameters.len() - head].split_at(layers)
    }

    /// A task's encoder, empty without one, from the task's own parameters in any form.
    pub fn encoder_of<'a, T>(&self, private: &'a [T]) -> &'a [T] {
        self.parts(private, false).0
    }

    /// Weight and bias of a task's head, from shared parameters and the task's own in any form.
    pub fn head_of<'a, T>(&self, shared: &'a [T], private: &'a [T]) -> &'a [T] {
        let owner = if self.shared_head { shared } else { private };
        &owner[owner.len() - 2..]
    }

    /// What the [conditioning](Conditioning::layers) makes of the values of shared parameters and a task's own.
    pub fn modulation(&self, shared: &[&[f32]], private: &[&[f32]]) -> Vec<LayerModulation> {
        let parts = [self.parts(shared, true).1, self.parts(private, false).1];
        self.conditioning.layers(&self.hidden, parts[0], parts[1])
    }

    /// What a task's head says of features `[rows, features]`: `[rows, outputs]`, logits where targets are labels or
    /// classes.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn head(
        &self,
        graph: &mut Graph,
        shared: &[ValueId],
        private: &[ValueId],
        features: ValueId,
    ) -> Result<ValueId, GraphError> {
        let head = self.head_of(shared, private);
        let product = graph.matmul(features, head[0])?;
        graph.add(product, head[1])
    }
}
