//! How a trunk that several tasks share is told which of them is at hand.
//!
//! Whatever the way, of what it makes of a task only one scale and one shift a unit reach a layer (or the shift alone), and
//! these do not depend on the input. So a device keeps them in the task's slice of the bank, and neither the embedding nor
//! what makes scales and shifts of it is deployed: [`Modulation`].

use super::Parameter;
use crate::graph::{Graph, GraphError, ValueId};

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
}

/// One layer's scale and shift for one task, a number a unit each.
pub type LayerModulation = (Vec<f32>, Vec<f32>);

impl Conditioning {
    /// What is left of it on a device.
    pub const fn modulation(self) -> Modulation {
        match self {
            Self::None => Modulation::None,
            Self::OneHot | Self::Embedding(_) => Modulation::Shift,
            Self::Film(_) => Modulation::ScaleAndShift,
        }
    }

    /// What the tasks share, for layers of these widths: `embedding.weight` `[numbers, first width]`, or `filmL.scale` and
    /// `filmL.shift` `[numbers, width]` of every layer L.
    pub fn shared(self, hidden: &[usize]) -> Vec<Parameter> {
        match self {
            Self::None | Self::OneHot => Vec::new(),
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

    /// What one task has for itself: `taskN.one_hot` `[1, first width]`, or `taskN.embedding` `[1, numbers]`.
    pub fn private(self, task: usize, hidden: &[usize]) -> Vec<Parameter> {
        match self {
            Self::None => Vec::new(),
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
            Self::None => Vec::new(),
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

impl Modulation {
    /// What a slice has, in order: `layer0.shift`, or `layerL.scale` and `layerL.shift` of every layer L.
    pub(super) fn bank(self, hidden: &[usize]) -> Vec<Parameter> {
        let named = |layer: usize, kind: &str, width: usize| Parameter::new(format!("layer{layer}.{kind}"), &[width]);
        match self {
            Self::None => Vec::new(),
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
            Self::None => Vec::new(),
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
