//! Whole graphs into graphs: dead-code removal and splicing.

use super::{Graph, GraphError, Operands, Port, ValueId};
use crate::ops::Op;

impl Graph {
    /// The graph without the nodes no output needs. Every declared input stays, in order, used or not: the interface is
    /// the caller's, not the optimiser's.
    ///
    /// ```
    /// use pliant_compiler::graph::{DType, Graph};
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", DType::F32, &[4]).unwrap();
    /// let y = graph.sin(x).unwrap();
    /// graph.cos(x).unwrap(); // nobody needs it
    /// graph.output("y", y).unwrap();
    /// assert_eq!(graph.prune().len(), 2);
    /// ```
    pub fn prune(&self) -> Graph {
        let mut live = vec![false; self.nodes.len()];
        for port in self.inputs.iter().chain(&self.outputs) {
            live[port.value.index()] = true;
        }
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if live[i] {
                node.inputs.iter().for_each(|input| live[input.index()] = true);
            }
        }
        let mut pruned = Graph::new();
        let mut moved = vec![ValueId(u32::MAX); self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            let inputs: Operands = node.inputs.iter().map(|input| moved[input.index()]).collect();
            moved[i] = pruned.insert(node.op.clone(), &inputs, node.value_type.clone());
        }
        let port = |port: &Port| Port {
            name: port.name.clone(),
            value: moved[port.value.index()],
        };
        pruned.inputs = self.inputs.iter().map(port).collect();
        pruned.outputs = self.outputs.iter().map(port).collect();
        pruned
    }

    /// Splices `other` in, with `inputs` in place of its inputs, and gives the values of its outputs, both in their
    /// declared order. Nodes that no output of `other` needs are left out.
    ///
    /// ```
    /// use pliant_compiler::graph::{DType, Graph};
    /// let mut square = Graph::new();
    /// let a = square.input("a", DType::F32, &[3]).unwrap();
    /// let aa = square.square(a).unwrap();
    /// square.output("aa", aa).unwrap();
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", DType::F32, &[3]).unwrap();
    /// let xx = graph.inline(&square, &[x]).unwrap()[0];
    /// assert_eq!(xx, graph.mul(x, x).unwrap());
    /// ```
    ///
    /// # Errors
    /// [`GraphError::InlineCount`], [`GraphError::InlineType`], [`GraphError::UnknownValue`].
    pub fn inline(&mut self, other: &Graph, inputs: &[ValueId]) -> Result<Vec<ValueId>, GraphError> {
        if inputs.len() != other.inputs.len() {
            return Err(GraphError::InlineCount {
                expected: other.inputs.len(),
                found: inputs.len(),
            });
        }
        let mut live = vec![false; other.nodes.len()];
        other.outputs.iter().for_each(|port| live[port.value.index()] = true);
        for (i, node) in other.nodes.iter().enumerate().rev() {
            if live[i] {
                node.inputs.iter().for_each(|input| live[input.index()] = true);
            }
        }
        let mut moved = vec![ValueId(u32::MAX); other.nodes.len()];
        for (port, &value) in other.inputs.iter().zip(inputs) {
            self.check(value)?;
            let expected = other.value_type(port.value);
            if self.value_type(value) != expected {
                return Err(GraphError::InlineType {
                    name: port.name.to_string(),
                    expected: expected.clone(),
                    found: self.value_type(value).clone(),
                });
            }
            moved[port.value.index()] = value;
        }
        for (i, node) in other.nodes.iter().enumerate() {
            if !live[i] || matches!(node.op, Op::Input(_)) {
                continue;
            }
            let operands: Operands = node.inputs.iter().map(|input| moved[input.index()]).collect();
            moved[i] = self.push(node.op.clone(), &operands)?;
        }
        Ok(other.outputs.iter().map(|port| moved[port.value.index()]).collect())
    }
}
