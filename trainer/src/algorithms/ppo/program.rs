//! A compiled graph with its inputs by name.

use super::graph::{
    ACTION, ADVANTAGE, ENTROPY_WEIGHT, KEEP, LOG_PROBABILITY, MEMORY, MEMORY_COTANGENT, OBSERVATION, REGRET, RETURN,
    SUMS,
};
use crate::engine::{EngineError, Program};

/// A compiled graph with its inputs by name; a graph has some of them.
pub(super) struct Compiled {
    pub(super) program: Box<dyn Program>,
    pub(super) observation: Option<usize>,
    pub(super) keep: Option<usize>,
    pub(super) memory: Option<usize>,
    pub(super) action: Option<usize>,
    pub(super) log_probability: Option<usize>,
    pub(super) advantage: Option<usize>,
    pub(super) target: Option<usize>,
    pub(super) regret: Option<usize>,
    pub(super) entropy_weight: Option<usize>,
    pub(super) cotangent: Option<usize>,
    pub(super) sums: Option<usize>,
    /// The first of the gradients to add to.
    pub(super) gradients: Option<usize>,
    /// Outputs: of the value and of the memory after the step.
    pub(super) value: usize,
    pub(super) next_memory: usize,
    pub(super) next_sums: usize,
}

impl Compiled {
    pub(super) fn new(program: Box<dyn Program>) -> Self {
        let find = |name: &str| program.inputs().iter().position(|port| port.name == name);
        let output = |name: &str| {
            let found = program.outputs().iter().position(|port| port.name == name);
            found.unwrap_or(usize::MAX)
        };
        Self {
            observation: find(OBSERVATION),
            keep: find(KEEP),
            memory: find(MEMORY),
            action: find(ACTION),
            log_probability: find(LOG_PROBABILITY),
            advantage: find(ADVANTAGE),
            target: find(RETURN),
            regret: find(REGRET),
            entropy_weight: find(ENTROPY_WEIGHT),
            cotangent: find(MEMORY_COTANGENT),
            sums: find(SUMS),
            gradients: program
                .inputs()
                .iter()
                .position(|port| port.name.starts_with("gradient/")),
            value: output("value"),
            next_memory: output("next/memory"),
            next_sums: output("next/sums"),
            program,
        }
    }

    /// Sets an input, if the graph has it.
    pub(super) fn set(&mut self, input: Option<usize>, values: &[f32]) -> Result<(), EngineError> {
        input.map_or(Ok(()), |input| self.program.set(input, values))
    }

    /// Sets the parameters, which are the first inputs.
    pub(super) fn set_parameters(&mut self, parameters: &[Vec<f32>]) -> Result<(), EngineError> {
        parameters
            .iter()
            .enumerate()
            .try_for_each(|(input, values)| self.program.set(input, values))
    }
}
