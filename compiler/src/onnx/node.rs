//! One ONNX node being read: attributes and constant operands, each taken off once, so that what is left over is refused.

use super::{
    error::OnnxError,
    import::Reader,
    proto::{AttributeProto, AttributeType, NodeProto},
    tensor,
};
use crate::{
    graph::{Shape, Tensor, ValueId, ValueType},
    ops::Op,
};

/// A node being read. What ONNX passes as a constant operand (axes, shapes, bounds) is an attribute in Pliant, and taken
/// off the operands.
pub(super) struct NodeReader<'r, 'm> {
    reader: &'r mut Reader<'m>,
    node: &'m NodeProto,
    name: &'r str,
    taken: Vec<&'static str>,
    operands: Vec<Operand<'m>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operand<'m> {
    Absent,
    Named(&'m str),
    Value(ValueId),
}

impl<'r, 'm> NodeReader<'r, 'm> {
    pub(super) fn new(reader: &'r mut Reader<'m>, node: &'m NodeProto, name: &'r str) -> Self {
        let operand = |name: &'m String| {
            if name.is_empty() {
                Operand::Absent
            } else {
                Operand::Named(name)
            }
        };
        let mut operands: Vec<Operand<'m>> = node.input.iter().map(operand).collect();
        while operands.last() == Some(&Operand::Absent) {
            operands.pop();
        }
        Self {
            reader,
            node,
            name,
            taken: Vec::new(),
            operands,
        }
    }

    /// The operands that are left once every attribute was taken.
    pub(super) fn finish(mut self) -> Result<Vec<ValueId>, OnnxError> {
        if let Some(attribute) = self
            .node
            .attribute
            .iter()
            .find(|a| !self.taken.contains(&a.name.as_str()))
        {
            return Err(self.problem(&attribute.name, "is not supported"));
        }
        (0..self.operands.len()).map(|index| self.operand(index)).collect()
    }

    /// An error about an attribute or operand of this node.
    pub(super) fn problem(&self, attribute: &str, problem: &'static str) -> OnnxError {
        OnnxError::Attribute {
            node: self.name.to_owned(),
            attribute: attribute.to_owned(),
            problem,
        }
    }

    fn attribute(&mut self, name: &'static str, kind: AttributeType) -> Result<Option<&'m AttributeProto>, OnnxError> {
        self.taken.push(name);
        let Some(attribute) = self.node.attribute.iter().find(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        if attribute.r#type != i32::from(kind) || !attribute.ref_attr_name.is_empty() {
            return Err(self.problem(name, "has another type than the operator defines"));
        }
        Ok(Some(attribute))
    }

    /// An integer attribute.
    pub(super) fn int(&mut self, name: &'static str) -> Result<Option<i64>, OnnxError> {
        Ok(self.attribute(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    /// A string attribute.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<&'m [u8]>, OnnxError> {
        Ok(self
            .attribute(name, AttributeType::String)?
            .map(|attribute| attribute.s.as_slice()))
    }

    /// An attribute that is a list of integers.
    pub(super) fn ints(&mut self, name: &'static str) -> Result<Option<&'m [i64]>, OnnxError> {
        Ok(self
            .attribute(name, AttributeType::Ints)?
            .map(|attribute| attribute.ints.as_slice()))
    }

    /// An axis of operand 0, counted from the end where negative.
    pub(super) fn axis(&mut self, default: Option<i64>) -> Result<usize, OnnxError> {
        let rank = self.value_type(0)?.rank();
        match self.int("axis")?.or(default) {
            Some(axis) => self.index(axis, rank),
            None => Err(self.problem("axis", "is missing")),
        }
    }

    /// Axes of a value of this rank, ascending; counted from the end where negative.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Shape, OnnxError> {
        let mut axes = axes
            .iter()
            .map(|&axis| self.index(axis, rank))
            .collect::<Result<Shape, _>>()?;
        axes.sort_unstable();
        Ok(axes)
    }

    /// An axis of a value of this rank, counted from the end where negative.
    pub(super) fn index(&self, axis: i64, rank: usize) -> Result<usize, OnnxError> {
        let rank = rank as i64;
        let axis = if axis < 0 { axis.saturating_add(rank) } else { axis };
        if (0..rank).contains(&axis) {
            Ok(axis as usize)
        } else {
            Err(self.problem("axis", "does not exist"))
        }
    }

    /// Number of operands left.
    pub(super) fn operand_count(&self) -> usize {
        self.operands.len()
    }

    /// Whether the writer marked the node with this name of Pliant's own.
    pub(super) fn marked(&self, mark: &str) -> bool {
        self.node.doc_string == mark
    }

    /// Type of operand `index`.
    pub(super) fn value_type(&mut self, index: usize) -> Result<ValueType, OnnxError> {
        let value = self.operand(index)?;
        Ok(self.reader.graph.value_type(value).clone())
    }

    fn operand(&mut self, index: usize) -> Result<ValueId, OnnxError> {
        match self.operands.get(index) {
            Some(Operand::Named(name)) => self.reader.value(self.name, name),
            Some(Operand::Value(value)) => Ok(*value),
            Some(Operand::Absent) | None => Err(self.problem("operands", "one is missing")),
        }
    }

    /// Takes the constant operand `index` off the list: a vector of integers. `None` when it is absent. Later operands
    /// are taken before earlier ones.
    pub(super) fn take_ints(&mut self, index: usize, what: &'static str) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(name) = self.take(index) else { return Ok(None) };
        match self.reader.constant(name) {
            Some(proto) => match tensor::decode_vector(proto) {
                Some(values) => Ok(Some(values)),
                None => Err(self.problem(what, "must be a vector of int64")),
            },
            None => Err(self.problem(what, "must be a constant")),
        }
    }

    /// Takes the constant operand `index` off the list: a single-precision scalar.
    pub(super) fn take_scalar(&mut self, index: usize, what: &'static str) -> Result<Option<f32>, OnnxError> {
        let Some(name) = self.take(index) else { return Ok(None) };
        let Some(proto) = self.reader.constant(name) else {
            return Err(self.problem(what, "must be a constant"));
        };
        let tensor: Tensor = tensor::decode(proto, self.name)?;
        match tensor.as_f32() {
            Some(&[value]) if tensor.shape().is_empty() => Ok(Some(value)),
            _ => Err(self.problem(what, "must be a single-precision scalar")),
        }
    }

    fn take(&mut self, index: usize) -> Option<&'m str> {
        if index >= self.operands.len() {
            return None;
        }
        match self.operands.remove(index) {
            Operand::Named(name) => Some(name),
            Operand::Absent | Operand::Value(_) => None,
        }
    }

    /// If operand `index` is made by an operator that `is` accepts, replaces it by that operator's first input: sees
    /// through the nodes the exporter put before this one.
    pub(super) fn see_through(&mut self, index: usize, is: impl Fn(&Op) -> bool) -> Result<bool, OnnxError> {
        let value = self.operand(index)?;
        let node = self.reader.graph.node(value);
        match node.inputs.first() {
            Some(&inner) if is(&node.op) => {
                self.operands[index] = Operand::Value(inner);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
