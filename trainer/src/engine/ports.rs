//! Inputs and outputs by number and name: the checks every program makes.

use std::collections::HashMap;

use pliant_compiler::{graph::Graph, ops::Op};

use super::{CompileOptions, EngineError, Port};

/// The inputs and outputs of a program.
#[derive(Debug)]
pub(super) struct Ports {
    /// Inputs in the order of the graph.
    pub(super) inputs: Vec<Port>,
    /// Outputs in the order of the graph.
    pub(super) outputs: Vec<Port>,
    /// By input: the output that is its next value.
    pub(super) next: Vec<Option<usize>>,
    /// By output: the input that it is the next value of.
    pub(super) previous: Vec<Option<usize>>,
}

impl Ports {
    /// Reads the ports off a graph and checks the resident pairs.
    pub(super) fn new(graph: &Graph, options: &CompileOptions) -> Result<Self, EngineError> {
        let port = |name: &str, value| Port {
            name: name.to_owned(),
            dtype: graph.dtype(value),
            shape: graph.shape(value).to_vec(),
        };
        let inputs: Vec<Port> = graph
            .inputs()
            .iter()
            .map(|input| port(&input.name, input.value))
            .collect();
        let outputs: Vec<Port> = graph
            .outputs()
            .iter()
            .map(|output| port(&output.name, output.value))
            .collect();
        let mut next = vec![None; inputs.len()];
        let mut previous = vec![None; outputs.len()];
        let input_by_name = by_name(&inputs);
        let output_by_name = by_name(&outputs);
        for (input, output) in &options.resident {
            let wrong = |problem| EngineError::Resident {
                input: input.clone(),
                output: output.clone(),
                problem,
            };
            let &i = input_by_name
                .get(input.as_str())
                .ok_or_else(|| wrong("the graph has no such input"))?;
            let &o = output_by_name
                .get(output.as_str())
                .ok_or_else(|| wrong("the graph has no such output"))?;
            if next[i].is_some() || previous[o].is_some() {
                return Err(wrong("one of them is in another pair already"));
            }
            if inputs[i].shape != outputs[o].shape {
                return Err(wrong("their shapes differ"));
            }
            if inputs[i].dtype != outputs[o].dtype {
                return Err(wrong("their dtypes differ"));
            }
            next[i] = Some(o);
            previous[o] = Some(i);
        }
        Ok(Self {
            inputs,
            outputs,
            next,
            previous,
        })
    }

    /// Checks an input number and the length of what is to be written there.
    pub(super) fn check_input(&self, index: usize, len: usize) -> Result<(), EngineError> {
        check("input", &self.inputs, index, len)
    }

    /// Checks an output number and the length of where it is to be read to.
    pub(super) fn check_output(&self, index: usize, len: usize) -> Result<(), EngineError> {
        check("output", &self.outputs, index, len)
    }
}

fn by_name(ports: &[Port]) -> HashMap<&str, usize> {
    ports
        .iter()
        .enumerate()
        .map(|(index, port)| (port.name.as_str(), index))
        .collect()
}

fn check(kind: &'static str, ports: &[Port], index: usize, len: usize) -> Result<(), EngineError> {
    let port = ports.get(index).ok_or(EngineError::NoSuchPort {
        kind,
        index,
        count: ports.len(),
    })?;
    if port.len() != len {
        return Err(EngineError::Length {
            name: port.name.clone(),
            expected: port.len(),
            found: len,
        });
    }
    Ok(())
}

/// Number of operators in a graph that has no dead ones: nodes but inputs and constants.
pub(super) fn operators(graph: &Graph) -> usize {
    graph
        .nodes()
        .iter()
        .filter(|node| !matches!(node.op, Op::Input(_) | Op::Constant(_)))
        .count()
}
