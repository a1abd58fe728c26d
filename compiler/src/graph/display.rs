//! A readable listing.

use super::Graph;
use crate::ops::Op;
use core::fmt;

/// One line a node.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[4]).unwrap();
/// let y = graph.reduce_sum(x, &[0], false).unwrap();
/// graph.output("y", y).unwrap();
/// assert_eq!(
///     graph.to_string(),
///     "%0: f32[4] = input \"x\"\n%1: f32[] = ReduceSum { axes: [0], keep_dims: false }(%0)\noutput \"y\" = %1\n"
/// );
/// ```
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (value, node) in self.iter() {
            write!(f, "{value}: {} = ", node.value_type)?;
            match &node.op {
                Op::Input(input) => writeln!(f, "input {:?}", input.name)?,
                Op::Constant(constant) => writeln!(f, "{:?}", constant.tensor)?,
                op => {
                    write!(f, "{op:?}(")?;
                    for (i, input) in node.inputs.iter().enumerate() {
                        write!(f, "{}{input}", if i == 0 { "" } else { ", " })?;
                    }
                    writeln!(f, ")")?;
                }
            }
        }
        for port in self.outputs() {
            writeln!(f, "output {:?} = {}", port.name, port.value)?;
        }
        Ok(())
    }
}
