//! The graph as fusion sees it: one item a value, with the kernel that makes it.

use pliant_runtime::image::record::Unary;
use smallvec::SmallVec;

use super::kernel::{Kernel, Lower};
use crate::graph::{Graph, Shape, TensorData, ValueType};
use crate::ops::Op;

/// Position of an item; the number of the graph's value.
pub(crate) type ItemId = usize;

/// A value and how it is made.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kernel: Kernel,
    pub(crate) operands: SmallVec<[ItemId; 5]>,
    pub(crate) shape: Shape,
    /// The value of every element, where that is known.
    pub(crate) uniform: Option<f32>,
}

impl Item {
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// All values of a graph, in topological order.
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) items: Vec<Item>,
    /// Items that are outputs; one item may be several.
    pub(crate) outputs: Vec<ItemId>,
    /// How many operands of needed items, and outputs, each item is. Zero: not needed.
    pub(crate) uses: Vec<u32>,
}

impl Items {
    /// The items of `graph`. Values that only rename others (identities, casts between number types) are skipped over.
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut items: Vec<Item> = Vec::with_capacity(graph.nodes().len());
        let mut same_as: Vec<ItemId> = Vec::with_capacity(graph.nodes().len());
        for (id, node) in graph.nodes().iter().enumerate() {
            let types: SmallVec<[&ValueType; 4]> = node.inputs.iter().map(|&input| graph.value_type(input)).collect();
            let kernel = node.op.kernel(&types);
            let operands: SmallVec<[ItemId; 5]> = node.inputs.iter().map(|input| same_as[input.index()]).collect();
            let shape = node.value_type.shape.clone();
            let alias = kernel == Kernel::Alias && items[operands[0]].shape == shape;
            same_as.push(if alias { operands[0] } else { id });
            let uniform = match (&kernel, &node.op) {
                (Kernel::Leaf, Op::Constant(constant)) => uniform_of(constant.tensor.data()),
                (Kernel::Alias | Kernel::Broadcast | Kernel::Transpose(_) | Kernel::Slice { .. }, _) => {
                    items[operands[0]].uniform
                }
                _ => None,
            };
            items.push(Item {
                kernel,
                operands,
                shape,
                uniform,
            });
        }
        let outputs = graph.outputs().iter().map(|port| same_as[port.value.index()]).collect();
        let mut all = Self {
            items,
            outputs,
            uses: Vec::new(),
        };
        all.count_uses();
        all
    }

    /// Counts anew who uses what, from the outputs.
    pub(crate) fn count_uses(&mut self) {
        self.uses = vec![0; self.items.len()];
        for &output in &self.outputs {
            self.uses[output] += 1;
        }
        for id in (0..self.items.len()).rev() {
            if self.uses[id] == 0 {
                continue;
            }
            for &operand in &self.items[id].operands {
                self.uses[operand] += 1;
            }
        }
    }

    /// The operands of a needed binary item with this function.
    pub(crate) fn binary(&self, id: ItemId, function: pliant_runtime::image::record::Binary) -> Option<[ItemId; 2]> {
        let item = &self.items[id];
        (item.kernel == Kernel::Binary(function)).then(|| [item.operands[0], item.operands[1]])
    }

    /// The operand of a unary item with this function.
    pub(crate) fn unary(&self, id: ItemId, function: Unary) -> Option<ItemId> {
        match self.items[id].kernel {
            Kernel::Unary(f, _) if f == function => Some(self.items[id].operands[0]),
            _ => None,
        }
    }

    /// Whether every element of an item has these bits.
    pub(crate) fn is_uniform(&self, id: ItemId, value: f32) -> bool {
        self.items[id].uniform.is_some_and(|v| v.to_bits() == value.to_bits())
    }
}

/// A constant as the device holds it: truth values are 1 and 0, integers are `f32`.
pub(crate) fn constant_values(data: &TensorData) -> Vec<f32> {
    match data {
        TensorData::F32(values) => values.to_vec(),
        TensorData::I64(values) => values.iter().map(|&v| v as f32).collect(),
        TensorData::Bool(values) => values.iter().map(|&v| if v { 1.0 } else { 0.0 }).collect(),
    }
}

fn uniform_of(data: &TensorData) -> Option<f32> {
    let values = constant_values(data);
    let first = *values.first()?;
    values.iter().all(|v| v.to_bits() == first.to_bits()).then_some(first)
}
