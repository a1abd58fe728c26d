//! How a trunk that several tasks share is told which of them is at hand.
//!
//! Whatever the way, of what it makes of a task only one scale and one shift a unit reach a layer (or the shift alone), and
//! these do not depend on the input. So a device keeps them in the task's slice of the bank, and neither the embedding nor
//! what makes scales and shifts of it is deployed: [`Modulation`].

use super::Parameter;
use crate::graph::{Graph, GraphError, Tensor, ValueId};

/// What is told to the trunk of a [`MultiTask`](super::MultiTask) network, beside the heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conditioning {
    /// Nothing.
    #[default]
    None,
    /// The task as a one-hot vector beside the inputs of the first shared layer: a row of weights a task.
    OneHot,
    /// A learned vector of so many numbers a task, beside the inputs of the first shared layer.
    Embedding(usize),
    /// Feature-wise linear modulation (Perez et al. 2018, equation 2) of every shared layer before its activation:
    /// `(1 + e S) (x W + b) + e B`, where `e` is a learned vector of so many numbers a task.
    Film(usize),
    /// A soft mixture of experts (Jacobs et al. 1991, "Adaptive mixtures of local experts"): the units of every shared layer fall
    /// into so many groups of one size, the experts, and a group counts by its gate, a softmax times their number, so that equal
    /// gates change nothing. What follows takes each expert through rows of its own matrix, so this is the gated sum of the
    /// experts' answers. The gates are the task's (Ma et al. 2018, "Modeling task relationships in multi-task learning with
    /// multi-gate mixture-of-experts", whose gates depend on the input too): one logit an expert and layer.
    ExpertsByTask(usize),
    /// The same with gates by input: the logits are an affine function of what the layer is given.
    ExpertsByInput(usize),
}

/// What a [`Banked`](super::Banked) network takes from a task's slice for its shared layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Modulation {
    /// Nothing.
    #[default]
    None,
    /// A shift of the first layer.
    Shift,
    /// A scale and a shift of every layer.
    ScaleAndShift,
    /// A factor of every unit of every layer, after the activation.
    Gate,
    /// Nothing of the task: gates of so many experts that the trunk finds from the input.
    Router(usize),
}

/// One layer's scale and shift for one task, a number a unit each; gates have no shift.
pub type LayerModulation = (Vec<f32>, Vec<f32>);

impl Conditioning {
    /// What is left of it on a device.
    pub const fn modulation(self) -> Modulation {
        match self {
            Self::None => Modulation::None,
            Self::OneHot | Self::Embedding(_) => Modulation::Shift,
            Self::Film(_) => Modulation::ScaleAndShift,
            Self::ExpertsByTask(_) => Modulation::Gate,
            Self::ExpertsByInput(experts) => Modulation::Router(experts),
        }
    }

    /// What the tasks share, for layers of these widths whose first is given `inputs` numbers: `embedding.weight` `[numbers,
    /// first width]`; `filmL.scale` and `filmL.shift` `[numbers, width]`, or `routerL.weight` `[inputs of the layer, experts]` and
    /// `routerL.bias` `[experts]`, of every layer L.
    pub fn shared(self, inputs: usize, hidden: &[usize]) -> Vec<Parameter> {
        match self {
            Self::None | Self::OneHot | Self::ExpertsByTask(_) => Vec::new(),
            Self::ExpertsByInput(experts) => Modulation::Router(experts).router(inputs, hidden),
            Self::Embedding(numbers) => hidden
                .iter()
                .take(1)
                .map(|&width| Parameter::new("embedding.weight", &[numbers, width]))
                .collect(),
            Self::Film(numbers) => hidden
                .iter()
                .enumerate()
                .flat_map(|(layer, &width)| {
                    ["scale", "shift"].map(|kind| Parameter::new(format!("film{layer}.{kind}"), &[numbers, width]))
                })
                .collect(),
        }
    }

    /// What one task has for itself: `taskN.one_hot` `[1, first width]`, `taskN.embedding` `[1, numbers]`, or `taskN.gatesL`
    /// `[1, experts]` of every layer L.
    pub fn private(self, task: usize, hidden: &[usize]) -> Vec<Parameter> {
        match self {
            Self::None | Self::ExpertsByInput(_) => Vec::new(),
            Self::ExpertsByTask(experts) => (0..hidden.len())
                .map(|layer| Parameter::new(format!("task{task}.gates{layer}"), &[1, experts]))
                .collect(),
            Self::OneHot => hidden
                .iter()
                .take(1)
                .map(|&width| Parameter::new(format!("task{task}.one_hot"), &[1, width]))
                .collect(),
            Self::Embedding(numbers) | Self::Film(numbers) => {
                vec![Parameter::new(format!("task{task}.embedding"), &[1, numbers])]
            }
        }
    }

    /// A layer's sums `[rows, width]`, before the activation, as the task has them. `shared` and `private` are those of
    /// [`shared`](Self::shared) and [`private`](Self::private).
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn apply(
        self,
        graph: &mut Graph,
        shared: &[ValueId],
        private: &[ValueId],
        layer: usize,
        sums: ValueId,
    ) -> Result<ValueId, GraphError> {
        match (self, private, layer) {
            (Self::OneHot, &[row], 0) => graph.add(sums, row),
            (Self::Embedding(_), &[embedding], 0) => {
                let shift = graph.matmul(embedding, shared[0])?;
                graph.add(sums, shift)
            }
            (Self::Film(_), &[embedding], _) => {
                let [scale, shift] = [shared[2 * layer], shared[2 * layer + 1]];
                let change = graph.matmul(embedding, scale)?;
                let one = graph.scalar(1.0);
                let scale = graph.add(change, one)?;
                let shift = graph.matmul(embedding, shift)?;
                let scaled = graph.mul(sums, scale)?;
                graph.add(scaled, shift)
            }
            _ => Ok(sums),
        }
    }

    /// A layer's activations `[rows, width]`, each expert's times its gate; `input` is what the layer was given. Without experts
    /// as they are.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn gate(
        self,
        graph: &mut Graph,
        shared: &[ValueId],
        private: &[ValueId],
        layer: usize,
        input: ValueId,
        activations: ValueId,
    ) -> Result<ValueId, GraphError> {
        match self {
            Self::ExpertsByTask(experts) => gated(graph, private[layer], experts, activations),
            Self::ExpertsByInput(experts) => {
                Modulation::Router(experts).gate(graph, &[], shared, layer, input, activations)
            }
            _ => Ok(activations),
        }
    }

    /// The same for a device: scale and shift of every layer that the [`modulation`](Self::modulation) is of, from the values
    /// of the parameters. Computed in double precision.
    ///
    /// # Panics
    /// With values of other lengths than the parameters.
    pub fn layers(self, hidden: &[usize], shared: &[&[f32]], private: &[&[f32]]) -> Vec<LayerModulation> {
        let product = |matrix: &[f32], width: usize, start: f64| -> Vec<f32> {
            let column = |unit: usize| {
                let terms = private[0].iter().zip(matrix.chunks_exact(width));
                start + terms.map(|(e, row)| f64::from(*e) * f64::from(row[unit])).sum::<f64>()
            };
            (0..width).map(|unit| column(unit) as f32).collect()
        };
        let first = hidden.first().copied().unwrap_or(0);
        match self {
            Self::None | Self::ExpertsByInput(_) => Vec::new(),
            Self::ExpertsByTask(experts) => hidden
                .iter()
                .zip(private)
                .map(|(&width, logits)| (gates(logits, width / experts), Vec::new()))
                .collect(),
            Self::OneHot => vec![(vec![1.0; first], private[0].to_vec())],
            Self::Embedding(_) => vec![(vec![1.0; first], product(shared[0], first, 0.0))],
            Self::Film(_) => hidden
                .iter()
                .zip(shared.chunks_exact(2))
                .map(|(&width, pair)| (product(pair[0], width, 1.0), product(pair[1], width, 0.0)))
                .collect(),
        }
    }
}

/// Activations `[.., rows, width]`, each of `experts` groups of units times its gate: a softmax of logits that broadcast
/// against `[.., rows, experts]`, times their number.
fn gated(graph: &mut Graph, logits: ValueId, experts: usize, activations: ValueId) -> Result<ValueId, GraphError> {
    let width = graph.shape(activations).last().copied().unwrap_or(0);
    let axis = graph.shape(logits).len() - 1;
    let gates = graph.softmax(logits, axis)?;
    // A product with zeros and the number of experts spreads each gate over its units.
    let units = width / experts.max(1);
    let spread = (0..experts * width).map(|at| f32::from(u8::from(at % width / units.max(1) == at / width)));
    let spread: Vec<f32> = spread.map(|one| one * experts as f32).collect();
    let spread = graph.constant(Tensor::f32(&[experts, width], spread).expect("a row an expert"));
    let factors = graph.matmul(gates, spread)?;
    graph.mul(activations, factors)
}

/// Gates of experts of so many units each, a number a unit, computed in double precision.
fn gates(logits: &[f32], units: usize) -> Vec<f32> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = logits.iter().map(|logit| f64::from(logit - greatest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    let gate = |share: &f64| (share / sum * logits.len() as f64) as f32;
    shares
        .iter()
        .map(gate)
        .flat_map(|gate| std::iter::repeat_n(gate, units))
        .collect()
}

impl Modulation {
    /// What the trunk has for it beside the layers, whose first is given `inputs` numbers: `routerL.weight` and `routerL.bias`.
    pub fn router(self, inputs: usize, hidden: &[usize]) -> Vec<Parameter> {
        let Self::Router(experts) = self else {
            return Vec::new();
        };
        let given = std::iter::once(&inputs).chain(hidden).zip(0..hidden.len());
        given
            .flat_map(|(&inputs, layer)| {
                [
                    Parameter::new(format!("router{layer}.weight"), &[inputs, experts]),
                    Parameter::new(format!("router{layer}.bias"), &[experts]),
                ]
            })
            .collect()
    }

    /// A layer's activations as the gates have them; `bank` is that of [`bank`](Self::bank), `router` that of
    /// [`router`](Self::router), `input` what the layer was given.
    pub(super) fn gate(
        self,
        graph: &mut Graph,
        bank: &[ValueId],
        router: &[ValueId],
        layer: usize,
        input: ValueId,
        activations: ValueId,
    ) -> Result<ValueId, GraphError> {
        match self {
            Self::Gate => graph.mul(activations, bank[layer]),
            Self::Router(experts) => {
                let product = graph.matmul(input, router[2 * layer])?;
                let logits = graph.add(product, router[2 * layer + 1])?;
                gated(graph, logits, experts, activations)
            }
            Self::None | Self::Shift | Self::ScaleAndShift => Ok(activations),
        }
    }

    /// What a slice has, in order: `layer0.shift`, `layerL.scale` and `layerL.shift`, or `layerL.gate`, of every layer L.
    pub(super) fn bank(self, hidden: &[usize]) -> Vec<Parameter> {
        let named = |layer: usize, kind: &str, width: usize| Parameter::new(format!("layer{layer}.{kind}"), &[width]);
        match self {
            Self::None | Self::Router(_) => Vec::new(),
            Self::Gate => {
                let layers = hidden.iter().enumerate();
                layers.map(|(layer, &width)| named(layer, "gate", width)).collect()
            }
            Self::Shift => hidden.iter().take(1).map(|&width| named(0, "shift", width)).collect(),
            Self::ScaleAndShift => {
                let layers = hidden.iter().enumerate();
                layers
                    .flat_map(|(layer, &width)| ["scale", "shift"].map(|kind| named(layer, kind, width)))
                    .collect()
            }
        }
    }

    /// The values of [`bank`](Self::bank); of a task without any those that change nothing.
    pub(super) fn values(self, hidden: &[usize], layers: &[LayerModulation]) -> Vec<f32> {
        let plain = |width: usize| (vec![1.0; width], vec![0.0; width]);
        let of = |layer: usize, width: usize| layers.get(layer).cloned().unwrap_or_else(|| plain(width));
        let widths = hidden.iter().enumerate();
        match self {
            Self::None | Self::Router(_) => Vec::new(),
            Self::Gate => widths.flat_map(|(layer, &width)| of(layer, width).0).collect(),
            Self::Shift => widths.take(1).flat_map(|(layer, &width)| of(layer, width).1).collect(),
            Self::ScaleAndShift => widths
                .flat_map(|(layer, &width)| {
                    let (scale, shift) = of(layer, width);
                    [scale, shift].concat()
                })
                .collect(),
        }
    }

    /// A layer's sums, before the activation, as the slice has them; `bank` is that of [`bank`](Self::bank).
    pub(super) fn apply(
        self,
        graph: &mut Graph,
        bank: &[ValueId],
        layer: usize,
        sums: ValueId,
    ) -> Result<ValueId, GraphError> {
        match (self, layer) {
            (Self::Shift, 0) => graph.add(sums, bank[0]),
            (Self::ScaleAndShift, _) => {
                let scaled = graph.mul(sums, bank[2 * layer])?;
                graph.add(scaled, bank[2 * layer + 1])
            }
            _ => Ok(sums),
        }
    }
}
